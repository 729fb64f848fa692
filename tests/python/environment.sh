#!/usr/bin/env bash
# Makes the virtual environment of the tests that read payloads with Python, in the user's cache folder, once for each state of
# requirements.txt, and prints the path of its interpreter as the last line.
#   environment.sh           make it if needed
#   environment.sh --check   exit code 0 if it is there or can be made; else say what to install, exit code 1
set -euo pipefail
cd "$(dirname "$0")"

say() { echo "python tests: $*" >&2; }

if ! version=$(python3 -c 'import ensurepip, sys, venv; print(sys.version, sys.executable); sys.exit(sys.version_info < (3, 10))' 2>/dev/null); then
  say "python3 (3.10 or newer) with venv is needed: apt-get install -y python3 python3-venv"
  exit 1
fi
[ "${1:-}" = --check ] && exit 0

cache="${XDG_CACHE_HOME:-$HOME/.cache}/muster"
folder="$cache/python-$( (cat requirements.txt; echo "$version") | sha256sum | cut -c1-16)"
# Left behind when everything is installed.
complete="$folder/complete"
mkdir -p "$cache"
# Two test runs at once make it once.
if command -v flock >/dev/null; then
  exec 9>"$folder.lock"
  flock 9
fi
if [ ! -e "$complete" ]; then
  say "installing the packages of tests/python/requirements.txt (30 MB) into $folder"
  rm -rf "$folder"
  python3 -m venv "$folder" >&2
  if ! "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement requirements.txt >&2; then
    say "the packages cannot be installed: a package index is needed, once (settings of pip are followed, for example PIP_INDEX_URL)"
    exit 1
  fi
  touch "$complete"
fi
echo "$folder/bin/python"
