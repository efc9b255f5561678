/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel knows of a process: time on a processor, time in the queue for one, sleeps. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fnx_proc {
	double cpu_s; /* used; NAN unknown */
	double queued_s; /* runnable, but not running; NAN unknown */
	double wakes; /* voluntary context switches: each sleep is one; NAN unknown */
};

/* Of a process (`tid` 0) or of one of its threads. `root`: where proc is mounted, "/proc". */
void fnx_proc_look(const char *root, int pid, int tid, struct fnx_proc *ret_proc);

/* Seconds in the text of /proc/PID/stat, which may be anything; NAN. */
double fnx_proc_stat_cpu(const char *text, double ticks_per_s);
/* The number behind "NAME:" at a line's beginning; NAN. */
double fnx_proc_field(const char *text, const char *name);

/* A small file's text, closed by a 0. -errno; -EFBIG: cut at `size` - 1. */
int fnx_file_text(const char *path, char *text, size_t size);
