/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nodes/fornix/command.h"
#include "nodes/fornix/saved_layers.h"
#include "nodes/host/command_line.h"

static int usage(void)
{
	printf("fornix import-network: makes a network file for the ripple node\n"
	       "\n"
	       "usage: fornix import-network [--height N] DIR OUT.h5\n"
	       "\n"
	       "DIR is a TensorFlow SavedModel directory of a sequential Keras model, as published "
	       "for\n"
	       "CNN-ripple; OUT.h5, which must not exist yet, is what `ripple.weights` in a rig "
	       "names.\n"
	       "TensorFlow is not needed.\n"
	       "\n"
	       "  --height N   the network looks at N samples at a time, whatever the model says\n"
	       "\n"
	       "Exit status: 0 done, 1 failed, 2 wrong use.\n");
	return 0;
}

static int complain(const char *error)
{
	fprintf(stderr, "fornix import-network: %s\n", error);
	return 1;
}

static void report(const char *out, const struct fnx_network *network, uint32_t n_arrays)
{
	struct fnx_network_shape in = fnx_network_input(network), to = fnx_network_output(network);

	printf("%s: %u arrays; from %u samples x %u channels to %u x %u x %u\n", out, n_arrays,
		in.height, in.width * in.n_channels, to.height, to.width, to.n_channels);
}

/* What was written must be a network, or it does not stay. */
static int verify(const char *out, uint32_t n_arrays, char *error)
{
	struct fnx_network *network;

	if (fnx_network_open(out, 0, false, &network, error)) {
		unlink(out);
		return -EBADMSG;
	}
	report(out, network, n_arrays);
	fnx_network_free(network);
	return 0;
}

static int import(const char *directory, const char *out, uint32_t height)
{
	struct fnx_saved_model model;
	struct fnx_saved_layers *layers = calloc(1, sizeof(*layers));
	char error[FNX_NETWORK_ERROR_MAX], line[FNX_NETWORK_ERROR_MAX + 320];
	int r;

	if (!layers)
		return complain("out of memory");
	r = fnx_saved_model_read(directory, &model, error);
	if (r) {
		free(layers);
		return complain(error);
	}
	r = fnx_saved_layers(&model, height, layers, error);
	if (r) {
		snprintf(line, sizeof(line), "%.300s: %s", directory, error);
	} else {
		r = fnx_network_file_save(
			out, layers->text, layers->arrays, layers->n_arrays, error);
		if (!r)
			r = verify(out, layers->n_arrays, error);
		snprintf(line, sizeof(line), "%s", r ? error : "");
	}
	fnx_saved_layers_fini(layers);
	fnx_saved_model_fini(&model);
	free(layers);
	return r ? complain(line) : 0;
}

int fnx_command_import_network(int argc, char **argv)
{
	uint64_t height = 0;
	const struct fnx_option options[] = {
		fnx_option_count("height", 1, FNX_NETWORK_SIZE_MAX, &height),
		{.name = NULL},
	};
	struct fnx_command_line line = {.program = "fornix import-network",
		.options = options,
		.words_min = 2,
		.words_max = 2,
		.expected = "DIR and OUT.h5"};
	int r = fnx_command_line_read(&line, argc, argv);

	if (r)
		return r > 0 ? usage() : 2;
	return import(line.words[0], line.words[1], (uint32_t)height);
}
