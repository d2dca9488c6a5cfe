/*
 * swarm.h - one seed, one run: random options, random faults, then peace, then judgment.
 *
 * Place in the system: the top of the simulator, below main.c and tests. A run has three parts:
 *   safety      faults of a random subset of kinds while clients ask; only what is forbidden matters;
 *   liveness    faults end, in half of the runs only within a random majority (the others stay out of reach, some
 *               of them talking): the cluster must elect, take writes through every node, and settle;
 *   judgment    histories, watches, disks, stores.
 *
 * Seams for what is to come: options are values, printed by a failure and settable by hand; faults are values
 * (faults.h); a run is a function of both.
 */
#ifndef SIM_SWARM_H
#define SIM_SWARM_H

#include "sim/run.h"

#include <stdio.h>

struct swarm_options {
    uint64_t seed;
    struct cluster_options cluster;
    struct client_options clients;
    struct watcher_options watchers;
    struct faults_options faults;
    /* The network and the machines. */
    struct sim_delay net_delay, work_delay;
    unsigned split_permille, stall_permille, reset_ppm;
    uint64_t stall_min;
    size_t window_bytes;
    uint64_t turn_cost, event_cost;
    uint64_t safety; /* how long */
    bool core_only;  /* peace for a majority first */
    bool early;      /* faults begin before the cluster has formed */
};

void swarm_draw(uint64_t seed, struct swarm_options *out);
/* For people: what a failure prints. */
void swarm_print(const struct swarm_options *o, FILE *out);
/* @trace may be NULL. */
void swarm_run(const struct swarm_options *o, FILE *trace, struct run_result *out);

#endif
