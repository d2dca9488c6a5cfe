/*
 * read.h - what all reads of /db share: the mode, waiting for a change, and what is said about the answer.
 *
 * A read asks the node whether this node's store may answer; if it waits for a change and there was
 * none, it then waits; and after waiting in vain it asks again, so that "nothing changed" is not
 * the word of a node that was cut off meanwhile.
 */
#ifndef API_RAFTD_READ_H
#define API_RAFTD_READ_H

#include "api/internal.h"

#define RAFTD_READ_PARAMS                                                                      \
    (PARAM_BIT(PARAM_STALE) | PARAM_BIT(PARAM_CONSISTENT) | PARAM_BIT(PARAM_INDEX) |           \
     PARAM_BIT(PARAM_WAIT) | PARAM_BIT(PARAM_TIMEOUT) | PARAM_BIT(PARAM_REVISION))

struct raftd_read {
    struct exchange *x;
    struct kv_range range; /* bytes in the arena of x */
    enum node_read_mode mode;
    uint64_t timeout;  /* 0: the node's default */
    uint64_t index;    /* wait for a change after it; 0: do not */
    uint64_t patience; /* how long */
    uint64_t revision; /* 0: the newest */
    bool waiting, waited;
    struct node_wait wait;
    cor_node_id leader; /* as of the moment the store was found fit to answer */
    uint64_t last_contact_ms, lag;
};

/* Take what @p says. False: the exchange has failed. */
MUST_USE bool raftd_read_init(struct raftd_read *r, struct exchange *x, const struct params *p);
/* Begin; x->ops are set. In the end the exchange is ready, or has failed. */
void raftd_read_start(struct raftd_read *r);
/* For exchange_ops. */
void raftd_read_gone(struct raftd_read *r);
void raftd_read_stop(struct raftd_read *r);
/* The header lines of an answer. */
void raftd_read_headers(const struct raftd_read *r, struct extra *e);

/* All keys that begin with @prefix. False: no memory in @arena. */
MUST_USE bool raftd_prefix_range(struct arena *arena, struct cor_bytes prefix,
                                 struct kv_range *out);

#endif
