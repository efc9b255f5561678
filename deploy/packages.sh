# Debian packages that fornix needs, and how to install those that are missing. Sourced by run.sh and test.sh.
# shellcheck shell=bash

build_packages=(gcc libc6-dev cmake ninja-build pkg-config libzmq3-dev libmsgpack-dev libuv1-dev libcmocka-dev
	libcyaml-dev libyaml-dev libhdf5-dev libsystemd-dev libjansson-dev libzstd-dev zlib1g-dev libopenblas-serial-dev)
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

# For 64-bit ARM: a compiler, and what runs its programs here. The libraries of that architecture lie in a folder of the
# project, so that this machine's own packages stay as they are.
cross_packages=(gcc-aarch64-linux-gnu qemu-user)

# arm64_root FOLDER PACKAGES...: unpacks the named packages of architecture arm64, and all that they need, into FOLDER,
# unless they are there. No root is needed. 1: they cannot be had, as was said on stderr.
arm64_root() {
	local root=$1 archive link
	shift

	if [ -f "$root/packages" ] && [ "$(cat "$root/packages")" = "$*" ]; then
		return 0
	fi
	echo "Unpacking the arm64 packages of $* into $root" >&2
	rm -rf "$root" || return 1
	mkdir -p "$root/usr/lib" "$root/apt/lists/partial" "$root/apt/archives/partial" || return 1
	ln -s usr/lib "$root/lib" || return 1
	: >"$root/apt/status" || return 1
	local apt=(apt-get -qq -y -o "Dir::State=$root/apt" -o "Dir::State::status=$root/apt/status" -o "Dir::Cache=$root/apt"
		-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root -o Debug::NoLocking=true)
	"${apt[@]}" update >&2 || return 1
	"${apt[@]}" install --no-install-recommends --download-only "$@" >&2 || return 1
	for archive in "$root"/apt/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink -C "$root" || return 1
	done
	# Links from the root are links from this one.
	find "$root" -type l -lname '/*' | while read -r link; do
		ln -sfnr "$root$(readlink "$link")" "$link" || exit 1
	done || return 1
	rm -rf "$root/apt" || return 1
	echo "$*" >"$root/packages"
}
