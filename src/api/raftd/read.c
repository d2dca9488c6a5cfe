/*
 * read.c - see read.h.
 */
#include "api/raftd/read.h"

#include <string.h>

static void on_wake(void *arg, enum cor_status st);
static void on_read(void *arg, enum cor_status st, const struct node_read_info *info);

static bool refuse(struct exchange *x, const char *why)
{
    exchange_fail(x, 400, "bad_request", why);
    return false;
}

bool raftd_read_init(struct raftd_read *r, struct exchange *x, const struct params *p)
{
    r->x = x;
    r->mode = NODE_READ_DEFAULT;
    if (has_param(p, PARAM_STALE)) {
        if (has_param(p, PARAM_CONSISTENT)) {
            return refuse(x, "stale and consistent exclude each other");
        }
        r->mode = NODE_READ_STALE;
    } else if (has_param(p, PARAM_CONSISTENT)) {
        r->mode = NODE_READ_CONSISTENT;
    }
    if (has_param(p, PARAM_INDEX) && has_param(p, PARAM_REVISION)) {
        return refuse(x, "index and revision exclude each other: the past does not change");
    }
    if (has_param(p, PARAM_WAIT) && !has_param(p, PARAM_INDEX)) {
        return refuse(x, "wait needs an index: of what should there be a change?");
    }
    r->timeout = has_param(p, PARAM_TIMEOUT) ? p->number[PARAM_TIMEOUT] : 0;
    r->index = has_param(p, PARAM_INDEX) ? p->number[PARAM_INDEX] : 0;
    r->patience = has_param(p, PARAM_WAIT) ? p->number[PARAM_WAIT] : API_WAIT_DEFAULT;
    r->revision = has_param(p, PARAM_REVISION) ? p->number[PARAM_REVISION] : 0;
    return true;
}

void raftd_read_start(struct raftd_read *r)
{
    enum cor_status st = node_read(r->x->api->node, r->mode, r->timeout, on_read, r);
    if (st != COR_OK) {
        exchange_fail_as(r->x, st);
        return;
    }
    r->x->owed = true;
}

/* True: there is nothing to wait for, or no more time. */
static bool is_due(const struct raftd_read *r, const struct kv *kv)
{
    return r->waited || r->index == 0 || exchange_is_urgent(r->x) ||
           kv_range_revision(kv, &r->range) > r->index;
}

static void on_read(void *arg, enum cor_status st, const struct node_read_info *info)
{
    struct raftd_read *r = arg;
    struct exchange *x = r->x;
    if (!exchange_back(x)) {
        return;
    }
    if (st != COR_OK) {
        exchange_fail_as(x, st);
        return;
    }
    r->leader = info->leader;
    r->last_contact_ms = info->last_contact_ms;
    r->lag = info->lag_entries;
    if (is_due(r, info->kv)) {
        exchange_ready(x);
        return;
    }
    r->wait =
        (struct node_wait){.range = r->range, .index = r->index, .arg = r, .wake = on_wake};
    st = node_wait_start(x->api->node, &r->wait, r->patience);
    if (st != COR_OK) {
        exchange_fail_as(x, st);
        return;
    }
    r->waiting = true;
}

static void on_wake(void *arg, enum cor_status st)
{
    struct raftd_read *r = arg;
    r->waiting = false;
    r->waited = true;
    if (st == COR_OK || (st == COR_ETIMEDOUT && r->mode == NODE_READ_STALE)) {
        exchange_ready(r->x);
    } else if (st == COR_ETIMEDOUT) {
        raftd_read_start(r);
    } else {
        exchange_fail_as(r->x, st);
    }
}

void raftd_read_gone(struct raftd_read *r)
{
    if (r->waiting) {
        r->waiting = false;
        node_wait_stop(&r->wait);
    }
}

void raftd_read_stop(struct raftd_read *r)
{
    if (r->waiting) {
        raftd_read_gone(r);
        exchange_ready(r->x);
    }
}

void raftd_read_headers(const struct raftd_read *r, struct extra *e)
{
    struct api *api = r->x->api;
    const struct kv *kv = node_kv(api->node);
    struct kv_info info;
    kv_get_info(kv, &info);
    extra_u64(e, "X-Coracle-Revision", info.revision);
    extra_u64(e, "X-Coracle-Index", kv_range_revision(kv, &r->range));
    bool known = r->leader != 0;
    extra_text(e, "X-Coracle-Known-Leader",
               known ? COR_BYTES_LIT("true") : COR_BYTES_LIT("false"));
    const char *name = api_leader_name(api, r->leader);
    if (name[0] != '\0') {
        extra_text(e, "X-Coracle-Leader",
                   (struct cor_bytes){(const unsigned char *)name, strlen(name)});
    }
    extra_u64(e, "X-Coracle-Last-Contact", r->last_contact_ms);
    extra_u64(e, "X-Coracle-Lag", r->lag);
}

bool raftd_prefix_range(struct arena *arena, struct cor_bytes prefix, struct kv_range *out)
{
    unsigned char *end = ARENA_NEW(arena, unsigned char, prefix.len + 1);
    if (end == NULL) {
        return false;
    }
    size_t len = kv_prefix_end(prefix, end);
    *out = (struct kv_range){
        .table = KV_TABLE_KEYS, .to_end = len == 0, .key = prefix, .end = {end, len}};
    return true;
}
