# Compiler settings and the two functions that turn folders into targets.
option(FORNIX_WERROR "Warnings are errors" OFF)
option(FORNIX_COVERAGE "Build for gcov" OFF)
set(FORNIX_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")

# What was compiled before, in this checkout or in another, need not be compiled again, where ccache is installed.
find_program(FORNIX_CCACHE ccache DOC "ccache, if it shall be used")
if(FORNIX_CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
	set(CMAKE_C_COMPILER_LAUNCHER env CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${FORNIX_CCACHE})
endif()

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
	set(CMAKE_BUILD_TYPE Release)
endif()

add_library(fnx_options INTERFACE)
target_compile_definitions(fnx_options INTERFACE _GNU_SOURCE FNX_VERSION="${PROJECT_VERSION}")
target_include_directories(fnx_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(fnx_options INTERFACE
	-Wall -Wextra -Wshadow -Wconversion -Wdouble-promotion -Wstrict-prototypes
	-Wmissing-prototypes -Wundef -Wcast-qual -Wwrite-strings -Wvla -Wformat=2
	-Wimplicit-fallthrough -Wredundant-decls
	# One rounding per operation: the same numbers on every machine and at every optimisation level.
	-ffp-contract=off -fno-math-errno)
if(FORNIX_WERROR)
	target_compile_options(fnx_options INTERFACE -Werror)
endif()
if(FORNIX_SANITIZE)
	target_compile_options(fnx_options INTERFACE
		-fsanitize=${FORNIX_SANITIZE} -fno-sanitize-recover=undefined -fno-omit-frame-pointer
		$<$<COMPILE_LANG_AND_ID:C,GNU>:-Wno-tsan>)
	target_link_options(fnx_options INTERFACE -fsanitize=${FORNIX_SANITIZE})
	target_compile_definitions(fnx_options INTERFACE FNX_SANITIZED=1)
endif()
if(FORNIX_COVERAGE)
	target_compile_options(fnx_options INTERFACE --coverage)
	target_link_options(fnx_options INTERFACE --coverage)
endif()

# fnx_library(FOLDER LINKS ...): the static library fnx_<last part of FOLDER> from FOLDER/*.c; a
# main.c among them becomes the executable fornix-<last part> (nodes/fornix: plain fornix).
function(fnx_library folder)
	cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
	get_filename_component(name ${folder} NAME)
	file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.c)
	set(main ${PROJECT_SOURCE_DIR}/${folder}/main.c)
	list(REMOVE_ITEM sources ${main})
	if(sources)
		add_library(fnx_${name} STATIC ${sources})
		target_link_libraries(fnx_${name} PUBLIC fnx_options ${ARG_LINKS})
	else()
		add_library(fnx_${name} INTERFACE)
		target_link_libraries(fnx_${name} INTERFACE fnx_options ${ARG_LINKS})
	endif()
	if(EXISTS ${main})
		set(executable fornix-${name})
		if(name STREQUAL fornix)
			set(executable fornix)
		endif()
		add_executable(${executable} ${main})
		target_link_libraries(${executable} PRIVATE fnx_${name})
		install(TARGETS ${executable} RUNTIME)
	endif()
endfunction()
