# Debian packages that fornix needs, and how to install those that are missing. Sourced by run.sh and test.sh.
# shellcheck shell=bash

build_packages=(gcc libc6-dev cmake ninja-build pkg-config libzmq3-dev libmsgpack-dev libuv1-dev libcmocka-dev
	libcyaml-dev libyaml-dev libhdf5-dev libsystemd-dev libjansson-dev libzstd-dev zlib1g-dev)
# Peers that bench_bus measures where they are installed; tests/bench/run.sh installs them.
bench_packages=(libnng-dev libhiredis-dev redis-server iceoryx libiceoryx-binding-c-dev cyclonedds-dev cyclonedds-tools
	libopenmpi-dev openmpi-bin)
test_packages=(python3 strace python3-numpy python3-zmq python3-msgpack clang-format git systemd spin)

# Installs what is missing of the named packages, with sudo only if need be.
install_missing() {
	local package missing=() sudo=()

	for package in "$@"; do
		if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>&1)" != installed ]; then
			missing+=("$package")
		fi
	done
	if [ ${#missing[@]} -eq 0 ]; then
		return
	fi
	echo "Installing Debian packages: ${missing[*]}" >&2
	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "As root: apt-get install ${missing[*]}" >&2
			exit 1
		fi
		sudo=(sudo)
	fi
	"${sudo[@]}" apt-get update -qq
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}
