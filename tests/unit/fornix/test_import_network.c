/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/command.h"
#include "nodes/fornix/saved_layers.h"
#include "nodes/ripple/network_file.h"

#include "tests/support/check.h"
#include "tests/unit/fornix/saved_model_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <unistd.h>

/* Runs the command; its complaint to `error`. */
static int run_import(const char *directory, const char *out, char *error, size_t size)
{
	char *argv[] = {(char[]){"fornix import-network"}, strdup(directory), strdup(out), NULL};
	char path[600];
	int saved = dup(2), saved_out = dup(1), fd, r;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/stderr", check_scratch_dir());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	fflush(NULL);
	dup2(fd, 2);
	dup2(open("/dev/null", O_WRONLY), 1);
	r = fnx_command_import_network(3, argv);
	fflush(NULL);
	dup2(saved, 2);
	dup2(saved_out, 1);
	n = pread(fd, error, size - 1, 0);
	error[n > 0 ? n : 0] = 0;
	close(fd);
	close(saved);
	close(saved_out);
	free(argv[1]);
	free(argv[2]);
	return r;
}

#define import_fine(...) \
	do { \
		if (run_import(__VA_ARGS__)) \
			fail_msg("%s", error); \
	} while (0)

static struct fixture *new_fixture(int variant)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	snprintf(fixture->directory, sizeof(fixture->directory), "%s/model", check_scratch_dir());
	fixture->n_shards = variant & 1 ? 2 : 1;
	fixture->older = variant & 2;
	fixture->numbered = variant & 4;
	return fixture;
}

static void free_fixture(struct fixture *fixture)
{
	char command[640];

	snprintf(command, sizeof(command), "rm -rf '%s'", fixture->directory);
	assert_int_equal(system(command), 0);
	fixture_end(fixture);
	free(fixture);
}

static const char *out_path(void)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/out.h5", check_scratch_dir());
	unlink(path);
	return path;
}

static void build_numbered(struct build *build, int number)
{
	if (number == 7)
		build_published_2d(build, 7);
	else
		build_published(build, number, (uint64_t)number);
}

/* What the file's layers hold is bit for bit what the model's tensors held. */
static void assert_same_layers(const struct build *build, const struct fnx_network_file *file)
{
	struct fnx_network_shape shape = build->config.input;

	assert_memory_equal(&file->input, &shape, sizeof(shape));
	assert_int_equal(file->n_layers, build->config.n_layers);
	for (uint32_t i = 0; i < file->n_layers; i++) {
		const struct fnx_network_layer *ours = &file->layers[i],
					       *theirs = &build->layers[i];
		size_t n = (size_t)theirs->n_in * theirs->n_out, window = 1;

		assert_int_equal(ours->kind, theirs->kind);
		assert_int_equal(ours->activation, theirs->activation);
		assert_true(ours->slope == theirs->slope && ours->epsilon == theirs->epsilon);
		assert_int_equal(ours->same, theirs->same);
		if (theirs->kind == FNX_NETWORK_CONVOLUTION ||
			theirs->kind == FNX_NETWORK_MAX_POOLING) {
			assert_int_equal(ours->height, theirs->height);
			assert_int_equal(ours->width, theirs->width);
			assert_int_equal(ours->stride_height, theirs->stride_height);
			assert_int_equal(ours->stride_width, theirs->stride_width);
			window = (size_t)theirs->height * theirs->width;
		}
		if (theirs->weights) {
			assert_memory_equal(
				ours->weights, theirs->weights, window * n * sizeof(double));
			assert_memory_equal(
				ours->bias, theirs->bias, theirs->n_out * sizeof(double));
		}
		if (theirs->mean) {
			n = theirs->n_in * sizeof(double);
			assert_memory_equal(ours->gamma, theirs->gamma, n);
			assert_memory_equal(ours->beta, theirs->beta, n);
			assert_memory_equal(ours->mean, theirs->mean, n);
			assert_memory_equal(ours->variance, theirs->variance, n);
		}
	}
}

TEST(an_imported_model_has_the_same_layers_and_weights)
{
	for (int number = 1; number <= 7; number++)
		for (int variant = 0; variant < 8; variant++) {
			struct fixture *fixture = new_fixture(variant);
			struct fnx_network_file *file;
			struct build build;
			char error[FNX_NETWORK_ERROR_MAX];
			const char *out = out_path();

			build_numbered(&build, number);
			fixture_write(fixture, &build);
			import_fine(fixture->directory, out, error, sizeof(error));
			assert_int_equal(fnx_network_file_load(out, &file, error), 0);
			assert_same_layers(&build, file);
			fnx_network_file_free(file);
			build_end(&build);
			free_fixture(fixture);
		}
}

TEST(an_imported_network_does_what_the_model_does)
{
	struct fixture *fixture = new_fixture(0);
	struct fnx_network *network;
	struct build build;
	char error[FNX_NETWORK_ERROR_MAX];
	const char *out = out_path();
	double input[128], output;

	build_published(&build, 1, 11);
	fixture_write(fixture, &build);
	import_fine(fixture->directory, out, error, sizeof(error));
	assert_int_equal(fnx_network_open(out, 0, true, &network, error), 0);
	for (int i = 0; i < 128; i++)
		input[i] = sin(0.1 * i);
	fnx_network_run(network, input, &output);
	assert_true(fabs(output - (double)naive_run(&build.config, input)->values[0]) < 1e-12);
	fnx_network_free(network);
	build_end(&build);
	free_fixture(fixture);
}

/* The array as it lies in the file, its bytes unconverted. */
TEST(arrays_keep_their_bytes)
{
	struct fixture *fixture = new_fixture(0);
	struct build build;
	char error[FNX_NETWORK_ERROR_MAX];
	const char *out = out_path();
	float stored[64];
	hid_t file, dataset;

	build_published(&build, 1, 12);
	fixture_write(fixture, &build);
	import_fine(fixture->directory, out, error, sizeof(error));
	file = H5Fopen(out, H5F_ACC_RDONLY, H5P_DEFAULT);
	dataset = H5Dopen2(file, "01_conv_0/weights", H5P_DEFAULT);
	assert_true(dataset >= 0);
	assert_int_equal(H5Dget_storage_size(dataset), sizeof(stored));
	assert_true(H5Dread(dataset, H5T_IEEE_F32LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, stored) >= 0);
	for (int i = 0; i < 64; i++)
		assert_true((double)stored[i] == build.layers[0].weights[i]);
	H5Dclose(dataset);
	H5Fclose(file);
	build_end(&build);
	free_fixture(fixture);
}

/* Damage
 * ------------------------------------------------------------------------------------------ */

static size_t read_all(const char *path, uint8_t *bytes, size_t size)
{
	FILE *file = fopen(path, "rb");
	size_t n;

	assert_non_null(file);
	n = fread(bytes, 1, size, file);
	fclose(file);
	return n;
}

static void write_all(const char *path, const uint8_t *bytes, size_t size)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

static void assert_one_line(const char *error)
{
	const char *end = strchr(error, '\n');

	assert_true(!strncmp(error, "fornix import-network: ", 23));
	assert_non_null(end);
	assert_int_equal(end[1], 0);
}

/* Reads the directory with one of its files changed. */
static int read_changed(
	const struct fixture *fixture, const char *path, const uint8_t *bytes, size_t size)
{
	struct fnx_saved_layers *layers = calloc(1, sizeof(*layers));
	struct fnx_saved_model model;
	char error[FNX_NETWORK_ERROR_MAX];
	int r;

	write_all(path, bytes, size);
	r = fnx_saved_model_read(fixture->directory, &model, error);
	if (!r) {
		r = fnx_saved_layers(&model, 0, layers, error);
		fnx_saved_layers_fini(layers);
		fnx_saved_model_fini(&model);
	}
	if (r) {
		assert_true(error[0] != 0);
		assert_null(strchr(error, '\n'));
	}
	free(layers);
	return r;
}

static const char *const files[] = {"keras_metadata.pb", "variables/variables.index",
	"variables/variables.data-00000-of-00001"};

TEST(a_file_that_is_cut_anywhere_is_refused)
{
	struct fixture *fixture = new_fixture(0);
	struct build build;
	static uint8_t bytes[FIXTURE_BYTES_MAX];

	build_published(&build, 1, 13);
	fixture_write(fixture, &build);
	for (int i = 0; i < 3; i++) {
		char path[640];
		size_t size;

		snprintf(path, sizeof(path), "%s/%s", fixture->directory, files[i]);
		size = read_all(path, bytes, sizeof(bytes));
		/* The counter, of another type, is the last in the data: 8 bytes never read. */
		for (size_t n = 0; n < size - (i == 2 ? 8 : 0); n += n < 60 || i == 1 ? 1 : 23)
			assert_true(read_changed(fixture, path, bytes, n) < 0);
		assert_int_equal(read_changed(fixture, path, bytes, size), 0);
	}
	build_end(&build);
	free_fixture(fixture);
}

TEST(a_changed_byte_of_variables_is_refused_and_one_anywhere_does_no_harm)
{
	struct fixture *fixture = new_fixture(0);
	struct check_random random = check_random_seeded();
	struct build build;
	static uint8_t bytes[FIXTURE_BYTES_MAX];

	build_published(&build, 1, 14);
	fixture_write(fixture, &build);
	for (int i = 0; i < 3; i++) {
		char path[640];
		size_t size;

		snprintf(path, sizeof(path), "%s/%s", fixture->directory, files[i]);
		size = read_all(path, bytes, sizeof(bytes));
		for (int k = 0; k < 600; k++) {
			size_t at = check_random_below(&random, size - (i == 2 ? 8 : 0));
			uint8_t before = bytes[at];
			int r;

			bytes[at] ^= (uint8_t)(1 + check_random_below(&random, 255));
			r = read_changed(fixture, path, bytes, size);
			/* A description has no checksum; the meta index and the padding of the
			 * table's end are never read. */
			if (i == 2)
				assert_true(r < 0);
			bytes[at] = before;
		}
		assert_int_equal(read_changed(fixture, path, bytes, size), 0);
	}
	build_end(&build);
	free_fixture(fixture);
}

static void change_json(struct fixture *fixture, const char *from, const char *to)
{
	char *at = memmem(fixture->json.at, fixture->json.size, from, strlen(from));

	assert_int_equal(strlen(from), strlen(to));
	assert_non_null(at);
	memcpy(at, to, strlen(to));
}

TEST(what_is_not_known_is_refused_in_one_line_that_names_the_layer)
{
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{"LeakyReLU", "LeakyReLX", "leaky_2"},
		{"LeakyReLU", "Leaky\\nLU", "Leaky?LU"},
		{"\"groups\":1", "\"groups\":2", "grouped"},
		{"\"dilation_rate\":[1]", "\"dilation_rate\":[2]", "dilated"},
		{"channels_last", "channels_frst", "channels_last"},
		{"\"activation\":\"linear\"", "\"activation\":\"gelu__\"", "conv_0"},
		{"\"padding\":\"valid\"", "\"padding\":\"causa\"", "padding"},
		{"\"strides\":[2]", "\"strides\":[0]", "strides"},
		{"\"layers\"", "\"mayers\"", "no list of layers"},
		{"[null,16,8]", "[null,99,9]", "layer 1"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *fixture = new_fixture(0);
		char error[FNX_NETWORK_ERROR_MAX];
		struct build build;
		const char *out = out_path();

		build_published(&build, 1, 15);
		fixture_write(fixture, &build);
		change_json(fixture, cases[i].from, cases[i].to);
		fixture_description(fixture);
		assert_int_equal(run_import(fixture->directory, out, error, sizeof(error)), 1);
		assert_one_line(error);
		if (!strstr(error, cases[i].says))
			fail_msg("%s: %s", cases[i].to, error);
		assert_int_equal(access(out, F_OK), -1);
		build_end(&build);
		free_fixture(fixture);
	}
}

TEST(an_existing_file_is_not_overwritten_and_a_missing_directory_is_told)
{
	struct fixture *fixture = new_fixture(0);
	char error[FNX_NETWORK_ERROR_MAX];
	struct build build;
	const char *out = out_path();

	build_published(&build, 1, 16);
	fixture_write(fixture, &build);
	write_all(out, (const uint8_t *)"mine", 4);
	assert_int_equal(run_import(fixture->directory, out, error, sizeof(error)), 1);
	assert_one_line(error);
	assert_non_null(strstr(error, "exists already"));
	unlink(out);
	assert_int_equal(run_import("/nowhere/at/all", out, error, sizeof(error)), 1);
	assert_one_line(error);
	assert_non_null(strstr(error, "No such file"));
	build_end(&build);
	free_fixture(fixture);
}

TEST(a_network_file_that_is_cut_or_no_network_is_refused_in_one_line)
{
	struct fixture *fixture = new_fixture(0);
	struct fnx_network *network;
	char error[FNX_NETWORK_ERROR_MAX], cut[600];
	struct build build;
	static uint8_t bytes[FIXTURE_BYTES_MAX];
	const char *out = out_path();
	size_t size;

	build_published(&build, 1, 17);
	fixture_write(fixture, &build);
	import_fine(fixture->directory, out, error, sizeof(error));
	size = read_all(out, bytes, sizeof(bytes));
	snprintf(cut, sizeof(cut), "%s/cut.h5", check_scratch_dir());
	for (size_t n = 0; n < size; n += 997) {
		write_all(cut, bytes, n);
		error[0] = 0;
		assert_int_equal(fnx_network_open(cut, 0, false, &network, error), -EBADMSG);
		assert_int_equal(strncmp(error, cut, strlen(cut)), 0);
		assert_null(strchr(error, '\n'));
	}
	assert_int_equal(fnx_network_open("/nowhere.h5", 0, false, &network, error), -ENOENT);
	build_end(&build);
	free_fixture(fixture);
}

/* The published numbers
 * ------------------------------------------------------------------------------------------ */

static double run_published(const struct fnx_network *network, bool waves)
{
	struct fnx_network_shape shape = fnx_network_input(network);
	static double input[4096], output[64];

	for (size_t i = 0; i < fnx_network_values(shape); i++)
		input[i] = waves ? sin(0.1 * (double)i) : 0;
	fnx_network_run((struct fnx_network *)(uintptr_t)network, input, output);
	return output[0];
}

/* $FORNIX_NETWORKS: a directory with one SavedModel directory for each published network, CNN1D_1
 * to CNN1D_6. Input: sin(0.1 (t C + c)), and zeros. */
TEST(the_published_networks_where_they_are_give_the_published_numbers)
{
	static const double waves[] = {
		0.3053929, 0.0115440, 0.5344623, 0.0292022, 0.4924510, 1.09e-5};
	static const double zeros[] = {0.0001023, 2.0e-6, 4.11e-5, 0, 1.65e-5, 2e-7};
	static const uint32_t heights[] = {16, 32, 40, 40, 40, 40};
	const char *directory = getenv("FORNIX_NETWORKS");
	int n_found = 0;

	for (int i = 0; i < 6; i++) {
		struct fnx_network *network;
		char path[600], error[FNX_NETWORK_ERROR_MAX];
		const char *out = out_path();

		snprintf(path, sizeof(path), "%s/CNN1D_%d", directory ? directory : "/nowhere",
			i + 1);
		if (access(path, F_OK)) {
			print_message("not found: %s/CNN1D_%d\n",
				directory ? directory : "$FORNIX_NETWORKS", i + 1);
			continue;
		}
		n_found++;
		if (run_import(path, out, error, sizeof(error)))
			fail_msg("%s", error);
		assert_int_equal(fnx_network_open(out, heights[i], false, &network, error), 0);
		assert_true(fabs(run_published(network, true) - waves[i]) < 2e-6);
		assert_true(fabs(run_published(network, false) - zeros[i]) < 2e-7);
		fnx_network_free(network);
	}
	print_message("published networks found: %d of 6\n", n_found);
}
