/*
 * append_test.c - AppendEntries at the follower, and the disk behind it.
 */
#include "tests/raft/core.h"

#include "tests/support/test.h"

static const struct {
    const char *name;
    const char *log;
    uint64_t commit_before; /* and applied */
    struct cor_logid prev;
    const char *entries;
    uint64_t leader_commit;
    /* expected */
    bool accepted;
    const char *log_after;
    uint64_t commit_after;
    uint64_t place; /* match when accepted, else where to probe next */
} rows[] = {
    {"first entries", "", 0, {0, 0}, "1 1", 0, true, "1 1", 0, 2},
    {"appends and commits", "1 1", 1, {1, 2}, "2", 2, true, "1 1 2", 2, 3},
    {"gap", "1", 0, {1, 3}, "1", 0, false, "1", 0, 1},
    {"gap after nothing", "", 0, {1, 3}, "1", 0, false, "", 0, 0},
    {"prev of another term", "1 1", 0, {2, 2}, "3", 0, false, "1 1", 0, 1},
    {"prev of an older term skips ours", "1 2 2 2", 0, {1, 4}, "3", 0, false, "1 2 2 2", 0, 1},
    {"hint never below commit", "1 2 2 2", 2, {1, 4}, "3", 0, false, "1 2 2 2", 2, 2},
    {"cuts a conflicting suffix", "1 2 2", 1, {1, 1}, "3 3", 1, true, "1 3 3", 1, 3},
    {"several terms at once", "1", 0, {1, 1}, "2 2 3", 0, true, "1 2 2 3", 0, 4},
    {"old duplicate keeps later entries", "1 1 1", 2, {1, 1}, "1", 2, true, "1 1 1", 2, 2},
    {"duplicate from the beginning", "1 1 1", 1, {0, 0}, "1 1 1", 1, true, "1 1 1", 1, 3},
    {"overlap and more", "1 1", 0, {1, 1}, "1 1 1", 0, true, "1 1 1 1", 0, 4},
    /* The two that separate "last new entry" from "last entry of the log" (scenario 29). */
    {"empty over a stale suffix", "1 2 2", 1, {1, 1}, "", 3, true, "1 2 2", 1, 1},
    {"short batch over a stale suffix", "1 2 2", 1, {1, 1}, "2", 3, true, "1 2 2", 2, 2},
    {"empty at the end commits", "1 2", 1, {2, 2}, "", 9, true, "1 2", 2, 2},
};

/* Figure 3.1, receiver; scenarios 24, 25, 29. */
static void follows_figure_3_1(void)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct core c = core_new(3, 3, "");
        core_start(&c, (struct cor_raft_hard_state){3, 0}, rows[i].log, rows[i].commit_before);
        core_append(&c, 3, rows[i].prev, rows[i].entries, rows[i].leader_commit);
        CHECK_EQ(c.status, COR_OK);
        if (c.update.write.seq != 0) {
            /* An early word that the place is found; it claims nothing that is not durable. */
            const struct cor_raft_message *early = core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2);
            CHECK(early == NULL || early->match <= c.info.durable);
            core_persist(&c);
        }
        const struct cor_raft_message *reply = core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2);
        REQUIRE(reply != NULL);
        CHECK_EQ(reply->reject, !rows[i].accepted);
        CHECK_EQ(rows[i].accepted ? reply->match : reply->prev.index, rows[i].place);
        CHECK_EQ(reply->sent_at, 5);
        CHECK(strcmp(core_log(&c), rows[i].log_after) == 0);
        CHECK_EQ(c.info.commit, rows[i].commit_after);
        core_free(&c);
    }
}

/* Scenarios 28, 30, 106: refused as a whole, nothing changed (core.h looks at the hash). */
static void refuses_what_no_leader_sends(void)
{
    static const struct {
        const char *name;
        uint64_t term;
        struct cor_logid prev;
        const char *entries;
    } bad[] = {
        {"falling terms", 3, {1, 1}, "2 1"},
        {"term above the message's", 3, {1, 1}, "4"},
        {"term below prev's", 3, {2, 3}, "1"},
        {"term 0", 3, {1, 1}, "0"},
        {"prev without term", 3, {0, 1}, "2"},
        {"prev without index", 3, {1, 0}, "2"},
        {"prev from the future", 3, {4, 1}, ""},
        {"conflict with a committed entry", 3, {1, 1}, "2 2"},
        {"conflict with a committed prev", 3, {2, 1}, "2"},
        {"conflict in a new term", 4, {1, 1}, "4"},
        {"index past all bounds", 3, {1, UINT64_MAX - 1}, "1"},
        {"term past all bounds", UINT64_MAX, {1, 1}, "1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ROW("%s", bad[i].name);
        struct core c = core_new(3, 3, "");
        core_start(&c, (struct cor_raft_hard_state){3, 0}, "1 1 2", 2);
        core_append(&c, bad[i].term, bad[i].prev, bad[i].entries, 0);
        CHECK_EQ(c.status, COR_EPROTO);
        CHECK(strcmp(core_log(&c), "1 1 2") == 0);
        core_free(&c);
    }
}

static void refuses_to_unlearn_what_this_leader_sent(void)
{
    struct core c = core_new(3, 3, "1");
    core_append(&c, 3, (struct cor_logid){1, 1}, "3 3", 0);
    core_append(&c, 3, (struct cor_logid){1, 1}, "2", 0);
    CHECK_EQ(c.status, COR_EPROTO);
    core_receive(&c, (struct cor_raft_message){
                         .type = COR_RAFT_MSG_HEARTBEAT, .from = 3, .term = 3, .sent_at = 1});
    CHECK_EQ(c.status, COR_EPROTO); /* a second leader in this term */
    CHECK_EQ(c.info.leader, 2);
    core_free(&c);
}

/* Configurations come with membership change. */
static void refuses_configuration_entries(void)
{
    struct core c = core_new(3, 1, "");
    struct cor_raft_entry e = {1, COR_ENTRY_CONFIG, 1};
    core_receive(&c, (struct cor_raft_message){.type = COR_RAFT_MSG_APPEND,
                                               .from = 2,
                                               .term = 1,
                                               .first = 1,
                                               .n_entries = 1,
                                               .entries = &e});
    CHECK_EQ(c.status, COR_EPROTO);
    core_free(&c);
}

/* Scenario 29: a heartbeat vouches for nothing. */
static void a_heartbeat_commits_only_what_was_verified(void)
{
    struct core c = core_new(3, 3, "1 2 2");
    core_heartbeat(&c, 3, 3);
    CHECK_EQ(c.info.commit, 0);
    core_append(&c, 3, (struct cor_logid){2, 2}, "", 0);
    core_heartbeat(&c, 3, 3);
    CHECK_EQ(c.info.commit, 2);
    core_append(&c, 3, (struct cor_logid){2, 3}, "", 0);
    core_heartbeat(&c, 3, 2);
    CHECK_EQ(c.info.commit, 2);
    core_free(&c);
}

/* Scenario 47: the same index written in terms 1, 2 and 3, completions late. */
static void a_late_completion_acknowledges_no_successor(void)
{
    struct core c = core_new(3, 1, "");
    core_append(&c, 1, (struct cor_logid){0, 0}, "1 1", 0);
    uint64_t first = c.seq;
    core_append(&c, 2, (struct cor_logid){0, 0}, "2 2", 0);
    CHECK_EQ(c.update.write.truncate_from, 1);
    CHECK(c.update.write.hard_state_changed);
    CHECK_EQ(c.update.write.hard_state.term, 2);
    uint64_t second = c.seq;
    core_append(&c, 3, (struct cor_logid){0, 0}, "3", 0);
    core_persist_to(&c, first);
    CHECK_EQ(c.update.n_messages, 0);
    CHECK_EQ(c.info.durable, 0);
    core_persist_to(&c, second);
    CHECK_EQ(c.update.n_messages, 0); /* term 3 is not durable */
    CHECK_EQ(c.info.durable, 0);
    core_persist(&c);
    const struct cor_raft_message *reply = core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2);
    REQUIRE(reply != NULL);
    CHECK_EQ(reply->term, 3);
    CHECK_EQ(reply->match, 1);
    core_free(&c);
}

/* Scenario 51, 52. */
static void truncation_lowers_the_durable_index(void)
{
    struct core c = core_new(3, 1, "1 1 1 1");
    core_append(&c, 1, (struct cor_logid){1, 4}, "1 1", 0);
    uint64_t first = c.seq;
    core_append(&c, 2, (struct cor_logid){1, 2}, "2 2", 0);
    CHECK_EQ(c.info.durable, 2);
    core_persist_to(&c, first);
    CHECK_EQ(c.info.durable, 2);
    core_persist(&c);
    CHECK_EQ(c.info.durable, 4);
    core_free(&c);
}

/* Scenario 48: cumulative; what was never issued or goes back is the host's error. */
static void completions_are_cumulative(void)
{
    struct core c = core_new(3, 1, "");
    core_append(&c, 1, (struct cor_logid){0, 0}, "1", 0);
    core_append(&c, 1, (struct cor_logid){1, 1}, "1", 0);
    core_append(&c, 1, (struct cor_logid){1, 2}, "1", 0);
    core_persist_to(&c, 2);
    CHECK_EQ(core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2)->match, 2);
    CHECK_EQ(core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2)->received, 3);
    core_persist_to(&c, 1);
    CHECK_EQ(c.status, COR_EINVAL);
    core_persist_to(&c, 4);
    CHECK_EQ(c.status, COR_EINVAL);
    core_persist_to(&c, 2);
    CHECK_EQ(c.status, COR_OK);
    CHECK_EQ(c.update.n_messages, 0);
    core_persist_to(&c, 3);
    CHECK_EQ(core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2)->match, 3);
    core_free(&c);
}

static void writes_beyond_the_ring_are_joined(void)
{
    struct core c = core_new(3, 1, "");
    c.options.writes_max = 2;
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "", 0);
    for (uint64_t i = 0; i < 5; i++) {
        core_append(&c, 1, (struct cor_logid){i > 0, i}, "1", 0);
    }
    core_persist_to(&c, 3);
    CHECK_EQ(c.info.durable, 1);
    core_persist_to(&c, 5);
    CHECK_EQ(c.info.durable, 5);
    core_free(&c);
}

/* Scenario 49: what was parked for an old leader is not said to the new one. */
static void an_old_leaders_entries_are_not_acknowledged_to_a_new_one(void)
{
    struct core c = core_new(3, 1, "");
    core_append(&c, 1, (struct cor_logid){0, 0}, "1 1", 0);
    core_receive(&c, (struct cor_raft_message){
                         .type = COR_RAFT_MSG_HEARTBEAT, .from = 3, .term = 2, .sent_at = 3});
    CHECK_EQ(c.update.n_messages, 0); /* the term is not durable */
    core_persist(&c);
    CHECK(core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 3) == NULL);
    CHECK(core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2) == NULL);
    const struct cor_raft_message *reply = core_find(&c, COR_RAFT_MSG_HEARTBEAT_REPLY, 3);
    REQUIRE(reply != NULL);
    CHECK_EQ(reply->match, 0);
    CHECK_EQ(reply->received, 0);
    CHECK_EQ(reply->sent_at, 3); /* of its clock, not of the old leader's */
    core_free(&c);
}

static void an_outdated_leader_learns_the_term(void)
{
    struct core c = core_new(3, 5, "1");
    core_append(&c, 4, (struct cor_logid){1, 1}, "2", 0);
    const struct cor_raft_message *reply = core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2);
    REQUIRE(reply != NULL);
    CHECK(reply->reject);
    CHECK_EQ(reply->term, 5);
    core_heartbeat(&c, 4, 0);
    reply = core_find(&c, COR_RAFT_MSG_HEARTBEAT_REPLY, 2);
    REQUIRE(reply != NULL);
    CHECK(reply->reject);
    CHECK_EQ(c.info.leader, 0);
    core_free(&c);
}

/* The table of terms is small: the host is asked, and nothing changes until it answers. */
static void old_terms_are_asked_of_the_host(void)
{
    struct core c = core_new(3, 9, "");
    c.options.runs_max = 2;
    core_start(&c, (struct cor_raft_hard_state){9, 0}, "1 2 3 4 5 5", 0);
    uint64_t term;
    CHECK_EQ(cor_raft_term_at(c.raft, 3, &term), COR_ENOTFOUND);
    core_append(&c, 9, (struct cor_logid){2, 2}, "3 4 5", 0);
    CHECK_EQ(c.status, COR_ENEEDTERM);
    CHECK_EQ(c.update.need_first, 2);
    CHECK_EQ(c.update.need_last, 3);

    struct cor_raft_entry e[8];
    const struct cor_raft_run runs[] = {{1, 1}, {2, 2}, {3, 3}};
    struct cor_raft_message m = {.type = COR_RAFT_MSG_APPEND,
                                 .from = 2,
                                 .to = 1,
                                 .term = 9,
                                 .prev = {2, 2},
                                 .first = 3,
                                 .n_entries = core_terms("3 4 9", e),
                                 .entries = e};
    struct cor_raft_event ev = {
        .type = COR_RAFT_EV_RECEIVE, .message = &m, .runs = runs + 2, .n_runs = 1};
    core_step(&c, ev);
    CHECK_EQ(c.status, COR_EINVAL); /* begins after what was asked for */
    ev.runs = NULL;
    core_step(&c, ev);
    CHECK_EQ(c.status, COR_EINVAL);
    ev.runs = runs;
    ev.n_runs = 3;
    core_step(&c, ev);
    CHECK_EQ(c.status, COR_OK);
    CHECK(strcmp(core_log(&c), "? ? ? 4 9") == 0);
    core_free(&c);
}

/* Scenario 96: a full disk takes nothing new, says so, and still votes. */
static void a_full_disk_keeps_the_log_and_the_voice(void)
{
    struct core c = core_new(3, 1, "1 1");
    core_disk(&c, true);
    CHECK(c.info.disk_full);
    core_append(&c, 1, (struct cor_logid){1, 1}, "1 1 1", 5);
    const struct cor_raft_message *reply = core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2);
    REQUIRE(reply != NULL);
    CHECK(!reply->reject);
    CHECK_EQ(reply->match, 2);
    CHECK_EQ(reply->received, 2);
    CHECK_EQ(c.info.last, 2);
    CHECK_EQ(c.info.commit, 2);
    c.now += 500 * MS;
    core_vote_request(&c, COR_RAFT_MSG_VOTE, 3, 2, (struct cor_logid){1, 2});
    CHECK(c.update.write.hard_state_changed);
    core_persist(&c);
    CHECK(!core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 3)->reject);
    core_disk(&c, false);
    CHECK(!c.info.disk_full);
    core_free(&c);
}

/* Scenarios 26, 27, 85: what was compacted was committed, and is skipped. */
static void entries_before_the_first_are_skipped(void)
{
    struct core c = core_new(3, 2, "");
    const struct cor_raft_run runs[] = {{6, 1}, {8, 2}};
    struct cor_raft_recovered found = {.hard_state = {2, 0},
                                       .runs = runs,
                                       .n_runs = 2,
                                       .last = 8,
                                       .first = 6,
                                       .config = &c.config,
                                       .applied = 6};
    REQUIRE(cor_raft_init(c.memory, c.size, &c.options, &found, c.now, &c.raft) == COR_OK);
    core_append(&c, 2, (struct cor_logid){1, 3}, "1 1 1 1 2 2", 0);
    CHECK_EQ(c.status, COR_OK);
    CHECK_EQ(c.info.last, 9);
    CHECK_EQ(c.update.write.first, 9);
    CHECK_EQ(c.update.write.n_entries, 1);
    core_free(&c);
}

static void a_late_rejection_does_not_displace_an_acknowledgement(void)
{
    struct core c = core_new(3, 1, "");
    core_append(&c, 1, (struct cor_logid){0, 0}, "1", 0);
    core_append(&c, 1, (struct cor_logid){1, 7}, "1", 0);
    core_persist(&c);
    const struct cor_raft_message *reply = core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2);
    REQUIRE(reply != NULL);
    CHECK(!reply->reject);
    CHECK_EQ(reply->match, 1);
    core_free(&c);
}

/* goraft B17: there it ends the process. */
static void a_leader_refuses_who_claims_its_own_term(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    uint64_t term = c.info.term, last = c.info.last;
    core_append(&c, term, (struct cor_logid){1, 1}, "2", 1);
    CHECK_EQ(c.status, COR_EPROTO);
    core_heartbeat(&c, term, 1);
    CHECK_EQ(c.status, COR_EPROTO);
    CHECK_EQ(c.info.role, COR_RAFT_LEADER);
    CHECK_EQ(c.info.last, last);
    core_free(&c);
}

TEST_MAIN(TEST(a_leader_refuses_who_claims_its_own_term), TEST(follows_figure_3_1),
          TEST(refuses_what_no_leader_sends), TEST(refuses_to_unlearn_what_this_leader_sent),
          TEST(refuses_configuration_entries), TEST(a_heartbeat_commits_only_what_was_verified),
          TEST(a_late_completion_acknowledges_no_successor),
          TEST(truncation_lowers_the_durable_index), TEST(completions_are_cumulative),
          TEST(writes_beyond_the_ring_are_joined),
          TEST(an_old_leaders_entries_are_not_acknowledged_to_a_new_one),
          TEST(an_outdated_leader_learns_the_term), TEST(old_terms_are_asked_of_the_host),
          TEST(a_full_disk_keeps_the_log_and_the_voice),
          TEST(entries_before_the_first_are_skipped),
          TEST(a_late_rejection_does_not_displace_an_acknowledgement))
