/*
 * faults.h - what is done to a cluster: a fault is a value, drawn by one function and carried out by another.
 *
 * Place in the system: above cluster.h; the swarm draws faults, scenarios name them. Because a fault is a value,
 * a run is the list of its faults: what replays or shrinks such a list has its place here.
 *
 * Every fault ends by itself; what ended a process ends with its start, unless the fault is told to
 * stay. faults_calm() ends all.
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "sim/cluster.h"

enum fault_kind {
    FAULT_CUT = 0,     /* a link, both ways */
    FAULT_CUT_ONE_WAY, /* a link, from a to b */
    FAULT_ISOLATE,     /* a node from all others, also its clients */
    FAULT_DEAF,        /* a node hears nobody, and is heard */
    FAULT_SPLIT,       /* the nodes in two halves */
    FAULT_RING,        /* everybody hears neighbors only */
    FAULT_RESET,       /* the connections between two nodes */
    FAULT_SLOW_LINK,
    FAULT_PAUSE,         /* SIGSTOP */
    FAULT_PAUSE_IN_TURN, /* ... between reading and acting */
    FAULT_SLOW_HOST,
    FAULT_KILL,              /* SIGKILL */
    FAULT_STOP,              /* SIGTERM */
    FAULT_POWER,             /* the machine, with a fate for what was not synced */
    FAULT_POWER_IN_WRITE,    /* ... in the middle of a disk operation */
    FAULT_POWER_IN_RECOVERY, /* ... and again while the node starts */
    FAULT_DISK_STALL,
    FAULT_DISK_FULL,
    FAULT_SYNC_ERROR,
    FAULT_WRITE_ERROR,
    FAULT_WIPE, /* at most of a minority, and for good */
    N_FAULTS
};

struct fault {
    enum fault_kind kind;
    unsigned a, b;   /* nodes */
    uint64_t number; /* what else there is to choose: sides, fates, operations */
    uint64_t duration;
};

struct faults_options {
    uint64_t every; /* mean time between two; 0: none are drawn */
    uint64_t duration_max;
    unsigned weights[N_FAULTS]; /* relative */
    unsigned leader_permille;   /* faults that look for the leader */
    unsigned strike_permille;   /* of new leaders get one at once */
    int64_t drift_ppm_max;      /* of clocks */
};

struct faults;

const char *fault_name(enum fault_kind kind);

/* Switches the machines on, one by one. */
struct faults *faults_new(struct cluster *c, const struct faults_options *options);
/* Draw faults from now on. */
void faults_begin(struct faults *f);
void faults_do(struct faults *f, const struct fault *fault);
/* End all faults and draw no more: everything runs, but the nodes in the mask @outside, which stay as they
 * are or are put out of reach, for good (bit i: node i). */
void faults_calm(struct faults *f, unsigned outside);
/* How many of each kind. */
const uint64_t *faults_counts(const struct faults *f);
void faults_free(struct faults *f);

#endif
