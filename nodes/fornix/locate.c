/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes/fornix/locate.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bus/presence.h"

static const char shm[] = "/dev/shm", bus_prefix[] = "fornix-", lock_suffix[] = ".lock";

/* Names
 * -----------------------------------------------------------------------------------------------
 */

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int is_between(const char *entry, const char *prefix, const char *suffix, char *ret_name)
{
	size_t size = strlen(entry), before = strlen(prefix), after = strlen(suffix);

	if (size <= before + after || size - before - after >= FNX_NAME_MAX ||
		strncmp(entry, prefix, before) || strcmp(entry + size - after, suffix))
		return 0;
	memcpy(ret_name, entry + before, size - before - after);
	ret_name[size - before - after] = 0;
	return fnx_name_valid(ret_name);
}

int fnx_names_find(struct fnx_names *names, const char *dir, const char *prefix, const char *suffix)
{
	DIR *entries = opendir(dir);
	struct dirent *entry;

	names->n = 0;
	names->at = calloc(FNX_LOCATE_NAMES_MAX, sizeof(*names->at));
	if (!names->at) {
		if (entries)
			closedir(entries);
		return -ENOMEM;
	}
	while (entries && names->n < FNX_LOCATE_NAMES_MAX && (entry = readdir(entries)))
		names->n +=
			(unsigned)is_between(entry->d_name, prefix, suffix, names->at[names->n]);
	if (entries)
		closedir(entries);
	qsort(names->at, names->n, sizeof(*names->at), by_name);
	return 0;
}

void fnx_names_free(struct fnx_names *names)
{
	free(names->at);
	*names = (struct fnx_names){.at = NULL};
}

void fnx_names_complain(const struct fnx_names *names, const char *before)
{
	fputs(before, stderr);
	for (unsigned i = 0; i < names->n; i++)
		fprintf(stderr, "%s%s", i ? ", " : "", names->at[i]);
	fputs(names->n ? "\n" : "none\n", stderr);
}

int fnx_names_have(const struct fnx_names *names, const char *name)
{
	for (unsigned i = 0; i < names->n; i++)
		if (!strcmp(names->at[i], name))
			return 1;
	return 0;
}

/* Buses
 * -----------------------------------------------------------------------------------------------
 */

/* A directory of one's own is named like the default one, or as one likes. */
static const char *name_after(const char *segment_dir)
{
	const char *slash = strrchr(segment_dir, '/'), *name = slash ? slash + 1 : segment_dir;

	if (!strncmp(name, bus_prefix, strlen(bus_prefix)))
		name += strlen(bus_prefix);
	return fnx_name_valid(name) ? name : "bus";
}

static int is_alive(const char *name)
{
	struct fnx_names claimed;
	struct fnx_bus bus;
	int alive = 0;

	if (fnx_bus_init(&bus, name, NULL, NULL) ||
		fnx_names_find(&claimed, bus.run_dir, "", lock_suffix))
		return 0;
	for (unsigned i = 0; i < claimed.n && !alive; i++)
		alive = fnx_presence_check(&bus, claimed.at[i]) > 0;
	fnx_names_free(&claimed);
	return alive;
}

const char *fnx_locate_only(const struct fnx_names *buses)
{
	const char *only = NULL;

	if (buses->n == 1)
		return buses->at[0];
	for (unsigned i = 0; i < buses->n; i++) {
		if (!is_alive(buses->at[i]))
			continue;
		if (only)
			return NULL;
		only = buses->at[i];
	}
	return only;
}

/* NULL: nobody can tell. */
static const char *choose(const struct fnx_locate *locate, const struct fnx_names *buses)
{
	const char *preferred = getenv("FORNIX_BUS");

	if (locate->bus)
		return locate->bus;
	if (locate->segment_dir)
		return name_after(locate->segment_dir);
	if (preferred && preferred[0])
		return preferred;
	return fnx_locate_only(buses);
}

static int locate_among(const char *command, const struct fnx_locate *locate,
	const struct fnx_names *buses, int remains, struct fnx_bus *ret_bus)
{
	const char *name = choose(locate, buses);
	struct fnx_bus bus;
	char before[256];
	struct stat st;
	int r;

	if (!name && !buses->n) {
		fprintf(stderr, "%s: no bus is running\n", command);
		return 1;
	}
	if (!name) {
		snprintf(before, sizeof(before),
			"%s: which bus? Say --bus NAME or set FORNIX_BUS; there are: ", command);
		fnx_names_complain(buses, before);
		return 1;
	}
	r = fnx_bus_init(&bus, name, locate->segment_dir, locate->run_dir);
	if (r) {
		fprintf(stderr, "%s: %.60s: %s\n", command, name,
			r == -ENAMETOOLONG
				? "the directory's path is too long"
				: "a bus has letters, digits, '_', '-', '.' in its name");
		return 2;
	}
	if (stat(bus.segment_dir, &st) < 0) {
		snprintf(before, sizeof(before), "%s: there is no bus %s%s%s; there are: ", command,
			name, locate->segment_dir ? " in " : "",
			locate->segment_dir ? bus.segment_dir : "");
		fnx_names_complain(buses, before);
		return 1;
	}
	if (!remains && stat(bus.run_dir, &st) < 0) {
		fprintf(stderr,
			"%s: bus %s has no sockets in %s; say --run-dir DIR, or XDG_RUNTIME_DIR as "
			"its nodes have it\n",
			command, name, bus.run_dir);
		return 1;
	}
	*ret_bus = bus;
	return 0;
}

int fnx_locate_all(struct fnx_names *names)
{
	return fnx_names_find(names, shm, bus_prefix, "");
}

static int locate(
	const char *command, const struct fnx_locate *wish, int remains, struct fnx_bus *ret_bus)
{
	struct fnx_names buses;
	int r;

	if (fnx_locate_all(&buses)) {
		fprintf(stderr, "%s: out of memory\n", command);
		return 1;
	}
	r = locate_among(command, wish, &buses, remains, ret_bus);
	fnx_names_free(&buses);
	return r;
}

int fnx_locate_bus(const char *command, const struct fnx_locate *wish, struct fnx_bus *ret_bus)
{
	return locate(command, wish, 0, ret_bus);
}

int fnx_locate_remains(const char *command, const struct fnx_locate *wish, struct fnx_bus *ret_bus)
{
	return locate(command, wish, 1, ret_bus);
}
