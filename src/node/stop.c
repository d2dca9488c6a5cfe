/*
 * stop.c - the end: in order, when the owner asks for it, and failure.
 *
 * In order means: pending requests get their answers, or are told how far they got; what is on its way to the
 * disk arrives; the log is marked as synced, so that the next start need not look for a torn tail; the state
 * file notes how far the log is committed, so that the next start need not wait for a leader to apply it;
 * the links close, which tells the others at once. A node that failed skips what is about the disk.
 *
 * A leader first says goodbye: the others keep their clients' writes from then on, for the next leader. It
 * goes over both connections of a link, and what was passed on before it comes out before its answer; until
 * then such writes are still taken. It says goodbye again after the last answer, to know that they arrived. So a stop in order fails nobody's write but those of clients that are
 * connected to this node.
 */
#include "node/internal.h"

#define BYE_SIZE_DATA                                                                          \
    4097u /* bytes: the least that peers_send_request() sends over the data connection */
#define GOODBYE_PATIENCE (300 * NODE_MS)
#define STOP_LOOK        NODE_MS /* between two looks whether everything has come to rest */

/* ---- failure -------------------------------------------------------------------------------------- */

void node_fail(struct node *n, const struct cor_error *err)
{
    if (n->phase == NODE_FAILED) {
        return;
    }
    n->phase = NODE_FAILED;
    n->fatal = *err;
    event_emit(n->events, EVENT_ERROR, "node", "failed", event_text("reason", err->text));
    node_wake(n);
    if (n->in_turn) {
        io_timer_set(n->io, &n->next_turn, n->now);
    }
}

void node_tell_fatal(struct node *n)
{
    if (n->fatal_told) {
        return;
    }
    n->fatal_told = true;
    request_give_up_all(n, COR_ESTOPPED);
    if (n->stop_step == STOP_NOT && n->options.on_fatal != NULL) {
        n->options.on_fatal(n->options.arg, &n->fatal);
    }
}

/* ---- in order ---------------------------------------------------------------------------------------- */

void node_stop(struct node *n, uint64_t grace, void (*done)(void *arg), void *arg)
{
    COR_ASSERT(n->stop_step == STOP_NOT && done != NULL);
    n->stop_step = STOP_DRAINING;
    n->stop_done = done;
    n->stop_arg = arg;
    n->stop_at = io_now(n->io) + grace;
    if (n->phase != NODE_FAILED) {
        n->phase = NODE_STOPPING;
    }
    event_emit(n->events, EVENT_INFO, "node", "stopping", event_u64("pending", n->requests.n));
    /* In a turn of its own: this may be inside a callback of anything. */
    io_timer_set(n->io, &n->stop_timer, 0);
}

void stop_on_timer(struct io_timer *timer)
{
    node_wake(CONTAINER_OF(timer, struct node, stop_timer));
}

static bool is_failed(const struct node *n)
{
    return n->phase == NODE_FAILED;
}

/* Nothing of ours is on its way through the io. */
static bool is_at_rest(const struct node *n)
{
    return !n->state.running && !n->disk_free.running && !n->apply_reading &&
           !feed_is_reading(n) && (n->wal == NULL || wal_is_idle(n->wal));
}

static void on_state_written(struct node *n, enum cor_status st, const struct cor_error *err)
{
    (void)st; /* said already; the hint is for speed only */
    (void)err;
    n->stop_step = STOP_DISCONNECTED;
    node_wake(n);
}

static void on_disconnected(void *arg)
{
    struct node *n = arg;
    n->stop_step = STOP_DONE;
    node_wake(n);
}

/* ---- goodbye ------------------------------------------------------------------------------------------- */

static void say_goodbye(struct node *n)
{
    static const unsigned char padding[BYE_SIZE_DATA];
    n->goodbyes++;
    n->goodbye_until = n->now + GOODBYE_PATIENCE;
    for (size_t i = 0; i < n->n_members; i++) {
        size_t peer = i < n->self ? i : i - 1;
        if (i == n->self || !peers_is_up(n->peers, peer)) {
            continue;
        }
        struct peer_request q = {.id = 1, .kind = FORWARD_BYE, .timeout = NODE_S};
        n->members[i].byes += peers_send_request(n->peers, peer, &q);
        q.body = (struct cor_bytes){padding, sizeof padding};
        n->members[i].byes += peers_send_request(n->peers, peer, &q);
    }
}

void stop_on_bye(struct node *n, size_t peer, const struct peer_request *request)
{
    struct peer_request a = {.id = request->id, .kind = FORWARD_BYE, .body = request->body};
    a.body.len = a.body.len < BYE_SIZE_DATA ? a.body.len : BYE_SIZE_DATA;
    n->members[node_member_of_peer(n, peer)].leaving = true;
    (void)peers_send_answer(n->peers, peer, &a); /* the same way back: as long as the request */
}

void stop_on_bye_answer(struct node *n, size_t peer)
{
    struct member *m = &n->members[node_member_of_peer(n, peer)];
    if (m->byes > 0) {
        m->byes--;
    }
    node_wake(n);
}

/* Goodbyes that are not answered, and may still be: a member that hangs is not waited for. */
static bool awaits_goodbyes(const struct node *n)
{
    unsigned owed = 0;
    for (size_t i = 0; i < n->n_members; i++) {
        owed += n->members[i].byes;
    }
    return owed > 0 && n->now < n->goodbye_until;
}

/* ---- step by step ---------------------------------------------------------------------------------------- */

/* False: requests or goodbyes are on their way, and there is time. */
static bool is_drained(struct node *n)
{
    if (n->now >= n->stop_at || is_failed(n)) {
        return true;
    }
    if (n->goodbyes == 0 && node_leads(n)) {
        say_goodbye(n);
    }
    if (n->goodbyes == 1 && n->requests.n == 0 && !awaits_goodbyes(n)) {
        say_goodbye(n); /* behind the last answers: when it is answered they have arrived */
    }
    return n->requests.n == 0 && !awaits_goodbyes(n);
}

static void drain(struct node *n)
{
    hub_stop(n->hub);
    if (!is_drained(n)) {
        bool soon = awaits_goodbyes(n) && n->goodbye_until < n->stop_at;
        io_timer_set(n->io, &n->stop_timer, soon ? n->goodbye_until : n->stop_at);
        return;
    }
    request_give_up_all(n, COR_ESTOPPED);
    n->stop_step = STOP_WAL;
    if (n->wal != NULL) {
        wal_flush(n->wal);
    }
    struct io_timer *const timers[] = {&n->core_timer,    &n->next_turn,     &n->retry_timer,
                                       &n->idle_timer,    &n->session_timer, &n->form.timer,
                                       &n->requests.timer};
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        io_timer_clear(n->io, timers[i]);
    }
}

static void write_state(struct node *n)
{
    struct cor_raft_info info;
    cor_raft_get_info(n->raft, &info);
    n->sb.commit_hint = info.commit < info.durable ? info.commit : info.durable;
    n->stop_step = STOP_STATE;
    state_write(n, on_state_written);
}

static void disconnect(struct node *n)
{
    n->stop_step = STOP_CLOSING;
    if (n->peers == NULL) {
        n->stop_step = STOP_DONE;
    } else {
        peers_close(n->peers, on_disconnected, n);
    }
}

void stop_advance(struct node *n)
{
    if (n->stop_step == STOP_DRAINING) {
        drain(n);
    }
    if (n->stop_step == STOP_WAL && is_at_rest(n)) {
        n->stop_step = STOP_DISCONNECTED;
        if (n->wal != NULL && !is_failed(n)) {
            n->stop_step = STOP_MARK;
            wal_mark_idle(n->wal);
        }
    }
    if (n->stop_step == STOP_MARK && is_at_rest(n)) {
        if (is_failed(n)) {
            n->stop_step = STOP_DISCONNECTED;
        } else {
            write_state(n);
        }
    }
    if (n->stop_step == STOP_WAL || n->stop_step == STOP_MARK) {
        io_timer_set(n->io, &n->stop_timer, n->now + STOP_LOOK); /* not all of it calls back */
    }
    if (n->stop_step == STOP_DISCONNECTED) {
        disconnect(n);
    }
}

void stop_finish(struct node *n)
{
    COR_ASSERT(n->requests.n == 0);
    io_timer_clear(n->io, &n->stop_timer);
    n->stop_step = STOP_FINISHED;
    n->stop_done(n->stop_arg);
}
