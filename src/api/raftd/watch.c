/*
 * watch.c - changes over HTTP: GET /db?watch, a stream of lines that ends with its client.
 *
 * Place in the system: a route of router.c by way of list.c. The node tells of changes, each in one event that
 * all watches of it share; the line that is made of it is kept until the next event, so that ten
 * thousand watchers of one key cost one encoding. A reader that does not keep up holds the node's watch
 * back, and the node reads history for it later: what waits for one reader is bounded by API_QUEUED_MAX.
 */
#include "api/internal.h"

#include "api/raftd/read.h"

struct raftd_watch {
    struct exchange *x;
    struct raftd_watch *next, **link; /* among the quiet ones; NULL: not there */
    uint64_t stamp;                   /* of the last write */
    struct node_watch watch;
    uint64_t resume; /* the first revision that was not told */
    bool on, over;
    enum cor_status why;
};

/* ---- the list of those that may need a line ------------------------------------------------------- */

static void unlist(struct raftd_watch *w)
{
    struct api *api = w->x->api;
    if (w->link == NULL) {
        return;
    }
    *w->link = w->next;
    if (w->next != NULL) {
        w->next->link = w->link;
    } else {
        api->quiet_end = w->link;
    }
    w->link = NULL;
}

static void wrote(struct raftd_watch *w)
{
    struct api *api = w->x->api;
    unlist(w);
    w->stamp = api_now(api);
    w->next = NULL;
    w->link = api->quiet_end;
    *w->link = w;
    api->quiet_end = &w->next;
    api_wake_at(api, w->stamp + API_QUIET);
}

void raftd_watch_tend(struct api *api)
{
    uint64_t now = api_now(api);
    while (api->quiet != NULL && api->quiet->stamp + API_QUIET <= now) {
        struct raftd_watch *w = api->quiet;
        if (!conn_is_full(w->x->conn)) {
            struct out o = {.conn = w->x->conn};
            answer_chunk(w->x, &o, COR_BYTES_LIT("\n"));
            out_flush(&o);
        }
        wrote(w);
    }
    if (api->quiet != NULL) {
        api_wake_at(api, api->quiet->stamp + API_QUIET);
    }
}

/* ---- events ------------------------------------------------------------------------------------------ */

/* The line of @e, also for the next watch of it. {NULL, 0}: out of memory. */
static struct cor_bytes line_of(struct api *api, struct node_event *e)
{
    if (api->line_event != e) {
        struct json_writer *w = api_line(api);
        bool put = e->type == KV_EVENT_PUT;
        json_begin_object(w);
        json_field_text(w, "type", put ? "put" : "delete");
        json_field_u64(w, "revision", e->revision);
        json_field_bytes(w, "key", e->item.key);
        if (put) {
            json_field_bytes(w, "value", e->item.value);
            json_field_u64(w, "create_revision", e->item.create_revision);
            json_field_u64(w, "version", e->item.version);
        }
        json_end_object(w);
        if (!json_ok(w)) {
            json_restart(w);
            return (struct cor_bytes){NULL, 0};
        }
        api->line_event = node_event_ref(e);
    }
    return json_text_of(&api->line);
}

static void finish(struct raftd_watch *w, enum cor_status why, uint64_t resume)
{
    w->on = false;
    w->over = true;
    w->why = why;
    w->resume = resume;
    unlist(w);
    exchange_ready(w->x);
}

static bool on_events(void *arg, struct node_event *const *events, size_t n)
{
    struct raftd_watch *w = arg;
    struct exchange *x = w->x;
    struct out o = {.conn = x->conn};
    if (conn_is_full(x->conn) || api_is_spent(x->api)) {
        x->ready = true; /* render resumes the watch when there is room */
        conn_run_again(x->conn);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct cor_bytes line = line_of(x->api, events[i]);
        if (line.len == 0) {
            node_watch_stop(&w->watch);
            finish(w, COR_EBUSY, events[i]->revision);
            break;
        }
        answer_chunk(x, &o, line);
        answer_chunk(x, &o, COR_BYTES_LIT("\n"));
        w->resume = events[i]->revision + 1;
    }
    out_flush(&o);
    if (w->on) {
        wrote(w);
    }
    return true;
}

static void on_cancel(void *arg, enum cor_status st, uint64_t revision)
{
    struct raftd_watch *w = arg;
    finish(w, st, revision != 0 ? revision : w->resume);
}

/* ---- the exchange -------------------------------------------------------------------------------------- */

static enum rendered begin(struct raftd_watch *w, struct out *o)
{
    struct exchange *x = w->x;
    struct extra extra;
    extra.used = 0;
    struct kv_info info;
    kv_get_info(node_kv(x->api->node), &info);
    enum cor_status st =
        x->api->stopping ? COR_ESTOPPED : node_watch_start(x->api->node, &w->watch);
    if (st != COR_OK) {
        return exchange_render_failure(x, o, st, &extra);
    }
    w->on = true;
    w->resume = w->watch.start_revision != 0 ? w->watch.start_revision : info.revision + 1;
    extra_u64(&extra, "X-Coracle-Revision", info.revision);
    struct answer a = {
        .status = 200, .type = "application/x-ndjson", .extra = &extra, .chunked = true};
    answer_head(x, o, &a);
    char line[64] = "{\"revision\":";
    size_t len = sizeof "{\"revision\":" - 1;
    len += u64_to_text(info.revision, line + len);
    line[len++] = '}';
    line[len++] = '\n';
    answer_chunk(x, o, (struct cor_bytes){(const unsigned char *)line, len});
    wrote(w);
    return RENDER_WAIT;
}

static enum rendered end(struct raftd_watch *w, struct out *o)
{
    struct exchange *x = w->x;
    const char *code = "slow", *text = "the reader is too slow, or memory is short";
    if (w->why == COR_ECOMPACTED) {
        code = "compacted";
        text = "history no longer reaches back to where this watch is";
    } else if (w->why == COR_ESTOPPED) {
        code = "stopping";
        text = "this node is stopping";
    }
    struct json_writer *line = api_line(x->api);
    json_begin_object(line);
    json_field_text(line, "error", text);
    json_field_text(line, "code", code);
    json_field_u64(line, "resume_revision", w->resume);
    json_end_object(line);
    if (!json_ok(line)) {
        return RENDER_CUT;
    }
    answer_chunk(x, o, json_text_of(line));
    answer_chunk(x, o, COR_BYTES_LIT("\n"));
    answer_chunks_end(x, o);
    return RENDER_DONE;
}

static enum rendered render_watch(struct exchange *x, struct out *o)
{
    struct raftd_watch *w = x->own;
    if (w->over) {
        return end(w, o);
    }
    if (!x->begun) {
        return begin(w, o);
    }
    node_watch_resume(&w->watch);
    return RENDER_WAIT;
}

static void watch_gone(struct exchange *x)
{
    struct raftd_watch *w = x->own;
    unlist(w);
    if (w->on) {
        w->on = false;
        node_watch_stop(&w->watch);
    }
}

static void watch_stop(struct exchange *x)
{
    struct raftd_watch *w = x->own;
    if (w->on) {
        node_watch_stop(&w->watch);
        finish(w, COR_ESTOPPED, w->resume);
    }
}

static const struct exchange_ops watch_ops = {render_watch, watch_gone, watch_stop};

void raftd_watch(struct exchange *x, const struct params *p)
{
    struct raftd_watch *w = ARENA_NEW(&x->arena, struct raftd_watch, 1);
    COR_ASSERT(w != NULL);
    bool one = has_param(p, PARAM_KEY);
    if (x->head) {
        exchange_fail(x, 400, "bad_request", "a watch is for GET");
        return;
    }
    if (one && (has_param(p, PARAM_PREFIX) || p->bytes[PARAM_KEY].len == 0)) {
        exchange_fail(x, 400, "bad_request",
                      "a watch is of one key, not empty, or of a prefix");
        return;
    }
    struct cor_bytes prefix =
        has_param(p, PARAM_PREFIX) ? p->bytes[PARAM_PREFIX] : (struct cor_bytes){NULL, 0};
    if (one) {
        w->watch.range.key = p->bytes[PARAM_KEY];
    } else {
        bool ok = raftd_prefix_range(&x->arena, prefix, &w->watch.range);
        COR_ASSERT(ok);
    }
    w->watch.start_revision =
        has_param(p, PARAM_START_REVISION) ? p->number[PARAM_START_REVISION] : 0;
    w->watch.arg = w;
    w->watch.on_events = on_events;
    w->watch.on_cancel = on_cancel;
    w->x = x;
    x->own = w;
    x->ops = &watch_ops;
    x->close = x->endless = true;
    conn_deafen(x->conn);
    exchange_ready(x);
}
