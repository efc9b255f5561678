#!/usr/bin/env bash
# Installs what is missing, builds, and runs the whole test suite: Release, then under AddressSanitizer and
# UndefinedBehaviourSanitizer, then under ThreadSanitizer. deploy/test.sh [release|dev|asan|tsan ...] runs only those.
set -euo pipefail
usage() { sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}"; }
if [ "${1:-}" = --help ]; then
	usage
	exit 0
fi
for preset in "$@"; do
	[[ $preset =~ ^(release|dev|asan|tsan)$ ]] || { usage >&2; exit 2; }
done
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$top/deploy/packages.sh"

install_missing "${build_packages[@]}" "${test_packages[@]}"
cd "$top"
if [ $# -eq 0 ]; then
	set -- release asan tsan
fi
for preset in "$@"; do
	echo "== $preset"
	cmake --preset "$preset" -Wno-dev >"build-$preset.log" 2>&1 || { cat "build-$preset.log" >&2; exit 1; }
	cmake --build --preset "$preset" >"build-$preset.log" 2>&1 || { cat "build-$preset.log" >&2; exit 1; }
	rm -f "build-$preset.log"
	ctest --preset "$preset" --parallel 2 --timeout 400
done
