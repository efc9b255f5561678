# cmake --install: programs, libfornix with its headers (as a pkg-config file and as a CMake package), rigs, units.
include(CMakePackageConfigHelpers)

add_library(fornix_lib STATIC $<TARGET_PROPERTY:fnx_bus,SOURCES>)
set_target_properties(fornix_lib PROPERTIES OUTPUT_NAME fornix EXPORT_NAME fornix)
target_link_libraries(fornix_lib PRIVATE $<BUILD_INTERFACE:fnx_bus>)
target_include_directories(fornix_lib INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/fornix>)
install(TARGETS fornix_lib EXPORT fornix ARCHIVE)
install(EXPORT fornix NAMESPACE fornix:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fornix FILE fornix-targets.cmake)
configure_package_config_file(cmake/fornix-config.cmake.in ${PROJECT_BINARY_DIR}/fornix-config.cmake
	INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fornix)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/fornix-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/fornix-config.cmake ${PROJECT_BINARY_DIR}/fornix-config-version.cmake
	DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/fornix)
configure_file(cmake/fornix.pc.in ${PROJECT_BINARY_DIR}/fornix.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/fornix.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
foreach(header bell bus control mcap merge presence push scratch status topic)
	install(FILES bus/${header}.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/fornix/bus)
endforeach()

install(DIRECTORY deploy/rigs DESTINATION ${CMAKE_INSTALL_DATADIR}/fornix)
install(FILES docs/examples/posterior.py DESTINATION ${CMAKE_INSTALL_DATADIR}/fornix/examples)
configure_file(deploy/systemd/fornix@.service.in ${PROJECT_BINARY_DIR}/systemd/fornix@.service @ONLY)
set(FORNIX_UNIT_DIR lib/systemd/system CACHE STRING "Where systemd units go, below the prefix")
install(FILES ${PROJECT_BINARY_DIR}/systemd/fornix@.service deploy/systemd/fornix.target DESTINATION ${FORNIX_UNIT_DIR})
install(FILES deploy/systemd/fornix.sysusers DESTINATION lib/sysusers.d RENAME fornix.conf)
