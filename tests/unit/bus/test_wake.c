/* SPDX-License-Identifier: BSD-3-Clause */
#include "bus/wake.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/bus/bus_fixture.h"

TEST(where_a_pipe_cannot_be_had_the_choice_is_zeromq)
{
	struct fnx_bus bus = fixture_bus();
	enum fnx_bell_form form = 0;
	int64_t wake_ns = 0;
	char path[256];

	/* Something that is no pipe has its name. */
	assert_int_equal(fnx_bus_path(bus.run_dir, "sleeper", ".bell", path, sizeof(path)), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(fnx_bell_choose(&bus, "sleeper", &form, &wake_ns), 0);
	assert_int_equal(form, FNX_BELL_FORM_ZMQ);
	assert_true(wake_ns > 0);
}

TEST(the_choice_is_a_form_that_can_be_opened_afterwards)
{
	struct fnx_bus bus = fixture_bus();
	enum fnx_bell_form form = 0;
	struct fnx_bell *bell;
	int64_t wake_ns = 0;

	assert_int_equal(fnx_bell_choose(&bus, "sleeper", &form, &wake_ns), 0);
	assert_int_equal(fnx_bell_open(&bus, "sleeper", form, &bell), 0);
	assert_int_equal(fnx_bell_drain(bell), 0);
	fnx_bell_close(bell);
}

static void *hog(void *argument)
{
	while (!atomic_load((_Atomic int *)argument))
		;
	return NULL;
}

/* Two for each of the machine's processors, so that a sleeper waits for its turn most of the time. */
TEST(whatever_else_the_machine_does_a_pipe_is_not_taken_for_slower_than_zeromq)
{
	enum {
		N_HOGS = 8,
		N_CHOICES = 20
	};
	struct fnx_bus bus = fixture_bus();
	_Atomic int stop = 0;
	pthread_t hogs[N_HOGS];
	unsigned n_pipes = 0;

	for (unsigned i = 0; i < N_HOGS; i++)
		assert_int_equal(pthread_create(&hogs[i], NULL, hog, &stop), 0);
	for (unsigned i = 0; i < N_CHOICES; i++) {
		enum fnx_bell_form form = 0;
		int64_t wake_ns = 0;

		if (!fnx_bell_choose(&bus, "sleeper", &form, &wake_ns))
			n_pipes += form == FNX_BELL_FORM_PIPE && wake_ns > 0;
	}
	atomic_store(&stop, 1);
	for (unsigned i = 0; i < N_HOGS; i++)
		pthread_join(hogs[i], NULL);
	assert_int_equal(n_pipes, N_CHOICES);
}
