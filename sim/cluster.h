/*
 * cluster.h - whole nodes on the machines of the simulated world, and the judge that watches them.
 *
 * Place in the system: above world.h, net.h, host.h and disk.h; below client.h, which asks the nodes, and
 * swarm.c and scenario.c, which hurt them. A node here is node/ with api/ before it, unchanged: what
 * server/ wires to libuv is wired to a host.
 *
 * After each turn of a host its node is shown to the judge: role, term, log, store; and the core asserts its
 * own invariants. Logs are read from the *disks* (with what a power cut would leave) when a machine has lost its
 * power, from time to time, and at the end (logs.h). One watch of all keys per node, the scribe, tells the
 * judge what each revision did.
 *
 * What is expected to fail is known: a node may refuse to start or give up only for what was done to it.
 */
#ifndef SIM_CLUSTER_H
#define SIM_CLUSTER_H

#include "api/api.h"
#include "node/node.h"
#include "sim/disk.h"
#include "sim/history.h"
#include "sim/host.h"
#include "sim/judge.h"
#include "sim/net.h"
#include "sim/world.h"

#define CLUSTER_NODES_MAX 8u

struct cluster;

/* Who must know. */
struct cluster_listener {
    /* The node is gone: nothing that was asked of it will be answered. May be NULL, as below. */
    void (*on_down)(void *arg, unsigned node);
    /* It has just become leader; in a turn of its host: nothing may be done to it before that is over. */
    void (*on_leader)(void *arg, unsigned node);
    void *arg;
};

#define CLUSTER_LISTENERS_MAX 4u

struct cluster_node {
    struct cluster *cluster;
    struct host host;
    struct event_sink sink;
    struct sim_disk *disk;
    struct node *node; /* NULL: not running */
    struct api *api;
    struct io_listener *listener;
    uint64_t life;         /* counts starts */
    struct cor_error why;  /* it gave up, or did not start */
    bool stopping;         /* in order */
    bool gave_up, stopped; /* about to be buried */
    bool broken; /* its disk was made to fail: it may give up until it is started again */
    bool formed; /* its core has run: it knows its cluster */
    bool wiped;  /* started with an empty disk after the cluster had formed */
    uint64_t committed; /* shown to the judge in this life */
    struct sim_event bury, stop;
    struct node_watch scribe;
    struct sim_event scribe_restart;
    uint64_t scribe_next;
    char name[4], peer_address[16], client_address[16];
};

struct cluster_options {
    unsigned n_nodes;
    /* Durations and limits of all nodes; what names one is filled in. */
    struct node_options node;
    bool no_direct;     /* disks without IO_DIRECT */
    bool reuse_handles; /* of files, as descriptors are */
    uint64_t
        check_every; /* time between looks at all disks; 0: only after crashes and at the end */
};

struct cluster {
    struct world world;
    struct net net;
    struct judge judge;
    struct history history;
    struct cluster_options options;
    unsigned n;       /* nodes are numbered from 1 */
    unsigned n_hosts; /* with those of clients */
    struct cluster_node nodes[CLUSTER_NODES_MAX + 1];
    struct node_member members[CLUSTER_NODES_MAX];
    struct sim_event check;
    uint64_t n_starts, n_crashes, n_disk_checks;
    struct cluster_listener listeners[CLUSTER_LISTENERS_MAX];
    unsigned n_listeners;
};

/* Machines that are switched off. */
void cluster_init(struct cluster *c, uint64_t seed, const struct cluster_options *options);
void cluster_deinit(struct cluster *c);
void cluster_listen(struct cluster *c, struct cluster_listener listener);

/* Switch the machine on and start its node; nothing if it runs. False: it did not start; @why says why, and
 * the judge has been told if there is no excuse. */
bool cluster_start(struct cluster *c, unsigned node);
void cluster_start_all(struct cluster *c);
/* The process dies, or the machine loses its power and its disk what was not synced, by @fate. */
void cluster_kill(struct cluster *c, unsigned node);
void cluster_power_off(struct cluster *c, unsigned node, enum sim_fate_kind fate);
/* Lose power while a work on @queue is at it, @changes operations further. False: there was none. */
bool cluster_cut_in_write(struct cluster *c, unsigned node, enum io_queue queue,
                          uint64_t changes);
/* Stop in order, then the process ends. */
void cluster_stop(struct cluster *c, unsigned node);
/* An empty disk for a machine that is off. */
void cluster_wipe(struct cluster *c, unsigned node);

/* Let things happen until @until or until the judge has spoken. */
void cluster_run(struct cluster *c, uint64_t until);
/* ... or until @done says so: true. */
bool cluster_run_until(struct cluster *c, uint64_t until, bool (*done)(struct cluster *c));

bool cluster_is_up(const struct cluster *c, unsigned node);
/* The node that leads the newest term, among those that are up; 0: none. */
unsigned cluster_leader(const struct cluster *c);
/* All nodes that are up, but wiped ones, have applied the same, and everything the leader has committed. */
bool cluster_has_converged(struct cluster *c);
/* Why not, for people. */
void cluster_describe(struct cluster *c, char *out, size_t size);

#endif
