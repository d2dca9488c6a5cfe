/*
 * A judge that never says no is worth nothing: each is shown a good history, which it must let pass, and a
 * bad one, which it must refuse with its own sentence.
 */
#include "sim/history.h"
#include "sim/judge.h"

#include "tests/support/test.h"

#include <string.h>

/* The judge has spoken, and about @topic. */
static bool refused(const struct judge *j, const char *topic)
{
    return j->failed && strstr(j->text, topic) != NULL;
}

static const struct judge_view calm = {.node = 1,
                                       .life = 1,
                                       .term = 3,
                                       .leader = true,
                                       .last = 10,
                                       .durable = 9,
                                       .commit = 8,
                                       .applied = 8,
                                       .revision = 5,
                                       .hash = 77};

static void views_of_one_node_are_held_against_its_past(void)
{
    static const struct {
        const char *name, *topic; /* NULL: nothing is wrong */
        struct judge_view next;
    } rows[] = {
        {"nothing happened", NULL, {1, 1, 3, true, 10, 9, 8, 8, 5, 77}},
        {"progress", NULL, {1, 1, 3, true, 12, 12, 10, 10, 6, 78}},
        {"a new life may know less", NULL, {1, 2, 2, false, 9, 9, 0, 0, 1, 0}},
        {"term goes back", "term went back", {1, 1, 2, false, 10, 9, 8, 8, 5, 77}},
        {"commit goes back", "commit index went back", {1, 1, 3, true, 10, 9, 7, 7, 5, 7}},
        {"applied goes back", "applied index went back", {1, 1, 3, true, 10, 9, 8, 7, 5, 7}},
        {"revision goes back", "revision went back", {1, 1, 3, true, 10, 9, 8, 8, 4, 77}},
        {"a leader cuts its log", "Leader Append-Only", {1, 1, 3, true, 9, 9, 8, 8, 5, 77}},
        {"a follower cuts its log", NULL, {1, 1, 4, false, 9, 8, 8, 8, 5, 77}},
        {"applied before committed", "out of order", {1, 1, 3, true, 10, 9, 8, 9, 5, 77}},
        {"committed beyond its log", "out of order", {1, 1, 3, true, 10, 9, 11, 8, 5, 77}},
        {"two leaders in a term", "Election Safety", {2, 1, 3, true, 10, 9, 8, 8, 5, 77}},
        {"two leaders in two terms", NULL, {2, 1, 4, true, 10, 9, 8, 8, 5, 77}},
        {"the same leader, reborn", NULL, {1, 2, 3, true, 10, 9, 8, 8, 5, 77}},
        {"another store at the index", "State Machine", {2, 1, 3, false, 10, 9, 8, 8, 5, 76}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct judge j;
        judge_init(&j);
        judge_node(&j, &calm);
        CHECK(!j.failed);
        judge_node(&j, &rows[i].next);
        CHECK_EQ(j.failed, rows[i].topic != NULL);
        CHECK(rows[i].topic == NULL || refused(&j, rows[i].topic));
        judge_deinit(&j);
    }
}

static void a_committed_entry_keeps_its_term(void)
{
    struct judge j;
    judge_init(&j);
    judge_committed(&j, 1, 1, (struct cor_logid){1, 1});
    judge_committed(&j, 1, 1, (struct cor_logid){1, 2});
    judge_committed(&j, 2, 1, (struct cor_logid){1, 1});
    judge_completeness(&j, 3, 2, 1);
    CHECK(!j.failed);
    judge_committed(&j, 3, 1, (struct cor_logid){2, 2});
    CHECK(refused(&j, "State Machine Safety"));
    judge_deinit(&j);
}

static void a_new_leader_holds_what_is_committed(void)
{
    static const struct {
        const char *name;
        uint64_t term;
        bool is_bad;
    } rows[] = {{"the entry", 1, false}, {"another", 2, true}, {"nothing", 0, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct judge j;
        judge_init(&j);
        judge_committed(&j, 1, 1, (struct cor_logid){1, 1});
        judge_completeness(&j, 2, 1, rows[i].term);
        CHECK_EQ(refused(&j, "Leader Completeness"), rows[i].is_bad);
        judge_deinit(&j);
    }
}

static void a_late_leader_of_an_old_term_need_not_hold_what_came_after(void)
{
    struct judge j;
    judge_init(&j);
    judge_committed(&j, 1, 1, (struct cor_logid){1, 1});
    judge_committed(&j, 1, 4, (struct cor_logid){1, 2});
    CHECK_EQ(judge_committed_before(&j, 1), 0);
    CHECK_EQ(judge_committed_before(&j, 3), 1);
    CHECK_EQ(judge_committed_before(&j, 5), 2);
    judge_deinit(&j);
}

static void a_server_votes_once_in_a_term(void)
{
    struct judge j;
    judge_init(&j);
    judge_vote(&j, 1, 5, 2);
    judge_vote(&j, 1, 5, 0);
    judge_vote(&j, 1, 5, 2);
    judge_vote(&j, 1, 6, 3);
    judge_vote(&j, 2, 5, 3);
    CHECK(!j.failed);
    judge_vote(&j, 1, 5, 3);
    CHECK(refused(&j, "voted twice"));
    judge_deinit(&j);
}

static void a_follower_holds_what_it_said(void)
{
    struct judge j;
    judge_init(&j);
    judge_match(&j, 1, 2, 7, 7);
    CHECK(!j.failed);
    judge_match(&j, 1, 2, 8, 7);
    CHECK(refused(&j, "counts on n2"));
    judge_deinit(&j);
}

static void logs_match(void)
{
    static const struct {
        const char *name;
        struct judge_entry other;
        bool is_bad;
    } rows[] = {{"the same", {5, 2, 99, 1}, false},
                {"another term", {5, 3, 98, 2}, false},
                {"other bytes", {5, 2, 98, 1}, true},
                {"another predecessor", {5, 2, 99, 2}, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct judge j;
        judge_init(&j);
        judge_entry(&j, 1, &(struct judge_entry){5, 2, 99, 1});
        judge_entry(&j, 2, &rows[i].other);
        CHECK_EQ(refused(&j, "Log Matching"), rows[i].is_bad);
        judge_deinit(&j);
    }
}

static void a_quorum_of_disks_is_needed(void)
{
    for (unsigned n = 0; n <= 3; n++) {
        ROW("%u of 3", n);
        struct judge j;
        judge_init(&j);
        judge_durable(&j, 1, n, 2);
        CHECK_EQ(refused(&j, "durability"), n < 2);
        judge_deinit(&j);
    }
}

/* ---- histories ----------------------------------------------------------------------------------- */

/* Revision 2 puts op 1 to key 0; revision 3 deletes key 0 (op 2); revision 4 puts op 3 to keys 0 and 1. */
static const struct judge_revision changes[] = {
    {0},
    {0},
    {1, {{0, false, 1}, {0}}},
    {1, {{0, true, 0}, {0}}},
    {2, {{0, false, 3}, {1, false, 3}}},
};

static const struct op good[] = {
    {.kind = OP_PUT, .invoked = 10, .returned = 20, .revision = 2, .value = 1, .changed = true},
    {.kind = OP_DELETE, .invoked = 30, .returned = 40, .revision = 3, .changed = true},
    {.kind = OP_PUT_TWO,
     .key2 = 1,
     .invoked = 50,
     .returned = 60,
     .revision = 4,
     .value = 3,
     .changed = true},
    {.kind = OP_GET,
     .invoked = 22,
     .returned = 25,
     .revision = 2,
     .value = 1,
     .mod_revision = 2},
    {.kind = OP_GET,
     .key = 1,
     .mode = 1,
     .invoked = 61,
     .returned = 70,
     .revision = 4,
     .value = 3,
     .mod_revision = 4},
    {.kind = OP_GET, .mode = 2, .invoked = 62, .returned = 71, .revision = 3, .value = 0},
};

static void judge_ops(struct judge *j, const struct op *ops, size_t n)
{
    struct history h = {0};
    judge_init(j);
    for (uint64_t r = 2; r < ARRAY_LEN(changes); r++) {
        judge_revision(j, 1, r, &changes[r]);
    }
    for (size_t i = 0; i < n; i++) {
        (void)history_add(&h, &ops[i]);
    }
    history_check(&h, j);
    history_clear(&h);
}

static void a_good_history_passes(void)
{
    struct judge j;
    judge_ops(&j, good, ARRAY_LEN(good));
    CHECK_BYTES(((struct cor_bytes){(unsigned char *)j.text, strlen(j.text)}),
                COR_BYTES_LIT(""));
    CHECK(!j.failed);
    judge_deinit(&j);
}

static void bad_histories_are_refused(void)
{
    static const struct {
        const char *name, *topic;
        size_t at; /* which of the good ops is replaced */
        struct op op;
    } rows[] = {
        {"an acknowledged write is lost",
         "durability",
         0,
         {.kind = OP_PUT,
          .invoked = 10,
          .returned = 20,
          .revision = 7,
          .value = 1,
          .changed = true}},
        {"a refused write is done",
         "refused",
         0,
         {.kind = OP_PUT, .invoked = 10, .returned = 20, .status = COR_ENOTDONE, .value = 1}},
        {"a change that nobody asked for",
         "nobody asked",
         0,
         {.kind = OP_PUT,
          .key = 5,
          .invoked = 10,
          .returned = 20,
          .status = COR_EUNKNOWN,
          .value = 1}},
        {"a deletion that nobody asked for",
         "nobody asked",
         1,
         {.kind = OP_DELETE, .key = 3, .invoked = 30, .returned = 40, .status = COR_EUNKNOWN}},
        {"half of a transaction",
         "nobody asked",
         2,
         {.kind = OP_PUT,
          .invoked = 50,
          .returned = 60,
          .revision = 4,
          .value = 3,
          .changed = true}},
        {"a write takes effect before an older one",
         "real time",
         1,
         {.kind = OP_DELETE, .invoked = 65, .returned = 69, .revision = 3, .changed = true}},
        {"a default read is stale",
         "real time",
         3,
         {.kind = OP_GET,
          .invoked = 45,
          .returned = 48,
          .revision = 2,
          .value = 1,
          .mod_revision = 2}},
        {"a consistent read is stale",
         "real time",
         4,
         {.kind = OP_GET, .key = 1, .mode = 1, .invoked = 61, .returned = 70, .revision = 3}},
        {"a read shows another value",
         "content",
         3,
         {.kind = OP_GET,
          .invoked = 22,
          .returned = 25,
          .revision = 2,
          .value = 3,
          .mod_revision = 2}},
        {"a read misses a key",
         "content",
         3,
         {.kind = OP_GET, .invoked = 22, .returned = 25, .revision = 2}},
        {"a read names another revision",
         "content",
         4,
         {.kind = OP_GET,
          .key = 1,
          .mode = 1,
          .invoked = 61,
          .returned = 70,
          .revision = 4,
          .value = 3,
          .mod_revision = 3}},
        {"a stale read sees the future",
         "no prophecy",
         5,
         {.kind = OP_GET,
          .mode = 2,
          .invoked = 41,
          .returned = 45,
          .revision = 4,
          .value = 3,
          .mod_revision = 4}},
        {"a read of a revision that never was",
         "never was",
         5,
         {.kind = OP_GET, .mode = 2, .invoked = 62, .returned = 71, .revision = 9}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct op ops[ARRAY_LEN(good)];
        memcpy(ops, good, sizeof ops);
        ops[rows[i].at] = rows[i].op;
        struct judge j;
        judge_ops(&j, ops, ARRAY_LEN(ops));
        CHECK(refused(&j, rows[i].topic));
        judge_deinit(&j);
    }
}

static void an_unknown_outcome_may_be_either(void)
{
    struct op ops[ARRAY_LEN(good)];
    memcpy(ops, good, sizeof ops);
    ops[0].status = ops[1].status = COR_EUNKNOWN;
    ops[0].revision = ops[1].revision = 0;
    struct judge j;
    judge_ops(&j, ops, ARRAY_LEN(ops));
    CHECK(!j.failed);
    judge_deinit(&j);
}

static void a_write_is_done_once(void)
{
    struct judge j;
    judge_init(&j);
    judge_revision(&j, 1, 2, &changes[2]);
    judge_revision(&j, 1, 3, &changes[2]);
    struct history h = {0};
    (void)history_add(&h, &good[0]);
    history_check(&h, &j);
    CHECK(refused(&j, "done twice"));
    history_clear(&h);
    judge_deinit(&j);
}

static void watches_tell_one_story(void)
{
    struct judge j;
    judge_init(&j);
    judge_revision(&j, 1, 4, &changes[4]);
    judge_revision(&j, 2, 4, &changes[4]);
    CHECK(!j.failed);
    judge_revision(&j, 3, 4, &(struct judge_revision){1, {{0, false, 3}, {0}}});
    CHECK(refused(&j, "watch"));
    judge_deinit(&j);
}

TEST_MAIN(TEST(views_of_one_node_are_held_against_its_past),
          TEST(a_committed_entry_keeps_its_term), TEST(a_new_leader_holds_what_is_committed),
          TEST(a_late_leader_of_an_old_term_need_not_hold_what_came_after),
          TEST(a_server_votes_once_in_a_term), TEST(a_follower_holds_what_it_said),
          TEST(logs_match), TEST(a_quorum_of_disks_is_needed), TEST(a_good_history_passes),
          TEST(bad_histories_are_refused), TEST(an_unknown_outcome_may_be_either),
          TEST(a_write_is_done_once), TEST(watches_tell_one_story))
