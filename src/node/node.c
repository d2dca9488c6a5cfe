/* node.c - the parts of a node that others may look at, and watches by way of its hub. */
#include "node/internal.h"

const struct kv *node_kv(const struct node *n)
{
    return n->kv;
}

struct io *node_io(const struct node *n)
{
    return n->io;
}

const struct cor_raft *node_raft(const struct node *n)
{
    return n->raft;
}

enum cor_status node_watch_start(struct node *n, struct node_watch *w)
{
    return hub_watch_start(n->hub, w);
}

enum cor_status node_wait_start(struct node *n, struct node_wait *w, uint64_t timeout)
{
    return hub_wait_start(n->hub, w, timeout);
}
