/*
 * The checker that trusts no revision: bad histories it must refuse, good ones it must accept, and on thousands of
 * random tiny ones the same verdict as trying every order by hand.
 */
#include "sim/linear.h"

#include "base/prng.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

enum {
    D = NODE_READ_DEFAULT,
    S = NODE_READ_STALE
};

/* The op at place i of a row has the number i + 1. Shorter than struct op, for tables. */
struct line {
    uint8_t kind;
    uint64_t invoked, returned;
    enum cor_status status;
    uint64_t saw; /* get: the value; delete: there was something */
    uint8_t mode;
};

#define PUT(from, to)                                                                          \
    {                                                                                          \
        OP_PUT, from, to, COR_OK, 0, 0                                                         \
    }
#define LOST(from)                                                                             \
    {                                                                                          \
        OP_PUT, from, 0, COR_EUNKNOWN, 0, 0                                                    \
    }
#define REFUSED(from, to)                                                                      \
    {                                                                                          \
        OP_PUT, from, to, COR_ENOTDONE, 0, 0                                                   \
    }
#define GET(from, to, v)                                                                       \
    {                                                                                          \
        OP_GET, from, to, COR_OK, v, D                                                         \
    }
#define STALE(from, to, v)                                                                     \
    {                                                                                          \
        OP_GET, from, to, COR_OK, v, S                                                         \
    }
#define DELETE(from, to, c)                                                                    \
    {                                                                                          \
        OP_DELETE, from, to, COR_OK, c, 0                                                      \
    }
#define LOST_DELETE(from)                                                                      \
    {                                                                                          \
        OP_DELETE, from, 0, COR_EUNKNOWN, 0, 0                                                 \
    }

#define LINES_MAX 8u

static void add(struct history *h, const struct line *l)
{
    struct op op = {.kind = l->kind,
                    .mode = l->mode,
                    .node = 1,
                    .invoked = l->invoked,
                    .returned = l->returned,
                    .status = l->status};
    op.value = l->kind == OP_GET ? l->saw : h->n + 1;
    op.changed = l->kind == OP_DELETE && l->saw != 0;
    (void)history_add(h, &op);
}

static struct linear_result check_lines(const struct line *lines, size_t n)
{
    struct history h = {0};
    struct linear_result result;
    for (size_t i = 0; i < n && lines[i].kind != 0; i++) {
        add(&h, &lines[i]);
    }
    linear_check(&h, &result);
    history_clear(&h);
    return result;
}

struct story {
    const char *name;
    struct line lines[LINES_MAX];
};

static void a_bad_history_is_refused(void)
{
    static const struct story rows[] = {
        {"stale read", {PUT(1, 2), PUT(3, 4), GET(5, 6, 1)}},
        {"lost write", {PUT(1, 2), GET(3, 4, 0)}},
        {"value from nowhere", {PUT(1, 2), GET(3, 4, 9)}},
        {"a get's number is no value", {PUT(1, 2), GET(3, 4, 2)}},
        {"seen, then unseen", {PUT(1, 9), GET(2, 3, 1), GET(4, 5, 0)}},
        {"unknown, seen, then unseen", {PUT(1, 2), LOST(3), GET(4, 5, 2), GET(6, 7, 1)}},
        {"refused and seen", {REFUSED(1, 2), GET(3, 4, 1)}},
        {"seen before it was asked", {GET(1, 2, 2), PUT(3, 4)}},
        {"two readers disagree",
         {PUT(1, 9), PUT(1, 9), GET(2, 3, 1), GET(4, 5, 2), GET(6, 7, 1)}},
        {"deleted and still there", {PUT(1, 2), DELETE(3, 4, 1), GET(5, 6, 1)}},
        {"deleted nothing, but it was there", {PUT(1, 2), DELETE(3, 4, 0)}},
        {"deleted something, but it was not", {DELETE(1, 2, 1), PUT(3, 4)}},
        {"deleted twice", {PUT(1, 2), DELETE(3, 8, 1), DELETE(3, 8, 1)}},
        {"one lost delete empties the key once",
         {PUT(1, 2), LOST_DELETE(2), GET(3, 4, 0), PUT(5, 6), GET(7, 8, 0)}},
        {"a lost delete comes back", {PUT(1, 2), LOST_DELETE(3), GET(4, 5, 0), GET(6, 7, 1)}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct linear_result r = check_lines(rows[i].lines, LINES_MAX);
        CHECK(r.refused);
        CHECK(strstr(r.text, "linearizability") != NULL);
    }
}

static void a_good_history_is_accepted(void)
{
    static const struct story rows[] = {
        {"nothing", {{0}}},
        {"one after the other", {PUT(1, 2), GET(3, 4, 1), PUT(5, 6), GET(7, 8, 3)}},
        {"a read amid a write, old and new", {PUT(1, 9), GET(2, 3, 0), GET(4, 5, 1)}},
        {"two writes, the first asked wins", {PUT(1, 9), PUT(2, 8), GET(10, 11, 1)}},
        {"two writes, the last asked wins", {PUT(1, 9), PUT(2, 8), GET(10, 11, 2)}},
        {"touching at one moment", {PUT(1, 3), GET(3, 4, 0)}},
        {"unknown and never seen", {PUT(1, 2), LOST(3), GET(4, 5, 1), GET(8, 9, 1)}},
        {"unknown and seen late", {PUT(1, 2), LOST(3), GET(4, 5, 1), GET(8, 9, 2)}},
        {"refused and unseen", {REFUSED(1, 2), GET(3, 4, 0)}},
        {"a stale read promises nothing", {PUT(1, 2), PUT(3, 4), STALE(5, 6, 1)}},
        {"a lost put gives a delete something", {LOST(1), DELETE(3, 4, 1), GET(5, 6, 0)}},
        {"a lost delete leaves nothing",
         {PUT(1, 2), LOST_DELETE(2), GET(3, 4, 1), DELETE(5, 6, 0)}},
        {"two lost deletes empty it twice",
         {PUT(1, 2), LOST_DELETE(2), LOST_DELETE(2), GET(3, 4, 0), PUT(5, 6), GET(7, 8, 0)}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct linear_result r = check_lines(rows[i].lines, LINES_MAX);
        CHECK(!r.refused);
        CHECK_EQ(r.undecided, 0);
    }
}

static void a_put_of_two_is_a_put_to_each(void)
{
    for (uint32_t key = 0; key < 4; key++) {
        ROW("key %u", key);
        struct history h = {0};
        struct op put = {.kind = OP_PUT_TWO, .key = 1, .key2 = 2, .invoked = 1, .value = 1};
        put.status = COR_EUNKNOWN;
        (void)history_add(&h, &put);
        struct op get = {.kind = OP_GET, .mode = D, .key = key, .invoked = 2, .returned = 3};
        get.value = 1;
        (void)history_add(&h, &get);
        struct linear_result r;
        linear_check(&h, &r);
        CHECK_EQ(r.refused, key != 1 && key != 2);
        /* Seen on one key, it is done on the other. */
        h.ops[1].key = 1;
        get = (struct op){.kind = OP_GET, .mode = D, .key = key, .invoked = 4, .returned = 5};
        (void)history_add(&h, &get);
        linear_check(&h, &r);
        CHECK_EQ(r.refused, key == 1 || key == 2);
        history_clear(&h);
    }
}

static void too_much_at_once_is_undecided_and_not_wrong(void)
{
    struct history h = {0};
    for (uint64_t i = 0; i < 20; i++) {
        add(&h, &(struct line)PUT(1 + i, 100 + i));
    }
    add(&h, &(struct line)GET(200, 201, 1));
    struct linear_result r;
    linear_check(&h, &r);
    CHECK(!r.refused);
    CHECK_EQ(r.undecided, 1);
    CHECK(r.states <= (uint64_t)LINEAR_STATES_MAX * 20);
    history_clear(&h);
}

static void a_judge_is_told(void)
{
    struct judge j;
    judge_init(&j);
    struct history h = {0};
    add(&h, &(struct line)PUT(1, 2));
    linear_judge(&h, &j);
    CHECK(!j.failed);
    CHECK_EQ(j.n_ordered, 1);
    add(&h, &(struct line)GET(3, 4, 0));
    linear_judge(&h, &j);
    CHECK(j.failed && strstr(j.text, "linearizability") != NULL);
    history_clear(&h);
    judge_deinit(&j);
}

/* ---- the dumb twin: every order ------------------------------------------------------------------------------ */

struct twin {
    const struct history *h;
    bool done[LINES_MAX];
};

static bool is_due(const struct op *op)
{
    return op->kind == OP_GET || op->status == COR_OK;
}

static bool has_part(const struct op *op)
{
    return op->kind == OP_GET ? op->mode != S : op->status != COR_ENOTDONE;
}

/* No request that must come first is left out: one that ended before this one began. */
static bool may_be_next(const struct twin *t, size_t i)
{
    for (size_t k = 0; k < t->h->n; k++) {
        const struct op *other = &t->h->ops[k];
        if (k != i && !t->done[k] && has_part(other) && is_due(other) &&
            other->returned < t->h->ops[i].invoked) {
            return false;
        }
    }
    return true;
}

static bool is_explained(struct twin *t, uint64_t value)
{
    bool all = true;
    for (size_t i = 0; i < t->h->n; i++) {
        all = all && (t->done[i] || !has_part(&t->h->ops[i]) || !is_due(&t->h->ops[i]));
    }
    for (size_t i = 0; !all && i < t->h->n; i++) {
        const struct op *op = &t->h->ops[i];
        if (t->done[i] || !has_part(op) || !may_be_next(t, i) ||
            (op->kind == OP_GET && op->value != value) ||
            (op->kind == OP_DELETE && is_due(op) && op->changed != (value != 0))) {
            continue;
        }
        t->done[i] = true;
        uint64_t next = op->kind == OP_PUT ? i + 1 : op->kind == OP_DELETE ? 0 : value;
        all = is_explained(t, next);
        t->done[i] = false;
    }
    return all;
}

static void draw_history(struct prng *p, struct history *h)
{
    size_t n = 2 + prng_below(p, LINES_MAX - 2);
    for (size_t i = 0; i < n; i++) {
        static const uint8_t kinds[] = {OP_PUT, OP_PUT, OP_PUT, OP_DELETE, OP_GET, OP_GET};
        struct line l = {.kind = kinds[prng_below(p, ARRAY_LEN(kinds))], .mode = D};
        l.invoked = 1 + prng_below(p, 12);
        l.returned = l.invoked + prng_below(p, 5);
        l.status = COR_OK;
        uint64_t fate = prng_below(p, 10);
        if (l.kind != OP_GET && fate < 3) {
            l.status = fate == 0 ? COR_ENOTDONE : COR_EUNKNOWN;
            l.returned = fate == 1 ? 0 : l.returned; /* given up, or told so */
        }
        l.saw = l.kind == OP_DELETE ? prng_below(p, 2) : prng_below(p, n + 1);
        if (l.kind == OP_GET && fate == 9) {
            l.mode = S;
        }
        add(h, &l);
    }
}

static void every_order_tried_by_hand_gives_the_same_verdict(void)
{
    struct prng p = {1};
    unsigned good = 0, bad = 0;
    for (unsigned i = 0; i < 20000; i++) {
        struct history h = {0};
        struct linear_result r;
        draw_history(&p, &h);
        linear_check(&h, &r);
        struct twin t = {.h = &h};
        bool fine = is_explained(&t, 0);
        good += fine;
        bad += !fine;
        ROW("history %u: %s", i, r.text);
        CHECK_EQ(r.refused, !fine);
        CHECK_EQ(r.undecided, 0);
        history_clear(&h);
        if (r.refused == fine) {
            return;
        }
    }
    CHECK(good > 1000);
    CHECK(bad > 1000);
}

TEST_MAIN(TEST(a_bad_history_is_refused), TEST(a_good_history_is_accepted),
          TEST(a_put_of_two_is_a_put_to_each), TEST(a_judge_is_told),
          TEST(too_much_at_once_is_undecided_and_not_wrong),
          TEST(every_order_tried_by_hand_gives_the_same_verdict))
