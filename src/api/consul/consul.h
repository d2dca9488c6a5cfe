/*
 * consul.h - what the handlers of Consul's HTTP API share: a call's arguments, errors as Consul words
 * them, reads in three modes that may wait for a change, answers with Consul's headers.
 *
 *     routes.c    the table of paths under /v1/, methods, OPTIONS, what is refused for every path
 *     args.c      query parameters, durations, members of JSON bodies
 *     answer.c    answers, errors
 *     read.c      modes, blocking queries, headers
 *     attrs.c     what only Consul knows of a key: lock, flags
 *     kv.c        /v1/kv: one key, writes
 *     kv_list.c   /v1/kv: recurse, keys
 *     status.c    /v1/status
 *     catalog.c, catalog_write.c, health.c    /v1/catalog, /v1/health; rows*.c, definition.c: what these share
 *
 * A handler of a read looks like this:
 *
 *     struct my_read { struct consul_read read; ... };            // consul_read comes first
 *
 *     struct my_read *m = ARENA_NEW(&c->x->arena, struct my_read, 1);
 *     if (m == NULL || !consul_read_init(&m->read, c, 2)) return;  // it has failed, and says so
 *     consul_read_of(&m->read, range);                             // up to two; waits for any of them
 *     static const struct exchange_ops ops = {render, consul_read_gone, consul_read_stop};
 *     consul_read_start(&m->read, &ops);
 *
 * and render, called once the store may answer, ends with consul_read_json() or consul_read_absent().
 * A handler of a write sets x->own and x->ops, encodes operations and calls consul_write().
 *
 * Unlike /db, unknown parameters are ignored, because Consul ignores them and its clients send some.
 */
#ifndef API_CONSUL_CONSUL_H
#define API_CONSUL_CONSUL_H

#include "api/internal.h"
#include "json/reader.h"

#define CONSUL_ROOM            960u        /* bytes of arena for a handler's state */
#define CONSUL_HOLD            (7 * API_S) /* a request waits so long for a leader: rpc_hold_timeout */
#define CONSUL_VALUE_MAX       524288u    /* bytes of a value: limits.kv_max_value_size */
#define CONSUL_BODY_MEMORY_MAX (8u << 20) /* of a JSON body, as a tree */
#define CONSUL_DATACENTER      "dc1"

/* ---- a call ------------------------------------------------------------------------------------ */

struct consul_call {
    struct exchange *x;
    const struct http_request *r; /* as long as the handler runs */
    struct cor_bytes rest; /* the path behind that of the route, decoded, in the arena of x */
};
typedef void (*consul_handler)(struct consul_call *c);

/* The parameter @name is there, whatever its value. */
bool consul_has(const struct consul_call *c, const char *name);
/* Its first value, decoded, in the arena of x; {NULL, 0} if it is not there (or cannot be decoded). */
struct cor_bytes consul_arg(const struct consul_call *c, const char *name);
/* A time as Go writes it: "10s", "1m30s", "-1.5h", "0"; nanoseconds. False: it is none. */
MUST_USE bool consul_duration(struct cor_bytes text, int64_t *out);
/* A decimal number of 64 bits and nothing else. */
MUST_USE bool consul_number(struct cor_bytes text, uint64_t *out);
bool consul_is(struct cor_bytes b, const char *text);

/* The body as a JSON document, to be freed with json_free(). False: the exchange has failed. */
MUST_USE bool consul_body(struct consul_call *c, struct json_value **out);

/* ---- errors ------------------------------------------------------------------------------------ */

/* Plain text, cut to what there is room for. @text "": no body. */
void consul_fail(struct exchange *x, unsigned status, const char *text);
/* Of a write or a read that ended with @st. Trouble that passes is 500, as Consul's clients expect. */
void consul_fail_as(struct exchange *x, enum cor_status st);

/* ---- reads -------------------------------------------------------------------------------------- */

struct consul_read {
    struct exchange *x;
    enum node_read_mode mode;
    bool bounded;     /* max_stale was given: to be kept if @keeps_bound */
    bool keeps_bound; /* set by the handler (catalog, health), before the start */
    bool says_mode;   /* ... and this: X-Consul-Effective-Consistency */
    bool waited;      /* and now answers, whatever there is */
    uint8_t n_waits, n_waiting, n_waits_max;
    uint64_t max_stale_ms;
    uint64_t index;          /* wait for a change after it; 0: do not */
    uint64_t patience;       /* how long; jitter included */
    struct node_wait *waits; /* one for each range */
    cor_node_id leader;      /* as of the moment the store was found fit to answer */
    uint64_t last_contact_ms;
};

/* Take mode, index and wait from the parameters of @c; @n_ranges may be waited for. False: the
 * exchange has failed. */
MUST_USE bool consul_read_init(struct consul_read *r, struct consul_call *c, unsigned n_ranges);
/* One of the ranges this read is of; bytes in the arena of x. All of them are in table 0, or none is:
 * an index is a revision of one of the two counters. */
void consul_read_of(struct consul_read *r, const struct kv_range *range);
/* Begin; sets x->own and x->ops. In the end the exchange is ready, or has failed. */
void consul_read_start(struct consul_read *r, const struct exchange_ops *ops);
/* For exchange_ops. */
void consul_read_gone(struct exchange *x);
void consul_read_stop(struct exchange *x);
/* The newest change in any of the ranges: what a blocking query compares with its index. */
uint64_t consul_read_revision(const struct consul_read *r);
/* The newest change in @table, or rather in all tables that share its counter. */
uint64_t consul_table_revision(const struct api *api, uint8_t table);

/* The header lines of an answer. @index: at least consul_read_revision(), at most that of the table. */
void consul_read_headers(const struct consul_read *r, uint64_t index, struct extra *e);
/* 200 and what @w holds. */
enum rendered consul_read_json(struct consul_read *r, struct out *o, uint64_t index,
                               struct json_writer *w);
/* 404 without a body: there is no such thing. */
enum rendered consul_read_absent(struct consul_read *r, struct out *o, uint64_t index);

/* ---- writes -------------------------------------------------------------------------------------- */

/* Propose the encoded operations @ops (copied), with x->own and x->ops set. @done is called unless the
 * exchange has failed already; it begins with exchange_back(). */
void consul_write(struct exchange *x, struct cor_bytes ops, node_write_done done);

/* ---- answers -------------------------------------------------------------------------------------- */

/* What every answer of this dialect says. */
void consul_headers(struct extra *e);
/* Where a JSON answer of @x is made: indented if ?pretty was given. */
struct json_writer *consul_json(struct exchange *x);
/* 200 and what @w holds, behind the header lines in @e, which begin with consul_headers(). */
enum rendered consul_answer_json(struct exchange *x, struct out *o, struct extra *e,
                                 struct json_writer *w);
/* 200: true, false; or nothing in it. */
enum rendered consul_answer_bool(struct exchange *x, struct out *o, bool v);
enum rendered consul_answer_empty(struct exchange *x, struct out *o);

/* ---- routes --------------------------------------------------------------------------------------- */

/* For router.c: everything under /v1/. */
void consul_handle(struct exchange *x, const struct http_request *r);
size_t consul_need(const struct http_request *r);

void consul_kv_get(struct consul_call *c);
void consul_kv_put(struct consul_call *c);
void consul_kv_delete(struct consul_call *c);
void consul_kv_list(struct consul_call *c); /* kv_list.c: recurse, keys */
void consul_status_leader(struct consul_call *c);
void consul_status_peers(struct consul_call *c);
void consul_catalog_register(struct consul_call *c);
void consul_catalog_deregister(struct consul_call *c);
void consul_catalog_datacenters(struct consul_call *c);
void consul_catalog_nodes(struct consul_call *c);
void consul_catalog_services(struct consul_call *c);
void consul_catalog_service(struct consul_call *c);
void consul_catalog_node(struct consul_call *c);
void consul_catalog_node_services(struct consul_call *c);
void consul_health_service(struct consul_call *c);
void consul_health_node(struct consul_call *c);
void consul_health_checks(struct consul_call *c);
void consul_health_state(struct consul_call *c);

#endif
