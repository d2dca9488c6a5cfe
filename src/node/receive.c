/*
 * receive.c - what peers say: messages of the core, requests and answers, links that come and go.
 *
 * Messages are stepped as they arrive, each with the time read after its last byte; what they ask to be
 * written, applied or answered gathers until the end of the turn. The payloads of an append are copied
 * once, all into one buf that cache and log share; if there is no memory or no room for them, the
 * message is dropped, which the protocol allows.
 */
#include "node/internal.h"

#include <string.h>

static struct member *member_of(struct node *n, size_t peer)
{
    return &n->members[node_member_of_peer(n, peer)];
}

/* ---- messages ----------------------------------------------------------------------------------- */

/* NULL: out of memory. */
static struct buf *copy_payloads(const struct peer_entry *entries, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += entries[i].payload.len;
    }
    struct buf *b = buf_new(bytes);
    size_t at = 0;
    for (uint32_t i = 0; i < count && b != NULL; i++) {
        if (entries[i].payload.len > 0) {
            memcpy(b->data + at, entries[i].payload.ptr, entries[i].payload.len);
        }
        at += entries[i].payload.len;
    }
    return b;
}

static uint64_t bytes_of(const struct cor_raft_message *m)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < m->n_entries; i++) {
        bytes += m->entries[i].size;
    }
    return bytes;
}

static bool step_message(struct node *n, const struct cor_raft_message *m, uint64_t now,
                         const struct source *source)
{
    struct cor_raft_event event = {.type = COR_RAFT_EV_RECEIVE, .message = m};
    return core_step(n, &event, now, source) != COR_EPROTO;
}

static bool receive_append(struct node *n, const struct cor_raft_message *m,
                           const struct peer_entry *entries)
{
    for (uint32_t i = 0; i < m->n_entries; i++) {
        if (m->entries[i].size > WAL_ENTRY_SIZE_MAX) {
            return false;
        }
    }
    /* Without room the core still takes it for what it says about entries that we have; without
     * the core knowing why, a new entry would be one too many. */
    if (!log_has_room(n, bytes_of(m), m->n_entries) && !n->disk_full) {
        return true;
    }
    if (!cache_reserve(&n->cache, m->n_entries)) {
        return true;
    }
    trace_append(n, m, m->entries[m->n_entries - 1].term);
    struct source source = {.message = m, .entries = entries};
    source.bytes = copy_payloads(entries, m->n_entries);
    bool ok = source.bytes == NULL || step_message(n, m, io_now(n->io), &source);
    buf_unref(source.bytes);
    return ok;
}

/* A follower has more on its disk. */
static void trace_ack(struct node *n, struct member *m, const struct cor_raft_message *message)
{
    if (!node_leads(n) || message->term != n->info.term || message->reject) {
        return;
    }
    if (m->traced != 0 && message->match > m->traced) {
        trace_add(n, NODE_STEP_FOLLOWER_LOG, m->traced + 1, message->match - m->traced,
                  message->from);
    }
    m->traced = message->match > m->traced ? message->match : m->traced;
}

static bool on_message(void *arg, size_t peer, struct cor_raft_message *message,
                       const struct peer_entry *entries)
{
    struct node *n = arg;
    struct member *m = member_of(n, peer);
    if (!node_is_live(n)) {
        return true;
    }
    if (message->from != node_member_of_peer(n, peer) + 1) {
        return false;
    }
    uint64_t now = io_now(n->io);
    m->last_contact = now;
    if (message->commit > m->commit) {
        m->commit = message->commit;
    }
    if (message->type == COR_RAFT_MSG_APPEND_REPLY) {
        trace_ack(n, m, message);
    }
    if (message->type == COR_RAFT_MSG_APPEND && message->n_entries > 0) {
        return receive_append(n, message, entries);
    }
    return step_message(n, message, now, NULL);
}

/* ---- requests and answers -------------------------------------------------------------------------- */

static void on_request(void *arg, size_t peer, const struct peer_request *request)
{
    struct node *n = arg;
    if (request->kind == FORWARD_FORM) {
        form_on_request(n, peer, request);
    } else if (request->kind == FORWARD_BYE) {
        stop_on_bye(n, peer, request);
    } else {
        forward_on_request(n, peer, request);
    }
}

static void on_answer(void *arg, size_t peer, const struct peer_request *answer)
{
    struct node *n = arg;
    if (answer->kind == FORWARD_FORM) {
        form_on_answer(n, peer, answer);
    } else if (answer->kind == FORWARD_BYE) {
        stop_on_bye_answer(n, peer);
    } else {
        forward_on_answer(n, peer, answer);
    }
}

/* ---- links -------------------------------------------------------------------------------------------- */

static void on_up(void *arg, size_t peer)
{
    struct node *n = arg;
    struct member *m = member_of(n, peer);
    m->links++;
    m->refuses = false;
    m->leaving = false;
    if (n->phase == NODE_FORMING) {
        form_try(n);
    }
    n->retry = true;
    node_wake(n);
}

static void on_down(void *arg, size_t peer)
{
    struct node *n = arg;
    struct member *m = member_of(n, peer);
    m->links++;
    m->agrees = false;
    m->byes = 0;
    feed_reset(&m->feed);
    if (node_is_live(n)) {
        struct cor_raft_event event = {.type = COR_RAFT_EV_PEER_LOST,
                                       .lost = {.peer = node_member_of_peer(n, peer) + 1}};
        (void)core_step(n, &event, io_now(n->io), NULL);
    }
    forward_link_lost(n, peer);
    n->retry = true;
    node_wake(n);
}

const struct peer_events node_peer_events = {
    .on_hello = form_on_hello,
    .on_refused = form_on_refused,
    .on_up = on_up,
    .on_down = on_down,
    .on_message = on_message,
    .on_request = on_request,
    .on_answer = on_answer,
};
