/*
 * conn.c - one connection: its states, and what the frames that arrive on it do.
 *
 * Place in the system: the callbacks of a byte stream of io/ come in here; whole messages go to the host's
 * callbacks, changes of state to link.c. The drawing of the states is in internal.h; the tables below are
 * the same as data: which state may follow which, and which frames a state takes. A frame that its table
 * does not list closes the connection before a byte of its payload is kept.
 *
 * Any callback of the host may close this connection, or all of them. A closed one stays in memory until
 * its stream's on_close, so code that goes on after a callback looks at the state again, and that is all
 * it needs to do. What was received stays as long, too: the host may still look at the message that it was given.
 */
#include "peer/internal.h"

#include "base/error.h"

#include <stdlib.h>

/* ---- states ------------------------------------------------------------------------------------ */

#define TO(state) (1u << PEER_CONN_##state)

static const uint8_t successors[PEER_N_CONN_STATES] = {
    [PEER_CONN_DIALING] = TO(GREETING) | TO(CLOSED),
    [PEER_CONN_GREETING] = TO(WELCOMING) | TO(REFUSING) | TO(CLOSED),
    [PEER_CONN_WELCOMING] = TO(UP) | TO(REFUSING) | TO(CLOSED),
    [PEER_CONN_UP] = TO(CLOSED),
    [PEER_CONN_REFUSING] = TO(CLOSED),
    [PEER_CONN_CLOSED] = 0,
};

/* Ticks that a state may last; 0: for ever. */
static const uint8_t patience[PEER_N_CONN_STATES] = {
    [PEER_CONN_DIALING] = PEER_DIAL_TICKS,
    [PEER_CONN_GREETING] = PEER_GREETING_TICKS,
    [PEER_CONN_WELCOMING] = PEER_GREETING_TICKS,
    [PEER_CONN_REFUSING] = PEER_REFUSING_TICKS,
};

#define REFUSED_RULE [PEER_FRAME_REFUSED] = {true, 2u + PEER_REASON_MAX}
#define SMALL_MAX    (PEER_REQUEST_HEAD_MAX + PEER_SMALL_BODY_MAX)

static const struct peer_frame_rules rules_greeting = {
    {[PEER_FRAME_HELLO] = {true, PEER_HELLO_SIZE_MAX}, REFUSED_RULE}};
static const struct peer_frame_rules rules_welcoming = {
    {[PEER_FRAME_WELCOME] = {true, 0}, REFUSED_RULE}};
/* The other side may have accepted our hello before it saw our refusal; and where the other half of the pair was
 * refused, the hello of this one is still on its way. */
static const struct peer_frame_rules rules_refusing = {
    {[PEER_FRAME_HELLO] = {true, PEER_HELLO_SIZE_MAX},
     [PEER_FRAME_WELCOME] = {true, 0},
     REFUSED_RULE}};
static const struct peer_frame_rules rules_control = {{
    REFUSED_RULE,
    [PEER_FRAME_WELCOME] = {true, 0},
    [PEER_FRAME_PING] = {true, 0},
    [PEER_FRAME_MESSAGE] = {true, PEER_MESSAGE_SIZE_MAX},
    [PEER_FRAME_REQUEST] = {true, SMALL_MAX},
    [PEER_FRAME_ANSWER] = {true, SMALL_MAX},
}};
static const struct peer_frame_rules rules_data = {{
    REFUSED_RULE,
    [PEER_FRAME_WELCOME] = {true, 0},
    [PEER_FRAME_PING] = {true, 0},
    [PEER_FRAME_APPEND] = {true, PEER_MESSAGE_MAX},
    [PEER_FRAME_REQUEST] = {true, PEER_MESSAGE_MAX},
    [PEER_FRAME_ANSWER] = {true, PEER_MESSAGE_MAX},
}};

_Static_assert(SMALL_MAX <= PEER_CHUNK, "what is small travels in one frame");

static const struct peer_frame_rules *rules_of(const struct peer_conn *conn)
{
    switch ((enum peer_conn_state)conn->state) {
    case PEER_CONN_GREETING:
        return &rules_greeting;
    case PEER_CONN_WELCOMING:
        return &rules_welcoming;
    case PEER_CONN_REFUSING:
        return &rules_refusing;
    case PEER_CONN_UP:
        return conn->role == PEER_ROLE_CONTROL ? &rules_control : &rules_data;
    case PEER_CONN_DIALING:
    case PEER_CONN_CLOSED:
    case PEER_N_CONN_STATES:
        break;
    }
    COR_ASSERT(false);
    return NULL;
}

static void enter(struct peer_conn *conn, enum peer_conn_state state)
{
    COR_ASSERT((successors[conn->state] & 1u << state) != 0);
    conn->state = (uint8_t)state;
    conn->state_ticks = 0;
}

bool peer_conn_is_attached(const struct peer_conn *conn)
{
    return conn->link != NULL && conn->role != PEER_ROLE_NONE &&
           conn->link->conns[conn->role - 1] == conn;
}

/* ---- sending ----------------------------------------------------------------------------------- */

void peer_conn_sent(struct peer_conn *conn, const struct peer_frame_writer *f)
{
    conn->unsent_ticks = 0;
    conn->peers->stats.bytes_sent += f->sent;
}

static void send_frame(struct peer_conn *conn, enum peer_frame_type type,
                       struct cor_bytes payload)
{
    struct peer_frame_writer f = peer_frame_begin(conn->stream, conn->peers->stage, type);
    peer_frame_put(&f, payload);
    peer_frame_end(&f);
    peer_conn_sent(conn, &f);
}

static void send_hello(struct peer_conn *conn)
{
    struct peer_greeting g = {.hello = conn->peers->hello,
                              .role = conn->dialed ? conn->role : (uint8_t)PEER_ROLE_NONE,
                              .attempt = conn->attempt};
    unsigned char bytes[PEER_HELLO_SIZE_MAX];
    struct writer w = writer_of(bytes, sizeof bytes);
    peer_greeting_encode(&w, &g);
    COR_ASSERT(writer_ok(&w));
    send_frame(conn, PEER_FRAME_HELLO, (struct cor_bytes){bytes, w.used});
}

/* ---- the end ----------------------------------------------------------------------------------- */

/* @conn counts no more, whoever ended it. */
static void finish(struct peer_conn *conn, const char *why)
{
    bool attached = peer_conn_is_attached(conn);
    bool stranger = !conn->dialed && conn->state == PEER_CONN_GREETING;
    enter(conn, PEER_CONN_CLOSED);
    if (attached) {
        peer_link_lost(conn->link, conn, why);
    } else if (stranger) {
        peers_say_stranger(conn->peers, conn, why);
    }
}

void peer_conn_close(struct peer_conn *conn, const char *why)
{
    if (conn->state != PEER_CONN_CLOSED) {
        io_stream_close(conn->stream, false);
        finish(conn, why);
    }
}

/* Say no, and why; then wait for the other side to close. Closing first could destroy the sentence on its
 * way: a system that still has unread bytes answers a close with a reset. */
static void say_no(struct peer_conn *conn, const struct cor_error *why)
{
    unsigned char bytes[2 + PEER_REASON_MAX];
    struct writer w = writer_of(bytes, sizeof bytes);
    peer_refusal_encode(&w, why);
    COR_ASSERT(writer_ok(&w));
    send_frame(conn, PEER_FRAME_REFUSED, (struct cor_bytes){bytes, w.used});
    enter(conn, PEER_CONN_REFUSING);
}

/* The other half of a pair hears it, too: were it closed instead, the other side might see that first, give
 * up the pair, and never read why. */
static void refuse_link(struct peer_conn *conn, const struct cor_error *why)
{
    struct peer_link *link = conn->link;
    struct peer_conn **pair = &link->conns[PEER_N_ROLES - conn->role];
    if (*pair != NULL &&
        ((*pair)->state == PEER_CONN_GREETING || (*pair)->state == PEER_CONN_WELCOMING)) {
        say_no(*pair, why);
        *pair = NULL;
    }
    link->refused = true;
    peer_link_lost(link, conn, "its hello was refused");
}

static void refuse(struct peer_conn *conn, const struct cor_error *why)
{
    say_no(conn, why);
    if (conn->link == NULL) {
        peers_say_stranger(conn->peers, conn, why->text);
        return;
    }
    peer_link_say(conn->link, "hello_refused", why->text);
    if (peer_conn_is_attached(conn)) {
        refuse_link(conn, why);
    }
}

static void on_bad_frame(struct peer_conn *conn, enum peer_frame_result result)
{
    const char *text = peer_frame_result_text(result);
    if (result == PEER_FRAME_BAD_GROUP && conn->state == PEER_CONN_GREETING) {
        struct cor_error err;
        error_set(&err, COR_EFOREIGN, "%s serves group 0 only", conn->peers->hello.name);
        refuse(conn, &err);
        conn->deaf = true;
        return;
    }
    if (conn->link != NULL) {
        peer_link_say(conn->link, "garbage_received", text);
    }
    peer_conn_close(conn, text);
}

/* ---- frames ------------------------------------------------------------------------------------ */

static void on_hello(struct peer_conn *conn, struct cor_bytes payload)
{
    struct peer_greeting g;
    struct peer_link *link;
    struct cor_error err = {0};
    bool welcome = peer_greet(conn, payload, &g, &link, &err);
    if (conn->state != PEER_CONN_GREETING) {
        return; /* the host closed everything from inside on_hello */
    }
    conn->link = link;
    if (!welcome) {
        refuse(conn, &err);
        return;
    }
    conn->incarnation = g.hello.incarnation;
    if (!conn->dialed) {
        conn->role = g.role;
        conn->attempt = g.attempt;
    }
    enter(conn, PEER_CONN_WELCOMING);
    send_frame(conn, PEER_FRAME_WELCOME, (struct cor_bytes){0});
    link->hello = g.hello;
    link->has_hello = true;
    peer_link_attach(link, conn);
}

static void on_refused(struct peer_conn *conn, struct cor_bytes payload)
{
    struct peers *p = conn->peers;
    struct peer_link *link = conn->link;
    struct cor_error err;
    if (!peer_refusal_decode(payload, &err)) {
        on_bad_frame(conn, PEER_FRAME_BAD_SIZE);
        return;
    }
    if (link != NULL) {
        link->refused = link->refused || peer_conn_is_attached(conn);
        peer_link_say(link, "refused_by_peer", err.text);
    }
    peer_conn_close(conn, "refused by the other side");
    if (link != NULL && !p->closing) {
        p->callbacks->on_refused(p->arg, link->name, &err);
    }
}

void peer_conn_set_up(struct peer_conn *conn)
{
    enter(conn, PEER_CONN_UP);
    conn->silent_ticks = 0;
}

static bool on_welcome(struct peer_conn *conn)
{
    if (conn->welcomed) {
        return false;
    }
    conn->welcomed = true;
    if (conn->state == PEER_CONN_WELCOMING) {
        peer_conn_set_up(conn);
        peer_link_check(conn->link);
    }
    return true;
}

/* An append: @r is past the message. Entries are decoded into memory for this call only: a small one of
 * the stack or, for large batches, of the heap. */
#define ENTRIES_ON_STACK 32u

static bool decode_entries(struct reader *r, struct cor_raft_message *m,
                           struct peer_entry *entries, struct cor_raft_entry *heads)
{
    for (uint32_t i = 0; i < m->n_entries; i++) {
        if (!peer_entry_decode(r, &entries[i])) {
            return false;
        }
        heads[i] = (struct cor_raft_entry){.term = entries[i].term,
                                           .type = entries[i].type,
                                           .size = (uint32_t)entries[i].payload.len};
    }
    m->entries = m->n_entries > 0 ? heads : NULL;
    return reader_done(r);
}

static bool deliver_append(struct peer_conn *conn, struct reader *r, struct cor_raft_message *m,
                           struct peer_entry *entries, struct cor_raft_entry *heads)
{
    struct peers *p = conn->peers;
    return decode_entries(r, m, entries, heads) &&
           p->callbacks->on_message(p->arg, conn->link->index, m, entries);
}

static bool on_append(struct peer_conn *conn, struct cor_bytes payload)
{
    struct reader r = reader_of(payload);
    struct cor_raft_message m;
    if (!peer_message_decode(&r, &m) || m.type != COR_RAFT_MSG_APPEND ||
        m.n_entries > PEER_ENTRIES_MAX ||
        m.n_entries > (size_t)(r.end - r.at) / PEER_ENTRY_HEAD_MIN) {
        return false;
    }
    if (m.n_entries <= ENTRIES_ON_STACK) {
        struct peer_entry entries[ENTRIES_ON_STACK];
        struct cor_raft_entry heads[ENTRIES_ON_STACK];
        return deliver_append(conn, &r, &m, entries, heads);
    }
    struct peer_entry *entries = malloc(m.n_entries * sizeof *entries);
    struct cor_raft_entry *heads = malloc(m.n_entries * sizeof *heads);
    bool ok = entries != NULL && heads != NULL && deliver_append(conn, &r, &m, entries, heads);
    free(heads);
    free(entries);
    return ok;
}

static bool on_message(struct peer_conn *conn, struct cor_bytes payload)
{
    struct peers *p = conn->peers;
    struct reader r = reader_of(payload);
    struct cor_raft_message m;
    return peer_message_decode(&r, &m) && reader_done(&r) && m.type != COR_RAFT_MSG_APPEND &&
           m.n_entries == 0 && p->callbacks->on_message(p->arg, conn->link->index, &m, NULL);
}

static bool on_request(struct peer_conn *conn, uint8_t type, struct cor_bytes payload)
{
    struct peers *p = conn->peers;
    struct peer_request q;
    if (!peer_request_decode(payload, &q)) {
        return false;
    }
    if (type == PEER_FRAME_REQUEST) {
        p->callbacks->on_request(p->arg, conn->link->index, &q);
    } else {
        p->callbacks->on_answer(p->arg, conn->link->index, &q);
    }
    return true;
}

/* Something for the host. False: it made no sense. */
static bool deliver(struct peer_conn *conn, const struct peer_frame_message *f)
{
    if (!conn->link->up && !peer_link_promote(conn->link)) {
        return false;
    }
    if (conn->state != PEER_CONN_UP) {
        return true; /* the host closed it from inside on_up */
    }
    conn->peers->stats.messages_received++;
    switch (f->type) {
    case PEER_FRAME_MESSAGE:
        return on_message(conn, f->payload);
    case PEER_FRAME_APPEND:
        return on_append(conn, f->payload);
    default:
        return on_request(conn, f->type, f->payload);
    }
}

static void on_frame(struct peer_conn *conn, const struct peer_frame_message *f)
{
    switch (f->type) {
    case PEER_FRAME_HELLO:
        if (conn->state == PEER_CONN_GREETING) {
            on_hello(conn, f->payload);
        }
        return;
    case PEER_FRAME_REFUSED:
        on_refused(conn, f->payload);
        return;
    case PEER_FRAME_PING:
        return;
    case PEER_FRAME_WELCOME:
        if (!on_welcome(conn)) {
            on_bad_frame(conn, PEER_FRAME_BAD_TYPE);
        }
        return;
    default:
        if (!deliver(conn, f) && conn->state != PEER_CONN_CLOSED) {
            peer_link_say(conn->link, "garbage_received", "a message that makes no sense");
            peer_conn_close(conn, "a message that makes no sense");
        }
    }
}

/* ---- the stream's callbacks ------------------------------------------------------------------- */

static void on_open(void *arg, struct io_stream *s)
{
    struct peer_conn *conn = arg;
    (void)s;
    if (conn->state == PEER_CONN_DIALING) {
        enter(conn, PEER_CONN_GREETING);
        send_hello(conn);
    }
}

static void on_data(void *arg, struct io_stream *s, struct cor_bytes data)
{
    struct peer_conn *conn = arg;
    (void)s;
    conn->silent_ticks = 0;
    conn->peers->stats.bytes_received += data.len;
    while (conn->state != PEER_CONN_CLOSED && !conn->deaf) {
        struct peer_frame_message f;
        enum peer_frame_result result = peer_frame_next(&conn->in, rules_of(conn), &data, &f);
        if (result == PEER_FRAME_MORE) {
            return;
        }
        if (result != PEER_FRAME_DONE) {
            on_bad_frame(conn, result);
            return;
        }
        on_frame(conn, &f);
    }
}

static void on_close(void *arg, struct io_stream *s, enum cor_status why)
{
    struct peer_conn *conn = arg;
    (void)s;
    if (conn->state != PEER_CONN_CLOSED) {
        finish(conn, why == COR_OK ? "closed by the other side" : cor_status_text(why));
    }
    peers_remove(conn->peers, conn);
}

static const struct io_stream_events stream_events = {
    .on_open = on_open, .on_data = on_data, .on_close = on_close};

/* ---- the beginning ------------------------------------------------------------------------------ */

enum cor_status peer_conn_dial(struct peer_link *link, enum peer_role role)
{
    struct peers *p = link->peers;
    struct peer_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return COR_ENOMEM;
    }
    *conn = (struct peer_conn){.peers = p,
                               .link = link,
                               .attempt = link->attempt,
                               .state = PEER_CONN_DIALING,
                               .role = (uint8_t)role,
                               .dialed = true};
    enum cor_status st = io_dial(p->io, link->address, &stream_events, conn, &conn->stream);
    if (st != COR_OK) {
        free(conn);
        return st;
    }
    link->conns[role - 1] = conn;
    peers_add(p, conn);
    return COR_OK;
}

void peer_conn_accept(struct peers *p, struct io_stream *s)
{
    struct peer_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL) {
        return; /* nobody took it: io/ closes it */
    }
    *conn = (struct peer_conn){.peers = p, .stream = s, .state = PEER_CONN_GREETING};
    io_stream_take(s, &stream_events, conn);
    peers_add(p, conn);
    send_hello(conn);
}

/* ---- time --------------------------------------------------------------------------------------- */

void peer_conn_tick(struct peer_conn *conn)
{
    if (conn->state == PEER_CONN_CLOSED) {
        return;
    }
    uint8_t limit = patience[conn->state];
    if (limit > 0) {
        if (++conn->state_ticks > limit) {
            peer_conn_close(conn, conn->state == PEER_CONN_DIALING ? "no answer to the call"
                                                                   : "no hello in time");
        }
        return;
    }
    /* Ticks, not time: when this process did not run for a while, what the other side sent meanwhile is
     * read before the next tick. */
    if (++conn->silent_ticks > PEER_SILENCE_TICKS) {
        peer_conn_close(conn, "silent for 3 s");
        return;
    }
    if (++conn->unsent_ticks >= PEER_PING_TICKS) {
        send_frame(conn, PEER_FRAME_PING, (struct cor_bytes){0});
    }
}
