#!/usr/bin/env bash
# The one test command: format, lints and every test; some start and kill the real binary, one plays the demo. Needs Rust, a C compiler and
# Python 3 with venv; the last two are installed where apt-get is and they are not.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

# Rust comes from its own installer, because distributions carry older ones; a C compiler comes from the package manager.
if ! command -v cargo >/dev/null; then
  echo "cargo not found: install Rust 1.89 or newer (https://www.rust-lang.org/tools/install), then run this again" >&2
  exit 1
fi
if ! command -v cc >/dev/null; then
  say "installing a C compiler"
  apt-get update && apt-get install -y --no-install-recommends build-essential
fi
# The control plane of the Kubernetes tests: built from Go sources, once (tests/devcluster/build.sh says where and how long).
# The official API client of the tests of payloads: Python, once (tests/python/environment.sh says where).
if ! tests/devcluster/build.sh --check || ! tests/python/environment.sh --check; then
  say "installing Python, which fetches Go and reads payloads"
  apt-get update && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates
fi

say "control plane"
if [ -z "${KUBEBUILDER_ASSETS:-}" ]; then
  MUSTER_DEVCLUSTER=$(tests/devcluster/build.sh | tail -n 1)
  export MUSTER_DEVCLUSTER
fi

say "official API client"
tests/python/environment.sh

say "format";  cargo fmt --all --check
say "lints";   cargo clippy --workspace --all-targets --locked -- -D warnings
# All of them, so that one run shows everything that is broken.
say "tests";   cargo test --workspace --locked --no-fail-fast
