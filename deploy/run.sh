#!/usr/bin/env bash
# Installs what is missing, builds, and runs: deploy/run.sh [arguments of `fornix run`]
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$top/deploy/packages.sh"

install_missing "${build_packages[@]}"
cmake --preset release -S "$top" >"$top/build.log" 2>&1 || { cat "$top/build.log" >&2; exit 1; }
cmake --build "$top/build" >"$top/build.log" 2>&1 || { cat "$top/build.log" >&2; exit 1; }
rm -f "$top/build.log"
exec "$top/build/bin/fornix" run "$@"
