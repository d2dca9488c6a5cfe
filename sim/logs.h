/*
 * logs.h - what stands on the disks: the logs as recovery would find them, for the judge.
 *
 * Place in the system: beside cluster.c. Memories may say what they like; durability is judged here.
 */
#ifndef SIM_LOGS_H
#define SIM_LOGS_H

#include "sim/cluster.h"

struct log_entry {
    uint64_t term, checksum;
};

struct log_copy {
    struct log_entry *entries; /* by index - 1 */
    size_t n, room;
};

void log_copy_deinit(struct log_copy *l);
/* Read the log of @node from @disk and tell the judge of its entries and votes. */
void log_copy_read(struct cluster *c, unsigned node, struct sim_disk *disk,
                   struct log_copy *out);

/* Every committed entry stands on a quorum of disks, whatever loses its power now. */
void logs_check(struct cluster *c);
/* @node has lost its power: what its leader counts on is still there. */
void logs_check_node(struct cluster *c, unsigned node);

#endif
