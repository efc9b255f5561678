# Every library that fornix stands on, from Debian packages. One message names all that are missing.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(fnx_missing "")
function(fnx_need prefix module package)
	pkg_check_modules(${prefix} QUIET IMPORTED_TARGET GLOBAL ${module})
	if(NOT ${prefix}_FOUND)
		set(fnx_missing ${fnx_missing} ${package} PARENT_SCOPE)
	endif()
endfunction()

fnx_need(ZMQ libzmq libzmq3-dev)
fnx_need(MSGPACK msgpack libmsgpack-dev)
fnx_need(UV libuv libuv1-dev)
fnx_need(CYAML libcyaml libcyaml-dev)
fnx_need(YAML yaml-0.1 libyaml-dev)
fnx_need(SYSTEMD libsystemd libsystemd-dev)
fnx_need(HDF5 hdf5-serial libhdf5-dev)
fnx_need(JANSSON jansson libjansson-dev)
fnx_need(ZSTD libzstd libzstd-dev)
fnx_need(CMOCKA cmocka libcmocka-dev)
find_package(ZLIB QUIET)
if(NOT ZLIB_FOUND)
	list(APPEND fnx_missing zlib1g-dev)
endif()

if(fnx_missing)
	list(JOIN fnx_missing " " fnx_missing_line)
	message(FATAL_ERROR "Missing Debian packages: ${fnx_missing_line}\n"
		"  apt-get install ${fnx_missing_line}\n"
		"deploy/run.sh and deploy/test.sh install them by themselves.")
endif()
