/*
 * peers.c - the set of links: opening and closing it, strangers at the door, the tick, sending.
 *
 * Place in the system: the functions of peer.h are here. link.c and conn.c do what happens between.
 *
 * Sending never calls the host back: a link that has to go down because of it (its queue is full) is only
 * marked, and taken down at the end of the turn. The tick is one timer for all connections; they
 * count ticks, so that sending and receiving need not look at the clock.
 */
#include "peer/internal.h"

#include "base/error.h"
#include "base/format.h"

#include <stdlib.h>
#include <string.h>

/* ---- the list of connections ------------------------------------------------------------------ */

static void arm_tick(struct peers *p)
{
    p->ticking = true;
    io_timer_set(p->io, &p->tick, io_now(p->io) + PEER_TICK);
}

void peers_add(struct peers *p, struct peer_conn *conn)
{
    conn->prev = p->last;
    *(p->last != NULL ? &p->last->next : &p->first) = conn;
    p->last = conn;
    if (!p->ticking) {
        arm_tick(p);
    }
}

void peers_remove(struct peers *p, struct peer_conn *conn)
{
    COR_ASSERT(conn->state == PEER_CONN_CLOSED && !peer_conn_is_attached(conn));
    *(conn->prev != NULL ? &conn->prev->next : &p->first) = conn->next;
    *(conn->next != NULL ? &conn->next->prev : &p->last) = conn->prev;
    peer_frame_deinit(&conn->in);
    free(conn);
    if (p->closing && p->first == NULL) {
        io_defer(p->io, &p->task);
    }
}

static void on_tick(struct io_timer *timer)
{
    struct peers *p = CONTAINER_OF(timer, struct peers, tick);
    p->ticking = false;
    for (struct peer_conn *conn = p->first; conn != NULL; conn = conn->next) {
        peer_conn_tick(conn);
    }
    if (p->first != NULL) {
        arm_tick(p);
    }
}

static void on_task(struct io_task *task)
{
    struct peers *p = CONTAINER_OF(task, struct peers, task);
    for (size_t i = 0; i < p->n_links; i++) {
        struct peer_link *link = &p->links[i];
        if (link->doomed != NULL) {
            peer_conn_close(link->conns[0], link->doomed);
        }
    }
    if (p->closing && p->first == NULL && !p->closed) {
        p->closed = true;
        p->on_closed(p->on_closed_arg);
    }
}

/* ---- strangers ---------------------------------------------------------------------------------- */

static bool is_stranger(const struct peer_conn *conn)
{
    return conn->state != PEER_CONN_CLOSED && !conn->dialed && !peer_conn_is_attached(conn);
}

void peers_say_stranger(struct peers *p, const struct peer_conn *conn, const char *why)
{
    uint64_t now = io_now(p->io);
    if (p->closing) {
        return;
    }
    if (p->stranger_event_at != 0 && now < p->stranger_event_at + PEER_STRANGER_EVENTS) {
        p->strangers_unsaid++;
        return;
    }
    char from[IO_ADDRESS_MAX];
    p->io->ops->stream_peer(conn->stream, from, sizeof from);
    event_emit(p->events, EVENT_WARN, "peer", "stranger_dropped", event_text("from", from),
               event_text("reason", why), event_u64("others_unsaid", p->strangers_unsaid));
    p->stranger_event_at = now;
    p->strangers_unsaid = 0;
}

/* There is room for so many who have not said who they are. One more takes the place of the oldest: who
 * means it says hello within a round trip, who hoards connections waits. */
static void on_accept(void *arg, struct io_stream *s)
{
    struct peers *p = arg;
    struct peer_conn *oldest = NULL;
    unsigned n = 0;
    if (p->closing) {
        return;
    }
    for (struct peer_conn *conn = p->first; conn != NULL; conn = conn->next) {
        if (is_stranger(conn)) {
            oldest = oldest != NULL ? oldest : conn;
            n++;
        }
    }
    if (n >= PEER_STRANGERS_MAX) {
        peer_conn_close(oldest, "too many connections that say no hello");
    }
    peer_conn_accept(p, s);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static enum cor_status check_options(const struct peers_options *o, struct cor_error *err)
{
    for (size_t i = 0; i < o->n_members; i++) {
        const char *name = o->members[i].name;
        if (name[0] == '\0' || strlen(name) > PEER_NAME_MAX) {
            return error_set(err, COR_EINVAL, "a member's name has 1 to %u bytes",
                             PEER_NAME_MAX);
        }
        if (strlen(o->members[i].address) >= IO_ADDRESS_MAX) {
            return error_set(err, COR_EINVAL, "the address of %s is too long", name);
        }
        bool twice = strcmp(name, o->hello.name) == 0;
        for (size_t j = 0; j < i; j++) {
            twice = twice || strcmp(name, o->members[j].name) == 0;
        }
        if (twice) {
            return error_set(err, COR_EINVAL, "two members are called %s", name);
        }
    }
    return COR_OK;
}

static void init_link(struct peers *p, size_t i, const struct peer_member *member)
{
    struct peer_link *link = &p->links[i];
    link->peers = p;
    link->index = i;
    format_to(link->name, sizeof link->name, "%s", member->name);
    format_to(link->address, sizeof link->address, "%s", member->address);
    link->dials = strcmp(p->hello.name, link->name) < 0;
    link->redial.fire = peer_link_on_redial;
}

enum cor_status peers_open(const struct peers_options *o, struct cor_error *err,
                           struct peers **out)
{
    enum cor_status st = check_options(o, err);
    if (st != COR_OK) {
        return st;
    }
    struct peers *p = calloc(1, sizeof *p + o->n_members * sizeof p->links[0]);
    struct peer_frame_stage *stage = malloc(sizeof *stage);
    if (p == NULL || stage == NULL) {
        st = error_set(err, COR_ENOMEM, "no memory for %zu peers", o->n_members);
        goto free_memory;
    }
    p->io = o->io;
    p->events = o->events;
    p->callbacks = o->callbacks;
    p->arg = o->arg;
    p->stage = stage;
    p->n_links = o->n_members;
    p->tick.fire = on_tick;
    p->task.run = on_task;
    io_random(p->io, &p->prng.state, sizeof p->prng.state);
    peers_set_hello(p, &o->hello);
    for (size_t i = 0; i < o->n_members; i++) {
        init_link(p, i, &o->members[i]);
    }
    if (o->listen != NULL) {
        st = io_listen(p->io, o->listen, on_accept, p, NULL, &p->listener, err);
        if (st != COR_OK) {
            goto free_memory;
        }
    }
    for (size_t i = 0; i < p->n_links; i++) {
        if (p->links[i].dials) {
            peer_link_dial(&p->links[i]);
        }
    }
    *out = p;
    return COR_OK;

free_memory:
    free(stage);
    free(p);
    return st;
}

void peers_close(struct peers *p, void (*done)(void *arg), void *arg)
{
    COR_ASSERT(!p->closing);
    p->closing = true;
    p->on_closed = done;
    p->on_closed_arg = arg;
    if (p->listener != NULL) {
        io_listener_close(p->listener);
        p->listener = NULL;
    }
    for (size_t i = 0; i < p->n_links; i++) {
        io_timer_clear(p->io, &p->links[i].redial);
    }
    for (struct peer_conn *conn = p->first; conn != NULL; conn = conn->next) {
        peer_conn_close(conn, "this node is stopping");
    }
    io_defer(p->io, &p->task);
}

void peers_free(struct peers *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->n_links; i++) {
        io_timer_clear(p->io, &p->links[i].redial);
    }
    io_timer_clear(p->io, &p->tick);
    io_cancel(p->io, &p->task);
    while (p->first != NULL) { /* the world was crashed: their streams will never call back */
        struct peer_conn *conn = p->first;
        p->first = conn->next;
        peer_frame_deinit(&conn->in);
        free(conn);
    }
    free(p->stage);
    free(p);
}

void peers_set_hello(struct peers *p, const struct peer_hello *hello)
{
    p->hello = *hello;
    p->hello.protocol_min = PEER_PROTOCOL_MIN;
    p->hello.protocol_max = PEER_PROTOCOL_MAX;
}

/* ---- views ------------------------------------------------------------------------------------------ */

static const struct peer_link *link_at(const struct peers *p, size_t peer)
{
    COR_ASSERT(peer < p->n_links);
    return &p->links[peer];
}

bool peers_is_up(const struct peers *p, size_t peer)
{
    return link_at(p, peer)->up;
}

const struct peer_hello *peers_hello(const struct peers *p, size_t peer)
{
    const struct peer_link *link = link_at(p, peer);
    return link->has_hello ? &link->hello : NULL;
}

size_t peers_queued(const struct peers *p, size_t peer)
{
    const struct peer_link *link = link_at(p, peer);
    return link->up ? io_stream_queued(link->conns[PEER_ROLE_DATA - 1]->stream) : 0;
}

void peers_get_stats(const struct peers *p, struct peer_stats *out)
{
    *out = p->stats;
}

/* ---- sending ---------------------------------------------------------------------------------------- */

static void doom(struct peer_link *link, const char *why)
{
    link->doomed = why;
    io_defer(link->peers->io, &link->peers->task);
}

/* The connection for a message of about @size bytes; NULL: it is dropped. */
static struct peer_conn *ready(struct peers *p, size_t peer, enum peer_role role, size_t size)
{
    COR_ASSERT(peer < p->n_links);
    struct peer_link *link = &p->links[peer];
    if (!link->up || link->doomed != NULL || size > PEER_MESSAGE_MAX) {
        return NULL;
    }
    struct peer_conn *conn = link->conns[role - 1];
    COR_ASSERT(conn->state == PEER_CONN_UP);
    if (io_stream_queued(conn->stream) + size > PEER_QUEUE_BYTES_MAX) {
        doom(link, "it does not read: its queue is full");
        return NULL;
    }
    return conn;
}

static bool finish(struct peer_conn *conn, struct peer_frame_writer *f)
{
    peer_frame_end(f);
    peer_conn_sent(conn, f);
    if (f->st != COR_OK) {
        doom(conn->link, cor_status_text(f->st));
        return false;
    }
    conn->peers->stats.messages_sent++;
    return true;
}

static void put_message(struct peer_frame_writer *f, const struct cor_raft_message *message)
{
    unsigned char bytes[PEER_MESSAGE_SIZE_MAX];
    struct writer w = writer_of(bytes, sizeof bytes);
    peer_message_encode(&w, message);
    COR_ASSERT(writer_ok(&w));
    peer_frame_put(f, (struct cor_bytes){bytes, w.used});
}

bool peers_send(struct peers *p, size_t peer, const struct cor_raft_message *message)
{
    if (message->type == COR_RAFT_MSG_APPEND) {
        COR_ASSERT(message->n_entries == 0);
        return peers_send_append(p, peer, message, NULL);
    }
    struct peer_conn *conn = ready(p, peer, PEER_ROLE_CONTROL, PEER_MESSAGE_SIZE_MAX);
    if (conn == NULL) {
        return false;
    }
    struct peer_frame_writer f = peer_frame_begin(conn->stream, p->stage, PEER_FRAME_MESSAGE);
    put_message(&f, message);
    return finish(conn, &f);
}

bool peers_send_append(struct peers *p, size_t peer, const struct cor_raft_message *message,
                       const struct peer_entry *entries)
{
    COR_ASSERT(message->type == COR_RAFT_MSG_APPEND);
    COR_ASSERT(message->n_entries <= PEER_ENTRIES_MAX);
    size_t size = PEER_MESSAGE_SIZE_MAX + (size_t)message->n_entries * PEER_ENTRY_HEAD_MAX;
    for (uint32_t i = 0; i < message->n_entries; i++) {
        size += entries[i].payload.len;
    }
    struct peer_conn *conn = ready(p, peer, PEER_ROLE_DATA, size);
    if (conn == NULL) {
        return false;
    }
    struct peer_frame_writer f = peer_frame_begin(conn->stream, p->stage, PEER_FRAME_APPEND);
    put_message(&f, message);
    for (uint32_t i = 0; i < message->n_entries; i++) {
        unsigned char head[PEER_ENTRY_HEAD_MAX];
        struct writer w = writer_of(head, sizeof head);
        peer_entry_encode_head(&w, &entries[i]);
        COR_ASSERT(writer_ok(&w));
        peer_frame_put(&f, (struct cor_bytes){head, w.used});
        peer_frame_put(&f, entries[i].payload);
    }
    return finish(conn, &f);
}

static bool send_request(struct peers *p, size_t peer, enum peer_frame_type type,
                         const struct peer_request *q)
{
    enum peer_role role =
        q->body.len <= PEER_SMALL_BODY_MAX ? PEER_ROLE_CONTROL : PEER_ROLE_DATA;
    struct peer_conn *conn = ready(p, peer, role, PEER_REQUEST_HEAD_MAX + q->body.len);
    if (conn == NULL) {
        return false;
    }
    unsigned char head[PEER_REQUEST_HEAD_MAX];
    struct writer w = writer_of(head, sizeof head);
    peer_request_encode_head(&w, q);
    COR_ASSERT(writer_ok(&w));
    struct peer_frame_writer f = peer_frame_begin(conn->stream, p->stage, type);
    peer_frame_put(&f, (struct cor_bytes){head, w.used});
    peer_frame_put(&f, q->body);
    return finish(conn, &f);
}

bool peers_send_request(struct peers *p, size_t peer, const struct peer_request *request)
{
    return send_request(p, peer, PEER_FRAME_REQUEST, request);
}

bool peers_send_answer(struct peers *p, size_t peer, const struct peer_request *answer)
{
    return send_request(p, peer, PEER_FRAME_ANSWER, answer);
}
