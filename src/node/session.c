/*
 * session.c - client sessions that were idle for too long: the leader proposes that they expire (D4).
 *
 * Only the entry ends a session, on every node alike; what is decided here is when to propose it, by the cluster's
 * time. Idleness counts from when the leader put the session's last request into its log; so that no
 * session ends sooner after the *answer* to that request than it was promised, we wait for the time that an answer
 * may take on top. A timer is set while we lead and there is a session, for no earlier than one can expire: a node
 * without sessions is not woken.
 */
#include "node/internal.h"

/* The timer may stand too early, never too late. */
static void arm(struct node *n, uint64_t after)
{
    if (after >= IO_NEVER - n->now || (n->session_armed && n->session_at <= n->now + after)) {
        return;
    }
    n->session_armed = true;
    n->session_at = n->now + after;
    io_timer_set(n->io, &n->session_timer, n->session_at);
}

void session_tend(struct node *n)
{
    if (!node_leads(n) || n->phase != NODE_RUNNING || n->expiring || !write_clock_is_known(n)) {
        return;
    }
    uint64_t slack = n->options.request_timeout;
    uint64_t time = write_cluster_time(n);
    uint64_t then = time > slack ? time - slack : 0;
    uint64_t next;
    if (kv_session_due(n->kv, then, &next)) {
        const struct kv_op op = {
            .kind = KV_OP_SESSION, .session_do = KV_SESSION_EXPIRE, .number = then};
        (void)write_propose_own(n, &op, &n->expiring);
        arm(n, slack); /* if that is refused */
    } else if (next < UINT64_MAX - slack) {
        arm(n, next + slack - time);
    }
}

void session_on_timer(struct io_timer *timer)
{
    struct node *n = CONTAINER_OF(timer, struct node, session_timer);
    n->session_armed = false;
    n->now = io_now(n->io);
    if (node_is_live(n)) {
        session_tend(n);
    }
}
