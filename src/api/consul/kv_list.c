/*
 * kv_list.c - many keys through Consul's API: GET /v1/kv/{prefix} with recurse or keys.
 *
 * Place in the system: called by kv.c. What fits into one piece is answered as a whole. More leaves in pieces, of
 * one revision however long it takes: each piece opens a cursor behind the last key at that revision, so
 * nothing of the store is held between pieces. If compaction overtakes a slow reader, its answer is broken off in
 * a way that no client takes for the end.
 */
#include "api/consul/kv.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES 49152u /* about so much, or so many keys, before others have their turn */
#define PIECE_KEYS  1024u

struct list {
    struct consul_read read;
    bool keys;                  /* names only */
    struct cor_bytes separator; /* not empty: names are cut behind it */
    uint64_t revision;          /* of a listing in pieces */
    uint64_t index;
    unsigned char *next; /* between pieces: where the next one begins; the list's own */
    size_t next_len;
};

/* ---- where the walk goes on ---------------------------------------------------------------------- */

/* A walk over the range, from item to item, or from group to group. */
struct walk {
    struct list *list;
    const struct kv *kv;
    uint64_t revision; /* 0: the newest */
    struct kv_cursor cursor;
    struct kv_item item;
    struct cor_bytes name; /* of the item, cut */
    enum cor_status status;
    unsigned char end[KV_KEY_MAX]; /* of the group */
};

/* Stand on the first item from @from on. False: there is none, or status says why not. */
static bool walk_from(struct walk *k, struct cor_bytes from)
{
    struct kv_range range = k->list->read.waits[0].range;
    range.key = from;
    k->status = kv_cursor_open(k->kv, &range, k->revision, &k->cursor);
    return k->status == COR_OK && kv_cursor_next(&k->cursor, &k->item);
}

/* The name of the item; and if it stands for a group, true. */
static bool cut_name(struct walk *k)
{
    const struct list *l = k->list;
    size_t prefix = l->read.waits[0].range.key.len;
    k->name = k->item.key;
    for (size_t at = prefix; l->separator.len > 0 && at + l->separator.len <= k->name.len;
         at++) {
        if (memcmp(k->name.ptr + at, l->separator.ptr, l->separator.len) == 0) {
            k->name.len = at + l->separator.len;
            return true;
        }
    }
    return false;
}

/* Behind the item, or its group. */
static bool walk_on(struct walk *k)
{
    if (k->list->separator.len == 0 || !cut_name(k)) {
        return kv_cursor_next(&k->cursor, &k->item);
    }
    size_t len = kv_prefix_end(k->name, k->end);
    return len > 0 && walk_from(k, (struct cor_bytes){k->end, len});
}

/* ---- pieces ---------------------------------------------------------------------------------------- */

static void put_item(struct walk *k, struct json_writer *w)
{
    if (k->list->keys) {
        (void)cut_name(k);
        json_string(w, k->name);
    } else {
        consul_kv_entry(w, &k->item);
    }
}

/* Items into @w, from the one that the walk stands on. True: there are more. */
static bool fill(struct walk *k, struct json_writer *w)
{
    bool more = true;
    for (unsigned n = 0; more && n < PIECE_KEYS && json_text_of(w).len < PIECE_BYTES; n++) {
        put_item(k, w);
        more = walk_on(k);
    }
    return more && json_ok(w);
}

static void forget(struct list *l)
{
    free(l->next);
    l->next = NULL;
}

/* Remember where the walk stands. False: no memory. */
static bool keep_place(struct list *l, const struct walk *k)
{
    forget(l);
    l->next_len = k->item.key.len;
    l->next = malloc(l->next_len);
    if (l->next == NULL) {
        return false;
    }
    memcpy(l->next, k->item.key.ptr, l->next_len);
    return true;
}

static enum rendered cut_off(struct list *l)
{
    forget(l);
    return RENDER_CUT;
}

/* The first piece, or the whole answer. */
static enum rendered render_first(struct list *l, struct out *o, struct walk *k)
{
    struct exchange *x = l->read.x;
    struct json_writer *w = consul_json(x);
    json_begin_array(w);
    bool more = fill(k, w);
    if (!more && json_ok(w)) {
        json_end_array(w);
        return consul_read_json(&l->read, o, l->index, w);
    }
    if (!json_ok(w) || !keep_place(l, k)) {
        consul_fail_as(x, COR_ENOMEM);
        return x->ops->render(x, o);
    }
    struct extra e;
    e.used = 0;
    consul_read_headers(&l->read, l->index, &e);
    const struct answer a = {
        .status = 200, .type = "application/json", .extra = &e, .chunked = true};
    answer_head(x, o, &a);
    answer_chunk(x, o, json_text_of(w));
    return RENDER_MORE;
}

/* A later piece: an array without its bracket, behind a comma. */
static enum rendered render_next(struct list *l, struct out *o, struct walk *k)
{
    struct exchange *x = l->read.x;
    struct json_writer *w = consul_json(x);
    json_begin_array(w);
    bool more = fill(k, w);
    if (!more) {
        json_end_array(w);
        if (x->pretty) {
            json_end_line(w);
        }
    }
    if (!json_ok(w) || k->status != COR_OK || (more && !keep_place(l, k))) {
        return cut_off(l);
    }
    struct cor_bytes text = json_text_of(w);
    answer_chunk(x, o, COR_BYTES_LIT(","));
    answer_chunk(x, o, (struct cor_bytes){text.ptr + 1, text.len - 1});
    if (more) {
        return RENDER_MORE;
    }
    forget(l);
    answer_chunks_end(x, o);
    return RENDER_DONE;
}

/* ---- the answer --------------------------------------------------------------------------------------- */

/* Nothing is there. Consul does not say so of the keys of everything. */
static enum rendered render_nothing(struct list *l, struct out *o)
{
    struct exchange *x = l->read.x;
    if (!l->keys || l->read.waits[0].range.key.len > 0) {
        return consul_read_absent(&l->read, o, l->index);
    }
    struct json_writer *w = consul_json(x);
    json_begin_array(w);
    json_end_array(w);
    return consul_read_json(&l->read, o, l->index, w);
}

static enum rendered render_list(struct exchange *x, struct out *o)
{
    struct list *l = x->own;
    struct walk k = {.list = l, .kv = node_kv(x->api->node)};
    uint64_t newest = consul_table_revision(x->api, KV_TABLE_KEYS);
    if (x->begun) {
        k.revision = l->revision == newest ? 0 : l->revision;
        struct cor_bytes from = {l->next, l->next_len};
        return walk_from(&k, from) ? render_next(l, o, &k) : cut_off(l);
    }
    l->revision = newest;
    bool any = walk_from(&k, l->read.waits[0].range.key);
    /* Of nothing it is the newest of all: what is remembered of deletions may become less exact, and then
     * an index would go back. */
    l->index = any ? consul_read_revision(&l->read) : newest;
    return any ? render_first(l, o, &k) : render_nothing(l, o);
}

static void list_gone(struct exchange *x)
{
    struct list *l = x->own;
    forget(l);
    consul_read_gone(x);
}

void consul_kv_list(struct consul_call *c)
{
    static const struct exchange_ops ops = {render_list, list_gone, consul_read_stop};
    struct list *l = ARENA_NEW(&c->x->arena, struct list, 1);
    COR_ASSERT(l != NULL); /* consul_need() saw to it */
    if (!consul_kv_key(c, true) || !consul_read_init(&l->read, c, 1)) {
        return;
    }
    l->keys = consul_has(c, "keys"); /* which counts more than recurse */
    if (l->keys) {
        l->separator = consul_arg(c, consul_has(c, "separator") ? "separator" : "seperator");
    }
    struct kv_range range = consul_kv_prefix(c);
    consul_read_of(&l->read, &range);
    consul_read_start(&l->read, &ops);
}
