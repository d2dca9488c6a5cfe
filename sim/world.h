/*
 * world.h - virtual time: one agenda of events, named random streams, and a hash of all that
 * happened.
 *
 * Place in the system: the bottom of the simulator. A host (host.h) is a machine in the world and
 * implements io/ for one node; the network (net.h) connects hosts; cluster.h puts whole nodes on
 * them. Time jumps from event to event, so an idle minute costs nothing.
 *
 * Determinism: everything random comes from one seed through named streams (so that one more draw
 * in the workload does not reshuffle the network), events have a total order, and every event
 * is mixed into world.hash. Two runs of one seed must end with the same hash; a test holds us to it.
 *
 * A *turn* of a host, as io.h promises: all events that are ready, then deferred tasks, then one
 * flush per stream. A turn costs the host some time, during which further events gather: that is
 * where batches come from, as in the real loop. A paused host is one that is busy until told otherwise.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "base/prng.h"
#include "sim/agenda.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_US UINT64_C(1000) /* nanoseconds */
#define SIM_MS UINT64_C(1000000)
#define SIM_S  UINT64_C(1000000000)

enum sim_random {
    SIM_RANDOM_NET = 0,  /* delays, where streams are cut, resets */
    SIM_RANDOM_DISK,     /* latencies; what a crash leaves of unsynced writes */
    SIM_RANDOM_WORKLOAD, /* what clients ask for, and when */
    SIM_RANDOM_FAULT,    /* which faults, when, where */
    SIM_RANDOM_CLOCK,    /* offsets and drift */
    SIM_RANDOM_NODE,     /* io_random() of the nodes: identities, election jitter */
    SIM_N_RANDOM
};

struct host;
struct world;

/* Something that will happen: to a host (in a turn of its own loop) or to the world itself. */
struct sim_event {
    struct io_timer timer; /* its place in the agenda */
    struct world *world;
    struct host *host; /* NULL: the world's own, never held back */
    void (*fire)(struct sim_event *e);
    struct sim_event *next_held;
    uint8_t kind; /* enum sim_note: named in hash and trace */
    bool held;    /* due, waiting for its host to be free */
};

/* What is written into hash and trace. */
enum sim_note {
    SIM_NOTE_TIMER = 1,
    SIM_NOTE_WORK_RUN,
    SIM_NOTE_WORK_DONE,
    SIM_NOTE_NET_ARRIVE,
    SIM_NOTE_NET_CLOSE,
    SIM_NOTE_WAKE,
    SIM_NOTE_REQUEST,
    SIM_NOTE_ANSWER,
    SIM_NOTE_FAULT,
    SIM_NOTE_START,
    SIM_NOTE_EVENT, /* of a node's event sink */
    SIM_NOTE_STATE, /* of a node after a turn: term, commit, applied, hash of the store */
};

struct world {
    uint64_t now, seed;
    struct agenda agenda;
    struct prng random[SIM_N_RANDOM];
    uint64_t hash, n_events, n_turns;
    FILE *trace; /* NULL: none; a line per note */
    /* Called after each turn of a host, and after each event of the world (host NULL): judges. */
    void (*after)(void *arg, struct host *host);
    void *after_arg;
};

void world_init(struct world *w, uint64_t seed);
/* All events must have been cleared by their owners. */
void world_deinit(struct world *w);

/* The event belongs to its owner, zeroed before the first use. */
void event_init(struct sim_event *e, struct world *w, struct host *host, enum sim_note kind,
                void (*fire)(struct sim_event *e));
void event_at(struct sim_event *e, uint64_t at);
/* Unset it, also when it was held back by a busy host. */
void event_clear(struct sim_event *e);
bool event_is_set(const struct sim_event *e);

/* For host.c: the next event, if it is one of @host at this very moment; it belongs to the same turn. */
struct sim_event *world_take_same_moment(struct world *w, const struct host *host);

/* Let the next thing happen. False: nothing is left to happen. */
bool world_step(struct world *w);
/* Until the agenda is past @until (then now == until). */
void world_run(struct world *w, uint64_t until);

/* Mix into the hash, and write to the trace. */
void world_note(struct world *w, enum sim_note kind, unsigned host, uint64_t a, uint64_t b);
/* A line of the trace for people; not part of the hash. */
void world_say(struct world *w, unsigned host, const char *text);

uint64_t world_random(struct world *w, enum sim_random stream);
uint64_t world_below(struct world *w, enum sim_random stream, uint64_t bound);
/* True @permille times in 1000. */
bool world_chance(struct world *w, enum sim_random stream, unsigned permille);

/* A latency: @min plus something uniform up to twice @spread; one in 50 takes up to ten times longer. */
struct sim_delay {
    uint64_t min, spread;
};
uint64_t world_delay(struct world *w, enum sim_random stream, struct sim_delay d);

#endif
