/*
 * twin_test.c - the store against a dumb twin: an array of all versions ever, searched from the
 * back. Random transactions of every kind, held roots, watchers, compaction; a second store gets
 * the same log and must agree to the hash.
 */
#include "base/format.h"
#include "base/prng.h"
#include "tests/kv/build.h"
#include "tests/support/test.h"

#define N_KEYS       300u
#define N_TABLES     2u
#define N_VERSIONS   40000u
#define N_WATCHERS   24u
#define N_HELD       4u
#define N_ENTRIES    500u
#define N_SEEDS      24u
#define BRANCH_MAX   4u
#define COMPARES_MAX 2u
#define NODES_MAX    64u
#define EVENTS_MAX   20000u
#define NESTED_MAX   300000u

/* ---- keys and values ------------------------------------------------------------------------- */

static const char *const stems[] = {"a", "pods/with/a/rather/long/common/prefix/", "z"};

/* Key number @i; numbers and keys have the same order. */
static struct cor_bytes key_of(uint32_t i, char *out)
{
    size_t n = format_to(out, 64, "%s%03u", stems[i / 100], i);
    return (struct cor_bytes){(const unsigned char *)out, n};
}

static struct cor_bytes value_of(uint32_t seed)
{
    static unsigned char bytes[1500];
    size_t len = seed % 7 == 0 ? 0 : seed % 31 == 1 ? 1400 : seed % 90;
    memset(bytes, (int)(seed % 251), sizeof bytes);
    return (struct cor_bytes){bytes, len};
}

static struct cor_bytes attrs_of(uint32_t seed)
{
    static unsigned char bytes[4] = {5, 'x', 'y', 'z'};
    return (struct cor_bytes){bytes, seed % 3 == 0 ? seed % 5 : 0};
}

/* ---- the twin ------------------------------------------------------------------------------------ */

struct attrs {
    uint8_t len, bytes[7];
};

struct version {
    uint32_t key, value; /* a number and a seed */
    struct attrs attrs;
    bool dead;
    uint64_t create, mod, version, lease, index;
};

struct twin {
    struct version *log[N_TABLES];
    uint32_t n[N_TABLES];
    uint64_t revision[N_TABLES];
    uint64_t compacted;
};

static const struct version *twin_get(const struct twin *t, uint32_t table, uint32_t key,
                                      uint64_t revision)
{
    for (uint32_t i = t->n[table]; i-- > 0;) {
        const struct version *v = &t->log[table][i];
        if (v->key == key && v->mod <= revision) {
            return v->dead ? NULL : v;
        }
    }
    return NULL;
}

static void twin_add(struct twin *t, uint32_t table, struct version v)
{
    if (t->n[table] < N_VERSIONS) {
        t->log[table][t->n[table]++] = v;
    }
}

/* ---- random transactions --------------------------------------------------------------------------- */

struct span {
    uint32_t table, from, to; /* keys from..to-1 */
    bool one, to_end;
};

struct gen_compare {
    struct span span;
    uint8_t field, op;
    uint64_t number;
    uint32_t value;
};

struct gen_op {
    uint8_t kind;
    uint32_t flags;
    struct span span;
    uint32_t value, attrs;
    uint64_t lease, revision, limit;
    struct gen_compare check;
    struct gen_txn *txn;
};

struct gen_txn {
    uint32_t n_compares, n[2]; /* else, then */
    struct gen_compare compares[COMPARES_MAX];
    struct gen_op ops[2][BRANCH_MAX];
};

struct gen {
    struct prng prng;
    struct gen_txn nodes[NODES_MAX];
    uint32_t n_nodes;
    uint64_t revision;
};

static uint32_t pick(struct gen *g, uint32_t n)
{
    return (uint32_t)prng_below(&g->prng, n);
}

static uint32_t pick_key(struct gen *g)
{
    return pick(g, 3) == 0 ? pick(g, 8) : pick(g, N_KEYS);
}

static struct span gen_span(struct gen *g)
{
    struct span s = {.table = pick(g, 6) == 0, .from = pick_key(g)};
    uint32_t kind = pick(g, 20);
    s.one = kind < 12;
    s.to_end = kind == 19;
    s.to = s.one ? s.from + 1 : s.to_end ? N_KEYS : s.from + pick(g, 12);
    if (kind == 18) {
        s.to = pick_key(g); /* large, empty or backwards */
    }
    return s;
}

static struct gen_compare gen_compare(struct gen *g)
{
    struct gen_compare c = {.span = gen_span(g)};
    c.field = (uint8_t)(KV_COMPARE_VERSION + pick(g, 5));
    c.op = (uint8_t)(KV_EQUAL + pick(g, 4));
    c.number = c.field == KV_COMPARE_VERSION || c.field == KV_COMPARE_LEASE
                   ? pick(g, 3)
                   : pick(g, (uint32_t)g->revision + 2);
    c.value = pick(g, 10);
    return c;
}

static struct gen_op gen_op(struct gen *g, bool stepwise, uint32_t depth);

static struct gen_txn *gen_txn(struct gen *g, bool stepwise, uint32_t depth)
{
    struct gen_txn *t = &g->nodes[g->n_nodes++];
    *t = (struct gen_txn){.n_compares = stepwise ? 0 : pick(g, COMPARES_MAX + 1)};
    for (uint32_t i = 0; i < t->n_compares; i++) {
        t->compares[i] = gen_compare(g);
    }
    for (uint32_t b = 0; b < 2; b++) {
        t->n[b] = stepwise && b == 0 ? 0 : pick(g, BRANCH_MAX + 1);
        for (uint32_t i = 0; i < t->n[b]; i++) {
            t->ops[b][i] = gen_op(g, stepwise, depth);
        }
    }
    return t;
}

static struct gen_op gen_op(struct gen *g, bool stepwise, uint32_t depth)
{
    struct gen_op op = {.span = gen_span(g)};
    uint32_t kind = pick(g, 16);
    if (kind < 9) {
        op.kind = KV_OP_PUT;
        op.span.one = true;
        op.flags = pick(g, 3) == 0 ? pick(g, 64) : 0;
        op.flags |= pick(g, 16) == 0 ? KV_MUST_EXIST : 0;
        op.flags |= pick(g, 16) == 0 ? KV_IF_ABSENT : 0;
        op.value = (op.flags & KV_KEEP_VALUE) != 0 ? 0 : pick(g, 1000);
        op.attrs = pick(g, 30);
        op.lease = (op.flags & KV_KEEP_LEASE) == 0 && pick(g, 4) == 0 ? pick(g, 3) : 0;
    } else if (kind < 12) {
        op.kind = KV_OP_DELETE;
        op.flags = pick(g, 2) == 0 ? KV_WANT_PREV : 0;
    } else if (kind < 14 || g->n_nodes >= NODES_MAX - 8 || depth + 1 == ENTRY_DEPTH_MAX) {
        op.kind = KV_OP_RANGE;
        op.flags = pick(g, 4) == 0 ? KV_COUNT_ONLY : pick(g, 3) == 0 ? KV_KEYS_ONLY : 0;
        op.revision = pick(g, 4) == 0 && g->revision > 1 && op.span.table == 0
                          ? g->revision - pick(g, g->revision > 40 ? 40 : 1)
                          : 0;
        op.limit = pick(g, 3);
    } else if (stepwise) {
        op.kind = KV_OP_CHECK;
        op.check = gen_compare(g);
    } else {
        op.kind = KV_OP_TXN;
        op.txn = gen_txn(g, false, depth + 1);
    }
    return op;
}

/* ---- the same as bytes -------------------------------------------------------------------------------- */

/* Key bytes live as long as the encoding takes. */
struct names {
    char key[2][64];
};

static struct kv_range range_for(const struct span *s, struct names *names)
{
    struct kv_range r = {.table = (uint8_t)s->table, .to_end = s->to_end};
    r.key = key_of(s->from, names->key[0]);
    if (!s->one && !s->to_end) {
        r.end = s->to >= N_KEYS ? text("zz") : key_of(s->to, names->key[1]);
    }
    return r;
}

static struct kv_compare compare_for(const struct gen_compare *c, struct names *names)
{
    return (struct kv_compare){.range = range_for(&c->span, names),
                               .field = c->field,
                               .op = c->op,
                               .number = c->number,
                               .value = value_of(c->value)};
}

static void encode_txn(struct writer *w, const struct gen_txn *t);

static void encode_op(struct writer *w, const struct gen_op *g)
{
    struct names names;
    struct names check_names;
    struct kv_op op = {.kind = g->kind,
                       .flags = g->flags,
                       .lease = g->lease,
                       .revision = g->revision,
                       .limit = g->limit};
    op.range = range_for(&g->span, &names);
    op.value = value_of(g->value);
    op.attrs = attrs_of(g->attrs);
    op.check = compare_for(&g->check, &check_names);
    unsigned char *nested = NULL;
    if (g->kind == KV_OP_CHECK) {
        op.value = (struct cor_bytes){NULL, 0};
        op.check.value = value_of(g->check.value);
    }
    if (g->kind == KV_OP_TXN) {
        nested = malloc(NESTED_MAX);
        struct writer inner = writer_of(nested, NESTED_MAX);
        kv_encode_nested_begin(&inner, g->txn->n_compares, g->txn->n[1], g->txn->n[0]);
        encode_txn(&inner, g->txn);
        op.txn = (struct cor_bytes){nested, inner.used};
    }
    if (g->kind == KV_OP_PUT) {
        op.value = value_of(g->value);
    }
    kv_encode_op(w, &op);
    free(nested);
}

static void encode_txn(struct writer *w, const struct gen_txn *t)
{
    for (uint32_t i = 0; i < t->n_compares; i++) {
        struct names names;
        struct kv_compare c = compare_for(&t->compares[i], &names);
        kv_encode_compare(w, &c);
    }
    for (uint32_t b = 2; b-- > 0;) {
        for (uint32_t i = 0; i < t->n[b]; i++) {
            encode_op(w, &t->ops[b][i]);
        }
    }
}

/* ---- the twin's evaluation ------------------------------------------------------------------------------ */

struct run {
    struct twin *t;
    uint64_t before[N_TABLES]; /* revisions before the entry */
    bool stepwise;
    uint64_t index;
    uint32_t n_before[N_TABLES];
};

/* The revision at which this entry's reads of "now" look. */
static uint64_t seen(const struct run *r, uint32_t table)
{
    return r->stepwise ? UINT64_MAX : r->before[table];
}

static bool twin_holds(uint8_t op, int d)
{
    return op == KV_EQUAL ? d == 0 : op == KV_GREATER ? d > 0 : op == KV_LESS ? d < 0 : d != 0;
}

static bool twin_compare_one(const struct gen_compare *c, const struct version *v)
{
    if (c->field == KV_COMPARE_VALUE) {
        static unsigned char copy[1500];
        if (v == NULL) {
            return false;
        }
        struct cor_bytes have = value_of(v->value);
        memcpy(copy, have.ptr, have.len);
        struct cor_bytes want = value_of(c->value);
        size_t n = have.len < want.len ? have.len : want.len;
        int d = memcmp(copy, want.ptr, n);
        return twin_holds(c->op, d != 0 ? d : (have.len > want.len) - (have.len < want.len));
    }
    uint64_t have = 0;
    if (v != NULL) {
        have = c->field == KV_COMPARE_VERSION  ? v->version
               : c->field == KV_COMPARE_CREATE ? v->create
               : c->field == KV_COMPARE_MOD    ? v->mod
                                               : v->lease;
    }
    return twin_holds(c->op, (have > c->number) - (have < c->number));
}

static bool twin_compare(const struct run *r, const struct gen_compare *c)
{
    bool any = false;
    uint32_t to = c->span.one ? c->span.from + 1 : c->span.to;
    for (uint32_t k = c->span.from; k < to && k < N_KEYS; k++) {
        const struct version *v = twin_get(r->t, c->span.table, k, seen(r, c->span.table));
        any = any || v != NULL;
        if (v != NULL && !twin_compare_one(c, v)) {
            return false;
        }
    }
    return any || twin_compare_one(c, NULL);
}

static enum cor_status twin_precheck(const struct run *r, const struct gen_op *op)
{
    if (op->kind == KV_OP_PUT && (op->flags & (KV_KEEP_VALUE | KV_MUST_EXIST)) != 0 &&
        twin_get(r->t, op->span.table, op->span.from, seen(r, op->span.table)) == NULL) {
        return COR_ENOTFOUND;
    }
    if (op->kind == KV_OP_RANGE && op->revision != 0) {
        return op->revision > r->before[0]      ? COR_EFUTURE
               : op->revision < r->t->compacted ? COR_ECOMPACTED
                                                : COR_OK;
    }
    return COR_OK;
}

static struct attrs to_attrs(struct cor_bytes b)
{
    struct attrs a = {.len = (uint8_t)b.len};
    memcpy(a.bytes, b.ptr, b.len);
    return a;
}

/* Lock indexes stay below 128 here, so they are one byte. */
static struct attrs bumped(struct attrs attrs, struct attrs old)
{
    attrs.bytes[0] = old.len == 0 ? 1 : (uint8_t)(old.bytes[0] + 1);
    attrs.len = attrs.len == 0 ? 1 : attrs.len;
    return attrs;
}

static bool same_value(uint32_t a, uint32_t b)
{
    size_t len = value_of(a).len;
    return len == value_of(b).len && (len == 0 || a % 251 == b % 251);
}

static void check_items(const struct run *r, const struct gen_op *op, uint64_t revision,
                        const struct kv_op_result *result);

static void twin_put(struct run *r, const struct gen_op *op)
{
    struct twin *t = r->t;
    uint32_t table = op->span.table;
    const struct version *now = twin_get(t, table, op->span.from, UINT64_MAX);
    const struct version *old = twin_get(t, table, op->span.from, seen(r, table));
    struct version v = {.key = op->span.from,
                        .value = op->value,
                        .attrs = to_attrs(attrs_of(op->attrs)),
                        .lease = op->lease,
                        .index = r->index};
    v.mod = r->before[table] + 1;
    v.create = now != NULL ? now->create : v.mod;
    v.version = now != NULL ? now->version + 1 : 1;
    if ((op->flags & KV_KEEP_VALUE) != 0) {
        v.value = old->value;
    }
    if ((op->flags & KV_KEEP_LEASE) != 0) {
        v.lease = old == NULL ? 0 : old->lease;
    }
    if ((op->flags & KV_KEEP_ATTRS) != 0) {
        v.attrs = old == NULL ? (struct attrs){.len = 0} : old->attrs;
    }
    if ((op->flags & KV_BUMP_LOCK) != 0) {
        v.attrs = bumped(v.attrs, old == NULL ? (struct attrs){.len = 0} : old->attrs);
    }
    bool same = now != NULL && now->lease == v.lease && same_value(now->value, v.value) &&
                now->attrs.len == v.attrs.len &&
                memcmp(now->attrs.bytes, v.attrs.bytes, v.attrs.len) == 0;
    if ((same && (op->flags & KV_IF_CHANGED) != 0) ||
        (now != NULL && (op->flags & KV_IF_ABSENT) != 0)) {
        return;
    }
    twin_add(t, table, v);
}

static uint64_t twin_delete(struct run *r, const struct gen_op *op)
{
    uint64_t n = 0;
    uint32_t table = op->span.table;
    uint32_t to = op->span.one ? op->span.from + 1 : op->span.to;
    for (uint32_t k = op->span.from; k < to && k < N_KEYS; k++) {
        if (twin_get(r->t, table, k, UINT64_MAX) != NULL) {
            struct version v = {.key = k, .dead = true, .mod = r->before[table] + 1};
            twin_add(r->t, table, v);
            n++;
        }
    }
    return n;
}

static enum cor_status twin_decide(const struct run *r, const struct gen_txn *t, bool *branches,
                                   uint32_t *n)
{
    bool all = true;
    for (uint32_t i = 0; i < t->n_compares; i++) {
        all = all && twin_compare(r, &t->compares[i]);
    }
    branches[(*n)++] = all;
    for (uint32_t i = 0; i < t->n[all]; i++) {
        const struct gen_op *op = &t->ops[all][i];
        enum cor_status st =
            op->kind == KV_OP_TXN ? twin_decide(r, op->txn, branches, n) : twin_precheck(r, op);
        if (st != COR_OK) {
            return st;
        }
    }
    return COR_OK;
}

static void twin_op(struct run *r, const struct gen_op *op, const struct kv_op_result *result)
{
    CHECK_EQ(result->kind, op->kind);
    if (op->kind == KV_OP_PUT) {
        twin_put(r, op);
    } else if (op->kind == KV_OP_DELETE) {
        CHECK_EQ(result->count, twin_delete(r, op));
    } else if (op->kind == KV_OP_RANGE) {
        check_items(r, op, op->revision == 0 ? UINT64_MAX : op->revision, result);
    }
}

static void twin_run(struct run *r, const struct gen_txn *t, const bool *branches, uint32_t *n,
                     const struct kv_result *result)
{
    bool all = branches[(*n)++];
    CHECK_EQ(result->succeeded, all);
    CHECK_EQ(result->n_ops, t->n[all]);
    for (uint32_t i = 0; i < t->n[all] && i < result->n_ops; i++) {
        const struct gen_op *op = &t->ops[all][i];
        if (op->kind == KV_OP_TXN) {
            REQUIRE(result->ops[i].txn != NULL);
            twin_run(r, op->txn, branches, n, result->ops[i].txn);
        } else {
            twin_op(r, op, &result->ops[i]);
        }
    }
}

static void twin_stepwise(struct run *r, const struct gen_txn *t,
                          const struct kv_result *result)
{
    bool failed = false;
    REQUIRE(result->n_ops == t->n[1]);
    for (uint32_t i = 0; i < t->n[1]; i++) {
        const struct gen_op *op = &t->ops[1][i];
        enum cor_status st = twin_precheck(r, op);
        if (op->kind == KV_OP_CHECK && !twin_compare(r, &op->check)) {
            st = COR_ECONFLICT;
        }
        CHECK_EQ(result->ops[i].status, st);
        failed = failed || st != COR_OK;
        if (st == COR_OK) {
            twin_op(r, op, &result->ops[i]);
        }
    }
    CHECK_EQ(result->status, failed ? COR_ECONFLICT : COR_OK);
    for (uint32_t i = 0; i < N_TABLES && failed; i++) {
        r->t->n[i] = r->n_before[i];
    }
}

/* ---- comparing ----------------------------------------------------------------------------------------------- */

static void check_item(const struct kv_item *got, const struct version *want)
{
    char name[64];
    CHECK_BYTES(got->key, key_of(want->key, name));
    CHECK_BYTES(got->value, value_of(want->value));
    CHECK_EQ(got->create_revision, want->create);
    CHECK_EQ(got->mod_revision, want->mod);
    CHECK_EQ(got->version, want->version);
    CHECK_EQ(got->lease, want->lease);
    CHECK_EQ(got->mod_index, want->index);
    CHECK_BYTES(got->attrs, ((struct cor_bytes){want->attrs.bytes, want->attrs.len}));
}

static void check_items(const struct run *r, const struct gen_op *op, uint64_t revision,
                        const struct kv_op_result *result)
{
    uint64_t count = 0;
    uint32_t i = 0;
    uint32_t to = op->span.one ? op->span.from + 1 : op->span.to;
    for (uint32_t k = op->span.from; k < to && k < N_KEYS; k++) {
        const struct version *v = twin_get(r->t, op->span.table, k, revision);
        if (v == NULL) {
            continue;
        }
        count++;
        if ((op->flags & KV_COUNT_ONLY) == 0 && (op->limit == 0 || count <= op->limit)) {
            REQUIRE(i < result->n_items);
            CHECK_EQ(result->items[i].mod_revision, v->mod);
            CHECK_EQ(result->items[i].version, v->version);
            CHECK_EQ(result->items[i].value.len,
                     (op->flags & KV_KEYS_ONLY) != 0 ? 0 : value_of(v->value).len);
            i++;
        }
    }
    CHECK_EQ(result->n_items, i);
    CHECK_EQ(result->count, count);
    CHECK_EQ(result->more,
             (op->flags & KV_COUNT_ONLY) == 0 && op->limit != 0 && count > op->limit);
}

static void check_walk(struct kv_cursor *c, const struct twin *t, const struct span *s,
                       uint64_t revision)
{
    struct kv_item item;
    uint32_t to = s->one ? s->from + 1 : s->to;
    for (uint32_t k = s->from; k < to && k < N_KEYS; k++) {
        const struct version *v = twin_get(t, s->table, k, revision);
        if (v != NULL) {
            REQUIRE(kv_cursor_next(c, &item));
            check_item(&item, v);
        }
    }
    CHECK(!kv_cursor_next(c, &item));
    CHECK(!kv_cursor_next(c, &item));
}

static void check_reads(struct gen *g, const struct world *w, const struct twin *t)
{
    struct names names;
    struct kv_cursor c;
    uint64_t count;
    uint64_t oldest = t->compacted == 0 ? 1 : t->compacted;
    uint64_t then = oldest + prng_below(&g->prng, t->revision[0] - oldest + 1);
    struct span s = gen_span(g);
    struct kv_range range = range_for(&s, &names);
    uint64_t revision = s.table == 0 && pick(g, 2) == 0 ? then : 0;
    uint64_t at = revision == 0 ? UINT64_MAX : revision;
    REQUIRE(kv_cursor_open(w->kv, &range, revision, &c) == COR_OK);
    check_walk(&c, t, &s, at);
    uint64_t want = 0;
    for (uint32_t k = s.from; k < (s.one ? s.from + 1 : s.to) && k < N_KEYS; k++) {
        want += twin_get(t, s.table, k, at) != NULL;
    }
    CHECK_EQ(kv_count(w->kv, &range, revision, &count), COR_OK);
    CHECK_EQ(count, want);
    uint32_t key = pick_key(g);
    struct kv_item item;
    const struct version *v = twin_get(t, s.table, key, at);
    enum cor_status st =
        kv_get(w->kv, (uint8_t)s.table, key_of(key, names.key[0]), revision, &item);
    CHECK_EQ(st, v == NULL ? COR_ENOTFOUND : COR_OK);
    if (v != NULL && st == COR_OK) {
        check_item(&item, v);
    }
}

struct heard {
    struct kv_event events[EVENTS_MAX]; /* only numbers are looked at later */
    uint32_t keys[EVENTS_MAX];
    struct kv_watcher *watcher[EVENTS_MAX];
    uint32_t n;
};

static uint32_t number_of(struct cor_bytes key)
{
    const unsigned char *digits = key.ptr + key.len - 3;
    return (uint32_t)((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + digits[2] - '0');
}

static void hear(void *arg, const struct kv_event *e, struct kv_watcher *w)
{
    struct heard *h = arg;
    if (h->n < EVENTS_MAX) {
        h->events[h->n] = *e;
        h->keys[h->n] = number_of(e->item.key);
        h->watcher[h->n++] = w;
    }
}

static void hear_alone(void *arg, const struct kv_event *e)
{
    hear(arg, e, NULL);
}

static void check_event(const struct twin *t, uint32_t table, const struct version *v,
                        const struct kv_event *e, uint32_t key)
{
    CHECK_EQ(key, v->key);
    CHECK_EQ(e->table, table);
    CHECK_EQ(e->type, v->dead ? KV_EVENT_DELETE : KV_EVENT_PUT);
    CHECK_EQ(e->item.mod_revision, v->mod);
    CHECK_EQ(e->item.version, v->dead ? 0 : v->version);
    const struct version *prev = twin_get(t, table, v->key, v->mod - 1);
    if (prev == NULL) {
        CHECK(!e->has_prev);
    } else if (v->mod > t->compacted) {
        CHECK(e->has_prev);
        CHECK_EQ(e->prev.mod_revision, prev->mod);
        CHECK_EQ(e->prev.version, prev->version);
    }
}

/* The events of a random revision, from history. */
static void check_events(struct gen *g, const struct world *w, const struct twin *t,
                         struct heard *h)
{
    struct names names;
    struct span s = gen_span(g);
    s.table = 0;
    struct kv_range range = range_for(&s, &names);
    uint64_t oldest = t->compacted == 0 ? 1 : t->compacted;
    uint64_t revision = oldest + prng_below(&g->prng, t->revision[0] - oldest + 1);
    h->n = 0;
    CHECK_EQ(kv_events(w->kv, &range, revision, hear_alone, h), COR_OK);
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n[0]; i++) {
        const struct version *v = &t->log[0][i];
        bool in = v->key >= s.from && v->key < (s.one ? s.from + 1 : s.to);
        if (v->mod == revision && in) {
            REQUIRE(n < h->n);
            check_event(t, 0, v, &h->events[n], h->keys[n]);
            n++;
        }
    }
    CHECK_EQ(h->n, n);
}

static void check_range_revision(struct gen *g, const struct world *w, const struct twin *t)
{
    struct names names;
    struct span s = gen_span(g);
    struct kv_range range = range_for(&s, &names);
    uint64_t truth = 1;
    for (uint32_t i = 0; i < t->n[s.table]; i++) {
        const struct version *v = &t->log[s.table][i];
        bool in = v->key >= s.from && v->key < (s.one ? s.from + 1 : s.to);
        truth = in && v->mod > truth ? v->mod : truth;
    }
    uint64_t got = kv_range_revision(w->kv, &range);
    CHECK(got >= truth);
    CHECK(got <= t->revision[s.table]);
    if (s.one && truth > t->compacted && s.table == 0) {
        CHECK_EQ(got, truth);
    }
}

/* ---- watchers and roots ------------------------------------------------------------------------------------------ */

struct watch {
    struct kv_watcher watcher;
    struct span span;
    struct names names;
    bool added;
};

static void shuffle_watchers(struct gen *g, struct world *w, struct watch *watches)
{
    struct watch *x = &watches[pick(g, N_WATCHERS)];
    if (x->added) {
        kv_watch_remove(w->kv, &x->watcher);
    } else {
        x->span = gen_span(g);
        if (pick(g, 3) == 0) { /* the same range as others */
            x->span = (struct span){.from = 0, .to = 40};
        }
        x->watcher.range = range_for(&x->span, &x->names);
        kv_watch_add(w->kv, &x->watcher);
    }
    x->added = !x->added;
}

/* What was heard while the versions from @first on were made. */
static void check_heard(const struct twin *t, const uint32_t *first,
                        const struct watch *watches, const struct heard *h)
{
    uint32_t at = 0;
    uint32_t next[N_TABLES] = {first[0], first[1]};
    while (at < h->n) { /* each event begins with a call without a watcher */
        REQUIRE(h->watcher[at] == NULL);
        uint32_t table = h->events[at].table;
        const struct version *v = NULL;
        uint32_t wanted = 0;
        while (wanted == 0) { /* versions nobody watches are not told */
            REQUIRE(next[table] < t->n[table]);
            v = &t->log[table][next[table]++];
            for (uint32_t i = 0; i < N_WATCHERS; i++) {
                const struct span *s = &watches[i].span;
                wanted += watches[i].added && s->table == table && v->key >= s->from &&
                          v->key < (s->one ? s->from + 1 : s->to);
            }
        }
        check_event(t, table, v, &h->events[at], h->keys[at]);
        at++;
        for (; wanted > 0; wanted--, at++) {
            REQUIRE(at < h->n && h->watcher[at] != NULL);
            const struct watch *x = CONTAINER_OF(h->watcher[at], struct watch, watcher);
            CHECK(x->added && v->key >= x->span.from);
            CHECK_EQ(h->keys[at], v->key);
        }
    }
}

struct held {
    struct kv_root *root;
    uint64_t revision[N_TABLES];
};

/* A held root shows the same as on the first day, however much was written and compacted since. */
static void check_held(struct gen *g, const struct held *held, const struct twin *t)
{
    struct names names;
    struct kv_cursor c;
    struct span s = gen_span(g);
    struct kv_range range = range_for(&s, &names);
    struct kv_info info;
    kv_root_get_info(held->root, &info);
    CHECK_EQ(info.revision, held->revision[0]);
    REQUIRE(kv_root_cursor(held->root, &range, &c) == COR_OK);
    check_walk(&c, t, &s, held->revision[s.table]);
}

static void shuffle_roots(struct gen *g, struct world *w, struct held *held,
                          const struct twin *t)
{
    struct held *x = &held[pick(g, N_HELD)];
    if (x->root != NULL) {
        check_held(g, x, t);
        kv_root_release(w->kv, x->root);
        x->root = NULL;
        return;
    }
    x->root = kv_root_hold(w->kv);
    REQUIRE(x->root != NULL);
    x->revision[0] = t->revision[0];
    x->revision[1] = t->revision[1];
}

/* ---- one seed -------------------------------------------------------------------------------------------------------- */

struct play {
    struct gen g;
    struct world w, other;
    struct twin t;
    struct heard heard;
    struct watch watches[N_WATCHERS];
    struct held held[N_HELD];
    unsigned char ops[WORLD_SCRATCH];
};

static void maybe_compact(struct play *p)
{
    if (pick(&p->g, 40) != 0 || p->t.revision[0] <= p->t.compacted + 5) {
        return;
    }
    uint64_t span = p->t.revision[0] - p->t.compacted;
    uint64_t to = p->t.compacted + 1 + prng_below(&p->g.prng, span);
    compact(&p->w, to);
    CHECK_EQ(p->w.result.status, COR_OK);
    compact(&p->other, to);
    p->t.compacted = to;
    (void)kv_tend(p->w.kv, pick(&p->g, 200)); /* the two stores tidy up at their own pace */
}

static void play_entry(struct play *p)
{
    p->g.n_nodes = 0;
    p->g.revision = p->t.revision[0];
    bool stepwise = pick(&p->g, 4) == 0;
    struct gen_txn *txn = gen_txn(&p->g, stepwise, 0);
    struct writer out = writer_of(p->ops, sizeof p->ops);
    if (stepwise) {
        kv_encode_stepwise_begin(&out, txn->n[1]);
    } else {
        kv_encode_txn_begin(&out, txn->n_compares, txn->n[1], txn->n[0]);
    }
    encode_txn(&out, txn);
    struct cor_bytes ops = {p->ops, out.used};
    enum cor_status fit = kv_check_ops(ops, NULL);
    p->heard.n = 0;
    p->w.now += 1000000000u;
    enum cor_status st = apply_ops(&p->w, ops);
    (void)apply_ops(&p->other, ops);
    CHECK_EQ(st, fit == COR_OK ? COR_OK : COR_EPROTO);
    if (fit != COR_OK) {
        CHECK_EQ(fit, COR_EINVAL);
        return;
    }
    CHECK_EQ(p->w.result.revision, info_of(&p->w).revision);
    struct run r = {.t = &p->t, .stepwise = stepwise, .index = p->w.index};
    memcpy(r.before, p->t.revision, sizeof r.before);
    memcpy(r.n_before, p->t.n, sizeof r.n_before);
    bool branches[NODES_MAX];
    uint32_t n = 0;
    if (stepwise) {
        twin_stepwise(&r, txn, &p->w.result);
    } else {
        enum cor_status want = twin_decide(&r, txn, branches, &n);
        CHECK_EQ(p->w.result.status, want);
        n = 0;
        if (want == COR_OK) {
            twin_run(&r, txn, branches, &n, &p->w.result);
        }
    }
    for (uint32_t i = 0; i < N_TABLES; i++) {
        p->t.revision[i] += p->t.n[i] > r.n_before[i];
    }
    check_heard(&p->t, r.n_before, p->watches, &p->heard);
}

static void play_step(struct play *p, uint32_t i)
{
    play_entry(p);
    struct kv_info info = info_of(&p->w);
    CHECK_EQ(info.revision, p->t.revision[0]);
    CHECK_EQ(info.system_revision, p->t.revision[1]);
    CHECK_EQ(info.hash, info_of(&p->other).hash);
    maybe_compact(p);
    if (pick(&p->g, 4) == 0) {
        shuffle_watchers(&p->g, &p->w, p->watches);
    }
    if (pick(&p->g, 10) == 0) {
        shuffle_roots(&p->g, &p->w, p->held, &p->t);
    }
    if (i % 5 == 0) {
        check_reads(&p->g, &p->w, &p->t);
        check_events(&p->g, &p->w, &p->t, &p->heard);
        check_range_revision(&p->g, &p->w, &p->t);
    }
    if (i % 25 == 0) {
        kv_check(p->w.kv);
        (void)kv_tend(p->w.kv, 50);
    }
}

static void play(uint64_t seed)
{
    struct play *p = calloc(1, sizeof *p);
    REQUIRE(p != NULL);
    p->g.prng.state = seed;
    world_open(&p->w);
    world_open(&p->other);
    for (uint32_t i = 0; i < N_TABLES; i++) {
        p->t.log[i] = calloc(N_VERSIONS, sizeof(struct version));
        p->t.revision[i] = 1;
    }
    kv_on_change(p->w.kv, hear, &p->heard);
    for (uint32_t i = 0; i < N_ENTRIES; i++) {
        ROW("seed %u, entry %u", (unsigned)seed, i);
        play_step(p, i);
    }
    CHECK(p->t.n[0] < N_VERSIONS);
    for (uint32_t i = 0; i < N_HELD; i++) {
        if (p->held[i].root != NULL) {
            check_held(&p->g, &p->held[i], &p->t);
            kv_root_release(p->w.kv, p->held[i].root);
        }
    }
    while (kv_tend(p->w.kv, 1000)) {
    }
    kv_check(p->w.kv);
    kv_check(p->other.kv);
    check_reads(&p->g, &p->w, &p->t);
    put(&p->other, "one more", "difference");
    CHECK(info_of(&p->w).hash != info_of(&p->other).hash);
    world_close(&p->w);
    world_close(&p->other);
    free(p->t.log[0]);
    free(p->t.log[1]);
    free(p);
}

static void behaves_like_an_array_of_all_versions(void)
{
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        play(seed);
    }
}

TEST_MAIN(TEST(behaves_like_an_array_of_all_versions))
