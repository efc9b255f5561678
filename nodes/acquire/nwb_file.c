/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libhdf5 keeps the reasons of a failure on a stack of its own; the innermost says what was wrong
 * with the file, so that one goes into our line. What HDF5 believes of a damaged file may be
 * anything, so every extent is compared with a limit before memory is taken for it.
 */
#include "nodes/acquire/nwb_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	DEPTH_MAX = 8, /* of groups searched */
	VISITS_MAX = 20000, /* links looked at in one search */
};

/* Names come from the file and may hold anything; a message is one line. */
static void one_line(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}

static void tell(struct nwb_file *file, const char *object, const char *format, va_list arguments)
{
	char text[NWB_ERROR_SIZE];

	vsnprintf(text, sizeof(text), format, arguments);
	if (object)
		snprintf(file->error, sizeof(file->error), "%.256s: %.256s: %.500s", file->path,
			object, text);
	else
		snprintf(file->error, sizeof(file->error), "%.256s: %.700s", file->path, text);
	one_line(file->error);
}

int fnx_nwb_fail(struct nwb_file *file, int r, const char *object, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	tell(file, object, format, arguments);
	va_end(arguments);
	return r;
}

static herr_t keep_innermost(unsigned n, const H5E_error2_t *reason, void *data)
{
	char *text = data;

	if (n == 0 && reason->desc)
		snprintf(text, NWB_PATH_SIZE, "%s", reason->desc);
	return 0;
}

int fnx_nwb_fail_hdf5(struct nwb_file *file, int r, const char *object, const char *format, ...)
{
	char reason[NWB_PATH_SIZE] = "";
	va_list arguments;
	size_t length;

	H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
	va_start(arguments, format);
	tell(file, object, format, arguments);
	va_end(arguments);
	length = strlen(file->error);
	if (reason[0])
		snprintf(file->error + length, sizeof(file->error) - length, " (HDF5: %s)", reason);
	one_line(file->error);
	return r;
}

void *fnx_nwb_alloc(struct nwb_file *file, const char *object, uint64_t n, size_t size)
{
	void *memory = calloc(n ? n : 1, size);

	if (!memory)
		fnx_nwb_fail(
			file, -ENOMEM, object, "no memory for %llu values", (unsigned long long)n);
	return memory;
}

int fnx_nwb_file_open(struct nwb_file *file, const char *path)
{
	struct stat st;
	htri_t is_hdf5;
	hid_t access;

	*file = (struct nwb_file){.path = strdup(path ? path : "")};
	if (!file->path) {
		snprintf(file->error, sizeof(file->error), "no memory to open a file");
		return -ENOMEM;
	}
	if (!path || !path[0])
		return fnx_nwb_fail(
			file, -EINVAL, NULL, "source.file: expected an NWB file, found no name");
	if (stat(path, &st) < 0)
		return fnx_nwb_fail(
			file, -errno, NULL, "expected an NWB file: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fnx_nwb_fail(file, -EBADMSG, NULL, "expected an NWB file, found %s",
			S_ISDIR(st.st_mode) ? "a directory" : "something that is not a file");
	if (st.st_size == 0)
		return fnx_nwb_fail(
			file, -EBADMSG, NULL, "expected an NWB file, found an empty file");
	H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
	is_hdf5 = H5Fis_hdf5(path);
	if (is_hdf5 < 0)
		return fnx_nwb_fail_hdf5(file, -EIO, NULL, "cannot read");
	if (is_hdf5 == 0)
		return fnx_nwb_fail(file, -EBADMSG, NULL,
			"expected an NWB file (HDF5), found %lld bytes without the HDF5 signature",
			(long long)st.st_size);
	access = H5Pcreate(H5P_FILE_ACCESS);
	H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
	H5Pset_file_locking(access, true, true);
	file->id = H5Fopen(path, H5F_ACC_RDONLY, access);
	if (file->id < 0) {
		file->id = 0;
		fnx_nwb_fail_hdf5(file, -EBADMSG, NULL,
			"expected a whole NWB file, found a truncated or damaged one of %lld bytes",
			(long long)st.st_size);
	}
	H5Pclose(access);
	return file->id > 0 ? 0 : -EBADMSG;
}

void fnx_nwb_file_close(struct nwb_file *file)
{
	if (file->id > 0)
		H5Fclose(file->id);
	free(file->path);
	file->id = 0;
	file->path = NULL;
}

int fnx_nwb_join(
	struct nwb_file *file, const char *group, const char *name, char ret_path[NWB_PATH_SIZE])
{
	const char *separator = group[0] && group[strlen(group) - 1] == '/' ? "" : "/";
	char path[NWB_PATH_SIZE];
	int n = snprintf(path, sizeof(path), "%s%s%s", group, separator, name);

	if (n < 0 || (size_t)n >= sizeof(path))
		return fnx_nwb_fail(file, -ENAMETOOLONG, group,
			"expected paths of less than %d characters, found %d", NWB_PATH_SIZE, n);
	memcpy(ret_path, path, (size_t)n + 1);
	return 0;
}

bool fnx_nwb_exists(struct nwb_file *file, const char *path)
{
	return H5Oexists_by_name(file->id, path, H5P_DEFAULT) > 0;
}

int fnx_nwb_group_open(struct nwb_file *file, const char *path, hid_t *ret_id)
{
	hid_t id;

	if (!fnx_nwb_exists(file, path))
		return fnx_nwb_fail(file, -ENOENT, path, "expected a group, found nothing");
	id = H5Oopen(file->id, path, H5P_DEFAULT);
	if (id < 0)
		return fnx_nwb_fail_hdf5(file, -EBADMSG, path, "cannot be opened");
	if (H5Iget_type(id) != H5I_GROUP) {
		H5Oclose(id);
		return fnx_nwb_fail(file, -EBADMSG, path, "expected a group, found something else");
	}
	*ret_id = id;
	return 0;
}

/* A string attribute is one pointer (variable length) or some bytes, not necessarily terminated. */
static void read_text(hid_t attribute, hid_t type, char *ret_text, size_t size)
{
	hid_t memory = H5Tcopy(H5T_C_S1);
	char *pointer = NULL;
	char *bytes = NULL;
	size_t n = H5Tget_size(type);

	H5Tset_cset(memory, H5Tget_cset(type));
	if (H5Tis_variable_str(type) > 0) {
		H5Tset_size(memory, H5T_VARIABLE);
		if (H5Aread(attribute, memory, &pointer) >= 0 && pointer)
			snprintf(ret_text, size, "%s", pointer);
		H5free_memory(pointer);
	} else if (n > 0 && n < 1 << 16 && (bytes = calloc(1, n + 1))) {
		H5Tset_size(memory, n);
		H5Tset_strpad(memory, H5T_STR_NULLPAD);
		if (H5Aread(attribute, memory, bytes) >= 0)
			snprintf(ret_text, size, "%s", bytes);
		free(bytes);
	}
	H5Tclose(memory);
}

static bool is_single(hid_t attribute)
{
	hid_t space = H5Aget_space(attribute);
	bool single = space > 0 && H5Sget_simple_extent_npoints(space) == 1;

	if (space > 0)
		H5Sclose(space);
	return single;
}

void fnx_nwb_text(hid_t object, const char *name, char *ret_text, size_t size)
{
	hid_t attribute, type;

	ret_text[0] = '\0';
	if (H5Aexists(object, name) <= 0)
		return;
	attribute = H5Aopen(object, name, H5P_DEFAULT);
	if (attribute < 0)
		return;
	type = H5Aget_type(attribute);
	if (type > 0 && H5Tget_class(type) == H5T_STRING && is_single(attribute))
		read_text(attribute, type, ret_text, size);
	if (type > 0)
		H5Tclose(type);
	H5Aclose(attribute);
}

static bool is_number(hid_t type)
{
	H5T_class_t class = H5Tget_class(type);

	return class == H5T_INTEGER || class == H5T_FLOAT;
}

int fnx_nwb_number(struct nwb_file *file, hid_t object, const char *path, const char *name,
	double otherwise, double *ret_number)
{
	hid_t attribute, type;
	double number = otherwise;
	int r = 0;

	if (H5Aexists(object, name) <= 0) {
		*ret_number = otherwise;
		return 0;
	}
	attribute = H5Aopen(object, name, H5P_DEFAULT);
	if (attribute < 0)
		return fnx_nwb_fail_hdf5(
			file, -EBADMSG, path, "attribute %s cannot be opened", name);
	type = H5Aget_type(attribute);
	if (type < 0 || !is_number(type) || !is_single(attribute))
		r = fnx_nwb_fail(file, -EBADMSG, path,
			"attribute %s: expected a number, found something else", name);
	else if (H5Aread(attribute, H5T_NATIVE_DOUBLE, &number) < 0)
		r = fnx_nwb_fail_hdf5(file, -EBADMSG, path, "attribute %s cannot be read", name);
	if (type > 0)
		H5Tclose(type);
	H5Aclose(attribute);
	if (r == 0)
		*ret_number = number;
	return r;
}

static int check_element(struct nwb_dataset *dataset, enum nwb_element element)
{
	hid_t type = H5Dget_type(dataset->id);
	int r = 0;

	if (type < 0)
		return fnx_nwb_fail_hdf5(
			dataset->file, -EBADMSG, dataset->path, "has no readable type");
	if (element == NWB_REFERENCE) {
		if (H5Tequal(type, H5T_STD_REF_OBJ) <= 0)
			r = fnx_nwb_fail(dataset->file, -EBADMSG, dataset->path,
				"expected object references, found another type");
	} else if (!is_number(type)) {
		r = fnx_nwb_fail(dataset->file, -EBADMSG, dataset->path,
			"expected numbers, found another type (HDF5 class %d)",
			(int)H5Tget_class(type));
	} else if (H5Tget_class(type) == H5T_INTEGER) {
		size_t size = H5Tget_size(type);

		dataset->is_integer = true;
		dataset->fits_int16 = size == 1 || (size == 2 && H5Tget_sign(type) == H5T_SGN_2);
	}
	H5Tclose(type);
	return r;
}

static int check_extent(struct nwb_dataset *dataset, unsigned rank_min, unsigned rank_max)
{
	hid_t space = H5Dget_space(dataset->id);
	hsize_t dims[NWB_RANK_MAX] = {1, 1, 1};
	int rank = space > 0 ? H5Sget_simple_extent_ndims(space) : -1;
	bool simple = rank >= 0 && H5Sget_simple_extent_type(space) != H5S_NULL;

	if (simple && rank <= NWB_RANK_MAX)
		simple = H5Sget_simple_extent_dims(space, dims, NULL) >= 0;
	if (space > 0)
		H5Sclose(space);
	if (!simple || (unsigned)rank < rank_min || (unsigned)rank > rank_max)
		return fnx_nwb_fail(dataset->file, -EBADMSG, dataset->path,
			"expected %u to %u dimensions, found %d", rank_min, rank_max,
			simple ? rank : -1);
	dataset->rank = (unsigned)rank;
	for (unsigned i = 0; i < NWB_RANK_MAX; i++)
		dataset->dims[i] = dims[i];
	return 0;
}

int fnx_nwb_dataset_open(struct nwb_file *file, const char *group, const char *name,
	enum nwb_element element, unsigned rank_min, unsigned rank_max,
	struct nwb_dataset *ret_dataset)
{
	struct nwb_dataset dataset = {.file = file};
	int r = fnx_nwb_join(file, group, name, dataset.path);

	if (r < 0)
		return r;
	if (!fnx_nwb_exists(file, dataset.path))
		return fnx_nwb_fail(
			file, -ENOENT, dataset.path, "expected a dataset, found nothing");
	dataset.id = H5Dopen2(file->id, dataset.path, H5P_DEFAULT);
	if (dataset.id < 0)
		return fnx_nwb_fail_hdf5(file, -EBADMSG, dataset.path,
			"expected a dataset, found what cannot be opened as one");
	r = check_element(&dataset, element);
	if (r == 0)
		r = check_extent(&dataset, rank_min, rank_max);
	if (r < 0) {
		fnx_nwb_dataset_close(&dataset);
		return r;
	}
	*ret_dataset = dataset;
	return 0;
}

void fnx_nwb_dataset_close(struct nwb_dataset *dataset)
{
	if (dataset->id > 0)
		H5Dclose(dataset->id);
	dataset->id = 0;
}

int fnx_nwb_dataset_read(struct nwb_dataset *dataset, hid_t type, void *ret_values)
{
	if (H5Dread(dataset->id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, ret_values) < 0)
		return fnx_nwb_fail_hdf5(dataset->file, -EBADMSG, dataset->path, "cannot be read");
	return 0;
}

static int column_fill(
	struct nwb_dataset *dataset, hid_t type, size_t size, uint64_t n_max, void **ret_values)
{
	void *values;
	int r;

	if (dataset->dims[0] > n_max)
		return fnx_nwb_fail(dataset->file, -EFBIG, dataset->path,
			"expected at most %llu values, found %llu", (unsigned long long)n_max,
			(unsigned long long)dataset->dims[0]);
	values = fnx_nwb_alloc(dataset->file, dataset->path, dataset->dims[0], size);
	if (!values)
		return -ENOMEM;
	r = fnx_nwb_dataset_read(dataset, type, values);
	if (r < 0) {
		free(values);
		return r;
	}
	*ret_values = values;
	return 0;
}

int fnx_nwb_column_read(struct nwb_file *file, const char *group, const char *name,
	enum nwb_element element, hid_t type, size_t size, uint64_t n_max, void **ret_values,
	uint64_t *ret_n)
{
	struct nwb_dataset dataset;
	int r = fnx_nwb_dataset_open(file, group, name, element, 1, 1, &dataset);

	if (r < 0)
		return r;
	r = column_fill(&dataset, type, size, n_max, ret_values);
	if (r == 0)
		*ret_n = dataset.dims[0];
	fnx_nwb_dataset_close(&dataset);
	return r;
}

static H5_index_t order_of(hid_t group)
{
	hid_t created = H5Gget_create_plist(group);
	unsigned flags = 0;

	if (created < 0)
		return H5_INDEX_NAME;
	H5Pget_link_creation_order(created, &flags);
	H5Pclose(created);
	return flags & H5P_CRT_ORDER_INDEXED ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
}

int fnx_nwb_children(struct nwb_file *file, const char *path,
	int (*visit)(struct nwb_file *file, const char *path, const char *name, void *data),
	void *data)
{
	H5G_info_t info;
	H5_index_t order;
	hid_t group;
	int r = fnx_nwb_group_open(file, path, &group);

	if (r < 0)
		return r;
	order = order_of(group);
	if (H5Gget_info(group, &info) < 0) {
		r = fnx_nwb_fail_hdf5(file, -EBADMSG, path, "cannot be listed");
		info.nlinks = 0;
	}
	for (hsize_t i = 0; r == 0 && i < info.nlinks; i++) {
		char name[NWB_PATH_SIZE], child[NWB_PATH_SIZE];
		ssize_t n = H5Lget_name_by_idx(
			group, ".", order, H5_ITER_INC, i, name, sizeof(name), H5P_DEFAULT);

		if (n < 0)
			r = fnx_nwb_fail_hdf5(file, -EBADMSG, path, "link %llu cannot be read",
				(unsigned long long)i);
		else
			r = fnx_nwb_join(file, path, name, child);
		if (r == 0 && fnx_nwb_exists(file, child))
			r = visit(file, child, name, data);
	}
	H5Gclose(group);
	return r;
}

struct search {
	const char *type;
	const char *const *except;
	struct nwb_found *found;
	unsigned depth;
	unsigned visits;
};

static int found_add(struct nwb_file *file, struct nwb_found *found, const char *path)
{
	if (found->n == NWB_FOUND_MAX)
		return fnx_nwb_fail(
			file, -EFBIG, path, "expected at most %d such objects", NWB_FOUND_MAX);
	snprintf(found->paths[found->n++], NWB_PATH_SIZE, "%s", path);
	return 0;
}

static bool is_listed(const char *const *list, const char *type)
{
	for (; *list; list++) {
		if (strcmp(*list, type) == 0)
			return true;
	}
	return false;
}

static int search_visit(struct nwb_file *file, const char *path, const char *name, void *data)
{
	struct search *search = data;
	char type[NWB_NAME_SIZE];
	bool is_group;
	hid_t id;
	int r = 0;

	(void)name;
	if (++search->visits > VISITS_MAX)
		return fnx_nwb_fail(
			file, -EFBIG, path, "expected at most %d objects to search", VISITS_MAX);
	id = H5Oopen(file->id, path, H5P_DEFAULT);
	if (id < 0)
		return fnx_nwb_fail_hdf5(file, -EBADMSG, path, "cannot be opened");
	is_group = H5Iget_type(id) == H5I_GROUP;
	fnx_nwb_text(id, "neurodata_type", type, sizeof(type));
	H5Oclose(id);
	if (!is_group || is_listed(search->except, type))
		return 0;
	if (strcmp(type, search->type) == 0)
		return found_add(file, search->found, path);
	if (search->depth < DEPTH_MAX) {
		search->depth++;
		r = fnx_nwb_children(file, path, search_visit, search);
		search->depth--;
	}
	return r;
}

int fnx_nwb_find(struct nwb_file *file, const char *root, const char *type,
	const char *const *except, struct nwb_found *found)
{
	struct search search = {.type = type, .except = except, .found = found};

	if (!fnx_nwb_exists(file, root))
		return 0;
	return search_visit(file, root, "", &search);
}
