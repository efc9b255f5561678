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

# The serial OpenBLAS, whichever variant the system prefers: the others start threads. It is found by its own
# folder, which then also goes into the programs' run path.
find_path(FORNIX_CBLAS_INCLUDE cblas.h PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial NO_DEFAULT_PATH)
find_library(FORNIX_CBLAS_LIBRARY openblas PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial NO_DEFAULT_PATH)
if(FORNIX_CBLAS_INCLUDE AND FORNIX_CBLAS_LIBRARY)
	get_filename_component(FORNIX_CBLAS_FOLDER ${FORNIX_CBLAS_LIBRARY} DIRECTORY)
	add_library(fnx_cblas INTERFACE)
	target_include_directories(fnx_cblas SYSTEM INTERFACE ${FORNIX_CBLAS_INCLUDE})
	target_link_libraries(fnx_cblas INTERFACE ${FORNIX_CBLAS_LIBRARY})
	target_link_options(fnx_cblas INTERFACE LINKER:--enable-new-dtags)
	list(APPEND CMAKE_INSTALL_RPATH ${FORNIX_CBLAS_FOLDER})
	list(APPEND CMAKE_BUILD_RPATH ${FORNIX_CBLAS_FOLDER})
else()
	list(APPEND fnx_missing libopenblas-serial-dev)
endif()
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
