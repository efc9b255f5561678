#!/usr/bin/env bash
# Installs what is missing, builds, and runs the whole test suite: Release, then under AddressSanitizer and
# UndefinedBehaviourSanitizer, then under ThreadSanitizer, then the arithmetic for 64-bit ARM under qemu-user, where that can
# be had. deploy/test.sh [release|dev|asan|tsan|aarch64 ...] runs only those; aarch64 is then all that an emulator can judge.
set -euo pipefail
usage() { sed -n '2,4s/^# //p' "${BASH_SOURCE[0]}"; }
if [ "${1:-}" = --help ]; then
	usage
	exit 0
fi
for preset in "$@"; do
	[[ $preset =~ ^(release|dev|asan|tsan|aarch64)$ ]] || { usage >&2; exit 2; }
done
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$top/deploy/packages.sh"

# What aarch64 needs beside the others. 1: this machine cannot have it.
prepare_aarch64() {
	local package arm64_packages=()

	for package in "${build_packages[@]}"; do
		[[ $package == lib*-dev || $package == zlib1g-dev ]] && arm64_packages+=("$package")
	done
	(install_missing "${cross_packages[@]}") && arm64_root "$top/build-arm64-root" "${arm64_packages[@]}"
}

install_missing "${build_packages[@]}" "${test_packages[@]}"
cd "$top"
quick=
if [ $# -eq 0 ]; then
	set -- release asan tsan aarch64
	quick=lanes
fi
for preset in "$@"; do
	echo "== $preset"
	if [ "$preset" = aarch64 ] && ! prepare_aarch64; then
		echo "aarch64 cannot be tested here: no ${cross_packages[*]}, or no arm64 packages from this machine's sources" >&2
		[ -n "$quick" ] && continue
		exit 1
	fi
	targets=() tests=()
	if [ "$preset" = aarch64 ] && [ -n "$quick" ]; then
		targets=(--target "$quick") tests=(-L "$quick" --no-tests=error)
	fi
	cmake --preset "$preset" -Wno-dev >"build-$preset.log" 2>&1 || { cat "build-$preset.log" >&2; exit 1; }
	cmake --build --preset "$preset" "${targets[@]}" >"build-$preset.log" 2>&1 || { cat "build-$preset.log" >&2; exit 1; }
	rm -f "build-$preset.log"
	ctest --preset "$preset" --parallel 2 --timeout 400 "${tests[@]}"
done
