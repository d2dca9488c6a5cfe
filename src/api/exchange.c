/*
 * exchange.c - one request and its answer: its memory, its life, its failure.
 *
 * Place in the system: conn.c makes one per request and keeps it in order; handlers fill it. An exchange is
 * one block, its arena included: the common ones come from a pool and go back to it.
 */
#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory ---------------------------------------------------------------------------------------- */

/* What every answer may need: the text of an error. */
#define ARENA_MIN      256u
#define ERROR_TEXT_MAX 160u

_Static_assert(6 * ERROR_TEXT_MAX < API_ERROR_ROOM, "an escaped text and a code fit");

_Static_assert(sizeof(struct exchange) + ARENA_MIN <= API_BLOCK_SIZE, "a block holds one");

static struct exchange *take_block(struct api *api, size_t size)
{
    struct exchange *x = api->blocks;
    if (size <= API_BLOCK_SIZE && x != NULL) {
        api->blocks = x->next;
        api->n_blocks--;
        return x;
    }
    x = malloc(size < API_BLOCK_SIZE ? API_BLOCK_SIZE : size);
    if (x != NULL) {
        x->block_size = (uint32_t)(size < API_BLOCK_SIZE ? API_BLOCK_SIZE : size);
    }
    return x;
}

struct exchange *exchange_new(struct api *api, size_t need)
{
    struct exchange *x = take_block(api, sizeof *x + ARENA_MIN + need);
    if (x == NULL) {
        return NULL;
    }
    uint32_t size = x->block_size;
    *x = (struct exchange){.api = api, .block_size = size};
    arena_init(&x->arena, x + 1, size - sizeof *x);
    api->n_exchanges++;
    return x;
}

void exchange_free(struct exchange *x)
{
    struct api *api = x->api;
    COR_ASSERT(!x->owed && x->link == NULL);
    arena_reset(&x->arena);
    api->n_exchanges--;
    if (x->block_size == API_BLOCK_SIZE && api->n_blocks < API_BLOCKS_MAX) {
        x->next = api->blocks;
        api->blocks = x;
        api->n_blocks++;
    } else {
        free(x);
    }
}

static void leave_orphans(struct exchange *x)
{
    *x->link = x->next;
    if (x->next != NULL) {
        x->next->link = x->link;
    }
    x->link = NULL;
}

void exchanges_free(struct api *api)
{
    while (api->orphans != NULL) {
        struct exchange *x = api->orphans;
        api->orphans = x->next;
        x->link = NULL;
        x->owed = false; /* the node is gone, too */
        exchange_free(x);
    }
    while (api->blocks != NULL) {
        struct exchange *x = api->blocks;
        api->blocks = x->next;
        free(x);
    }
}

/* ---- life --------------------------------------------------------------------------------------------- */

void exchange_ready(struct exchange *x)
{
    COR_ASSERT(x->conn != NULL && x->ops != NULL && !x->owed);
    x->ready = true;
    if (x == x->conn->first) {
        conn_run_later(x->conn);
    }
}

bool exchange_is_urgent(const struct exchange *x)
{
    return x->api->stopping || x->conn->ended;
}

bool exchange_back(struct exchange *x)
{
    COR_ASSERT(x->owed);
    x->owed = false;
    if (x->conn != NULL) {
        return true;
    }
    leave_orphans(x);
    exchange_free(x);
    return false;
}

void exchange_abandon(struct exchange *x)
{
    struct api *api = x->api;
    if (x->ops != NULL && x->ops->gone != NULL) {
        x->ops->gone(x);
    }
    x->conn = NULL;
    x->link = NULL;
    if (!x->owed) {
        exchange_free(x);
        return;
    }
    x->next = api->orphans;
    x->link = &api->orphans;
    if (x->next != NULL) {
        x->next->link = &x->next;
    }
    api->orphans = x;
}

/* ---- failure --------------------------------------------------------------------------------------------- */

enum rendered exchange_render_error(struct exchange *x, struct out *o, struct extra *extra)
{
    char body[API_ERROR_ROOM];
    struct json_writer w = json_writer_of(body, sizeof body - 1);
    json_begin_object(&w);
    json_field_string(&w, "error", x->text);
    json_field_text(&w, "code", x->code);
    if (x->field != NULL) {
        json_field_u64(&w, x->field, x->number);
    }
    json_end_object(&w);
    COR_ASSERT(json_ok(&w));
    body[w.used++] = '\n';
    if (x->status == 503) {
        extra_text(extra, "Retry-After", COR_BYTES_LIT("1"));
    } else if (x->status == 507) {
        extra_text(extra, "Retry-After", COR_BYTES_LIT("10"));
    }
    if (x->allow != NULL) {
        struct cor_bytes allow = {(const unsigned char *)x->allow, strlen(x->allow)};
        extra_text(extra, "Allow", allow);
    }
    struct answer a = {.status = x->status, .type = "application/json", .extra = extra};
    answer_whole(x, o, &a, json_text_of(&w));
    return RENDER_DONE;
}

static enum rendered render_error(struct exchange *x, struct out *o)
{
    struct extra extra;
    extra.used = 0;
    return exchange_render_error(x, o, &extra);
}

static const struct exchange_ops error_ops = {.render = render_error};

void exchange_fail(struct exchange *x, unsigned status, const char *code, const char *text)
{
    size_t len = strlen(text);
    len = len < ERROR_TEXT_MAX ? len : ERROR_TEXT_MAX;
    x->text = arena_dup(&x->arena, (struct cor_bytes){(const unsigned char *)text, len});
    if (x->text.ptr == NULL) {
        x->text = COR_BYTES_LIT("no memory to say more");
    }
    x->status = (uint16_t)status;
    x->code = code;
    x->ops = &error_ops;
    exchange_ready(x);
}

void exchange_start_plain(struct exchange *x, const struct http_request *r,
                          const struct exchange_ops *ops)
{
    struct params p;
    if (params_parse(x, r->query, 0, &p)) {
        x->ops = ops;
        exchange_ready(x);
    }
}

void exchange_error_number(struct exchange *x, const char *name, uint64_t v)
{
    x->field = name;
    x->number = v;
}

/* How the outcomes of D16 read in HTTP. 503: nothing was done. 504: nobody knows. */
struct failure {
    uint16_t status;
    const char *code, *text;
};

static struct failure failure_of(enum cor_status st)
{
    switch (st) {
    case COR_ENOLEADER:
    case COR_ENOTLEADER:
        return (struct failure){503, "no_leader",
                                "no leader is known: an election, or no majority"};
    case COR_EBUSY:
    case COR_ENOMEM:
        return (struct failure){503, "busy", "too much is waiting; retry later"};
    case COR_ESTOPPED:
        return (struct failure){503, "stopping", "this node is stopping"};
    case COR_ETIMEDOUT:
        return (struct failure){503, "timeout", "no leader vouched for this read in time"};
    case COR_ENOSPACE:
        return (struct failure){507, "no_space", API_NO_SPACE};
    case COR_ETOOBIG:
        return (struct failure){413, "too_big", "larger than the limit"};
    case COR_EINVAL:
    case COR_EPROTO:
        return (struct failure){400, "bad_request", "the request is not valid"};
    case COR_EUNKNOWN:
        return (struct failure){504, "outcome_unknown",
                                "the answer was lost: the write may or may not have been done"};
    case COR_ECOMPACTED:
        return (struct failure){410, "compacted",
                                "history does not reach back to this revision"};
    case COR_EFUTURE:
        return (struct failure){400, "future_revision",
                                "the store has not reached this revision"};
    case COR_ENOTFOUND:
        return (struct failure){404, "key_not_found", "no such key"};
    case COR_ECONFLICT:
        return (struct failure){409, "conflict", "the key is at another revision"};
    case COR_ENOSESSION:
        return (struct failure){410, "no_session",
                                "no such session: closed, expired, or never opened; nothing "
                                "was done now, of an earlier attempt nobody knows"};
    case COR_EREUSED:
        return (struct failure){409, "number_reused",
                                "this number was used for another request; nothing was done"};
    case COR_EFORGOTTEN:
        return (struct failure){410, "answer_forgotten",
                                "the answer to this number is no longer kept; nothing was done "
                                "now, of an earlier attempt nobody knows"};
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
        break;
    }
    return (struct failure){503, "not_done", "refused before it was in the log; retry is safe"};
}

void exchange_fail_as(struct exchange *x, enum cor_status st)
{
    COR_ASSERT(st != COR_OK);
    struct failure f = failure_of(st);
    exchange_fail(x, f.status, f.code, f.text);
}

enum rendered exchange_render_failure(struct exchange *x, struct out *o, enum cor_status st,
                                      struct extra *extra)
{
    struct failure f = failure_of(st);
    x->status = f.status;
    x->code = f.code;
    x->text = (struct cor_bytes){(const unsigned char *)f.text, strlen(f.text)};
    return exchange_render_error(x, o, extra);
}
