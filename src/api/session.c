/*
 * session.c - client sessions over HTTP: POST /session, DELETE /session/{id}, and the header Idempotency-Key.
 *
 * Place in the system: routes of router.c; the handlers that write ask for the header. What sessions are for is
 * told in docs/api.md, what they do in kv.h.
 */
#include "api/internal.h"

#include "json/writer.h"

#include <string.h>

#define PREFIX_LEN   9u /* "/session/" */
#define IDLE_DEFAULT (3600 * API_S)
#define OPS_SIZE     64u

struct session {
    bool closes;
    uint64_t id, idle_max;
};

/* ---- the header ----------------------------------------------------------------------------------- */

static bool parse_key(struct cor_bytes in, struct node_write *out)
{
    size_t at = 0;
    return params_take_number(in, &at, &out->session) && at < in.len && in.ptr[at++] == ':' &&
           params_take_number(in, &at, &out->number) && at == in.len && out->session != 0 &&
           out->number != 0;
}

static bool is_key(struct cor_bytes name)
{
    static const char key[] = "idempotency-key";
    for (size_t i = 0; i < name.len && name.len == sizeof key - 1; i++) {
        unsigned char c = name.ptr[i];
        c = c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : c;
        if (c != (unsigned char)key[i]) {
            return false;
        }
    }
    return name.len == sizeof key - 1;
}

bool session_take_key(struct exchange *x, const struct http_request *r, struct node_write *out)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < r->n_headers; i++) {
        if (!is_key(r->headers[i].name)) {
            continue;
        }
        if (++n > 1 || !parse_key(r->headers[i].value, out)) {
            exchange_fail(x, 400, "bad_request",
                          "Idempotency-Key must be there once and be SESSION:NUMBER, the id of "
                          "a session and a whole number from 1");
            return false;
        }
    }
    return true;
}

/* ---- opening and closing -------------------------------------------------------------------------- */

static enum rendered render(struct exchange *x, struct out *o)
{
    const struct session *s = x->own;
    char memory[128], id[20];
    struct json_writer w = json_writer_of(memory, sizeof memory);
    struct cor_bytes text = {(const unsigned char *)id, u64_to_text(s->id, id)};
    json_begin_object(&w);
    json_field_string(&w, s->closes ? "closed" : "session", text);
    if (!s->closes) {
        json_field_u64(&w, "ttl_ms", s->idle_max / API_MS);
    }
    json_end_object(&w);
    return answer_json(x, o, &(struct answer){.status = 200, .type = "application/json"}, &w);
}

static const struct exchange_ops ops = {.render = render};

static void on_done(void *arg, enum cor_status st, const struct kv_result *result)
{
    struct exchange *x = arg;
    if (!exchange_back(x)) {
        return;
    }
    if (st == COR_OK && result->status == COR_ENOSPACE) {
        exchange_fail(x, 503, "too_many_sessions",
                      "as many sessions as there can be are open; some close or expire");
        return;
    }
    st = st == COR_OK ? result->status : st;
    if (st != COR_OK) {
        exchange_fail_as(x, st);
        return;
    }
    struct session *s = x->own;
    COR_ASSERT(result->n_ops == 1);
    s->id = s->closes ? s->id : result->ops[0].count;
    exchange_ready(x);
}

static void propose(struct exchange *x, const struct params *p, const struct kv_op *op)
{
    unsigned char bytes[OPS_SIZE];
    struct writer w = writer_of(bytes, sizeof bytes);
    kv_encode_one(&w, op);
    COR_ASSERT(writer_ok(&w));
    const struct node_write write = {
        .dialect = ENTRY_DIALECT_NATIVE,
        .ops = {bytes, w.used},
        .timeout = has_param(p, PARAM_TIMEOUT) ? p->number[PARAM_TIMEOUT] : 0};
    x->ops = &ops;
    enum cor_status st = node_write(x->api->node, &write, on_done, x);
    if (st != COR_OK) {
        exchange_fail_as(x, st);
        return;
    }
    x->owed = true;
}

void session_open(struct exchange *x, const struct http_request *r)
{
    struct params p;
    struct session *s = ARENA_NEW(&x->arena, struct session, 1);
    COR_ASSERT(s != NULL);
    if (!params_parse(x, r->query, PARAM_BIT(PARAM_TTL) | PARAM_BIT(PARAM_TIMEOUT), &p)) {
        return;
    }
    s->idle_max = has_param(&p, PARAM_TTL) ? p.number[PARAM_TTL] : IDLE_DEFAULT;
    if (s->idle_max < KV_SESSION_IDLE_MIN) {
        exchange_fail(x, 400, "bad_request", "parameter ttl: must be at least 1s");
        return;
    }
    x->own = s;
    propose(x, &p,
            &(struct kv_op){
                .kind = KV_OP_SESSION, .session_do = KV_SESSION_OPEN, .number = s->idle_max});
}

void session_close(struct exchange *x, const struct http_request *r)
{
    struct params p;
    struct session *s = ARENA_NEW(&x->arena, struct session, 1);
    COR_ASSERT(s != NULL);
    struct cor_bytes id = {r->path.ptr + PREFIX_LEN, r->path.len - PREFIX_LEN};
    size_t at = 0;
    if (!params_take_number(id, &at, &s->id) || at != id.len || s->id == 0) {
        exchange_fail(x, 400, "bad_request",
                      "the id of a session is a whole number from 1: DELETE /session/17");
        return;
    }
    if (!params_parse(x, r->query, PARAM_BIT(PARAM_TIMEOUT), &p)) {
        return;
    }
    s->closes = true;
    x->own = s;
    propose(x, &p,
            &(struct kv_op){
                .kind = KV_OP_SESSION, .session_do = KV_SESSION_CLOSE, .number = s->id});
}
