# SPDX-License-Identifier: BSD-3-Clause
"""What cmake --install leaves below a prefix works from there: the programs, and libfornix for programs of others."""
import os
import subprocess

from fornix import BUILD, SANITIZED, WORK

PREFIX = WORK / "prefix"
CONSUMER = r"""
#include <stdio.h>
#include <string.h>

#include "bus/presence.h"
#include "bus/topic.h"

int main(int argc, char **argv)
{
	struct fnx_topic_config topic = {.name = "greeting", .node = "greeter", .slot_size = 64,
		.n_slots = 16, .full = FNX_FULL_WAIT, .bell = FNX_BELL_FORM_PIPE};
	struct fnx_subscriber_config reader = {.topic = "greeting", .node = "greeter",
		.policy = FNX_LOSSLESS, .start = FNX_START_OLDEST, .bell = FNX_BELL_FORM_PIPE};
	struct fnx_stamp stamp = {.sample_time = 30000};
	struct fnx_presence presence;
	struct fnx_publisher *pub;
	struct fnx_subscriber *sub;
	struct fnx_frame frame;
	struct fnx_gap gap;
	struct fnx_bus bus;
	void *payload;

	if (argc != 3 || fnx_bus_init(&bus, "installed", argv[1], argv[2]) || fnx_bus_create(&bus, NULL) ||
		fnx_presence_claim(&bus, "greeter", &presence, NULL) || fnx_publisher_open(&bus, &topic, &pub) ||
		fnx_subscriber_open(&bus, &reader, &sub) || fnx_publisher_loan(pub, 0, &payload))
		return 1;
	strcpy(payload, "hello");
	fnx_publisher_publish(pub, 6, &stamp);
	if (fnx_subscriber_peek(sub, &frame, &gap) != FNX_FRAME)
		return 2;
	printf("%s %lld\n", (const char *)frame.payload, (long long)frame.stamp.sample_time);
	fnx_subscriber_release(sub);
	fnx_subscriber_close(sub);
	fnx_publisher_close(pub);
	fnx_presence_drop(&presence);
	return fnx_bus_remove(&bus) < 0;
}
"""
PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(fornix REQUIRED)
add_executable(consumer consumer.c)
target_link_libraries(consumer PRIVATE fornix::fornix)
"""


def do(*command, **more):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def greets(program):
    text = do(program, WORK / "segments", WORK / "sockets")
    assert text == "hello 30000\n", text
    print(f"{program.relative_to(WORK)}: {text.strip()}")


do("cmake", "--install", BUILD, "--prefix", PREFIX)
version = do(PREFIX / "bin/fornix", "version")
print(version.splitlines()[0])
do(PREFIX / "bin/fornix", "run", PREFIX / "share/fornix/rigs/demo.yaml", "--duration", 2, "--quiet", "--set",
   f"bus.name=installed-{os.getpid()}")
for program in ("acquire", "ripple", "encode", "decode", "dispatch", "record", "tap"):
    assert (PREFIX / f"bin/fornix-{program}").exists(), program

source = WORK / "consumer"
source.mkdir()
(source / "consumer.c").write_text(CONSUMER)
(source / "CMakeLists.txt").write_text(PROJECT)
sanitizer = [f"-fsanitize={SANITIZED}"] if SANITIZED else []

found = next(PREFIX.rglob("fornix.pc")).parent
flags = do("pkg-config", "--cflags", "--libs", "fornix", env={**os.environ, "PKG_CONFIG_PATH": str(found)}).split()
do("cc", "-std=c17", "-Wall", "-Werror", *sanitizer, "-o", source / "by-pkg-config", source / "consumer.c", *flags)
greets(source / "by-pkg-config")

do("cmake", "-S", source, "-B", source / "build", f"-DCMAKE_PREFIX_PATH={PREFIX}", f"-DCMAKE_C_FLAGS={' '.join(sanitizer)}")
do("cmake", "--build", source / "build")
greets(source / "build/consumer")
