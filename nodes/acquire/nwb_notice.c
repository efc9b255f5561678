/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nodes/acquire/nwb_session.h"
#include "nodes/host/rig.h"

__attribute__((format(printf, 2, 3))) static void note(char *notice, const char *format, ...)
{
	size_t length = strlen(notice);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(notice + length, NWB_NOTICE_SIZE - length, format, arguments);
	va_end(arguments);
}

static void note_series(char *notice, const char *what, const struct nwb_series *series)
{
	const struct nwb_times *times = &series->times;

	note(notice, "; %s %s: %llu at %g Hz in '%s'", what, series->path,
		(unsigned long long)times->n, times->rate_hz, series->unit);
	if (times->n_held > 0)
		note(notice,
			", %llu time stamps go back (first: %llu) and take the time before them",
			(unsigned long long)times->n_held, (unsigned long long)times->first_held);
}

static bool is_cm(const char *unit)
{
	return strcmp(unit, "cm") == 0 || strcmp(unit, "centimeters") == 0 ||
		strcmp(unit, "centimetres") == 0 || strcmp(unit, "centimeter") == 0;
}

static void note_positions(
	char *notice, const struct nwb_session *session, const struct fnx_rig *rig)
{
	const struct nwb_series *series = &session->positions.series;
	double scale = rig->source.nwb.position_scale * rig->position.scale;

	note_series(notice, "position", series);
	note(notice, " times position_scale %g", rig->source.nwb.position_scale);
	if (is_cm(series->unit) != (scale == 1.0))
		note(notice,
			", although the rig makes cm of '%s' with a factor of %g "
			"(source.nwb.position_scale x position.scale)",
			series->unit, scale);
}

static void note_groups(char *notice, const struct nwb_groups *groups)
{
	note(notice, "; electrode groups %s:",
		groups->by_number ? "by the number in their names" : "in the order of the file");
	for (uint32_t i = 0; i < groups->n; i++)
		note(notice, " %s=%u", groups->groups[i].name, groups->groups[i].id);
}

void fnx_nwb_notice(const struct nwb_session *session, const struct fnx_rig *rig,
	char ret_notice[NWB_NOTICE_SIZE])
{
	char *notice = ret_notice;

	notice[0] = '\0';
	note(notice, "%s", session->file.path);
	if (fnx_nwb_has_positions(session))
		note_positions(notice, session, rig);
	if (fnx_nwb_has_units(session))
		note(notice, "; units %s: %u, numbered by %s, %llu spikes", session->units.path,
			session->units.n_units,
			session->units.has_clusters ? "cluster" : "their order",
			(unsigned long long)session->units.n_spikes);
	for (uint32_t i = 0; i < session->n_snippets; i++)
		note_series(notice, "spike events", &session->snippets[i].series);
	if (fnx_nwb_has_units(session) || session->n_snippets > 0)
		note_groups(notice, &session->groups);
	if (fnx_nwb_has_lfp(session))
		note_series(notice, "LFP", &session->lfp.series);
	for (char *c = notice; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
}
