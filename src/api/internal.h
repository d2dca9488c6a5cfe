/*
 * internal.h - what the files of this room share: connections, exchanges, answers, routes.
 *
 *     api.c       the set of connections: accepting, deadlines, stopping
 *     conn.c      one connection: bytes to exchanges, answers in order, back-pressure
 *     exchange.c  one request and its answer; memory; errors
 *     again.c     connections that go on in the next turn, and how much one turn may bring
 *     answer.c    the bytes of answers, gathered
 *     door.c      who may ask: Host and Origin
 *     router.c    the table of routes
 *     params.c    query parameters
 *     session.c   client sessions: /session, and the header Idempotency-Key
 *     raftd/      /db: keys, listing, watch
 *     consul/     /v1: Consul's HTTP API
 *     ops/        health, status, metrics, trace
 *
 * A request becomes an *exchange*, which waits in its connection's queue. Its handler starts what is to be
 * done and later says that the exchange is ready; the answer is *rendered* only when it is the first in the
 * queue, at the end of the turn: so answers leave in order, a value is never copied just to wait for
 * an earlier answer, and all answers of a turn go into few sends. A read that was allowed to be answered
 * earlier and is rendered later shows a newer state, which is as good.
 *
 * When a client goes away, what waits for a callback of the node stays behind as an *orphan* until
 * that callback; everything else is stopped and freed at once.
 */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include "api/api.h"
#include "base/arena.h"
#include "base/assert.h"
#include "http/http.h"
#include "json/writer.h"

#include <stdbool.h>

#define API_MS UINT64_C(1000000)
#define API_S  UINT64_C(1000000000)

/* What every dialect says when the leader takes no more. */
#define API_NO_SPACE                                                                           \
    "no space: the leader's disk is full or its memory limit is reached (its /status says "    \
    "which, its log why); nothing was done"

#define API_STAGE_SIZE      65536u  /* answers gathered before a send */
#define API_BLOCK_SIZE      1536u   /* of a pooled exchange, arena included */
#define API_EXCHANGES_MAX   100000u /* of all connections, besides one for each */
#define API_BLOCKS_MAX      1024u   /* exchanges kept for later */
#define API_PARSERS_MAX     64u     /* parsers kept for later */
#define API_PARSER_KEEP     65536u  /* bytes of a request buffer that a kept parser may hold */
#define API_QUEUED_MAX      (1u << 20) /* unsent bytes of a connection; then its answers wait */
#define API_TURN_MAX        (16u << 20) /* bytes of answers in one turn; then others wait */
#define API_SLOW            65536u /* ... that make a reader slow, if it is so in the next turn */
#define API_HEAD_ROOM       1536u        /* bytes of an answer's head */
#define API_EXTRA_ROOM      768u         /* of them, header lines of our own */
#define API_ERROR_ROOM      4096u        /* bytes of an error body */
#define API_LINGER          (2 * API_S)  /* to let a refused client read why */
#define API_QUIET           (15 * API_S) /* a watch without events writes an empty line */
#define API_TIMEOUT_MAX     (60 * API_S)
#define API_WAIT_DEFAULT    (300 * API_S)
#define API_WAIT_MAX        (600 * API_S)
#define API_LEADER_NAME_MAX 64u
#define API_LINE_MAX        (8u << 20) /* of JSON: a key and a value, escaped as badly as can be */
#define API_LINE_KEEP       (256u << 10) /* of that buffer, from one turn to the next */
#define API_OWN_ROOM        768u         /* bytes for a handler's state, besides keys */

struct conn;
struct exchange;
struct extra;
struct out;

/* ---- exchanges (exchange.c) ---------------------------------------------------------------------- */

enum rendered {
    RENDER_DONE = 1,
    RENDER_MORE, /* there is more: call again when there is room, in another turn */
    RENDER_WAIT, /* there is more: call again after exchange_ready() */
    RENDER_CUT,  /* broken off in the middle of a body: close the connection */
};

struct exchange_ops {
    enum rendered (*render)(struct exchange *x, struct out *o);
    void (*gone)(
        struct exchange *x); /* the client left: stop what can be stopped. May be NULL */
    void (*stop)(struct exchange *x); /* do not wait: exchange_is_urgent(). May be NULL */
};

struct exchange {
    struct exchange *next, **link; /* in the queue of a connection, or among the orphans */
    struct api *api;
    struct conn *conn; /* NULL: an orphan */
    const struct exchange_ops *ops;
    void *own;           /* the handler's state, in the arena */
    uint32_t block_size; /* bytes of this allocation */
    uint16_t status;     /* of a failed exchange */
    bool ready;
    bool owed;  /* the node will call back: not freed before */
    bool begun; /* its head has left */
    bool head;  /* HEAD */
    bool minor_0;
    bool chunked; /* the body under way is */
    bool close;   /* the connection ends after this answer */
    bool linger;  /* ... and its client may still be sending */
    bool endless; /* the answer ends when its client goes */
    bool pretty;  /* JSON for people (consul/) */
    const char *code;
    const char *allow; /* 405 */
    struct cor_bytes text;
    const char *field; /* of an error: one more number, by name */
    uint64_t number;
    struct arena arena;
};

/* NULL: out of memory. @need: bytes that the arena must hold besides what a small answer needs. */
struct exchange *exchange_new(struct api *api, size_t need);
void exchange_free(struct exchange *x);
/* The answer can be rendered. */
void exchange_ready(struct exchange *x);
/* The api is stopping, or the client has said its last: what can be answered without waiting is. */
bool exchange_is_urgent(const struct exchange *x);
/* The node called back. False: the client is gone, and now @x is too. */
MUST_USE bool exchange_back(struct exchange *x);
/* Its connection is closing: free it, or make it an orphan. */
void exchange_abandon(struct exchange *x);

/* Answer with an error (docs/api.md). @text is copied. */
void exchange_fail(struct exchange *x, unsigned status, const char *code, const char *text);
/* Of a write or a read that ended with @st: which status and code that is in HTTP. */
void exchange_fail_as(struct exchange *x, enum cor_status st);
/* One more member of the error's JSON object. */
void exchange_error_number(struct exchange *x, const char *name, uint64_t v);
/* A request without parameters, answered from what is known when its turn comes. */
void exchange_start_plain(struct exchange *x, const struct http_request *r,
                          const struct exchange_ops *ops);
/* From inside render: answer with x->status, code and text. */
enum rendered exchange_render_error(struct exchange *x, struct out *o, struct extra *extra);
/* From inside render: answer with the failure @st, behind the header lines in @extra. */
enum rendered exchange_render_failure(struct exchange *x, struct out *o, enum cor_status st,
                                      struct extra *extra);
/* The pool and the orphans, when the api is freed. */
void exchanges_free(struct api *api);

/* ---- answers (answer.c) ------------------------------------------------------------------------- */

/* What leaves a connection now: small pieces gathered in the stage, large ones sent as they are. */
struct out {
    struct conn *conn;
    size_t used;  /* bytes of api->stage */
    size_t chunk; /* of them, where the data of the chunk under way begins; 0: there is none */
};

void out_bytes(struct out *o, struct cor_bytes b);
void out_flush(struct out *o);

/* Header lines of our own, built by hand: printf does not belong on this path. */
struct extra {
    size_t used;
    char text[API_EXTRA_ROOM];
};
void extra_text(struct extra *e, const char *name, struct cor_bytes value);
void extra_u64(struct extra *e, const char *name, uint64_t v);

struct answer {
    unsigned status;
    const char *type;          /* NULL: none */
    const struct extra *extra; /* NULL: none */
    uint64_t body_len;
    bool chunked;
};
/* The head of the answer to @x. Also decides whether the connection ends with it. */
void answer_head(struct exchange *x, struct out *o, const struct answer *a);
/* Head and body; no body for HEAD. */
void answer_whole(struct exchange *x, struct out *o, const struct answer *a,
                  struct cor_bytes body);
/* Head, and what @w holds as the body; if it ran out of memory, an error instead. */
enum rendered answer_json(struct exchange *x, struct out *o, const struct answer *a,
                          struct json_writer *w);
/* A piece of a chunked answer; an empty one is nothing. Pieces in a row share a chunk. */
void answer_chunk(struct exchange *x, struct out *o, struct cor_bytes b);
void answer_chunks_end(struct exchange *x, struct out *o);

size_t u64_to_text(uint64_t v, char *out); /* at most 20 bytes; returns how many */

/* ---- connections (conn.c) -------------------------------------------------------------------------- */

/* Each connection is in exactly one of these lists, oldest first, so that one timer serves them all. */
enum conn_list {
    CONN_IDLE = 0, /* nothing of a request has arrived */
    CONN_HEAD,     /* a request has begun; the time counts from its first byte */
    CONN_BODY,     /* from the last byte of a body */
    CONN_BUSY,     /* exchanges are in progress: their own time limits rule */
    CONN_STALLED,  /* an answer waits for its reader */
    CONN_LINGER,   /* refused; discards what still arrives */
    CONN_N_LISTS
};

struct parser {
    struct parser *next; /* in the pool */
    struct api *api;
    struct http_parser *http;
    struct http_memory memory;
    void *block; /* where a request is collected */
    size_t block_size;
};
void parser_free(struct parser *p);

struct conn {
    struct conn *next, **link; /* in lists[list] */
    struct api *api;
    struct io_stream *stream;
    struct parser *parser; /* NULL: nothing of a request has arrived */
    struct exchange *first, **end;
    struct io_task task;              /* render, at the end of this turn */
    struct conn *next_again, **again; /* in the line for the next turn; NULL: not there */
    uint64_t stamp;                   /* when it entered its list */
    uint64_t sent,
        sent_at_stamp;   /* bytes handed to the stream; of them out of its queue, then */
    unsigned char *rest; /* input from rest_at on waits for room among the exchanges */
    size_t rest_at, rest_len;
    size_t waiting; /* unsent bytes and rest_len, as counted in api->held_bytes */
    uint32_t n_exchanges;
    uint8_t list; /* enum conn_list */
    bool deaf;    /* discards what arrives */
    bool paused, broken, closed;
    bool ended;         /* the client says no more */
    bool want_continue; /* it waits to be told to send its body */
};

/* NULL: out of memory. */
struct conn *conn_new(struct api *api, struct io_stream *s);
/* Walk the queue at the end of this turn. */
void conn_run_later(struct conn *c);
/* In the next turn: what was full may have been flushed at the end of this one. If not, on_drain tells. False: it
 * has not had its turn, for want of a share. */
MUST_USE bool conn_go_on(struct conn *c);
void conn_deafen(struct conn *c);
void conn_close(struct conn *c, bool flush);
/* Its time in its list is up. */
void conn_expired(struct conn *c);
/* The api is stopping. */
void conn_stop(struct conn *c);
void conn_free(struct conn *c);
extern const struct io_stream_events conn_events;

/* Whether as much as may wait for the reader of @c is waiting. */
bool conn_is_full(const struct conn *c);
void conn_send(struct conn *c, struct cor_bytes b);

/* ---- the next turn (again.c) ---------------------------------------------------------------------------- */

/* Connections that wait for a turn, in order. */
struct line {
    struct conn *first, **end;
};
void again_init(struct api *api);
void again_deinit(struct api *api);
/* Go on with @c in the next turn. */
void conn_run_again(struct conn *c);
void again_leave(struct conn *c);
/* As many bytes of answers as one turn may bring were made in this one. */
bool api_is_spent(const struct api *api);

/* ---- the set (api.c) --------------------------------------------------------------------------------- */

struct raftd_watch; /* raftd/watch.c */

struct api {
    struct api_options o;
    struct io *io;
    struct node *node;
    struct conn *lists[CONN_N_LISTS], **ends[CONN_N_LISTS];
    struct exchange *orphans;
    struct raftd_watch *quiet, **quiet_end; /* watches, longest without a write first */
    struct io_timer deadline, grace;
    struct line again;
    struct io_timer next_turn;
    uint64_t spent; /* bytes of answers, in this turn */
    uint64_t deadline_at;
    struct io_task turn; /* forgets the time at the end of the turn */
    uint64_t now;
    bool now_known, stopping;
    void (*done)(void *arg);
    void *done_arg;
    struct api_stats stats;
    uint64_t held_bytes;     /* of requests on their way in, and waiting for slow readers */
    uint64_t n_exchanges;    /* orphans included */
    struct exchange *blocks; /* the pool */
    uint32_t n_blocks;
    struct parser *parsers;
    uint32_t n_parsers;
    cor_node_id leader; /* whose name is in leader_name */
    char leader_name[API_LEADER_NAME_MAX];
    struct node_event *line_event; /* whose JSON is in line, for other watchers of it */
    struct json_writer line;
    unsigned char scratch[HTTP_TARGET_MAX]; /* a key of a write */
    unsigned char stage[API_STAGE_SIZE];
};

/* The time, read once in a turn. */
uint64_t api_now(struct api *api);
/* Move @c to the end of @list. */
void api_list(struct conn *c, enum conn_list list);
void api_unlist(struct conn *c);
/* See that the timer fires at @at, or before. */
void api_wake_at(struct api *api, uint64_t at);
/* A connection is gone; perhaps it was the last one. */
void api_conn_gone(struct api *api);
struct parser *api_take_parser(struct api *api); /* NULL: out of memory */
void api_give_parser(struct api *api, struct parser *p);
/* Where a line of JSON is made. */
struct json_writer *api_line(struct api *api);
/* "" when unknown. */
const char *api_leader_name(struct api *api, cor_node_id id);

/* ---- the door (door.c), routes (router.c), parameters (params.c) ----------------------------------- */

/* False: the exchange has failed. */
MUST_USE bool door_check(struct exchange *x, const struct http_request *r);
/* Find the handler of @r and call it. */
void router_handle(struct exchange *x, const struct http_request *r);
/* Bytes of arena that the handler of @r will want. */
size_t router_need(const struct http_request *r);

enum param {
    PARAM_STALE = 0,
    PARAM_CONSISTENT,
    PARAM_INDEX,
    PARAM_WAIT,
    PARAM_TIMEOUT,
    PARAM_REVISION,
    PARAM_PREV_REVISION,
    PARAM_PREFIX,
    PARAM_KEY,
    PARAM_AFTER,
    PARAM_LIMIT,
    PARAM_KEYS,
    PARAM_WATCH,
    PARAM_START_REVISION,
    PARAM_TTL,
    PARAM_FORMAT,
    PARAM_N
};
#define PARAM_BIT(p) (1u << (p))

struct params {
    uint32_t present;                /* PARAM_BIT */
    uint64_t number[PARAM_N];        /* times in nanoseconds */
    struct cor_bytes bytes[PARAM_N]; /* decoded, in the arena of the exchange */
};
static inline bool has_param(const struct params *p, enum param which)
{
    return (p->present & PARAM_BIT(which)) != 0;
}
/* Parse @query, in which @allowed parameters may stand. False: the exchange has failed. */
MUST_USE bool params_parse(struct exchange *x, struct cor_bytes query, uint32_t allowed,
                           struct params *out);

/* Digits from *at on, moving it. False: none, or more than 64 bits. */
MUST_USE bool params_take_number(struct cor_bytes in, size_t *at, uint64_t *out);

/* ---- sessions (session.c) -------------------------------------------------------------------------- */

/* The session and number that @r is to be executed under, if it says so, into @out. False: the exchange has
 * failed. */
MUST_USE bool session_take_key(struct exchange *x, const struct http_request *r,
                               struct node_write *out);
void session_open(struct exchange *x, const struct http_request *r);
void session_close(struct exchange *x, const struct http_request *r);

/* ---- handlers -------------------------------------------------------------------------------------- */

void raftd_get(struct exchange *x, const struct http_request *r);
void raftd_put(struct exchange *x, const struct http_request *r);
void raftd_delete(struct exchange *x, const struct http_request *r);
void raftd_list(struct exchange *x, const struct http_request *r);
size_t
raftd_list_room(void); /* bytes of arena for a listing or a watch, besides its parameters */
void raftd_watch(struct exchange *x, const struct params *p);
/* Empty lines to watches that have been quiet for long. */
void raftd_watch_tend(struct api *api);
void ops_health(struct exchange *x, const struct http_request *r);
void ops_livez(struct exchange *x, const struct http_request *r);
void ops_readyz(struct exchange *x, const struct http_request *r);
void ops_status(struct exchange *x, const struct http_request *r);
void ops_metrics(struct exchange *x, const struct http_request *r);
void ops_trace(struct exchange *x, const struct http_request *r);
/* "" if there is no such member. */
const char *ops_member_name(const struct node_status *s, cor_node_id id);
/* render of /debug/trace?format=article. */
enum rendered ops_render_article(struct exchange *x, struct out *o);
void ops_version(struct exchange *x, const struct http_request *r);
void ops_index(struct exchange *x, const struct http_request *r);

#endif
