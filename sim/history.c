/*
 * history.c - see history.h. One pass over the changes finds who wrote what; one sweep over time
 * finds who came too late.
 */
#include "sim/history.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdlib.h>

void history_clear(struct history *h)
{
    free(h->ops);
    *h = (struct history){0};
}

size_t history_add(struct history *h, const struct op *op)
{
    if (h->n == h->room) {
        h->room = h->room == 0 ? 1024 : 2 * h->room;
        h->ops = realloc(h->ops, h->room * sizeof(struct op));
        COR_ASSERT(h->ops != NULL);
    }
    h->ops[h->n] = *op;
    return h->n++;
}

bool history_is_not_done(enum cor_status st)
{
    return st != COR_OK && st != COR_EUNKNOWN && st != COR_ETIMEDOUT;
}

/* What the check knows besides the history. */
struct check {
    const struct history *h;
    struct judge *j;
    uint64_t *done_at;  /* per op: revision at which its write took effect; 0: none */
    uint64_t *asked_by; /* per revision: latest invocation of a write up to it */
    struct version {    /* changes ordered by (key, revision) */
        uint64_t revision, value;
    } * versions;
    size_t first[HISTORY_KEYS_MAX + 1]; /* of each key in versions */
};

static bool is_put_of(const struct op *op, const struct judge_revision *r)
{
    if (op->kind == OP_PUT) {
        return r->n == 1 && r->changes[0].key == op->key;
    }
    return op->kind == OP_PUT_TWO && r->n == 2 &&
           ((r->changes[0].key == op->key && r->changes[1].key == op->key2) ||
            (r->changes[0].key == op->key2 && r->changes[1].key == op->key)) &&
           r->changes[1].value == r->changes[0].value;
}

static void attribute_put(struct check *c, uint64_t revision, const struct judge_revision *r)
{
    uint64_t value = r->changes[0].value;
    const struct op *op = value >= 1 && value <= c->h->n ? &c->h->ops[value - 1] : NULL;
    if (op == NULL || !is_put_of(op, r)) {
        judge_fail(c->j,
                   "writes: revision %" PRIu64 " puts %" PRIu64 " to key %u, which "
                   "nobody asked for",
                   revision, value, r->changes[0].key);
        return;
    }
    if (c->done_at[value - 1] != 0) {
        judge_fail(c->j,
                   "writes: put %" PRIu64 " was done twice, at revisions %" PRIu64
                   " and %" PRIu64,
                   value, c->done_at[value - 1], revision);
    }
    c->done_at[value - 1] = revision;
    c->asked_by[revision] = op->invoked;
}

/* A deletion leaves no number behind: acknowledged ones name their revision, and for the others one
 * of unknown outcome must be to blame. */
static void attribute_deletes(struct check *c)
{
    const struct history *h = c->h;
    size_t left[HISTORY_KEYS_MAX] = {0};
    uint64_t asked[HISTORY_KEYS_MAX];
    for (size_t i = 0; i < h->n; i++) {
        const struct op *op = &h->ops[i];
        if (op->kind != OP_DELETE || history_is_not_done(op->status)) {
            continue;
        }
        if (op->status != COR_OK) {
            asked[op->key] = left[op->key]++ == 0 || op->invoked < asked[op->key]
                                 ? op->invoked
                                 : asked[op->key];
        } else if (op->changed && op->revision < c->j->n_revisions) {
            const struct judge_revision *r = &c->j->revisions[op->revision];
            if (r->n == 1 && r->changes[0].deleted && r->changes[0].key == op->key) {
                c->done_at[i] = op->revision;
                c->asked_by[op->revision] = op->invoked;
            }
        }
    }
    for (size_t rev = 0; rev < c->j->n_revisions; rev++) {
        const struct judge_revision *r = &c->j->revisions[rev];
        if (r->n == 0 || !r->changes[0].deleted || c->asked_by[rev] != 0) {
            continue;
        }
        uint32_t key = r->changes[0].key;
        if (left[key] == 0) {
            judge_fail(c->j, "writes: revision %zu deletes key %u, which nobody asked for", rev,
                       key);
            return;
        }
        left[key]--;
        c->asked_by[rev] = asked[key];
    }
}

static void check_writes(struct check *c)
{
    struct judge *j = c->j;
    for (size_t rev = 0; rev < j->n_revisions; rev++) {
        const struct judge_revision *r = &j->revisions[rev];
        if (r->n > 0 && !r->changes[0].deleted) {
            attribute_put(c, rev, r);
        } else if (r->n == 0 && rev >= 2) {
            judge_fail(j, "writes: nothing is known of revision %zu", rev);
        }
    }
    attribute_deletes(c);
    for (size_t i = 0; i < c->h->n && !j->failed; i++) {
        const struct op *op = &c->h->ops[i];
        if (op->kind == OP_GET || (op->kind == OP_DELETE && !op->changed)) {
            continue;
        }
        if (op->status == COR_OK && c->done_at[i] != op->revision) {
            judge_fail(j,
                       "durability: write %zu of key %u was acknowledged at revision "
                       "%" PRIu64 " and stands at %" PRIu64,
                       i + 1, op->key, op->revision, c->done_at[i]);
        }
        if (history_is_not_done(op->status) && c->done_at[i] != 0) {
            judge_fail(j, "writes: write %zu was refused (%s) and done at revision %" PRIu64,
                       i + 1, cor_status_text(op->status), c->done_at[i]);
        }
    }
}

static void index_versions(struct check *c)
{
    const struct judge *j = c->j;
    size_t count[HISTORY_KEYS_MAX] = {0}, n = 0;
    for (size_t rev = 0; rev < j->n_revisions; rev++) {
        for (uint32_t i = 0; i < j->revisions[rev].n; i++) {
            count[j->revisions[rev].changes[i].key]++;
        }
        if (rev > 0 && c->asked_by[rev] < c->asked_by[rev - 1]) {
            c->asked_by[rev] = c->asked_by[rev - 1];
        }
    }
    for (size_t k = 0; k < HISTORY_KEYS_MAX; k++) {
        c->first[k] = n;
        n += count[k];
        count[k] = c->first[k];
    }
    c->first[HISTORY_KEYS_MAX] = n;
    c->versions = calloc(n + 1, sizeof(struct version));
    COR_ASSERT(c->versions != NULL);
    for (size_t rev = 0; rev < j->n_revisions; rev++) {
        for (uint32_t i = 0; i < j->revisions[rev].n; i++) {
            const struct judge_change *change = &j->revisions[rev].changes[i];
            c->versions[count[change->key]++] =
                (struct version){rev, change->deleted ? 0 : change->value};
        }
    }
}

/* The newest version of @key up to @revision; {0, 0}: none. */
static struct version version_at(const struct check *c, uint32_t key, uint64_t revision)
{
    size_t low = c->first[key], high = c->first[key + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->versions[middle].revision <= revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == c->first[key] ? (struct version){0} : c->versions[low - 1];
}

static void check_read(struct check *c, size_t i)
{
    const struct op *op = &c->h->ops[i];
    if (op->revision >= c->j->n_revisions && op->revision > 1) {
        judge_fail(c->j, "content: read %zu saw revision %" PRIu64 ", which never was", i + 1,
                   op->revision);
        return;
    }
    struct version want = version_at(c, op->key, op->revision);
    bool found = want.value != 0;
    if (op->value != want.value || (found && op->mod_revision != want.revision)) {
        judge_fail(c->j,
                   "content: read %zu of key %u on n%u at revision %" PRIu64 " saw %" PRIu64
                   " of revision %" PRIu64 ", not %" PRIu64 " of revision %" PRIu64,
                   i + 1, op->key, op->node, op->revision, op->value, op->mod_revision,
                   want.value, want.revision);
    }
    if (op->revision > 1 && c->asked_by[op->revision] > op->returned) {
        judge_fail(c->j,
                   "no prophecy: read %zu on n%u saw revision %" PRIu64
                   " before it was asked for",
                   i + 1, op->node, op->revision);
    }
}

struct moment {
    uint64_t at;
    size_t op;
    bool is_return;
};

static int compare_moments(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    if (x->is_return != y->is_return) {
        return x->is_return ? 1 : -1; /* at one moment: still concurrent */
    }
    return x->op < y->op ? -1 : x->op > y->op;
}

/* Where the op claims to stand in the one order; 0: nowhere. */
static uint64_t claim(const struct check *c, size_t i)
{
    const struct op *op = &c->h->ops[i];
    if (op->kind == OP_GET) {
        return op->status == COR_OK && op->mode != NODE_READ_STALE ? op->revision : 0;
    }
    return c->done_at[i] != 0 ? c->done_at[i] : op->status == COR_OK ? op->revision : 0;
}

/* @newest: the newest revision that anybody had seen when the op began. */
static void check_real_time(struct check *c, size_t i, uint64_t newest)
{
    const struct op *op = &c->h->ops[i];
    uint64_t at = claim(c, i);
    bool changed = c->done_at[i] != 0;
    if (at == 0 || (changed ? at > newest : at >= newest)) {
        return;
    }
    static const char *const names[] = {"?", "put", "put of two", "delete", "get"};
    judge_fail(c->j,
               "real time: %s %zu (mode %u, key %u, node n%u) began after revision %" PRIu64
               " had been seen and claims revision %" PRIu64,
               names[op->kind], i + 1, op->mode, op->key, op->node, newest, at);
}

static void sweep(struct check *c)
{
    const struct history *h = c->h;
    struct moment *moments = calloc(2 * h->n + 1, sizeof(struct moment));
    COR_ASSERT(moments != NULL);
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        moments[n++] = (struct moment){h->ops[i].invoked, i, false};
        if (h->ops[i].returned != 0) {
            moments[n++] = (struct moment){h->ops[i].returned, i, true};
        }
    }
    qsort(moments, n, sizeof(struct moment), compare_moments);
    uint64_t newest = 0;
    for (size_t k = 0; k < n && !c->j->failed; k++) {
        size_t i = moments[k].op;
        if (!moments[k].is_return) {
            check_real_time(c, i, newest);
        } else if (h->ops[i].status == COR_OK) {
            uint64_t at = claim(c, i);
            newest = at > newest ? at : newest;
        }
    }
    free(moments);
}

void history_check(const struct history *h, struct judge *j)
{
    if (j->failed) {
        return;
    }
    struct check c = {.h = h, .j = j};
    c.done_at = calloc(h->n + 1, sizeof(uint64_t));
    c.asked_by = calloc(j->n_revisions + 1, sizeof(uint64_t));
    COR_ASSERT(c.done_at != NULL && c.asked_by != NULL);
    check_writes(&c);
    index_versions(&c);
    for (size_t i = 0; i < h->n && !j->failed; i++) {
        j->n_checks++;
        if (h->ops[i].kind == OP_GET && h->ops[i].status == COR_OK) {
            check_read(&c, i);
        }
    }
    sweep(&c);
    free(c.versions);
    free(c.asked_by);
    free(c.done_at);
}
