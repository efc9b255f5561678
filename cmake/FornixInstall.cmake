# cmake --install: programs, libfornix with its headers (as a pkg-config file and as a CMake package), rigs, units. All of it
# may be installed below any prefix, also one that is only named when installing.
include(CMakePackageConfigHelpers)

# fnx_bus's objects under its public name, so that the archive's users see neither the project's tree nor its warnings.
add_library(fornix_lib STATIC $<TARGET_OBJECTS:fnx_bus>)
set_target_properties(fornix_lib PROPERTIES OUTPUT_NAME fornix EXPORT_NAME fornix LINKER_LANGUAGE C)
target_link_libraries(fornix_lib PRIVATE $<BUILD_INTERFACE:fnx_bus>)
target_include_directories(fornix_lib INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/fornix>)
target_compile_definitions(fornix_lib INTERFACE _GNU_SOURCE)
install(TARGETS fornix_lib EXPORT fornix ARCHIVE)
install(EXPORT fornix NAMESPACE fornix:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fornix FILE fornix-targets.cmake)
configure_package_config_file(cmake/fornix-config.cmake.in ${PROJECT_BINARY_DIR}/fornix-config.cmake
	INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fornix)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/fornix-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/fornix-config.cmake ${PROJECT_BINARY_DIR}/fornix-config-version.cmake
	DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fornix)

# The pkg-config file finds its prefix from where it lies, unless the folders were given as absolute paths.
function(fnx_below_prefix directory ret)
	if(IS_ABSOLUTE ${directory})
		set(${ret} ${directory} PARENT_SCOPE)
	else()
		set(${ret} "\${prefix}/${directory}" PARENT_SCOPE)
	endif()
endfunction()
file(RELATIVE_PATH FORNIX_PC_TO_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
fnx_below_prefix(${CMAKE_INSTALL_LIBDIR} FORNIX_PC_LIBDIR)
fnx_below_prefix(${CMAKE_INSTALL_INCLUDEDIR} FORNIX_PC_INCLUDEDIR)
configure_file(cmake/fornix.pc.in ${PROJECT_BINARY_DIR}/fornix.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/fornix.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
foreach(header bell bridge bus control journal mcap merge patience presence push scratch state status task topic validate wake)
	install(FILES bus/${header}.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fornix/bus)
endforeach()

install(DIRECTORY deploy/rigs DESTINATION ${CMAKE_INSTALL_DATADIR}/fornix)
install(FILES docs/examples/posterior.py DESTINATION ${CMAKE_INSTALL_DATADIR}/fornix/examples)
# A unit names its program by an absolute path, which is known when installing.
set(FORNIX_UNIT_DIR lib/systemd/system CACHE STRING "Where systemd units go, below the prefix")
install(CODE "
	set(CMAKE_INSTALL_FULL_BINDIR \"${CMAKE_INSTALL_BINDIR}\")
	if(NOT IS_ABSOLUTE \"\${CMAKE_INSTALL_FULL_BINDIR}\")
		set(CMAKE_INSTALL_FULL_BINDIR \"\${CMAKE_INSTALL_PREFIX}/\${CMAKE_INSTALL_FULL_BINDIR}\")
	endif()
	configure_file(\"${PROJECT_SOURCE_DIR}/deploy/systemd/fornix@.service.in\"
		\"${PROJECT_BINARY_DIR}/systemd/fornix@.service\" @ONLY)
	configure_file(\"${PROJECT_SOURCE_DIR}/deploy/systemd/fornix-doctor.service.in\"
		\"${PROJECT_BINARY_DIR}/systemd/fornix-doctor.service\" @ONLY)")
install(FILES ${PROJECT_BINARY_DIR}/systemd/fornix@.service ${PROJECT_BINARY_DIR}/systemd/fornix-doctor.service
	deploy/systemd/fornix.target DESTINATION ${FORNIX_UNIT_DIR})
install(FILES deploy/systemd/fornix.sysusers DESTINATION lib/sysusers.d RENAME fornix.conf)
