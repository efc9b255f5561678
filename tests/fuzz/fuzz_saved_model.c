/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A SavedModel directory of arbitrary bytes: a description, the entries of one block of the table,
 * and the tensors' bytes, each behind its length in two bytes. The block's checksum and the table
 * around it are made right, so that what is tried is the reading of entries. What is accepted must
 * be layers whose tensors lie within what there is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nodes/fornix/saved_layers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64];
static volatile double seen; /* so that the tensors are read */

static void must(int condition)
{
	if (!condition)
		abort();
}

static void clean_up(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	must(system(command) == 0);
}

static void make_directory(void)
{
	char path[96];

	snprintf(directory, sizeof(directory), "/tmp/fornix-fuzz-XXXXXX");
	must(mkdtemp(directory) != NULL);
	snprintf(path, sizeof(path), "%s/variables", directory);
	must(mkdir(path, 0700) == 0);
	atexit(clean_up);
}

static void write_file(const char *name, const uint8_t *bytes, size_t size)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "wb");
	must(file != NULL);
	must(fwrite(bytes, 1, size, file) == size);
	must(fclose(file) == 0);
}

/* What stands before the next two bytes' worth of the input. */
static const uint8_t *take(const uint8_t **data, size_t *size, size_t *ret_size)
{
	const uint8_t *at = *data;
	size_t n = 0;

	if (*size >= 2) {
		n = (size_t)(at[0] | at[1] << 8);
		at += 2;
		*size -= 2;
		n = n < *size ? n : *size;
		*size -= n;
	}
	*ret_size = n;
	*data = at + n;
	return at;
}

static size_t put_varint(uint8_t *at, uint64_t value)
{
	size_t n = 0;

	do {
		at[n++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
		value >>= 7;
	} while (value);
	return n;
}

/* Ends a block: no restart points, uncompressed, checksum. */
static size_t end_block(uint8_t *block, size_t size)
{
	uint32_t crc;

	memset(block + size, 0, 5);
	crc = fnx_crc32c(block, size + 5);
	crc = (crc >> 15 | crc << 17) + 0xa282ead8u;
	memcpy(block + size + 5, &crc, 4);
	return size + 4;
}

static void write_table(const uint8_t *entries, size_t size)
{
	static const uint8_t magic[8] = {0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb};
	uint8_t *file = calloc(1, size + 256), *at = file, handle[20];
	size_t n, n_handle;

	must(file != NULL);
	memcpy(at, entries, size);
	n = end_block(at, size);
	n_handle = put_varint(handle, 0);
	n_handle += put_varint(handle + n_handle, n);
	at += n + 5;
	/* The index: one entry, without a key. */
	at[0] = at[1] = 0;
	at[2] = (uint8_t)n_handle;
	memcpy(at + 3, handle, n_handle);
	n_handle = put_varint(handle, (uint64_t)(at - file));
	n = end_block(at, 3 + (size_t)at[2]);
	n_handle += put_varint(handle + n_handle, n);
	at += n + 5;
	/* The footer: no meta index. */
	memcpy(at + 2, handle, n_handle);
	memcpy(at + 40, magic, 8);
	write_file("variables/variables.index", file, (size_t)(at - file) + 48);
	free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fnx_saved_layers layers;
	struct fnx_saved_model model;
	char error[FNX_NETWORK_ERROR_MAX];
	const uint8_t *part;
	size_t n;

	if (!directory[0])
		make_directory();
	part = take(&data, &size, &n);
	write_file("keras_metadata.pb", part, n);
	part = take(&data, &size, &n);
	write_table(part, n);
	part = take(&data, &size, &n);
	write_file("variables/variables.data-00000-of-00001", part, n);
	if (fnx_saved_model_read(directory, &model, error)) {
		must(error[0] && !strchr(error, '\n'));
		return 0;
	}
	if (fnx_saved_layers(&model, 0, &layers, error) == 0) {
		double sum = 0;

		must(layers.text != NULL);
		for (uint32_t i = 0; i < layers.n_arrays; i++) {
			uint64_t n_values = 1;

			for (uint32_t k = 0; k < layers.arrays[i].rank; k++)
				n_values *= layers.arrays[i].extents[k];
			for (uint64_t k = 0; k < n_values; k++)
				sum += (double)layers.arrays[i].values[k];
		}
		seen = sum;
	} else {
		must(error[0] && !strchr(error, '\n'));
	}
	fnx_saved_layers_fini(&layers);
	fnx_saved_model_fini(&model);
	return 0;
}
