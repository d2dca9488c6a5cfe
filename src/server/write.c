/*
 * write.c - cor_put() and the like, and sessions: one operation each, proposed and waited for.
 */
#include "server/internal.h"

#include "base/assert.h"
#include "kv/entry.h"

#include <stdlib.h>

struct write_call {
    struct call call;
    struct cor_bytes ops;
    bool compared;
    uint64_t session, number;
    uint64_t revision, count; /* of what was deleted, or the session that was opened */
};

static void on_written(void *arg, enum cor_status st, const struct kv_result *result)
{
    struct write_call *w = arg;
    st = st == COR_OK ? result->status : st;
    if (st == COR_EEXPIRED) {
        st = COR_ENOTDONE;
    }
    if (st == COR_OK) {
        w->revision = result->revision;
        w->count = result->n_ops > 0 ? result->ops[0].count : 0;
        st = w->compared && !result->succeeded ? COR_ECONFLICT : COR_OK;
    }
    call_end(&w->call, st);
}

static void begin_write(struct call *call)
{
    struct write_call *w = CONTAINER_OF(call, struct write_call, call);
    const struct node_write write = {.dialect = ENTRY_DIALECT_NATIVE,
                                     .ops = w->ops,
                                     .session = w->session,
                                     .number = w->number};
    enum cor_status st = node_write(call->c->node, &write, on_written, w);
    if (st != COR_OK) {
        call_end(call, st);
    }
}

static enum cor_status make_write(struct cor *c, struct write_call *w, uint64_t *revision)
{
    w->call.begin = begin_write;
    enum cor_status st = call_make(c, &w->call);
    if (st == COR_OK && revision != NULL) {
        *revision = w->revision;
    }
    return st;
}

static bool is_key(struct cor_bytes key)
{
    return key.len > 0 && key.len <= COR_KEY_MAX;
}

/* The operation, after @compare if there is one: written twice, first to know how long it is. */
static void encode(struct writer *w, const struct kv_compare *compare, const struct kv_op *op)
{
    if (compare == NULL) {
        kv_encode_one(w, op);
        return;
    }
    kv_encode_txn_begin(w, 1, 1, 0);
    kv_encode_compare(w, compare);
    kv_encode_op(w, op);
}

static enum cor_status write_op(struct cor *c, const struct kv_compare *compare,
                                const struct kv_op *op, struct write_call *w,
                                uint64_t *revision)
{
    struct writer count = writer_counting();
    encode(&count, compare, op);
    unsigned char *bytes = malloc(count.used);
    if (bytes == NULL) {
        return COR_ENOMEM;
    }
    struct writer writer = writer_of(bytes, count.used);
    encode(&writer, compare, op);
    COR_ASSERT(writer_ok(&writer));
    w->ops = (struct cor_bytes){bytes, count.used};
    enum cor_status st = make_write(c, w, revision);
    free(bytes);
    return st;
}

static enum cor_status put(struct cor *c, struct write_call *w,
                           const struct kv_compare *compare, struct cor_bytes key,
                           struct cor_bytes value, uint64_t *revision)
{
    if (!is_key(key)) {
        return COR_EINVAL;
    }
    if (value.len > COR_VALUE_MAX) {
        return COR_ETOOBIG;
    }
    w->compared = compare != NULL;
    const struct kv_op op = {.kind = KV_OP_PUT, .range = {.key = key}, .value = value};
    return write_op(c, compare, &op, w, revision);
}

enum cor_status cor_put(struct cor *c, struct cor_bytes key, struct cor_bytes value,
                        uint64_t *revision)
{
    struct write_call w = {0};
    return put(c, &w, NULL, key, value, revision);
}

enum cor_status cor_compare_and_put(struct cor *c, struct cor_bytes key, uint64_t expected,
                                    struct cor_bytes value, uint64_t *revision)
{
    const struct kv_compare compare = {
        .range = {.key = key}, .field = KV_COMPARE_MOD, .op = KV_EQUAL, .number = expected};
    struct write_call w = {0};
    return put(c, &w, &compare, key, value, revision);
}

enum cor_status cor_delete(struct cor *c, struct cor_bytes key, uint64_t *deleted,
                           uint64_t *revision)
{
    if (!is_key(key)) {
        return COR_EINVAL;
    }
    struct write_call w = {0};
    const struct kv_op op = {.kind = KV_OP_DELETE, .range = {.key = key}};
    enum cor_status st = write_op(c, NULL, &op, &w, revision);
    if (st == COR_OK && deleted != NULL) {
        *deleted = w.count;
    }
    return st;
}

/* ---- sessions ------------------------------------------------------------------------------------- */

#define MS           UINT64_C(1000000)
#define IDLE_DEFAULT (UINT64_C(3600000) * MS)

enum cor_status cor_session_open(struct cor *c, uint64_t idle_ms, uint64_t *session)
{
    struct write_call w = {0};
    uint64_t idle = idle_ms == 0 ? IDLE_DEFAULT : idle_ms * MS;
    if (idle_ms > KV_SESSION_IDLE_MAX / MS) {
        return COR_EINVAL;
    }
    const struct kv_op op = {
        .kind = KV_OP_SESSION, .session_do = KV_SESSION_OPEN, .number = idle};
    enum cor_status st = write_op(c, NULL, &op, &w, NULL);
    if (st == COR_OK) {
        *session = w.count;
    }
    return st;
}

enum cor_status cor_session_close(struct cor *c, uint64_t session)
{
    struct write_call w = {0};
    const struct kv_op op = {
        .kind = KV_OP_SESSION, .session_do = KV_SESSION_CLOSE, .number = session};
    return write_op(c, NULL, &op, &w, NULL);
}

enum cor_status cor_put_once(struct cor *c, uint64_t session, uint64_t number,
                             struct cor_bytes key, struct cor_bytes value, uint64_t *revision)
{
    if (session == 0 || number == 0) {
        return COR_EINVAL;
    }
    struct write_call w = {.session = session, .number = number};
    return put(c, &w, NULL, key, value, revision);
}
