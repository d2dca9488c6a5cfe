/*
 * internal.h - what the files of this room share: one connection, one link, the set of links.
 *
 *     peers.c    the set: opening, listening, strangers, the tick; sending
 *     link.c     a member: its two connections, dialing them, up and down
 *     conn.c     a connection: states, frames in
 *     greet.c    who is welcome
 *     frame.c, codec.c   bytes
 *
 * A connection belongs to the set from the moment there is a stream until the stream's on_close, which
 * frees it. It is *attached* to a link while link->conns[] points to it: a dialed one from the start, an
 * accepted one (a *stranger* until then) once its hello was accepted.
 */
#ifndef PEER_INTERNAL_H
#define PEER_INTERNAL_H

#include "base/assert.h"
#include "base/prng.h"
#include "peer/codec.h"
#include "peer/frame.h"
#include "peer/peer.h"

#define PEER_MS UINT64_C(1000000)
#define PEER_S  UINT64_C(1000000000)

#define PEER_TICK            (500 * PEER_MS)
#define PEER_PING_TICKS      2u  /* nothing was sent for so long: a ping */
#define PEER_SILENCE_TICKS   6u  /* nothing was received for so long: the connection is dead */
#define PEER_DIAL_TICKS      4u  /* to connect */
#define PEER_GREETING_TICKS  10u /* to exchange hellos, 5 s */
#define PEER_REFUSING_TICKS  2u  /* for the other side to read why and close */
#define PEER_STRANGERS_MAX   32u
#define PEER_STRANGER_EVENTS (10 * PEER_S) /* at most one event about strangers in that time */
#define PEER_REFUSAL_EVENTS  (60 * PEER_S) /* likewise about a member refused for one reason */
#define PEER_BACKOFF_MIN     (20 * PEER_MS)
#define PEER_BACKOFF_MAX     PEER_S
#define PEER_BACKOFF_REFUSED (5 * PEER_S)
#define PEER_STABLE          PEER_S /* a link that was up for so long begins its backoff anew */
#define PEER_SMALL_BODY_MAX  4096u  /* requests and answers on the control connection */

/*
 *              DIALING ----+
 *     on_open |            |
 *             v            v
 * accepted -> GREETING -> CLOSED     hello sent, theirs not seen
 *             |  |         ^
 *    accepted |  | refused |
 *             v  v         |
 *     WELCOMING->REFUSING -+         theirs accepted, ours not yet | REFUSED sent (also when the
 *             |            |         other connection of the pair was refused)
 *             v            |
 *             UP ----------+
 */
enum peer_conn_state {
    PEER_CONN_DIALING = 1,
    PEER_CONN_GREETING,
    PEER_CONN_WELCOMING,
    PEER_CONN_UP,
    PEER_CONN_REFUSING,
    PEER_CONN_CLOSED, /* closing: no frame counts any more; freed by on_close */
    PEER_N_CONN_STATES
};

struct peer_conn {
    struct peers *peers;
    struct peer_link *link; /* whose it is, or claims to be; NULL: not known */
    struct io_stream *stream;
    struct peer_conn *next, *prev; /* all of the set, oldest first */
    struct peer_frame_reader in;
    uint64_t attempt;     /* the dialer's number of this pair of connections */
    uint64_t incarnation; /* of the process at the other end */
    uint8_t state;        /* enum peer_conn_state */
    uint8_t role;         /* enum peer_role; NONE: a stranger's */
    bool dialed;
    bool welcomed;        /* their WELCOME arrived */
    bool deaf;            /* refused amid a frame: what comes is not looked at */
    uint8_t state_ticks;  /* ticks in this state */
    uint8_t unsent_ticks; /* ticks since something was sent */
    uint8_t silent_ticks; /* ticks since something was received */
};

struct peer_link {
    struct peers *peers;
    size_t index;
    char name[PEER_NAME_MAX + 1];
    char address[IO_ADDRESS_MAX];
    bool dials; /* this side does */
    bool up;
    bool refused;       /* by the other side, or by us: dial slowly */
    const char *doomed; /* not NULL: to be taken down at the end of the turn, for this reason */
    struct peer_conn *conns[PEER_N_ROLES]; /* by role - 1; the dialer's pair, or what arrived */
    struct io_timer redial;
    unsigned failures; /* in a row */
    uint64_t attempt;
    uint64_t up_at;
    bool has_hello;
    struct peer_hello hello;
    uint64_t refusal_hash, refusal_at; /* of the last event about it */
};

struct peers {
    struct io *io;
    struct event_sink *events;
    const struct peer_events *callbacks;
    void *arg;
    struct peer_hello hello;
    struct prng prng;
    struct io_listener *listener;
    struct peer_conn *first, *last;
    struct io_timer tick;
    bool ticking;        /* false: there are no connections */
    struct io_task task; /* what must not happen inside a call of the host */
    bool closing, closed;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
    uint64_t stranger_event_at; /* 0: never */
    uint64_t strangers_unsaid;  /* dropped since, without an event */
    struct peer_stats stats;
    struct peer_frame_stage *stage;
    size_t n_links;
    struct peer_link links[];
};

/* ---- greet.c --------------------------------------------------------------------------------- */

/* Judge the hello that arrived on @conn, and find the link it is for. False: *err says why it is not welcome;
 * *link is set if it is known whose it was. */
bool peer_greet(const struct peer_conn *conn, struct cor_bytes hello, struct peer_greeting *out,
                struct peer_link **link, struct cor_error *err);

/* ---- conn.c ---------------------------------------------------------------------------------- */

/* A connection for a stream that is dialed for @link, as @role. COR_ENOMEM, or what io_dial says. */
enum cor_status peer_conn_dial(struct peer_link *link, enum peer_role role);
/* A stranger's. */
void peer_conn_accept(struct peers *p, struct io_stream *s);
/* Close it, for a reason that is told if it was a stranger's or a link's. */
void peer_conn_close(struct peer_conn *conn, const char *why);
/* The other side has shown that our hello was accepted. */
void peer_conn_set_up(struct peer_conn *conn);
void peer_conn_tick(struct peer_conn *conn);
bool peer_conn_is_attached(const struct peer_conn *conn);
/* One message, sent. The stream closes by itself if it fails. */
void peer_conn_sent(struct peer_conn *conn, const struct peer_frame_writer *f);

/* ---- link.c ---------------------------------------------------------------------------------- */

void peer_link_dial(struct peer_link *link);
void peer_link_on_redial(struct io_timer *timer);
/* @conn, whose hello was accepted, is the link's from now on; what it replaces is closed. */
void peer_link_attach(struct peer_link *link, struct peer_conn *conn);
/* A connection of the link came up: is the link up? */
void peer_link_check(struct peer_link *link);
/* A message came before the link was up here: it is up there, so it is here. False: it cannot be. */
bool peer_link_promote(struct peer_link *link);
/* @conn is closing: if it is attached, the link is down. */
void peer_link_lost(struct peer_link *link, struct peer_conn *conn, const char *why);
/* Warn about this member; the same reason once a minute. */
void peer_link_say(struct peer_link *link, const char *event, const char *reason);

/* ---- peers.c --------------------------------------------------------------------------------- */

/* Into the list of connections; out of it, and freed. */
void peers_add(struct peers *p, struct peer_conn *conn);
void peers_remove(struct peers *p, struct peer_conn *conn);
/* Warn about a stranger; at most once in PEER_STRANGER_EVENTS, with a count of the others. */
void peers_say_stranger(struct peers *p, const struct peer_conn *conn, const char *why);

#endif
