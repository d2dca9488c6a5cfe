/*
 * scenario.h - stories with names: what is special about each is played out, the judges do the rest.
 *
 * Place in the system: beside swarm.h. A scenario is a function over a seed: delays, fates, and which node does what
 * differ, the story does not. A finding of the swarm that teaches something becomes one.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "sim/run.h"

#include <stdio.h>

struct stage;

struct scenario {
    const char *name, *text;
    void (*play)(struct stage *s);
    unsigned n_nodes;
    bool cold; /* begins with machines that are off; otherwise with a cluster that stands */
};

/* The @i-th; NULL: there are no more. */
const struct scenario *scenario_at(size_t i);
/* NULL: not known. */
const struct scenario *scenario_find(const char *name);
/* @trace may be NULL. */
void scenario_run(const struct scenario *scenario, uint64_t seed, FILE *trace,
                  struct run_result *out);

#endif
