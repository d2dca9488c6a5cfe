/*
 * read.c - reads of this dialect: three modes, blocking queries, and what is said about the answer.
 *
 * Place in the system: consul.h; below are node_read() and node_wait_start(). A read asks the node whether its
 * store may answer. If the request named an index and nothing in its ranges changed after it, it waits: in the
 * watch index of the store, so that a change wakes those whom it concerns and costs the others nothing.
 * After waiting in vain it asks again, so that "nothing changed" is not the word of a node that was
 * cut off meanwhile.
 *
 * A default or consistent read that a change woke does not ask again: the change was committed after the request
 * had come, and the store holds it, so its state is newer than the request.
 */
#include "api/consul/consul.h"

#include "base/format.h"

#include <string.h>

static void on_wake(void *arg, enum cor_status st);
static void on_read(void *arg, enum cor_status st, const struct node_read_info *info);

/* ---- parameters --------------------------------------------------------------------------------------- */

static bool refuse(struct exchange *x, const char *why)
{
    consul_fail(x, 400, why);
    return false;
}

static bool take_max_stale(struct consul_read *r, struct consul_call *c)
{
    struct cor_bytes text = consul_arg(c, "max_stale");
    int64_t ns = 0;
    if (text.len == 0) {
        return true;
    }
    if (!consul_duration(text, &ns)) {
        char why[96];
        int len = (int)(text.len < 64 ? text.len : 64);
        format_to(why, sizeof why, "Invalid max_stale value \"%.*s\"", len,
                  (const char *)text.ptr);
        return refuse(c->x, why);
    }
    r->mode = NODE_READ_STALE;
    r->bounded = true;
    r->max_stale_ms = ns <= 0 ? 0 : (uint64_t)ns / API_MS;
    return true;
}

static bool take_mode(struct consul_read *r, struct consul_call *c)
{
    r->mode = NODE_READ_DEFAULT;
    bool consistent = consul_has(c, "consistent");
    if (consul_has(c, "stale")) {
        r->mode = NODE_READ_STALE;
    }
    if (!consul_has(c, "leader") && !take_max_stale(r, c)) {
        return false;
    }
    if (r->mode == NODE_READ_STALE && consistent) {
        return refuse(c->x, "Cannot specify ?stale with ?consistent, conflicting semantics.");
    }
    if (consul_has(c, "cached") && consistent) {
        return refuse(c->x, "Cannot specify ?cached with ?consistent, conflicting semantics.");
    }
    r->mode = consistent ? NODE_READ_CONSISTENT : r->mode;
    return true;
}

/* A little more than was asked for, so that those who ask together do not come back together. */
static uint64_t add_jitter(struct api *api, uint64_t wait)
{
    uint64_t random;
    io_random(api->io, &random, sizeof random);
    return wait + random % (wait / 16 + 1);
}

static bool take_index(struct consul_read *r, struct consul_call *c)
{
    struct cor_bytes index = consul_arg(c, "index");
    struct cor_bytes wait = consul_arg(c, "wait");
    int64_t ns = 0;
    if (wait.len > 0 && !consul_duration(wait, &ns)) {
        return refuse(c->x, "Invalid wait time");
    }
    if (index.len > 0 && !consul_number(index, &r->index)) {
        return refuse(c->x, "Invalid index");
    }
    if (r->index != 0) {
        uint64_t patience = ns <= 0 ? API_WAIT_DEFAULT : (uint64_t)ns;
        r->patience = add_jitter(c->x->api, patience < API_WAIT_MAX ? patience : API_WAIT_MAX);
    }
    return true;
}

bool consul_read_init(struct consul_read *r, struct consul_call *c, unsigned n_ranges)
{
    *r = (struct consul_read){.x = c->x, .n_waits_max = (uint8_t)n_ranges};
    r->waits = ARENA_NEW(&c->x->arena, struct node_wait, n_ranges);
    COR_ASSERT(r->waits != NULL); /* CONSUL_ROOM */
    return take_mode(r, c) && take_index(r, c);
}

void consul_read_of(struct consul_read *r, const struct kv_range *range)
{
    COR_ASSERT(r->n_waits < r->n_waits_max);
    r->waits[r->n_waits++] = (struct node_wait){.range = *range, .arg = r, .wake = on_wake};
}

/* ---- asking -------------------------------------------------------------------------------------------- */

static void ask(struct consul_read *r, enum node_read_mode mode)
{
    enum cor_status st = node_read(r->x->api->node, mode, CONSUL_HOLD, on_read, r);
    if (st != COR_OK) {
        consul_fail_as(r->x, st);
        return;
    }
    r->x->owed = true;
}

void consul_read_start(struct consul_read *r, const struct exchange_ops *ops)
{
    COR_ASSERT(r->n_waits > 0);
    r->x->own = r;
    r->x->ops = ops;
    ask(r, r->mode);
}

uint64_t consul_read_revision(const struct consul_read *r)
{
    const struct kv *kv = node_kv(r->x->api->node);
    uint64_t newest = 1;
    for (unsigned i = 0; i < r->n_waits; i++) {
        uint64_t revision = kv_range_revision(kv, &r->waits[i].range);
        newest = revision > newest ? revision : newest;
    }
    return newest;
}

uint64_t consul_table_revision(const struct api *api, uint8_t table)
{
    struct kv_info info;
    kv_get_info(node_kv(api->node), &info);
    uint64_t revision = table == KV_TABLE_KEYS ? info.revision : info.system_revision;
    return revision > 0 ? revision : 1;
}

/* True: there is nothing to wait for, or no more time. */
static bool is_due(const struct consul_read *r)
{
    return r->waited || r->index == 0 || exchange_is_urgent(r->x) ||
           consul_read_revision(r) > r->index;
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static void stop_waiting(struct consul_read *r)
{
    for (; r->n_waiting > 0; r->n_waiting--) {
        node_wait_stop(&r->waits[r->n_waiting - 1]);
    }
}

static void wait_for_change(struct consul_read *r)
{
    for (unsigned i = 0; i < r->n_waits; i++) {
        struct node_wait *wait = &r->waits[i];
        wait->index = r->index;
        enum cor_status st =
            node_wait_start(r->x->api->node, wait, i == 0 ? r->patience : IO_NEVER);
        if (st != COR_OK) {
            stop_waiting(r);
            consul_fail_as(r->x, st);
            return;
        }
        r->n_waiting++;
    }
}

static void on_read(void *arg, enum cor_status st, const struct node_read_info *info)
{
    struct consul_read *r = arg;
    struct exchange *x = r->x;
    if (!exchange_back(x)) {
        return;
    }
    if (st != COR_OK) {
        consul_fail_as(x, st);
        return;
    }
    r->leader = info->leader;
    r->last_contact_ms = info->last_contact_ms;
    if (r->mode == NODE_READ_STALE && r->bounded && r->keeps_bound &&
        info->last_contact_ms > r->max_stale_ms) {
        r->mode = NODE_READ_DEFAULT;
        ask(r, r->mode);
    } else if (is_due(r)) {
        exchange_ready(x);
    } else {
        wait_for_change(r);
    }
}

static void on_wake(void *arg, enum cor_status st)
{
    struct consul_read *r = arg;
    stop_waiting(r); /* the one that woke is over, which is fine */
    r->waited = true;
    if (st == COR_OK) {
        exchange_ready(r->x);
    } else if (st == COR_ETIMEDOUT) {
        ask(r, r->mode);
    } else {
        consul_fail_as(r->x, st);
    }
}

void consul_read_gone(struct exchange *x)
{
    stop_waiting(x->own);
}

void consul_read_stop(struct exchange *x)
{
    struct consul_read *r = x->own;
    if (r->n_waiting > 0) {
        stop_waiting(r);
        exchange_ready(x);
    }
}

/* ---- answering ------------------------------------------------------------------------------------------- */

static struct cor_bytes mode_name(const struct consul_read *r)
{
    switch (r->mode) {
    case NODE_READ_STALE:
        return COR_BYTES_LIT("stale");
    case NODE_READ_CONSISTENT:
        return COR_BYTES_LIT("consistent");
    case NODE_READ_DEFAULT:
        break;
    }
    return COR_BYTES_LIT("leader");
}

void consul_read_headers(const struct consul_read *r, uint64_t index, struct extra *e)
{
    consul_headers(e);
    if (r->says_mode) {
        extra_text(e, "X-Consul-Effective-Consistency", mode_name(r));
    }
    extra_u64(e, "X-Consul-Index", index);
    extra_text(e, "X-Consul-Knownleader",
               r->leader != 0 ? COR_BYTES_LIT("true") : COR_BYTES_LIT("false"));
    extra_u64(e, "X-Consul-Lastcontact", r->last_contact_ms);
    extra_text(e, "X-Consul-Query-Backend", COR_BYTES_LIT("blocking-query"));
}

enum rendered consul_read_json(struct consul_read *r, struct out *o, uint64_t index,
                               struct json_writer *w)
{
    struct extra e;
    e.used = 0;
    consul_read_headers(r, index, &e);
    return consul_answer_json(r->x, o, &e, w);
}

enum rendered consul_read_absent(struct consul_read *r, struct out *o, uint64_t index)
{
    struct extra e;
    e.used = 0;
    consul_read_headers(r, index, &e);
    const struct answer a = {.status = 404, .extra = &e};
    answer_whole(r->x, o, &a, (struct cor_bytes){NULL, 0});
    return RENDER_DONE;
}
