/*
 * answer.c - answers and errors in Consul's words.
 *
 * Place in the system: consul.h. Errors are plain text. What passes by itself (no leader, too much at once) is
 * 500 and never 503: Consul's own client repeats a lock's monitoring after 500 and gives the lock up
 * after anything else.
 */
#include "api/consul/consul.h"

#include <string.h>

#define TEXT_MAX 512u

static struct cor_bytes bytes_of(const char *text)
{
    return (struct cor_bytes){(const unsigned char *)text, strlen(text)};
}

void consul_headers(struct extra *e)
{
    extra_text(e, "X-Consul-Default-Acl-Policy", COR_BYTES_LIT("allow"));
}

/* ---- errors ----------------------------------------------------------------------------------------- */

static enum rendered render_error(struct exchange *x, struct out *o)
{
    struct extra e;
    e.used = 0;
    consul_headers(&e);
    if (x->allow != NULL) {
        extra_text(&e, "Allow", bytes_of(x->allow));
    }
    struct answer a = {.status = x->status, .extra = &e};
    a.type = x->text.len > 0 ? "text/plain; charset=utf-8" : NULL;
    answer_whole(x, o, &a, x->text);
    return RENDER_DONE;
}

static const struct exchange_ops error_ops = {.render = render_error};

void consul_fail(struct exchange *x, unsigned status, const char *text)
{
    struct cor_bytes all = bytes_of(text);
    size_t room = x->arena.size - x->arena.used;
    size_t most = room < TEXT_MAX ? room : TEXT_MAX;
    all.len = all.len < most ? all.len : most;
    x->text = arena_dup(&x->arena, all);
    x->status = (uint16_t)status;
    x->ops = &error_ops;
    exchange_ready(x);
}

void consul_fail_as(struct exchange *x, enum cor_status st)
{
    COR_ASSERT(st != COR_OK);
    switch (st) {
    case COR_ENOLEADER:
    case COR_ENOTLEADER:
    case COR_ETIMEDOUT:
    case COR_ESTOPPED:
        consul_fail(x, 500, "No cluster leader");
        return;
    case COR_EUNKNOWN:
        consul_fail(x, 500,
                    "leadership lost while committing log: the write may or may not have "
                    "been done");
        return;
    case COR_EBUSY:
    case COR_ENOMEM:
        consul_fail(x, 500, "too much is waiting; nothing was done, retry later");
        return;
    case COR_ENOSPACE:
        consul_fail(x, 500, API_NO_SPACE);
        return;
    case COR_ETOOBIG:
        consul_fail(x, 413, "Request body too large");
        return;
    case COR_EINVAL:
    case COR_EPROTO:
        consul_fail(x, 400, "Bad request");
        return;
    case COR_ECOMPACTED:
        consul_fail(x, 500, "history was compacted while this was being read");
        return;
    case COR_OK:
    case COR_ENOTDONE:
    case COR_EEXPIRED:
    case COR_ECORRUPT:
    case COR_EIO:
    case COR_EEXIST:
    case COR_EFOREIGN:
    case COR_EREFUSED:
    case COR_ELOCKED:
    case COR_EPERM:
    case COR_ENEEDTERM:
    case COR_ENOSESSION:
    case COR_EREUSED:
    case COR_EFORGOTTEN:
    case COR_EFUTURE:
    case COR_ENOTFOUND:
    case COR_ECONFLICT:
        break;
    }
    consul_fail(x, 500, "refused before it was in the log: nothing was done, retry is safe");
}

/* ---- answers ------------------------------------------------------------------------------------------- */

struct json_writer *consul_json(struct exchange *x)
{
    struct json_writer *w = api_line(x->api);
    json_set_pretty(w, x->pretty);
    return w;
}

enum rendered consul_answer_json(struct exchange *x, struct out *o, struct extra *e,
                                 struct json_writer *w)
{
    struct answer a = {.status = 200, .type = "application/json", .extra = e};
    if (x->pretty) {
        json_end_line(w);
    }
    if (!json_ok(w)) {
        static const char why[] = "the answer is larger than this server can make";
        a = (struct answer){.status = 500, .type = "text/plain; charset=utf-8", .extra = e};
        answer_whole(x, o, &a, bytes_of(why));
        return RENDER_DONE;
    }
    answer_whole(x, o, &a, json_text_of(w));
    return RENDER_DONE;
}

enum rendered consul_answer_bool(struct exchange *x, struct out *o, bool v)
{
    struct extra e;
    e.used = 0;
    consul_headers(&e);
    struct json_writer *w = consul_json(x);
    json_bool(w, v);
    return consul_answer_json(x, o, &e, w);
}

enum rendered consul_answer_empty(struct exchange *x, struct out *o)
{
    struct extra e;
    e.used = 0;
    consul_headers(&e);
    const struct answer a = {.status = 200, .extra = &e};
    answer_whole(x, o, &a, (struct cor_bytes){NULL, 0});
    return RENDER_DONE;
}

/* ---- writes --------------------------------------------------------------------------------------------- */

void consul_write(struct exchange *x, struct cor_bytes ops, node_write_done done)
{
    const struct node_write write = {
        .dialect = ENTRY_DIALECT_CONSUL, .ops = ops, .timeout = CONSUL_HOLD};
    enum cor_status st = node_write(x->api->node, &write, done, x);
    if (st != COR_OK) {
        consul_fail_as(x, st);
        return;
    }
    x->owed = true;
}
