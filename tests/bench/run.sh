#!/usr/bin/env bash
# Measures fornix beside its peers and rewrites docs/benchmarks.md with its pictures. Takes about 20 minutes; the machine should be
# idle otherwise. Arguments go to bench_bus (--quick: under two minutes).
set -euo pipefail
if [ "${1:-}" = --help ]; then
	sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}"
	exit 0
fi
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$top/deploy/packages.sh"
install_missing "${build_packages[@]}" "${bench_packages[@]}"
cd "$top"
cmake --preset release -Wno-dev >/dev/null
cmake --build --preset release --target bench_bus >/dev/null
found=$(mktemp)
trap 'rm -f "$found"' EXIT
build/bin/bench_bus --json "$found" "$@"
/usr/bin/python3 tests/bench/report.py "$found" docs/benchmarks.md
