/*
 * linear.c - see linear.h.
 *
 * The requests of a key are swept in the order of time. A *state* is one way to have come so far: the value of the key,
 * which of the open requests have taken effect, how many writes of unknown outcome were spent. All states that are
 * possible are kept, each once. When a request ends, it must have taken effect: where it has not, the open ones are
 * tried in every order until it has. When no state is left, no order explains the answers.
 *
 * Three observations keep the sets small. A get that the present value satisfies can be placed at once: nothing is
 * gained by waiting. A write of unknown outcome that a get saw must be done before that get ends, so it is a write like
 * any other, with that end. The remaining ones matter only where something needs a key to be there, or gone: they are a
 * count, spent at the last moment and the oldest first, since none is better than another.
 */
#include "sim/linear.h"

#include "base/assert.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_SIZE 65536u
#define FOREVER    UINT64_MAX

_Static_assert(TABLE_SIZE >= 2 * LINEAR_STATES_MAX, "the table must stay half empty");

struct state {
    uint64_t done;          /* bits of open requests */
    uint64_t value;         /* 0: no such key */
    uint32_t puts, deletes; /* of unknown outcome, that were spent */
};
_Static_assert(sizeof(struct state) == 24, "padding would be hashed");

/* States in the order they were found, each once. */
struct states {
    struct state *items;
    size_t n;
    uint64_t *table; /* (generation << 32) + place in items + 1 */
    uint64_t generation;
};

struct moment {
    uint64_t at;
    uint32_t key;
    uint32_t is_end;
    size_t op;
};

struct sweep {
    const struct history *h;
    uint64_t *
        until; /* per op: latest moment to take effect; 0: no part of this; FOREVER: or never */
    struct moment *moments;
    size_t n_moments;
    struct states now;
    size_t open[LINEAR_OPEN_MAX]; /* ops, by bit */
    uint64_t used;                /* bits in use */
    uint32_t puts, deletes;       /* of unknown outcome, asked so far and seen by nobody */
    struct linear_result *out;
};

static const char *const kind_names[] = {"?", "put", "put of two", "delete", "get"};

static void refuse(struct sweep *s, const char *what, size_t i)
{
    const struct op *op = &s->h->ops[i];
    struct linear_result *out = s->out;
    out->refused = true;
    (void)snprintf(out->text, sizeof out->text,
                   "linearizability: %s %zu of key %u (on n%u, mode %u) saw %" PRIu64 ": %s",
                   kind_names[op->kind], i + 1, op->key, op->node, op->mode,
                   op->kind == OP_GET ? op->value : (uint64_t)op->changed, what);
}

/* ---- who takes part, and until when ----------------------------------------------------------------------- */

static bool is_write(const struct op *op)
{
    return op->kind != OP_GET;
}

static bool is_put_to(const struct op *op, uint32_t key)
{
    return (op->kind == OP_PUT && op->key == key) ||
           (op->kind == OP_PUT_TWO && (op->key == key || op->key2 == key));
}

static bool is_judged_get(const struct op *op)
{
    return op->kind == OP_GET && op->status == COR_OK && op->mode != NODE_READ_STALE;
}

/* The get @i saw a value: its put must have been asked for, and is done by then. */
static void attribute(struct sweep *s, size_t i)
{
    const struct op *get = &s->h->ops[i];
    size_t put = (size_t)get->value - 1;
    if (get->value > s->h->n || !is_put_to(&s->h->ops[put], get->key)) {
        refuse(s, "nobody put that", i);
    } else if (s->until[put] == 0) {
        refuse(s, "that put was refused", i);
    } else if (s->h->ops[put].invoked > get->returned) {
        refuse(s, "that put was asked for later", i);
    } else if (get->returned < s->until[put]) {
        s->until[put] = get->returned;
    }
}

static void find_limits(struct sweep *s)
{
    const struct history *h = s->h;
    for (size_t i = 0; i < h->n; i++) {
        const struct op *op = &h->ops[i];
        if (is_judged_get(op) || (is_write(op) && op->status == COR_OK)) {
            s->until[i] = op->returned;
        } else if (is_write(op) && !history_is_not_done(op->status)) {
            s->until[i] = FOREVER;
        }
    }
    for (size_t i = 0; i < h->n && !s->out->refused; i++) {
        if (is_judged_get(&h->ops[i]) && h->ops[i].value != 0) {
            attribute(s, i);
        }
    }
}

static int compare_moments(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    if (x->is_end != y->is_end) {
        return x->is_end < y->is_end ? -1 : 1; /* at one moment: still concurrent */
    }
    return x->op < y->op ? -1 : x->op > y->op;
}

static void add_moments(struct sweep *s, size_t i, uint32_t key)
{
    s->moments[s->n_moments++] = (struct moment){s->h->ops[i].invoked, key, false, i};
    if (s->until[i] != FOREVER) {
        s->moments[s->n_moments++] = (struct moment){s->until[i], key, true, i};
    }
}

static void order_moments(struct sweep *s)
{
    for (size_t i = 0; i < s->h->n; i++) {
        const struct op *op = &s->h->ops[i];
        if (s->until[i] == 0) {
            continue;
        }
        add_moments(s, i, op->key);
        if (op->kind == OP_PUT_TWO) {
            add_moments(s, i, op->key2);
        }
    }
    qsort(s->moments, s->n_moments, sizeof(struct moment), compare_moments);
}

/* ---- states ---------------------------------------------------------------------------------------------------- */

static void states_clear(struct states *set)
{
    set->n = 0;
    set->generation++;
}

/* False: there are too many. */
static bool states_add(struct states *set, const struct state *state)
{
    size_t at = hash64((struct cor_bytes){(const unsigned char *)state, sizeof *state});
    for (;; at++) {
        uint64_t *slot = &set->table[at % TABLE_SIZE];
        if (*slot >> 32 != set->generation) {
            if (set->n == LINEAR_STATES_MAX) {
                return false;
            }
            set->items[set->n++] = *state;
            *slot = (set->generation << 32) + set->n;
            return true;
        }
        if (memcmp(&set->items[(*slot & UINT32_MAX) - 1], state, sizeof *state) == 0) {
            return true;
        }
    }
}

/* Let @op take effect in @state; false: it cannot, with the answer it got. */
static bool take(const struct sweep *s, const struct op *op, struct state *state)
{
    if (op->kind == OP_PUT || op->kind == OP_PUT_TWO) {
        state->value = (uint64_t)(op - s->h->ops) + 1;
        return true;
    }
    if (op->kind == OP_GET && op->value != 0) {
        return state->value == op->value;
    }
    bool must_be_there = op->kind == OP_DELETE && op->changed;
    if (must_be_there && state->value == 0) {
        return state->puts++ < s->puts; /* and the delete takes it away */
    }
    if (!must_be_there && state->value != 0 && state->deletes++ >= s->deletes) {
        return false;
    }
    state->value = 0;
    return true;
}

/* The first bit from @from on that @bits has; LINEAR_OPEN_MAX: none. */
static unsigned next_bit(uint64_t bits, unsigned from)
{
    while (from < LINEAR_OPEN_MAX && (bits >> from & 1) == 0) {
        from = bits >> from == 0 ? LINEAR_OPEN_MAX : from + 1;
    }
    return from;
}

#define FOR_BITS(i, bits)                                                                      \
    for (unsigned i = next_bit(bits, 0); i < LINEAR_OPEN_MAX; i = next_bit(bits, i + 1))

static const struct op *open_op(const struct sweep *s, unsigned bit)
{
    return &s->h->ops[s->open[bit]];
}

/* Requests that look and change nothing are placed as soon as what they saw is there. */
static void place_what_fits(const struct sweep *s, struct state *state)
{
    FOR_BITS(bit, s->used & ~state->done)
    {
        const struct op *op = open_op(s, bit);
        bool looks = op->kind == OP_GET || (op->kind == OP_DELETE && !op->changed);
        if (looks && state->value == (op->kind == OP_GET ? op->value : 0)) {
            state->done |= UINT64_C(1) << bit;
        }
    }
}

/* All that can follow on @state by one request; false: too many. */
static bool expand(struct sweep *s, struct state from)
{
    FOR_BITS(bit, s->used & ~from.done)
    {
        struct state next = from;
        if (!take(s, open_op(s, bit), &next)) {
            continue;
        }
        next.done |= UINT64_C(1) << bit;
        place_what_fits(s, &next);
        if (!states_add(&s->now, &next)) {
            return false;
        }
    }
    return true;
}

/* ---- the sweep over one key ---------------------------------------------------------------------------- */

static void begin(struct sweep *s, size_t i)
{
    const struct op *op = &s->h->ops[i];
    if (s->until[i] == FOREVER) {
        s->puts += op->kind != OP_DELETE ? 1 : 0;
        s->deletes += op->kind == OP_DELETE ? 1 : 0;
        return;
    }
    unsigned bit = next_bit(~s->used, 0);
    COR_ASSERT(bit < LINEAR_OPEN_MAX);
    s->open[bit] = i;
    s->used |= UINT64_C(1) << bit;
}

static uint64_t bit_of(const struct sweep *s, size_t i)
{
    unsigned bit = next_bit(s->used, 0);
    while (bit < LINEAR_OPEN_MAX && s->open[bit] != i) {
        bit = next_bit(s->used, bit + 1);
    }
    COR_ASSERT(bit < LINEAR_OPEN_MAX);
    return UINT64_C(1) << bit;
}

/* @bit ends: forget the states in which it has not taken effect, and the bit. */
static void keep_done(struct sweep *s, uint64_t bit)
{
    struct states *set = &s->now;
    size_t n = 0;
    for (size_t k = 0; k < set->n; k++) {
        if ((set->items[k].done & bit) != 0) {
            set->items[n] = set->items[k];
            set->items[n++].done &= ~bit;
        }
    }
    set->n = n;
    s->used &= ~bit;
}

/* The request @i ends; false: undecided. */
static bool end(struct sweep *s, size_t i)
{
    struct states *set = &s->now;
    uint64_t bit = bit_of(s, i);
    size_t n = set->n;
    states_clear(set);
    for (size_t k = 0; k < n; k++) { /* in place: none moves upwards */
        struct state state = set->items[k];
        place_what_fits(s, &state);
        if (!states_add(set, &state)) {
            return false;
        }
    }
    for (size_t k = 0; k < set->n; k++) { /* it grows meanwhile */
        if ((set->items[k].done & bit) == 0 && !expand(s, set->items[k])) {
            return false;
        }
    }
    s->out->states += set->n;
    keep_done(s, bit);
    if (set->n == 0) {
        refuse(s, "no order of the requests explains that", i);
    }
    return true;
}

/* Judge the key whose moments begin at @from; returns where they end. */
static size_t sweep_key(struct sweep *s, size_t from)
{
    size_t to = from;
    while (to < s->n_moments && s->moments[to].key == s->moments[from].key) {
        to++;
    }
    s->used = 0;
    s->puts = s->deletes = 0;
    states_clear(&s->now);
    (void)states_add(&s->now, &(struct state){0});
    s->out->keys++;
    for (size_t k = from; k < to && !s->out->refused; k++) {
        const struct moment *m = &s->moments[k];
        bool decided = m->is_end ? end(s, m->op) : s->used != UINT64_MAX;
        if (!decided) {
            s->out->undecided++;
            return to;
        }
        if (m->is_end) {
            s->out->ops++;
        } else {
            begin(s, m->op);
        }
    }
    return to;
}

void linear_check(const struct history *h, struct linear_result *out)
{
    *out = (struct linear_result){0};
    struct sweep s = {.h = h, .out = out};
    s.until = calloc(h->n + 1, sizeof(uint64_t));
    s.moments = calloc(4 * h->n + 1, sizeof(struct moment));
    s.now.items = calloc(LINEAR_STATES_MAX, sizeof(struct state));
    s.now.table = calloc(TABLE_SIZE, sizeof(uint64_t));
    COR_ASSERT(s.until != NULL && s.moments != NULL);
    COR_ASSERT(s.now.items != NULL && s.now.table != NULL);
    find_limits(&s);
    order_moments(&s);
    for (size_t k = 0; k < s.n_moments && !out->refused;) {
        k = sweep_key(&s, k);
    }
    free(s.now.table);
    free(s.now.items);
    free(s.moments);
    free(s.until);
}

void linear_judge(const struct history *h, struct judge *j)
{
    struct linear_result result;
    if (j->failed) {
        return;
    }
    linear_check(h, &result);
    j->n_ordered += result.ops;
    j->n_undecided += result.undecided;
    if (result.refused) {
        judge_fail(j, "%s", result.text);
    }
}
