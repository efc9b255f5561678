/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything that matters is said again with every beat: where each inlet stands, what it grants,
 * who is there. So no message has to arrive, and a connection that breaks needs no repair beyond
 * going on.
 */
#include "bus/bridge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/inlet.h"
#include "bus/outlet.h"

#define BEAT_NS INT64_C(50000000)
#define SILENCE_NS INT64_C(2000000000) /* after which the other end is taken to be gone */
#define RETRY_NS INT64_C(1000000) /* where ZeroMQ's queue is full */

enum {
	MESSAGES_PER_TURN = 256,
	FRAMES_PER_TURN = 32, /* and topic */
	OFFSETS = 16,
	LINGER_MS = 500,
};

struct trip {
	int64_t offset_ns, round_trip_ns;
};

struct fnx_bridge {
	struct fnx_bus bus;
	struct fnx_link *link;
	unsigned n_outlets, n_inlets;
	unsigned first; /* outlet whose turn comes first */
	int parked;
	int64_t beat_ns; /* the next */
	int64_t heard_ns; /* last, ours; 0: never */
	int64_t refreshed_ns;
	int64_t echo_ns, echo_heard_ns; /* of the beat heard last: its clock, ours */
	int peer_finished;
	uint64_t n_strange;
	unsigned n_trips;
	struct trip trips[OFFSETS];
	struct trip best;
	unsigned char endless_outlet[FNX_BRIDGE_TOPICS_MAX], endless_inlet[FNX_BRIDGE_TOPICS_MAX];
	struct fnx_outlet *outlets[FNX_BRIDGE_TOPICS_MAX];
	struct fnx_inlet *inlets[FNX_BRIDGE_TOPICS_MAX];
};

int fnx_bridge_open(const struct fnx_bus *bus, const struct fnx_bridge_config *config,
	struct fnx_bridge **ret_bridge)
{
	const struct fnx_link_config link = {.endpoint = config->endpoint,
		.listens = config->listens,
		.public_key = config->public_key,
		.secret_key = config->secret_key,
		.peer_public_key = config->peer_public_key};
	struct fnx_bridge *bridge = calloc(1, sizeof(*bridge));
	int r;

	if (!bridge)
		return -ENOMEM;
	bridge->bus = *bus;
	r = fnx_link_open(&link, &bridge->link);
	if (r < 0)
		free(bridge);
	else
		*ret_bridge = bridge;
	return r;
}

int fnx_bridge_serve(struct fnx_bridge *bridge, const struct fnx_bridge_topic *topic)
{
	const struct fnx_subscriber_config config = {.topic = topic->topic,
		.node = topic->node,
		.schema_hash = topic->schema_hash,
		.policy = topic->policy,
		.start = FNX_START_OLDEST,
		.bell = topic->bell};
	int r;

	if (bridge->n_outlets == FNX_BRIDGE_TOPICS_MAX)
		return -ENOSPC;
	bridge->endless_outlet[bridge->n_outlets] = topic->endless != 0;
	r = fnx_outlet_open(&bridge->bus, &config, &bridge->outlets[bridge->n_outlets]);
	return r < 0 ? r : (int)bridge->n_outlets++;
}

int fnx_bridge_fetch(struct fnx_bridge *bridge, const struct fnx_bridge_topic *topic)
{
	const struct fnx_inlet_config config = {.topic = topic->topic,
		.node = topic->node,
		.schema_hash = topic->schema_hash,
		.grace_ns = topic->grace_ns,
		.bell = topic->bell};
	struct timespec now;
	uint64_t round;
	int r;

	if (bridge->n_inlets == FNX_BRIDGE_TOPICS_MAX)
		return -ENOSPC;
	/* Above all that a predecessor had: it took less than one a nanosecond. */
	clock_gettime(CLOCK_REALTIME, &now);
	round = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	bridge->endless_inlet[bridge->n_inlets] = topic->endless != 0;
	r = fnx_inlet_open(
		&bridge->bus, &config, bridge->n_inlets, round, &bridge->inlets[bridge->n_inlets]);
	return r < 0 ? r : (int)bridge->n_inlets++;
}

int fnx_bridge_fd(const struct fnx_bridge *bridge)
{
	return fnx_link_fd(bridge->link);
}

/* Beats
 * ---------------------------------------------------------------------------------------------- */

static int all_given(const struct fnx_bridge *bridge)
{
	for (unsigned i = 0; i < bridge->n_outlets; i++)
		if (!bridge->endless_outlet[i] && !fnx_outlet_finished(bridge->outlets[i]))
			return 0;
	return 1;
}

static void send_beat(struct fnx_bridge *bridge, int64_t now_ns)
{
	struct fnx_wire_beat beat = {.head = fnx_wire_head(FNX_WIRE_BEAT),
		.sent_ns = now_ns,
		.echo_ns = bridge->echo_ns,
		.echo_age_ns = bridge->echo_ns ? now_ns - bridge->echo_heard_ns : 0,
		.finished = (uint64_t)all_given(bridge)};

	/* One that is lost is followed by another. */
	(void)!fnx_link_send(bridge->link, &beat, sizeof(beat));
}

static void measure(struct fnx_bridge *bridge, const struct fnx_wire_beat *beat, int64_t now_ns)
{
	int64_t trip_ns;

	/* Ours comes back within seconds; anything else is none of ours. */
	if (beat->echo_ns <= 0 || beat->echo_ns > now_ns || beat->echo_age_ns < 0 ||
		beat->echo_age_ns > now_ns - beat->echo_ns || beat->sent_ns <= 0 ||
		beat->sent_ns > INT64_MAX / 4)
		return;
	trip_ns = now_ns - beat->echo_ns - beat->echo_age_ns;
	bridge->trips[bridge->n_trips++ % OFFSETS] = (struct trip){
		.round_trip_ns = trip_ns, .offset_ns = beat->sent_ns - (now_ns - trip_ns / 2)};
	bridge->best = bridge->trips[0];
	for (unsigned i = 1; i < OFFSETS && i < bridge->n_trips; i++)
		if (bridge->trips[i].round_trip_ns < bridge->best.round_trip_ns)
			bridge->best = bridge->trips[i];
}

static void take_beat(struct fnx_bridge *bridge, const struct fnx_wire_beat *beat, int64_t now_ns)
{
	/* A clock that went back is another machine's: it has been started anew. */
	if (beat->sent_ns < bridge->echo_ns)
		bridge->n_trips = 0;
	measure(bridge, beat, now_ns);
	bridge->echo_ns = beat->sent_ns;
	bridge->echo_heard_ns = now_ns;
	bridge->peer_finished = beat->finished == 1;
}

/* Receiving
 * ------------------------------------------------------------------------------------------ */

static void take_ask(struct fnx_bridge *bridge, struct fnx_wire_ask *ask)
{
	ask->topic[sizeof(ask->topic) - 1] = 0;
	for (unsigned i = 0; i < bridge->n_outlets; i++)
		if (strcmp(fnx_outlet_topic(bridge->outlets[i]), ask->topic) == 0)
			fnx_outlet_asked(bridge->outlets[i], bridge->link, ask);
}

static void take_for_inlet(
	struct fnx_bridge *bridge, union fnx_wire *wire, zmq_msg_t *message, int64_t now_ns)
{
	/* All kinds have it at the same place. */
	uint32_t handle = wire->frame.handle;
	int64_t offset_ns = bridge->best.offset_ns;
	struct fnx_inlet *inlet;

	if (handle >= bridge->n_inlets) {
		bridge->n_strange++;
		return;
	}
	inlet = bridge->inlets[handle];
	switch (wire->head.kind) {
	case FNX_WIRE_TOPIC:
		fnx_inlet_topic_told(
			inlet, &wire->topic, zmq_msg_data(message), zmq_msg_size(message));
		break;
	case FNX_WIRE_FRAME:
		fnx_inlet_frame(inlet, &wire->frame, zmq_msg_data(message), zmq_msg_size(message),
			offset_ns, now_ns);
		break;
	case FNX_WIRE_GAP:
		fnx_inlet_gap(inlet, &wire->gap, now_ns);
		break;
	case FNX_WIRE_MARK:
		fnx_inlet_mark(inlet, &wire->mark, offset_ns, now_ns);
		break;
	case FNX_WIRE_LEFT:
		fnx_inlet_left(inlet, &wire->left);
		break;
	}
}

static size_t size_of_kind(uint16_t kind)
{
	switch (kind) {
	case FNX_WIRE_BEAT:
		return sizeof(struct fnx_wire_beat);
	case FNX_WIRE_ASK:
		return sizeof(struct fnx_wire_ask);
	case FNX_WIRE_TOPIC:
		return sizeof(struct fnx_wire_topic);
	case FNX_WIRE_FRAME:
		return sizeof(struct fnx_wire_frame);
	case FNX_WIRE_GAP:
		return sizeof(struct fnx_wire_gap);
	case FNX_WIRE_MARK:
		return sizeof(struct fnx_wire_mark);
	case FNX_WIRE_LEFT:
		return sizeof(struct fnx_wire_left);
	}
	return 0;
}

static_assert(offsetof(struct fnx_wire_topic, handle) == offsetof(struct fnx_wire_frame, handle) &&
		offsetof(struct fnx_wire_gap, handle) == offsetof(struct fnx_wire_frame, handle) &&
		offsetof(struct fnx_wire_mark, handle) == offsetof(struct fnx_wire_frame, handle) &&
		offsetof(struct fnx_wire_left, handle) == offsetof(struct fnx_wire_frame, handle),
	"one place for the handle");

static void take(struct fnx_bridge *bridge, union fnx_wire *wire, size_t size, zmq_msg_t *message,
	int64_t now_ns)
{
	if (size < sizeof(wire->head) || wire->head.magic != FNX_WIRE_MAGIC ||
		wire->head.abi != FNX_WIRE_ABI || size != size_of_kind(wire->head.kind)) {
		bridge->n_strange++;
		return;
	}
	bridge->heard_ns = now_ns;
	if (wire->head.kind == FNX_WIRE_BEAT)
		take_beat(bridge, &wire->beat, now_ns);
	else if (wire->head.kind == FNX_WIRE_ASK)
		take_ask(bridge, &wire->ask);
	else
		take_for_inlet(bridge, wire, message, now_ns);
}

/* 1: there may be more. */
static int receive_all(struct fnx_bridge *bridge, int64_t now_ns)
{
	for (unsigned n = 0; n < MESSAGES_PER_TURN; n++) {
		union fnx_wire wire;
		zmq_msg_t message;
		size_t size;
		int r;

		zmq_msg_init(&message);
		r = fnx_link_receive(bridge->link, &wire, sizeof(wire), &size, &message);
		if (r == 0)
			take(bridge, &wire, size, &message, now_ns);
		else if (r == -EBADMSG)
			bridge->n_strange++;
		zmq_msg_close(&message);
		if (r < 0 && r != -EBADMSG)
			return 0;
	}
	return 1;
}

/* Turns
 * --------------------------------------------------------------------------------------------- */

static void unpark(struct fnx_bridge *bridge)
{
	if (!bridge->parked)
		return;
	bridge->parked = 0;
	for (unsigned i = 0; i < bridge->n_outlets; i++)
		fnx_outlet_unpark(bridge->outlets[i]);
	for (unsigned i = 0; i < bridge->n_inlets; i++)
		fnx_inlet_unpark(bridge->inlets[i]);
}

/* 1: something came meanwhile. */
static int park(struct fnx_bridge *bridge, int64_t now_ns)
{
	int busy = 0;

	bridge->parked = 1;
	for (unsigned i = 0; i < bridge->n_outlets && !busy; i++)
		busy = fnx_outlet_park(bridge->outlets[i]);
	for (unsigned i = 0; i < bridge->n_inlets && !busy; i++)
		busy = fnx_inlet_park(bridge->inlets[i], now_ns);
	if (!busy)
		busy = fnx_link_pending(bridge->link);
	if (busy)
		unpark(bridge);
	return busy;
}

static int is_silent(const struct fnx_bridge *bridge, int64_t now_ns)
{
	return !bridge->heard_ns || now_ns - bridge->heard_ns > SILENCE_NS;
}

static void beat(struct fnx_bridge *bridge, int64_t now_ns)
{
	bridge->beat_ns = now_ns + BEAT_NS;
	for (unsigned i = 0; i < bridge->n_outlets; i++)
		(void)!fnx_outlet_join(bridge->outlets[i]);
	if (!bridge->refreshed_ns)
		bridge->refreshed_ns = now_ns;
	if (is_silent(bridge, now_ns) && now_ns - bridge->refreshed_ns > SILENCE_NS) {
		bridge->refreshed_ns = now_ns;
		fnx_link_refresh(bridge->link);
	}
	send_beat(bridge, now_ns);
}

int fnx_bridge_turn(struct fnx_bridge *bridge, int grant, int64_t now_ns, int64_t *ret_due_ns)
{
	int more, full = 0, remind = now_ns >= bridge->beat_ns;

	unpark(bridge);
	more = receive_all(bridge, now_ns);
	if (remind)
		beat(bridge, now_ns);
	/* Times are told apart only once both clocks are known. */
	grant = grant && bridge->n_trips > 0;
	for (unsigned i = 0; i < bridge->n_inlets; i++)
		fnx_inlet_turn(bridge->inlets[i], bridge->link, grant, remind, now_ns);
	for (unsigned i = 0; i < bridge->n_outlets; i++) {
		unsigned k = (bridge->first + i) % bridge->n_outlets;
		int r = fnx_outlet_turn(bridge->outlets[k], bridge->link, FRAMES_PER_TURN);

		more |= r == FNX_FRAME;
		full |= r == -EAGAIN;
	}
	bridge->first++;
	*ret_due_ns = full ? now_ns + RETRY_NS : bridge->beat_ns;
	return more || (!full && park(bridge, now_ns));
}

/* Looking
 * -------------------------------------------------------------------------------------------- */

static int is_ready(const struct fnx_bridge *bridge)
{
	for (unsigned i = 0; i < bridge->n_inlets; i++)
		if (!fnx_inlet_is_open(bridge->inlets[i]))
			return 0;
	for (unsigned i = 0; i < bridge->n_outlets; i++)
		if (!fnx_outlet_granted(bridge->outlets[i]))
			return 0;
	return 1;
}

static int is_finished(const struct fnx_bridge *bridge, int64_t now_ns)
{
	for (unsigned i = 0; i < bridge->n_inlets; i++)
		if (!bridge->endless_inlet[i] && !fnx_inlet_ended(bridge->inlets[i]))
			return 0;
	/* The other end waits to hear that all has arrived; if it is gone, it has. */
	return all_given(bridge) &&
		(!bridge->n_inlets || bridge->peer_finished || is_silent(bridge, now_ns));
}

void fnx_bridge_state(
	const struct fnx_bridge *bridge, int64_t now_ns, struct fnx_bridge_state *ret_state)
{
	*ret_state = (struct fnx_bridge_state){.connected = !is_silent(bridge, now_ns),
		.ready = is_ready(bridge),
		.finished = is_finished(bridge, now_ns),
		.n_refused = fnx_link_notes(bridge->link)->n_refused,
		.n_strange = bridge->n_strange,
		.offset_ns = bridge->best.offset_ns,
		.round_trip_ns = bridge->best.round_trip_ns};
	for (unsigned i = 0; i < bridge->n_inlets && !ret_state->refusal; i++)
		ret_state->refusal = fnx_inlet_refusal(bridge->inlets[i]);
}

void fnx_bridge_served(
	const struct fnx_bridge *bridge, unsigned index, struct fnx_bridge_counts *ret_counts)
{
	const struct fnx_outlet_counts *counts = fnx_outlet_counts(bridge->outlets[index]);

	*ret_counts = (struct fnx_bridge_counts){.frames = counts->frames,
		.copied = counts->copied,
		.gaps = counts->gaps,
		.missed = counts->missed};
}

void fnx_bridge_fetched(
	const struct fnx_bridge *bridge, unsigned index, struct fnx_bridge_counts *ret_counts)
{
	const struct fnx_inlet_counts *counts = fnx_inlet_counts(bridge->inlets[index]);

	*ret_counts = (struct fnx_bridge_counts){.frames = counts->frames,
		.gaps = counts->gaps,
		.missed = counts->missed,
		.rounds = counts->rounds,
		.refused = counts->refused,
		.first_time = counts->first_time,
		.last_time = counts->last_time};
}

struct fnx_bridge *fnx_bridge_close(struct fnx_bridge *bridge)
{
	if (!bridge)
		return NULL;
	/* Readers here first: they need not wait for the network. */
	for (unsigned i = 0; i < bridge->n_inlets; i++)
		fnx_inlet_close(bridge->inlets[i]);
	fnx_link_close(bridge->link, LINGER_MS);
	for (unsigned i = 0; i < bridge->n_outlets; i++)
		fnx_outlet_close(bridge->outlets[i]);
	free(bridge);
	return NULL;
}
