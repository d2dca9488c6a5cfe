/*
 * turn.c - the end of a turn of the loop: what gathered during it is done, together.
 *
 *     1. one reading of the clock, after the last byte that arrived
 *     2. reads are asked for, under one number for each mode
 *     3. writes are proposed in one batch (persist, send), or passed on to the leader
 *     4. the log begins to write
 *     5. what is committed is applied, and answered
 *     6. reads whose index is applied are answered
 *
 * The first callback of an owner is made in 3, after the clock was read for all that 2 asks: a read that
 * arrives later waits for the next turn, so no lease is ever looked at with a clock from before its read.
 * What comes up during the task is done in the next turn, so that the loop looks at its sockets in between.
 */
#include "node/internal.h"

void node_wake(struct node *n)
{
    if (!n->in_turn) { /* else the end of the turn looks whether something is left */
        io_defer(n->io, &n->turn);
    }
}

void node_on_next_turn(struct io_timer *timer)
{
    node_wake(CONTAINER_OF(timer, struct node, next_turn));
}

void node_on_retry(struct io_timer *timer)
{
    struct node *n = CONTAINER_OF(timer, struct node, retry_timer);
    n->retry_armed = false;
    n->retry = true;
    node_wake(n);
}

/* Formed, led, and everything that was committed when that became so is in the store. */
static void check_ready(struct node *n)
{
    if (n->told_ready || !node_is_live(n) || n->info.leader == 0) {
        return;
    }
    struct cor_raft_info info;
    uint64_t term = 0;
    cor_raft_get_info(n->raft, &info);
    if (cor_raft_term_at(n->raft, info.commit, &term) != COR_OK || term != info.term ||
        n->applied < info.commit) {
        return; /* the leader's own first entry tells how far the log is committed (6.4) */
    }
    n->told_ready = true;
    event_emit(n->events, EVENT_INFO, "node", "ready", event_u64("term", info.term),
               event_u64("applied", n->applied));
    if (n->options.on_ready != NULL) {
        n->options.on_ready(n->options.arg);
    }
}

/* Something waits although there is a leader: it is out of reach, or has no room. Or the log could not be
 * read for want of memory. */
static void arm_retry(struct node *n)
{
    bool waits = n->waiting_writes.n > 0 || n->waiting_reads.n > 0;
    if (((waits && n->info.leader != 0) || n->apply_starved) && !n->retry_armed) {
        n->retry_armed = true;
        io_timer_set(n->io, &n->retry_timer, n->now + NODE_RETRY);
    }
}

static bool has_work(const struct node *n)
{
    if (n->phase == NODE_FAILED || n->stop_step > STOP_DRAINING) {
        return false;
    }
    return n->fresh_writes.n > 0 || n->fresh_reads.n > 0 || n->stale_reads.n > 0 || n->retry ||
           (n->applied < n->apply_to && !n->apply_reading && !n->apply_starved);
}

static void do_turn(struct node *n)
{
    n->retrying = n->retry;
    n->retry = false;
    if (n->raft != NULL) {
        cor_raft_get_info(n->raft, &n->info);
    }
    read_ask(n);
    write_take_fresh(n);
    if (n->wal != NULL) {
        wal_flush(n->wal);
    }
    apply_some(n);
    read_serve(n);
    check_ready(n);
    if (n->raft != NULL) {
        core_trim_cache(n);
    }
    arm_retry(n);
}

void node_run_turn(struct io_task *task)
{
    struct node *n = CONTAINER_OF(task, struct node, turn);
    n->in_turn = true;
    n->now = io_now(n->io);
    if (n->phase != NODE_FAILED && n->stop_step <= STOP_DRAINING) {
        do_turn(n);
    }
    if (n->phase == NODE_FAILED) {
        node_tell_fatal(n);
    }
    if (n->stop_step != STOP_NOT) {
        stop_advance(n);
    }
    n->in_turn = false;
    if (n->stop_step == STOP_DONE) {
        stop_finish(n); /* the node may be gone now */
    } else if (has_work(n)) {
        io_timer_set(n->io, &n->next_turn, n->now);
    }
}
