/* session_test.c - numbered entries are executed once: rule by rule, then at random against a model. */
#include "base/format.h"
#include "base/prng.h"
#include "tests/kv/build.h"
#include "tests/support/test.h"

#define S UINT64_C(1000000000)

/* ---- words -------------------------------------------------------------------------------------- */

static void apply_under(struct world *w, const struct entry_header *h, const struct kv_op *op)
{
    size_t n = entry_header_encode(h, w->entry);
    struct writer out = writer_of(w->entry + n, WORLD_SCRATCH - n);
    kv_encode_one(&out, op);
    arena_reset(&w->arena);
    w->status = kv_apply(w->kv, ++w->index, (struct cor_bytes){w->entry, n + out.used},
                         &w->arena, &w->result);
    CHECK_EQ(w->status, COR_OK);
}

static void apply_numbered(struct world *w, uint64_t session, uint64_t number,
                           const struct kv_op *op)
{
    struct entry_header h = {.cluster_time = w->now, .session = session, .number = number};
    apply_under(w, &h, op);
}

static void put_numbered(struct world *w, uint64_t session, uint64_t number, const char *key,
                         const char *value)
{
    struct kv_op op = put_of(key, value);
    apply_numbered(w, session, number, &op);
}

static struct kv_op do_of(enum kv_session_do what, uint64_t number)
{
    return (struct kv_op){.kind = KV_OP_SESSION, .session_do = (uint8_t)what, .number = number};
}

/* Returns the session's number. */
static uint64_t open_session(struct world *w, uint64_t idle_max)
{
    struct kv_op op = do_of(KV_SESSION_OPEN, idle_max);
    CHECK_EQ(apply_one(w, &op), COR_OK);
    CHECK_EQ(w->result.status, COR_OK);
    return w->result.n_ops == 1 ? w->result.ops[0].count : 0;
}

static void expire(struct world *w, uint64_t expected)
{
    struct kv_op op = do_of(KV_SESSION_EXPIRE, w->now);
    CHECK_EQ(apply_one(w, &op), COR_OK);
    CHECK_EQ(w->result.ops[0].count, expected);
}

/* The last result, encoded, in @out. */
static struct cor_bytes result_bytes(const struct world *w, unsigned char *out, size_t size)
{
    struct writer writer = writer_of(out, size);
    (void)kv_result_encode(&w->result, &writer);
    CHECK(writer_ok(&writer));
    return (struct cor_bytes){out, writer.used};
}

static uint64_t forgotten_of(const struct world *w, uint64_t session)
{
    struct kv_session s = {.forgotten = 0};
    CHECK_EQ(kv_session_get(w->kv, session, &s), COR_OK);
    return s.forgotten;
}

/* ---- once -------------------------------------------------------------------------------------------- */

static void a_number_is_executed_once_and_answered_alike_ever_after(void)
{
    struct world w;
    unsigned char first[256], later[256];
    world_open(&w);
    uint64_t s = open_session(&w, 60 * S);
    CHECK_EQ(s, w.index);
    put(&w, "a", "0");
    struct kv_op op = put_of("a", "1");
    op.flags = KV_WANT_PREV;
    apply_numbered(&w, s, 1, &op);
    CHECK_EQ(w.result.status, COR_OK);
    CHECK_EQ(w.result.revision, 3);
    struct cor_bytes answer = result_bytes(&w, first, sizeof first);
    put(&w, "a", "2");
    for (int i = 0; i < 3; i++) {
        apply_numbered(&w, s, 1, &op);
        CHECK_BYTES(result_bytes(&w, later, sizeof later), answer);
        CHECK_BYTES(value_at(&w, "a", 0), text("2"));
        CHECK_EQ(info_of(&w).revision, 4);
    }
    kv_check(w.kv);
    world_close(&w);
}

static void what_failed_stays_failed(void)
{
    struct world w;
    world_open(&w);
    uint64_t s = open_session(&w, 60 * S);
    struct kv_op op = put_of("a", "1");
    op.flags = KV_MUST_EXIST;
    apply_numbered(&w, s, 1, &op);
    CHECK_EQ(w.result.status, COR_ENOTFOUND);
    put(&w, "a", "0");
    apply_numbered(&w, s, 1, &op);
    CHECK_EQ(w.result.status, COR_ENOTFOUND);
    CHECK_BYTES(value_at(&w, "a", 0), text("0"));
    apply_numbered(&w, s, 2, &op);
    CHECK_EQ(w.result.status, COR_OK);
    world_close(&w);
}

static void a_number_used_for_something_else_is_a_conflict_without_effect(void)
{
    struct world w;
    world_open(&w);
    uint64_t s = open_session(&w, 60 * S);
    put_numbered(&w, s, 1, "a", "1");
    put_numbered(&w, s, 1, "a", "2");
    CHECK_EQ(w.result.status, COR_EREUSED);
    CHECK_BYTES(value_at(&w, "a", 0), text("1"));
    put_numbered(&w, s, 1, "a", "1"); /* and the answer is still there */
    CHECK_EQ(w.result.status, COR_OK);
    CHECK_EQ(w.result.revision, 2);
    CHECK_EQ(info_of(&w).revision, 2);
    world_close(&w);
}

static void sessions_do_not_share_numbers(void)
{
    struct world w;
    world_open(&w);
    uint64_t one = open_session(&w, 60 * S);
    uint64_t two = open_session(&w, 60 * S);
    CHECK(one != two);
    put_numbered(&w, one, 1, "a", "1");
    put_numbered(&w, two, 1, "a", "2");
    CHECK_EQ(w.result.status, COR_OK);
    CHECK_BYTES(value_at(&w, "a", 0), text("2"));
    world_close(&w);
}

static void an_unknown_session_does_nothing(void)
{
    struct world w;
    world_open(&w);
    put_numbered(&w, 77, 1, "a", "1");
    CHECK_EQ(w.result.status, COR_ENOSESSION);
    uint64_t s = open_session(&w, 60 * S);
    put_numbered(&w, s, 1, "a", "1");
    struct kv_op close = do_of(KV_SESSION_CLOSE, s);
    CHECK_EQ(apply_one(&w, &close), COR_OK);
    CHECK_EQ(w.result.status, COR_OK);
    put_numbered(&w, s, 1, "a", "2");
    CHECK_EQ(w.result.status, COR_ENOSESSION);
    CHECK_EQ(apply_one(&w, &close), COR_OK);
    CHECK_EQ(w.result.status, COR_ENOSESSION);
    CHECK_BYTES(value_at(&w, "a", 0), text("1"));
    CHECK_EQ(info_of(&w).keys[KV_TABLE_CLIENTS], 0);
    world_close(&w);
}

static void a_session_may_be_closed_by_its_own_number(void)
{
    struct world w;
    world_open(&w);
    uint64_t s = open_session(&w, 60 * S);
    struct kv_op close = do_of(KV_SESSION_CLOSE, s);
    apply_numbered(&w, s, 1, &close);
    CHECK_EQ(w.result.status, COR_OK);
    apply_numbered(&w, s, 1, &close);
    CHECK_EQ(w.result.status, COR_ENOSESSION);
    kv_check(w.kv);
    world_close(&w);
}

static void what_ran_out_of_time_may_be_asked_again(void)
{
    struct world w;
    world_open(&w);
    w.now = 10 * S;
    uint64_t s = open_session(&w, 60 * S);
    struct kv_op op = put_of("a", "1");
    struct entry_header h = {
        .cluster_time = w.now, .session = s, .number = 1, .deadline = 9 * S};
    apply_under(&w, &h, &op);
    CHECK_EQ(w.result.status, COR_EEXPIRED);
    put_numbered(&w, s, 1, "a", "1");
    CHECK_EQ(w.result.status, COR_OK);
    apply_under(&w, &h,
                &op); /* once it is done, the deadline of a later attempt says nothing */
    CHECK_EQ(w.result.status, COR_OK);
    world_close(&w);
}

/* ---- bounds --------------------------------------------------------------------------------------- */

static void numbers_come_in_any_order_within_the_window(void)
{
    struct world w;
    world_open(&w);
    uint64_t s = open_session(&w, 60 * S);
    for (uint64_t i = KV_SESSION_WINDOW; i > 0; i--) {
        put_numbered(&w, s, i, "a", "1");
        CHECK_EQ(w.result.status, COR_OK);
    }
    CHECK_EQ(info_of(&w).revision, 1 + KV_SESSION_WINDOW);
    CHECK_EQ(forgotten_of(&w, s), 0);
    put_numbered(&w, s, 1, "a", "1");
    CHECK_EQ(w.result.revision, 1 + KV_SESSION_WINDOW);
    world_close(&w);
}

static void older_numbers_are_refused_never_repeated(void)
{
    struct world w;
    world_open(&w);
    uint64_t s = open_session(&w, 60 * S);
    for (uint64_t i = 1; i <= KV_SESSION_WINDOW + 3; i++) {
        put_numbered(&w, s, 10 * i, "a", "1");
        CHECK_EQ(w.result.status, COR_OK);
    }
    uint64_t revision = info_of(&w).revision;
    static const struct {
        uint64_t number;
        enum cor_status status;
    } rows[] = {{0, COR_EFORGOTTEN},  {1, COR_EFORGOTTEN}, {30, COR_EFORGOTTEN}, /* was done */
                {31, COR_EFORGOTTEN},  /* was not, but it would be forgotten at once */
                {40, COR_OK},          /* the oldest that is kept */
                {UINT64_MAX, COR_OK}}; /* and a new one */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("number %llu", (unsigned long long)rows[i].number);
        put_numbered(&w, s, rows[i].number, "a", "1");
        CHECK_EQ(w.result.status, rows[i].status);
    }
    CHECK_EQ(info_of(&w).revision, revision + 1);
    CHECK_EQ(forgotten_of(&w, s), 40);
    kv_check(w.kv);
    world_close(&w);
}

static void an_answer_too_large_to_keep_is_too_large_the_first_time_too(void)
{
    struct world w;
    unsigned char first[256], later[256];
    static char large[KV_SESSION_ANSWER_MAX + 1];
    world_open(&w);
    memset(large, 'x', sizeof large - 1);
    uint64_t s = open_session(&w, 60 * S);
    put(&w, "a", large);
    struct kv_op op = put_of("a", "1");
    op.flags = KV_WANT_PREV;
    apply_numbered(&w, s, 1, &op);
    CHECK_EQ(w.result.status, COR_ETOOBIG);
    CHECK_BYTES(value_at(&w, "a", 0), text("1"));
    struct cor_bytes answer = result_bytes(&w, first, sizeof first);
    apply_numbered(&w, s, 1, &op);
    CHECK_BYTES(result_bytes(&w, later, sizeof later), answer);
    CHECK_EQ(info_of(&w).revision, 3);
    world_close(&w);
}

static void large_answers_push_out_old_ones(void)
{
    struct world w;
    static char large[KV_KEY_MAX + 1];
    world_open(&w);
    memset(large, 'x', sizeof large - 1);
    uint64_t s = open_session(&w, 60 * S);
    put(&w, "a", large);
    struct kv_op op = range_of("a", "");
    for (uint64_t i = 1; i <= 20; i++) {
        apply_numbered(&w, s, i, &op);
        CHECK_EQ(w.result.status, COR_OK);
    }
    uint64_t kept = KV_SESSION_BYTES_MAX / (KV_KEY_MAX + 1);
    CHECK_EQ(forgotten_of(&w, s), 20 - kept);
    kv_check(w.kv);
    world_close(&w);
}

static void no_more_than_so_many_sessions_can_be_open(void)
{
    struct world w;
    world_open(&w);
    uint64_t first = open_session(&w, S);
    for (uint32_t i = 1; i < KV_SESSIONS_MAX; i++) {
        (void)open_session(&w, 60 * S);
    }
    struct kv_op op = do_of(KV_SESSION_OPEN, S);
    CHECK_EQ(apply_one(&w, &op), COR_OK);
    CHECK_EQ(w.result.status, COR_ENOSPACE);
    put_numbered(&w, first, 1, "a", "1"); /* those that are open go on */
    CHECK_EQ(w.result.status, COR_OK);
    w.now = S;
    expire(&w, 1);
    (void)open_session(&w, S);
    kv_check(w.kv);
    world_close(&w);
}

/* ---- expiry ------------------------------------------------------------------------------------------- */

static void a_session_expires_by_an_entry_not_before_it_was_idle_for_its_time(void)
{
    struct world w;
    uint64_t next;
    world_open(&w);
    CHECK(!kv_session_due(w.kv, UINT64_MAX - 1, &next));
    CHECK_EQ(next, UINT64_MAX);
    w.now = 100 * S;
    uint64_t s = open_session(&w, 10 * S);
    uint64_t other = open_session(&w, 15 * S);
    CHECK(!kv_session_due(w.kv, 110 * S - 1, &next));
    CHECK_EQ(next, 110 * S);
    w.now = 108 * S;
    put_numbered(&w, s, 1, "a", "1");
    w.now = 109 * S;
    put_numbered(&w, s, 1, "a", "1"); /* a repetition counts, too */
    CHECK(!kv_session_due(w.kv, 111 * S, &next));
    CHECK_EQ(next, 115 * S);
    w.now = 115 * S;
    CHECK(kv_session_due(w.kv, w.now, &next));
    expire(&w, 1);
    put_numbered(&w, other, 1, "a", "2");
    CHECK_EQ(w.result.status, COR_ENOSESSION);
    w.now = 119 * S - 1;
    expire(&w, 0);
    w.now = 119 * S;
    put_numbered(&w, s, 2, "a", "3"); /* late, but nobody said so before */
    CHECK_EQ(w.result.status, COR_OK);
    expire(&w, 0);
    w.now = 129 * S;
    expire(&w, 1);
    CHECK(!kv_session_due(w.kv, 200 * S, &next));
    CHECK_EQ(next, UINT64_MAX);
    kv_check(w.kv);
    world_close(&w);
}

static void only_what_was_over_at_the_time_named_expires(void)
{
    struct world w;
    world_open(&w);
    w.now = S;
    uint64_t first = open_session(&w, 10 * S);
    w.now = 4 * S;
    uint64_t second = open_session(&w, 10 * S);
    w.now = 20 * S; /* both are over by now, but the leader said 11 s */
    struct kv_op op = do_of(KV_SESSION_EXPIRE, 11 * S);
    CHECK_EQ(apply_one(&w, &op), COR_OK);
    CHECK_EQ(w.result.ops[0].count, 1);
    struct kv_session left;
    CHECK_EQ(kv_session_get(w.kv, first, &left), COR_ENOSESSION);
    CHECK_EQ(kv_session_get(w.kv, second, &left), COR_OK);
    put_numbered(&w, second, 1, "a", "1");
    op.number = UINT64_MAX; /* a time to come is as good as now */
    CHECK_EQ(apply_one(&w, &op), COR_OK);
    CHECK_EQ(w.result.ops[0].count, 0);
    world_close(&w);
}

/* ---- what sessions leave alone ---------------------------------------------------------------------------- */

static void sessions_change_the_hash_and_no_revision(void)
{
    struct world w;
    world_open(&w);
    put(&w, "a", "1");
    struct kv_info before = info_of(&w);
    uint64_t s = open_session(&w, 60 * S);
    struct kv_info opened = info_of(&w);
    CHECK(opened.hash != before.hash);
    struct kv_op read = range_of("a", "");
    apply_numbered(&w, s, 1, &read);
    struct kv_info asked = info_of(&w);
    CHECK(asked.hash != opened.hash);
    CHECK_EQ(asked.revision, before.revision);
    CHECK_EQ(asked.system_revision, before.system_revision);
    struct kv_op close = do_of(KV_SESSION_CLOSE, s);
    (void)apply_one(&w, &close);
    CHECK_EQ(info_of(&w).hash, before.hash);
    CHECK_EQ(info_of(&w).live_bytes, before.live_bytes);
    world_close(&w);
}

static void nobody_reaches_the_table_by_its_name(void)
{
    struct world w;
    world_open(&w);
    (void)open_session(&w, 60 * S);
    struct kv_op ops[] = {put_of("a", "1"), delete_of("a", "z"), range_of("a", "z")};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        ops[i].range.table = KV_TABLE_CLIENTS;
        CHECK_EQ(apply_one(&w, &ops[i]), COR_EFOREIGN);
    }
    world_close(&w);
}

static void what_cannot_be_asked_of_a_session_is_refused(void)
{
    static const struct {
        uint64_t number;
        enum cor_status status;
        uint8_t what;
    } rows[] = {{KV_SESSION_IDLE_MIN, COR_OK, KV_SESSION_OPEN},
                {KV_SESSION_IDLE_MIN - 1, COR_EINVAL, KV_SESSION_OPEN},
                {KV_SESSION_IDLE_MAX, COR_OK, KV_SESSION_OPEN},
                {KV_SESSION_IDLE_MAX + 1, COR_EINVAL, KV_SESSION_OPEN},
                {0, COR_EINVAL, KV_SESSION_CLOSE},
                {0, COR_EINVAL, KV_SESSION_EXPIRE},
                {1, COR_OK, KV_SESSION_EXPIRE},
                {1, COR_EFOREIGN, 0},
                {1, COR_EFOREIGN, KV_SESSION_EXPIRE + 1}};
    unsigned char bytes[64];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%u %llu", rows[i].what, (unsigned long long)rows[i].number);
        struct kv_op op = do_of((enum kv_session_do)rows[i].what, rows[i].number);
        struct writer w = writer_of(bytes, sizeof bytes);
        kv_encode_one(&w, &op);
        CHECK_EQ(kv_check_ops((struct cor_bytes){bytes, w.used}, NULL), rows[i].status);
    }
    struct writer w = writer_of(bytes, sizeof bytes);
    struct kv_op close = do_of(KV_SESSION_CLOSE, 1);
    struct kv_op other = put_of("a", "1");
    kv_encode_txn_begin(&w, 0, 2, 0);
    kv_encode_op(&w, &close);
    kv_encode_op(&w, &other);
    CHECK_EQ(kv_check_ops((struct cor_bytes){bytes, w.used}, NULL), COR_EINVAL);
}

static void a_held_root_keeps_the_sessions_it_has_seen(void)
{
    struct world w;
    world_open(&w);
    uint64_t s = open_session(&w, 60 * S);
    for (uint64_t i = 1; i <= 3; i++) {
        put_numbered(&w, s, i, "a", "1");
    }
    struct kv_root *root = kv_root_hold(w.kv);
    struct kv_range all = {.table = KV_TABLE_CLIENTS, .to_end = true};
    struct kv_cursor cursor;
    struct kv_item item;
    unsigned char value[4096];
    REQUIRE(kv_root_cursor(root, &all, &cursor) == COR_OK && kv_cursor_next(&cursor, &item));
    struct cor_bytes then = {value, item.value.len};
    memcpy(value, item.value.ptr, item.value.len);
    for (uint64_t i = 4; i <= 200; i++) {
        put_numbered(&w, s, i, "a", "1");
    }
    struct kv_op close = do_of(KV_SESSION_CLOSE, s);
    (void)apply_one(&w, &close);
    REQUIRE(kv_root_cursor(root, &all, &cursor) == COR_OK && kv_cursor_next(&cursor, &item));
    CHECK_BYTES(item.value, then);
    CHECK(!kv_cursor_next(&cursor, &item));
    kv_root_release(w.kv, root);
    kv_check(w.kv);
    world_close(&w);
}

/* ---- at random, against a model ---------------------------------------------------------------------------- */

#define N_SESSIONS 5u
#define N_NUMBERS  300u

/* What a dumb store would remember: everything. */
struct model {
    uint64_t id, newest, active;
    bool open;
    struct {
        bool done;
        uint32_t what;
        unsigned char bytes[96];
        size_t len;
    } numbers[N_NUMBERS];
};

struct pair {
    struct world w;
    struct kv *twin; /* gets the same log, and nobody waits for its answers */
    struct prng prng;
    struct model models[N_SESSIONS];
    uint64_t effects;
};

static void apply_both(struct pair *p, uint64_t session, uint64_t number,
                       const struct kv_op *op)
{
    apply_numbered(&p->w, session, number, op);
    struct entry_header h = {.cluster_time = p->w.now, .session = session, .number = number};
    unsigned char bytes[512];
    size_t n = entry_header_encode(&h, bytes);
    struct writer w = writer_of(bytes + n, sizeof bytes - n);
    kv_encode_one(&w, op);
    CHECK_EQ(kv_apply(p->twin, p->w.index, (struct cor_bytes){bytes, n + w.used}, NULL, NULL),
             COR_OK);
    struct kv_info twin;
    kv_get_info(p->twin, &twin);
    CHECK_EQ(twin.hash, info_of(&p->w).hash);
}

static uint64_t draw(struct pair *p, uint64_t n)
{
    return prng_below(&p->prng, n);
}

static void step_open(struct pair *p, struct model *m)
{
    struct kv_op op =
        do_of(m->open ? KV_SESSION_CLOSE : KV_SESSION_OPEN, m->open ? m->id : 10 * S);
    apply_both(p, 0, 0, &op);
    CHECK_EQ(p->w.result.status, COR_OK);
    uint64_t id = m->open ? m->id : p->w.result.ops[0].count;
    *m = (struct model){.open = !m->open, .id = id, .active = p->w.now};
}

static void step_expire(struct pair *p)
{
    struct kv_op op = do_of(KV_SESSION_EXPIRE, p->w.now);
    uint64_t n = 0;
    for (uint32_t i = 0; i < N_SESSIONS; i++) {
        struct model *m = &p->models[i];
        if (m->open && m->active + 10 * S <= p->w.now) {
            m->open = false;
            n++;
        }
    }
    apply_both(p, 0, 0, &op);
    CHECK_EQ(p->w.result.ops[0].count, n);
}

static void step_ask(struct pair *p, struct model *m)
{
    uint64_t number =
        draw(p, 3) == 0 && m->newest > 0 ? 1 + draw(p, m->newest) : m->newest + 1 + draw(p, 3);
    if (number >= N_NUMBERS || m->id == 0) {
        return;
    }
    uint32_t what = draw(p, 10) == 0 ? 1 : 0;
    struct kv_op op = put_of("key", what == 0 ? "one" : "two");
    uint64_t revision = info_of(&p->w).revision;
    unsigned char bytes[96];
    apply_both(p, m->id, number, &op);
    struct cor_bytes answer = result_bytes(&p->w, bytes, sizeof bytes);
    enum cor_status st = p->w.result.status;
    bool effect = info_of(&p->w).revision != revision;
    if (!m->open) {
        CHECK(st == COR_ENOSESSION && !effect);
        return;
    }
    m->active = p->w.now;
    m->newest = number > m->newest ? number : m->newest;
    if (st == COR_EFORGOTTEN) {
        CHECK(!effect && number + KV_SESSION_WINDOW <= m->newest);
    } else if (!m->numbers[number].done) {
        CHECK(st == COR_OK && effect);
        m->numbers[number].done = true;
        m->numbers[number].what = what;
        m->numbers[number].len = answer.len;
        memcpy(m->numbers[number].bytes, answer.ptr, answer.len);
    } else if (m->numbers[number].what != what) {
        CHECK(st == COR_EREUSED && !effect);
    } else {
        struct cor_bytes first = {m->numbers[number].bytes, m->numbers[number].len};
        CHECK_BYTES(answer, first);
        CHECK(!effect);
    }
}

static void at_random_every_number_has_one_effect_and_one_answer(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ROW("seed %llu", (unsigned long long)seed);
        struct pair p = {.prng = {seed}};
        struct kv_options options = {.memory_max = 0};
        world_open(&p.w);
        p.w.now = 1;
        p.twin = kv_new(&options);
        REQUIRE(p.twin != NULL);
        for (uint32_t i = 0; i < 2000; i++) {
            p.w.now += draw(&p, S / 2);
            struct model *m = &p.models[draw(&p, N_SESSIONS)];
            uint64_t kind = draw(&p, 200);
            if (kind == 0 || (m->id == 0 && kind < 100)) {
                step_open(&p, m);
            } else if (kind < 5) {
                step_expire(&p);
            } else {
                step_ask(&p, m);
            }
        }
        kv_check(p.w.kv);
        kv_check(p.twin);
        kv_free(p.twin);
        world_close(&p.w);
    }
}

TEST_MAIN(TEST(a_number_is_executed_once_and_answered_alike_ever_after),
          TEST(what_failed_stays_failed),
          TEST(a_number_used_for_something_else_is_a_conflict_without_effect),
          TEST(sessions_do_not_share_numbers), TEST(an_unknown_session_does_nothing),
          TEST(a_session_may_be_closed_by_its_own_number),
          TEST(what_ran_out_of_time_may_be_asked_again),
          TEST(numbers_come_in_any_order_within_the_window),
          TEST(older_numbers_are_refused_never_repeated),
          TEST(an_answer_too_large_to_keep_is_too_large_the_first_time_too),
          TEST(large_answers_push_out_old_ones),
          TEST(no_more_than_so_many_sessions_can_be_open),
          TEST(a_session_expires_by_an_entry_not_before_it_was_idle_for_its_time),
          TEST(only_what_was_over_at_the_time_named_expires),
          TEST(sessions_change_the_hash_and_no_revision),
          TEST(nobody_reaches_the_table_by_its_name),
          TEST(what_cannot_be_asked_of_a_session_is_refused),
          TEST(a_held_root_keeps_the_sessions_it_has_seen),
          TEST(at_random_every_number_has_one_effect_and_one_answer))
