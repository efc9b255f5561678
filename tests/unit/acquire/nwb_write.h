/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes small NWB files for tests, straight with HDF5: as much of the format as the source reads.
 * A failed HDF5 call fails the test.
 */
#pragma once

#include <hdf5.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"

#define GROUPS "/general/extracellular_ephys"
#define LFP "/processing/ecephys/LFP/lfp"
#define LED "/processing/behavior/Position/led"
#define EVENTS "/acquisition/EventWaveform"

static inline hid_t must(hid_t id)
{
	assert_true(id >= 0);
	return id;
}

static inline hid_t write_open(const char *path)
{
	return must(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
}

/* As pynwb writes strings: UTF-8 of variable length. */
static inline void write_text(hid_t file, const char *object, const char *name, const char *text)
{
	hid_t type = must(H5Tcopy(H5T_C_S1)), space = must(H5Screate(H5S_SCALAR)), attribute;

	must(H5Tset_size(type, H5T_VARIABLE));
	must(H5Tset_cset(type, H5T_CSET_UTF8));
	attribute = must(H5Acreate_by_name(
		file, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
	must(H5Awrite(attribute, type, &text));
	must(H5Aclose(attribute));
	must(H5Sclose(space));
	must(H5Tclose(type));
}

/* As MatNWB writes them: ASCII of fixed length. */
static inline void write_fixed_text(
	hid_t file, const char *object, const char *name, const char *text)
{
	hid_t type = must(H5Tcopy(H5T_C_S1)), space = must(H5Screate(H5S_SCALAR)), attribute;

	must(H5Tset_size(type, strlen(text)));
	must(H5Tset_strpad(type, H5T_STR_NULLPAD));
	attribute = must(H5Acreate_by_name(
		file, object, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
	must(H5Awrite(attribute, type, text));
	must(H5Aclose(attribute));
	must(H5Sclose(space));
	must(H5Tclose(type));
}

static inline void write_number(hid_t file, const char *object, const char *name, double number)
{
	hid_t space = must(H5Screate(H5S_SCALAR));
	hid_t attribute = must(H5Acreate_by_name(
		file, object, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));

	must(H5Awrite(attribute, H5T_NATIVE_DOUBLE, &number));
	must(H5Aclose(attribute));
	must(H5Sclose(space));
}

static inline void write_group(hid_t file, const char *path, const char *type)
{
	hid_t links = must(H5Pcreate(H5P_LINK_CREATE));

	must(H5Pset_create_intermediate_group(links, 1));
	must(H5Gclose(must(H5Gcreate2(file, path, links, H5P_DEFAULT, H5P_DEFAULT))));
	must(H5Pclose(links));
	if (type)
		write_text(file, path, "neurodata_type", type);
}

struct write_as {
	hid_t stored; /* type in the file; 0: that in memory */
	hsize_t chunk_rows; /* 0: contiguous */
	hsize_t chunk_values; /* of dimension 1; 0: all */
	bool deflate; /* chunks */
};

static inline void write_array_as(hid_t file, const char *path, hid_t type, unsigned rank,
	const hsize_t *dims, const void *values, struct write_as as)
{
	hid_t space = must(H5Screate_simple((int)rank, dims, NULL));
	hid_t links = must(H5Pcreate(H5P_LINK_CREATE)),
	      created = must(H5Pcreate(H5P_DATASET_CREATE));
	hsize_t chunk[3] = {as.chunk_rows < dims[0] ? as.chunk_rows : dims[0], dims[1], dims[2]};
	hid_t data;

	must(H5Pset_create_intermediate_group(links, 1));
	if (as.chunk_values)
		chunk[1] = as.chunk_values;
	if (chunk[0])
		must(H5Pset_chunk(created, (int)rank, chunk));
	if (chunk[0] && as.deflate)
		must(H5Pset_deflate(created, 4));
	data = must(H5Dcreate2(
		file, path, as.stored ? as.stored : type, space, links, created, H5P_DEFAULT));
	must(H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
	must(H5Dclose(data));
	must(H5Pclose(created));
	must(H5Pclose(links));
	must(H5Sclose(space));
}

static inline void write_column(
	hid_t file, const char *path, hid_t type, hsize_t n, const void *values)
{
	const hsize_t dims[3] = {n, 1, 1};

	write_array_as(file, path, type, 1, dims, values, (struct write_as){0});
}

static inline const char *path_of(const char *group, const char *name)
{
	static char paths[16][256];
	static unsigned at;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", group, name);
	return strcpy(paths[at++ % 16], path);
}

static inline void write_doubles(
	hid_t file, const char *group, const char *name, hsize_t n, const double *values)
{
	write_column(file, path_of(group, name), H5T_NATIVE_DOUBLE, n, values);
}

static inline void write_integers(
	hid_t file, const char *group, const char *name, hsize_t n, const int64_t *values)
{
	write_column(file, path_of(group, name), H5T_NATIVE_INT64, n, values);
}

static inline void write_rate(hid_t file, const char *series, double start_s, double rate_hz)
{
	hid_t space = must(H5Screate(H5S_SCALAR));
	hid_t data = must(H5Dcreate2(file, path_of(series, "starting_time"), H5T_IEEE_F64LE, space,
		H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));

	must(H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, &start_s));
	must(H5Dclose(data));
	must(H5Sclose(space));
	write_number(file, path_of(series, "starting_time"), "rate", rate_hz);
}

/* A column of references to groups `names`[k] under GROUPS. */
static inline void write_references(
	hid_t file, const char *group, const char *name, hsize_t n, const char *const *names)
{
	hobj_ref_t references[256];

	assert_true(n <= 256);
	for (hsize_t i = 0; i < n; i++)
		must(H5Rcreate(&references[i], file, path_of(GROUPS, names[i]), H5R_OBJECT, -1));
	write_column(file, path_of(group, name), H5T_STD_REF_OBJ, n, references);
}

/* Electrode groups, and the electrodes table with `n_channels` rows for each in turn. */
static inline void write_electrodes(
	hid_t file, const char *const *names, unsigned n_groups, unsigned n_channels)
{
	const char *groups[256];

	for (unsigned i = 0; i < n_groups; i++) {
		write_group(file, path_of(GROUPS, names[i]), "ElectrodeGroup");
		for (unsigned j = 0; j < n_channels; j++)
			groups[i * n_channels + j] = names[i];
	}
	write_group(file, GROUPS "/electrodes", "DynamicTable");
	write_references(file, GROUPS "/electrodes", "group", n_groups * n_channels, groups);
}

/* The Units table: `ends` are those of each unit in times_s. */
static inline void write_units(hid_t file, unsigned n_units, const char *const *groups,
	const int64_t *ends, const double *times_s, const int64_t *clusters)
{
	write_group(file, "/units", "Units");
	write_doubles(
		file, "/units", "spike_times", (hsize_t)(n_units ? ends[n_units - 1] : 0), times_s);
	write_integers(file, "/units", "spike_times_index", n_units, ends);
	write_references(file, "/units", "electrode_group", n_units, groups);
	if (clusters)
		write_integers(file, "/units", "cluster", n_units, clusters);
}

/* x and y with time stamps. */
static inline void write_positions(hid_t file, hsize_t n, const double *times_s, const double *xy)
{
	const hsize_t dims[3] = {n, 2, 1};

	write_group(file, LED, "SpatialSeries");
	write_array_as(file, LED "/data", H5T_NATIVE_DOUBLE, 2, dims, xy, (struct write_as){0});
	write_doubles(file, LED, "timestamps", n, times_s);
}
