/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/check.h"

#include <stdio.h>
#include <unistd.h>

#include "bus/presence.h"
#include "nodes/fornix/locate.h"

enum {
	N_BUSES = 3
};

static char at[N_BUSES][FNX_NAME_MAX];
static struct fnx_bus buses[N_BUSES];

static struct fnx_names make_buses(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		snprintf(at[i], sizeof(at[i]), "locate-%d-%u", (int)getpid(), i);
		assert_int_equal(fnx_bus_init(&buses[i], at[i], NULL, NULL), 0);
		assert_int_equal(fnx_bus_create(&buses[i], NULL), 0);
	}
	return (struct fnx_names){.at = at, .n = n};
}

static void remove_buses(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_true(fnx_bus_remove(&buses[i]) >= 0);
}

TEST(the_only_bus_is_meant_dead_or_alive)
{
	struct fnx_names names = make_buses(1), none = {.n = 0};

	assert_ptr_equal(fnx_locate_only(&names), at[0]);
	assert_null(fnx_locate_only(&none));
	remove_buses(1);
}

TEST(the_only_bus_that_is_alive_is_meant_among_dead_ones)
{
	struct fnx_names names = make_buses(N_BUSES);
	struct fnx_presence first, second;

	assert_null(fnx_locate_only(&names));
	assert_int_equal(fnx_presence_claim(&buses[1], "acquire", &first, NULL), 0);
	assert_ptr_equal(fnx_locate_only(&names), at[1]);
	assert_int_equal(fnx_presence_claim(&buses[2], "bus", &second, NULL), 0);
	assert_null(fnx_locate_only(&names));
	fnx_presence_drop(&first);
	assert_ptr_equal(fnx_locate_only(&names), at[2]);
	fnx_presence_drop(&second);
	remove_buses(N_BUSES);
}
