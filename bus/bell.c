/* SPDX-License-Identifier: BSD-3-Clause */
/* The choice between the forms; each is told of in its own file. */
#include "bus/bell.h"

#include <errno.h>

#include "bus/bell_form.h"

int fnx_bell_open(const struct fnx_bus *bus, const char *node, enum fnx_bell_form form,
	struct fnx_bell **ret_bell)
{
	switch (form) {
	case FNX_BELL_FORM_PIPE:
		return fnx_bell_open_pipe(bus, node, ret_bell);
	case FNX_BELL_FORM_ZMQ:
		return fnx_bell_open_zmq(bus, node, ret_bell);
	}
	return -EINVAL;
}

int fnx_bell_fd(const struct fnx_bell *bell)
{
	return bell->fd;
}

int fnx_bell_drain(struct fnx_bell *bell)
{
	return bell->drain(bell);
}

struct fnx_bell *fnx_bell_close(struct fnx_bell *bell)
{
	if (bell)
		bell->close(bell);
	return NULL;
}

int fnx_ringer_open(const struct fnx_bus *bus, const char *node, enum fnx_bell_form form, int pid,
	struct fnx_ringer *ret_ringer)
{
	switch (form) {
	case FNX_BELL_FORM_PIPE:
		return fnx_ringer_open_pipe(bus, node, ret_ringer);
	case FNX_BELL_FORM_ZMQ:
		return fnx_ringer_open_zmq(bus, node, pid, ret_ringer);
	}
	return -EINVAL;
}

int fnx_ringer_ring(struct fnx_ringer *ringer)
{
	return ringer->ring(ringer);
}

void fnx_ringer_close(struct fnx_ringer *ringer)
{
	if (!fnx_ringer_is_open(ringer))
		return;
	ringer->close(ringer);
	*ringer = (struct fnx_ringer){.ring = NULL};
}
