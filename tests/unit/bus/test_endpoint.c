/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/bus/bus_fixture.h"

#include "bus/endpoint.h"

static void path_of(const char *name, char *ret_path, size_t size)
{
	snprintf(ret_path, size, "%s/%s", check_scratch_dir(), name);
}

TEST(what_is_reached_from_outside_needs_a_key)
{
	assert_int_equal(fnx_endpoint_check("tcp://0.0.0.0:1", 0), -EPERM);
	assert_int_equal(fnx_endpoint_check("tcp://localhost.example.org:1", 0), -EPERM);
	assert_int_equal(fnx_endpoint_check("tcp://[::2]:1", 0), -EPERM);
	assert_int_equal(fnx_endpoint_check("tcp://0.0.0.0:1", 1), 0);
	assert_int_equal(fnx_endpoint_check("tcp://127.1.2.3:1", 0), 0);
	assert_int_equal(fnx_endpoint_check("tcp://[::1]:1", 0), 0);
	assert_int_equal(fnx_endpoint_check("ipc:///tmp/x", 0), 0);
	assert_int_equal(fnx_endpoint_check("ipc://x", 0), -EINVAL);
	assert_int_equal(fnx_endpoint_check("inproc://x", 0), 0);
	assert_int_equal(fnx_endpoint_check("pgm://x", 1), -EPROTONOSUPPORT);
	assert_int_equal(fnx_endpoint_check("", 1), -EPROTONOSUPPORT);
}

TEST(two_keys_are_made_that_belong_together)
{
	char path[256], public_path[256], secret[FNX_KEY_SIZE + 1], public[FNX_KEY_SIZE + 1],
		belongs[FNX_KEY_SIZE + 1];
	struct stat st;

	path_of("pair", path, sizeof(path));
	path_of("pair.pub", public_path, sizeof(public_path));
	assert_int_equal(fnx_key_generate(path), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fnx_key_read(path, 1, secret), 0);
	assert_int_equal(fnx_key_read(public_path, 0, public), 0);
	assert_int_equal(fnx_key_public(secret, belongs), 0);
	assert_string_equal(belongs, public);
}

TEST(keys_are_never_written_over)
{
	char path[256], public_path[256];
	FILE *file;

	path_of("old", path, sizeof(path));
	path_of("old.pub", public_path, sizeof(public_path));
	file = fopen(public_path, "w");
	fputs("mine", file);
	fclose(file);
	assert_int_equal(fnx_key_generate(path), -EEXIST);
	/* Nor is half a pair left behind. */
	assert_int_equal(access(path, F_OK), -1);
	unlink(public_path);
	assert_int_equal(fnx_key_generate(path), 0);
	assert_int_equal(fnx_key_generate(path), -EEXIST);
}

TEST(a_secret_key_that_others_can_read_is_refused)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0660, 0644};
	char path[256], key[FNX_KEY_SIZE + 1];

	path_of("open", path, sizeof(path));
	assert_int_equal(fnx_key_generate(path), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_int_equal(fnx_key_read(path, 1, key), -EKEYREVOKED);
	}
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(fnx_key_read(path, 1, key), 0);
}

TEST(a_file_that_holds_no_key_is_refused)
{
	static const char *const texts[] = {"", "short",
		"0123456789012345678901234567890123456789x",
		"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\""};
	char path[256], key[FNX_KEY_SIZE + 1];

	path_of("none", path, sizeof(path));
	assert_int_equal(fnx_key_read(path, 0, key), -ENOENT);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		FILE *file = fopen(path, "w");

		fputs(texts[i], file);
		fclose(file);
		assert_int_equal(fnx_key_read(path, 0, key), -EKEYREJECTED);
	}
}
