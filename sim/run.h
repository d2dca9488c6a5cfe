/*
 * run.h - what came of a run: the verdict, the hash, and figures that can be added up.
 *
 * Place in the system: swarm.c and scenario.c fill it in, main.c and tests look at it.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/client.h"
#include "sim/faults.h"
#include "sim/watcher.h"

struct run_totals {
    uint64_t runs, sim_ns, events, turns, starts, crashes, checks, disk_checks;
    uint64_t asked, done, refused, unknown, repeated, http, watched, conns, resets, stalls;
    uint64_t terms; /* with a leader */
    uint64_t ordered,
        undecided; /* requests that linear.h put in order; keys it could not judge */
    uint64_t faults[N_FAULTS];
};

struct run_result {
    bool failed;
    char text[400];     /* the broken sentence */
    char cluster[1200]; /* how the nodes stood */
    uint64_t hash;      /* of all that happened */
    struct run_totals totals;
};

/* @watchers, @faults: NULL where there are none. */
void run_sum_up(struct cluster *c, const struct clients *clients,
                const struct watchers *watchers, const struct faults *faults,
                struct run_result *out);
void run_totals_add(struct run_totals *to, const struct run_totals *from);

#endif
