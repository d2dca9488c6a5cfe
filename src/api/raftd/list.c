/*
 * list.c - many keys over HTTP: GET /db, a listing that leaves in pieces; and the door to the watch.
 *
 * Place in the system: a route of router.c. A listing is of one revision, however long it takes: each
 * piece opens a cursor behind the last key at that revision, so nothing of the store is held between
 * pieces, and a reader that stops costs one exchange. If compaction overtakes it the answer is
 * broken off in a way that no client takes for the end.
 */
#include "api/raftd/read.h"

#include <string.h>

#define PIECE_BYTES 49152u /* about so much, or so many keys, before others have their turn */
#define PIECE_KEYS  1024u

struct list {
    struct raftd_read read;
    bool keys_only;
    uint64_t limit, sent;
    uint64_t revision; /* of the whole listing; 0: not begun */
    size_t last_len;
    unsigned char last[KV_KEY_MAX + 1]; /* where the next piece begins */
};

static int compare(struct cor_bytes a, struct cor_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static void begin_behind(struct list *l, struct cor_bytes key)
{
    memcpy(l->last, key.ptr, key.len);
    l->last[key.len] = 0;
    l->last_len = key.len + 1;
}

static struct cor_bytes line_of(struct list *l, const struct kv_item *item)
{
    struct json_writer *w = api_line(l->read.x->api);
    json_begin_object(w);
    json_field_bytes(w, "key", item->key);
    if (!l->keys_only) {
        json_field_bytes(w, "value", item->value);
    }
    json_field_u64(w, "create_revision", item->create_revision);
    json_field_u64(w, "mod_revision", item->mod_revision);
    json_field_u64(w, "version", item->version);
    json_end_object(w);
    return json_ok(w) ? json_text_of(w) : (struct cor_bytes){NULL, 0};
}

/* The rest of the document, after the last item. */
static enum rendered end(struct list *l, struct out *o, bool more)
{
    struct exchange *x = l->read.x;
    answer_chunk(x, o, l->sent > 0 ? COR_BYTES_LIT("\n") : COR_BYTES_LIT(""));
    answer_chunk(x, o,
                 more ? COR_BYTES_LIT("],\"more\":true}\n")
                      : COR_BYTES_LIT("],\"more\":false}\n"));
    answer_chunks_end(x, o);
    return RENDER_DONE;
}

static enum rendered cut(struct list *l, struct out *o, const char *code, const char *text)
{
    struct exchange *x = l->read.x;
    struct json_writer *w = api_line(x->api);
    json_begin_object(w);
    json_field_text(w, "error", text);
    json_field_text(w, "code", code);
    json_end_object(w);
    if (json_ok(w)) {
        struct cor_bytes object = json_text_of(w);
        answer_chunk(x, o, COR_BYTES_LIT("\n],"));
        answer_chunk(x, o, (struct cor_bytes){object.ptr + 1, object.len - 1});
        answer_chunk(x, o, COR_BYTES_LIT("\n"));
    }
    return RENDER_CUT;
}

static enum rendered render_items(struct list *l, struct out *o, struct kv_cursor *cursor)
{
    struct exchange *x = l->read.x;
    struct kv_item item;
    size_t bytes = 0;
    for (unsigned n = 0; n < PIECE_KEYS && bytes < PIECE_BYTES; n++) {
        if (!kv_cursor_next(cursor, &item)) {
            return end(l, o, false);
        }
        if (l->limit != 0 && l->sent == l->limit) {
            return end(l, o, true);
        }
        struct cor_bytes line = line_of(l, &item);
        if (line.len == 0) {
            return cut(l, o, "busy", "out of memory");
        }
        answer_chunk(x, o, l->sent > 0 ? COR_BYTES_LIT(",\n") : COR_BYTES_LIT("\n"));
        answer_chunk(x, o, line);
        bytes += line.len;
        l->sent++;
        begin_behind(l, item.key);
    }
    return RENDER_MORE;
}

static void render_begin(struct list *l, struct out *o, struct extra *extra)
{
    struct exchange *x = l->read.x;
    struct answer a = {
        .status = 200, .type = "application/json", .extra = extra, .chunked = true};
    answer_head(x, o, &a);
    struct json_writer *w = api_line(x->api);
    json_begin_object(w);
    json_field_u64(w, "revision", l->revision);
    json_field_u64(w, "index", kv_range_revision(node_kv(x->api->node), &l->read.range));
    json_end_object(w);
    struct cor_bytes object = json_text_of(w);
    if (json_ok(w)) {
        answer_chunk(x, o, (struct cor_bytes){object.ptr, object.len - 1});
        answer_chunk(x, o, COR_BYTES_LIT(",\"items\":["));
    }
}

static enum rendered render_list(struct exchange *x, struct out *o)
{
    struct list *l = x->own;
    const struct kv *kv = node_kv(x->api->node);
    struct kv_info info;
    kv_get_info(kv, &info);
    if (l->revision == 0) {
        l->revision = l->read.revision != 0 ? l->read.revision : info.revision;
    }
    struct kv_range range = l->read.range;
    struct cor_bytes start = {l->last, l->last_len};
    range.key = compare(start, range.key) > 0 ? start : range.key;
    struct kv_cursor cursor;
    enum cor_status st = COR_OK;
    bool empty = !range.to_end && compare(range.key, range.end) >= 0;
    if (empty) { /* the cursor still judges the revision */
        range.key = l->read.range.key;
    }
    st = kv_cursor_open(kv, &range, l->revision == info.revision ? 0 : l->revision, &cursor);
    if (x->begun && st != COR_OK) {
        return cut(l, o, "compacted", "history was compacted while this was being read");
    }
    if (!x->begun) {
        struct extra extra;
        extra.used = 0;
        raftd_read_headers(&l->read, &extra);
        if (st != COR_OK) {
            exchange_error_number(x, st == COR_EFUTURE ? "revision" : "compacted",
                                  st == COR_EFUTURE ? info.revision : info.compacted);
            return exchange_render_failure(x, o, st, &extra);
        }
        render_begin(l, o, &extra);
    }
    return empty || x->head ? end(l, o, false) : render_items(l, o, &cursor);
}

static void list_gone(struct exchange *x)
{
    struct list *l = x->own;
    raftd_read_gone(&l->read);
}

static void list_stop(struct exchange *x)
{
    struct list *l = x->own;
    raftd_read_stop(&l->read);
}

static const struct exchange_ops list_ops = {render_list, list_gone, list_stop};

static void start_list(struct exchange *x, const struct params *p)
{
    struct list *l = ARENA_NEW(&x->arena, struct list, 1);
    COR_ASSERT(l != NULL);
    if (!raftd_read_init(&l->read, x, p)) {
        return;
    }
    struct cor_bytes prefix =
        has_param(p, PARAM_PREFIX) ? p->bytes[PARAM_PREFIX] : (struct cor_bytes){NULL, 0};
    bool ok = raftd_prefix_range(&x->arena, prefix, &l->read.range);
    COR_ASSERT(ok);
    if (has_param(p, PARAM_AFTER)) {
        if (p->bytes[PARAM_AFTER].len > KV_KEY_MAX) {
            exchange_fail(x, 414, "too_big", "a key has at most 8192 bytes");
            return;
        }
        begin_behind(l, p->bytes[PARAM_AFTER]);
    }
    l->keys_only = has_param(p, PARAM_KEYS);
    l->limit = has_param(p, PARAM_LIMIT) ? p->number[PARAM_LIMIT] : 0;
    x->own = l;
    x->ops = &list_ops;
    raftd_read_start(&l->read);
}

size_t raftd_list_room(void)
{
    return sizeof(struct list);
}

void raftd_list(struct exchange *x, const struct http_request *r)
{
    const uint32_t of_list = RAFTD_READ_PARAMS | PARAM_BIT(PARAM_PREFIX) |
                             PARAM_BIT(PARAM_AFTER) | PARAM_BIT(PARAM_LIMIT) |
                             PARAM_BIT(PARAM_KEYS);
    const uint32_t of_watch = PARAM_BIT(PARAM_WATCH) | PARAM_BIT(PARAM_PREFIX) |
                              PARAM_BIT(PARAM_KEY) | PARAM_BIT(PARAM_START_REVISION);
    struct params p;
    if (!params_parse(x, r->query, of_list | of_watch, &p)) {
        return;
    }
    uint32_t allowed = has_param(&p, PARAM_WATCH) ? of_watch : of_list;
    if ((p.present & ~allowed) != 0) {
        exchange_fail(x, 400, "bad_request",
                      has_param(&p, PARAM_WATCH)
                          ? "a watch takes only prefix or key, and start_revision"
                          : "key and start_revision are for watches");
        return;
    }
    if (has_param(&p, PARAM_WATCH)) {
        raftd_watch(x, &p);
    } else {
        start_list(x, &p);
    }
}
