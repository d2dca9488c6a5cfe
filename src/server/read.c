/*
 * read.c - cor_get(), cor_range(), cor_info().
 *
 * A range is copied page by page, so that neither the loop nor memory depends on its length. The first page is read
 * in the mode asked for; the others from the same revision, in history, so that all of them are one state.
 */
#include "server/internal.h"

#include "base/format.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_ITEMS 256u
#define PAGE_BYTES (1u << 20) /* at least one item, whatever its size */

/* Key and value behind the struct, in one allocation. */
static struct cor_item *copy_item(const struct kv_item *from)
{
    struct cor_item *item = malloc(sizeof *item + from->key.len + from->value.len + 1);
    if (item == NULL) {
        return NULL;
    }
    unsigned char *bytes = (unsigned char *)(item + 1);
    if (from->key.len > 0) {
        memcpy(bytes, from->key.ptr, from->key.len);
    }
    if (from->value.len > 0) {
        memcpy(bytes + from->key.len, from->value.ptr, from->value.len);
    }
    *item = (struct cor_item){.key = {bytes, from->key.len},
                              .value = {bytes + from->key.len, from->value.len},
                              .create_revision = from->create_revision,
                              .mod_revision = from->mod_revision,
                              .version = from->version};
    return item;
}

void cor_item_free(struct cor_item *item)
{
    free(item);
}

/* ---- one key --------------------------------------------------------------------------------------- */

struct get_call {
    struct call call;
    struct cor_bytes key;
    enum cor_read_mode mode;
    struct cor_item *item;
};

static void on_get(void *arg, enum cor_status st, const struct node_read_info *info)
{
    struct get_call *g = arg;
    struct kv_item found;
    st = st == COR_OK ? kv_get(info->kv, KV_TABLE_KEYS, g->key, 0, &found) : st;
    if (st == COR_OK) {
        g->item = copy_item(&found);
        st = g->item != NULL ? COR_OK : COR_ENOMEM;
    }
    call_end(&g->call, st);
}

_Static_assert((int)COR_READ_CONSISTENT == (int)NODE_READ_CONSISTENT &&
                   (int)COR_READ_STALE == (int)NODE_READ_STALE,
               "the modes are the node's");

static void begin_get(struct call *call)
{
    struct get_call *g = CONTAINER_OF(call, struct get_call, call);
    enum cor_status st = node_read(call->c->node, (enum node_read_mode)g->mode, 0, on_get, g);
    if (st != COR_OK) {
        call_end(call, st);
    }
}

enum cor_status cor_get(struct cor *c, struct cor_bytes key, enum cor_read_mode mode,
                        struct cor_item **out)
{
    if (key.len == 0 || key.len > COR_KEY_MAX || mode > COR_READ_STALE) {
        return COR_EINVAL;
    }
    struct get_call g = {.call = {.begin = begin_get}, .key = key, .mode = mode};
    enum cor_status st = call_make(c, &g.call);
    if (st == COR_OK) {
        *out = g.item;
    }
    return st;
}

/* ---- a range --------------------------------------------------------------------------------------- */

struct range_call {
    struct call call;
    struct kv_range range;
    enum cor_read_mode mode;
    uint64_t revision; /* 0: the first page decides */
    size_t n, bytes;
    bool more;
    struct cor_item *items[PAGE_ITEMS];
};

static enum cor_status take_page(struct range_call *r, const struct kv *kv)
{
    if (r->revision == 0) {
        struct kv_info info;
        kv_get_info(kv, &info);
        r->revision = info.revision;
    }
    struct kv_cursor cursor;
    enum cor_status st = kv_cursor_open(kv, &r->range, r->revision, &cursor);
    if (st != COR_OK) {
        return st;
    }
    struct kv_item item;
    while (r->n < PAGE_ITEMS && r->bytes < PAGE_BYTES) {
        if (!kv_cursor_next(&cursor, &item)) {
            r->more = false;
            return COR_OK;
        }
        r->items[r->n] = copy_item(&item);
        if (r->items[r->n] == NULL) {
            return COR_ENOMEM;
        }
        r->n++;
        r->bytes += item.key.len + item.value.len;
    }
    r->more = true;
    return COR_OK;
}

static void on_range(void *arg, enum cor_status st, const struct node_read_info *info)
{
    struct range_call *r = arg;
    call_end(&r->call, st == COR_OK ? take_page(r, info->kv) : st);
}

static void begin_range(struct call *call)
{
    struct range_call *r = CONTAINER_OF(call, struct range_call, call);
    enum node_read_mode mode =
        r->revision == 0 ? (enum node_read_mode)r->mode : NODE_READ_STALE;
    enum cor_status st = node_read(call->c->node, mode, 0, on_range, r);
    if (st != COR_OK) {
        call_end(call, st);
    }
}

/* Show a page; its last key, and a zero byte, is where the next one begins. False: enough. */
static bool show_page(struct range_call *r, unsigned char *next,
                      bool (*each)(void *arg, const struct cor_item *item), void *arg)
{
    bool go_on = true;
    for (size_t i = 0; i < r->n; i++) {
        go_on = go_on && each(arg, r->items[i]);
        if (i + 1 == r->n) {
            struct cor_bytes key = r->items[i]->key;
            memcpy(next, key.ptr, key.len);
            next[key.len] = 0;
            r->range.key = (struct cor_bytes){next, key.len + 1};
        }
        cor_item_free(r->items[i]);
    }
    r->n = 0;
    r->bytes = 0;
    return go_on;
}

enum cor_status cor_range(struct cor *c, struct cor_bytes prefix, enum cor_read_mode mode,
                          bool (*each)(void *arg, const struct cor_item *item), void *arg)
{
    unsigned char end[COR_KEY_MAX], next[COR_KEY_MAX + 1];
    if (prefix.len > COR_KEY_MAX || mode > COR_READ_STALE) {
        return COR_EINVAL;
    }
    struct range_call *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return COR_ENOMEM;
    }
    size_t end_len = kv_prefix_end(prefix, end);
    r->call.begin = begin_range;
    r->mode = mode;
    r->range = (struct kv_range){
        .table = KV_TABLE_KEYS, .to_end = end_len == 0, .key = prefix, .end = {end, end_len}};
    enum cor_status st;
    bool go_on = true;
    do {
        st = call_make(c, &r->call);
        go_on = show_page(r, next, each, arg);
    } while (st == COR_OK && r->more && go_on);
    free(r);
    return st;
}

/* ---- the node itself ------------------------------------------------------------------------------- */

struct info_call {
    struct call call;
    struct cor_node_info *out;
};

static void begin_info(struct call *call)
{
    struct info_call *i = CONTAINER_OF(call, struct info_call, call);
    struct node_status s;
    node_get_status(call->c->node, &s);
    format_to(i->out->name, sizeof i->out->name, "%s", s.name);
    format_to(i->out->role, sizeof i->out->role, "%s", s.role);
    format_to(i->out->leader, sizeof i->out->leader, "%s", s.leader_name);
    i->out->term = s.raft.term;
    i->out->commit_index = s.raft.commit;
    i->out->applied_index = s.kv.applied;
    i->out->revision = s.kv.revision;
    i->out->state_hash = s.kv.hash;
    call_end(call, COR_OK);
}

void cor_info(struct cor *c, struct cor_node_info *out)
{
    *out = (struct cor_node_info){0};
    struct info_call i = {.call = {.begin = begin_info}, .out = out};
    (void)call_make(c, &i.call);
}
