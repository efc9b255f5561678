/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The header of a .npy is a Python dictionary in ASCII that NumPy itself always writes in one form:
 * {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }. It is searched for its three keys
 * rather than parsed as Python.
 *
 *	offset 0   6  "\x93NUMPY"
 *	       6   2  version 1.0, 2.0 or 3.0
 *	       8   2  length of the dictionary (4 bytes from version 2.0)
 *	      10   n  the dictionary, padded with blanks, then the elements
 */
#include "tests/support/npy.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

static int read_header_length(FILE *file, size_t *ret_length)
{
	unsigned char head[12];
	size_t length;

	if (fread(head, 1, 10, file) != 10 || memcmp(head, magic, sizeof(magic)) != 0)
		return -EINVAL;
	length = (size_t)head[8] | (size_t)head[9] << 8;
	if (head[6] > 1) {
		if (fread(head + 10, 1, 2, file) != 2)
			return -EINVAL;
		length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
	}
	if (length > 65536)
		return -EINVAL;
	*ret_length = length;
	return 0;
}

/* What follows `key` and its colon, or NULL. */
static const char *find_value(const char *header, const char *key)
{
	const char *at = strstr(header, key);

	if (!at)
		return NULL;
	at += strlen(key);
	return at + strspn(at, ": ");
}

static int parse_type(const char *header, struct fnx_npy *npy)
{
	const char *at = find_value(header, "'descr'");
	bool known;

	if (!at || strlen(at) < 5 || at[0] != '\'' || (at[1] != '<' && at[1] != '|') ||
		at[4] != '\'')
		return -EINVAL;
	npy->dtype = at[2];
	npy->item_size = (uint32_t)(at[3] - '0');
	switch (npy->dtype) {
	case 'f':
		known = npy->item_size == 4 || npy->item_size == 8;
		break;
	case 'i':
	case 'u':
		known = npy->item_size == 1 || npy->item_size == 2 || npy->item_size == 4 ||
			npy->item_size == 8;
		break;
	default:
		known = npy->dtype == 'b' && npy->item_size == 1;
	}
	return known ? 0 : -EINVAL;
}

static int parse_shape(const char *header, struct fnx_npy *npy)
{
	const char *at = find_value(header, "'shape'");
	char *end;

	if (!at || *at++ != '(')
		return -EINVAL;
	npy->n_dims = 0;
	npy->n_items = 1;
	for (int d = 0; d < FNX_NPY_DIMS_MAX; d++)
		npy->shape[d] = 1;
	for (;;) {
		at += strspn(at, ", ");
		if (*at == ')')
			return 0;
		if (npy->n_dims == FNX_NPY_DIMS_MAX)
			return -EINVAL;
		npy->shape[npy->n_dims] = strtoull(at, &end, 10);
		if (end == at ||
			__builtin_mul_overflow(
				npy->n_items, npy->shape[npy->n_dims], &npy->n_items))
			return -EINVAL;
		npy->n_dims++;
		at = end;
	}
}

static int parse_header(const char *header, struct fnx_npy *npy)
{
	const char *order = find_value(header, "'fortran_order'");
	int r = parse_type(header, npy);

	if (r < 0)
		return r;
	if (!order || strncmp(order, "False", 5) != 0)
		return -EINVAL;
	return parse_shape(header, npy);
}

static int read_file(FILE *file, struct fnx_npy *npy)
{
	size_t length, size;
	char *header;
	int r = read_header_length(file, &length);

	if (r < 0)
		return r;
	header = calloc(1, length + 1);
	if (!header)
		return -ENOMEM;
	r = fread(header, 1, length, file) == length ? parse_header(header, npy) : -EINVAL;
	free(header);
	if (r < 0)
		return r;
	if (__builtin_mul_overflow(npy->n_items, (size_t)npy->item_size, &size))
		return -EINVAL;
	npy->data = malloc(size ? size : 1);
	if (!npy->data)
		return -ENOMEM;
	if (fread(npy->data, 1, size, file) == size)
		return 0;
	free(npy->data);
	return -EBADMSG;
}

int fnx_npy_open(const char *path, struct fnx_npy *ret_npy)
{
	struct fnx_npy npy;
	FILE *file = fopen(path, "rbe");
	int r;

	if (!file)
		return -errno;
	r = read_file(file, &npy);
	fclose(file);
	if (r == 0)
		*ret_npy = npy;
	return r;
}

int fnx_npy_open_in(const char *dir, const char *name, struct fnx_npy *ret_npy)
{
	char path[1024];
	int n = snprintf(path, sizeof(path), "%s/%s.npy", dir, name);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return fnx_npy_open(path, ret_npy);
}

void fnx_npy_close(struct fnx_npy *npy)
{
	free(npy->data);
	*npy = (struct fnx_npy){0};
}

double fnx_npy_double(const struct fnx_npy *npy, size_t i)
{
	bool is_signed = npy->dtype == 'i';

	if (npy->dtype == 'f')
		return npy->item_size == 8 ? ((const double *)npy->data)[i]
					   : (double)((const float *)npy->data)[i];
	switch (npy->item_size) {
	case 8:
		return is_signed ? (double)((const int64_t *)npy->data)[i]
				 : (double)((const uint64_t *)npy->data)[i];
	case 4:
		return is_signed ? (double)((const int32_t *)npy->data)[i]
				 : (double)((const uint32_t *)npy->data)[i];
	case 2:
		return is_signed ? (double)((const int16_t *)npy->data)[i]
				 : (double)((const uint16_t *)npy->data)[i];
	default:
		return is_signed ? (double)((const int8_t *)npy->data)[i]
				 : (double)((const uint8_t *)npy->data)[i];
	}
}
