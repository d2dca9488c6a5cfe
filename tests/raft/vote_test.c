/*
 * vote_test.c - RequestVote and its rehearsal, at the voter and at the candidate.
 */
#include "tests/raft/core.h"

#include "tests/support/test.h"

#define PRE  COR_RAFT_MSG_PRE_VOTE
#define VOTE COR_RAFT_MSG_VOTE

static const struct {
    const char *name;
    uint64_t term; /* of the voter */
    cor_node_id vote;
    const char *log;
    uint64_t asked_term;
    struct cor_logid last; /* of the candidate */
    bool granted, pre_granted;
} rows[] = {
    {"equal logs", 1, 0, "1 1", 2, {1, 2}, true, true},
    {"shorter log, same term", 1, 0, "1 1", 2, {1, 1}, false, false},
    {"longer log, same term", 1, 0, "1 1", 2, {1, 3}, true, true},
    /* Scenario 6, and the deadlock of implementations that compare index and term apart: [1 1 2]
     * must win over [1 1 1 1]. */
    {"shorter log, higher term", 2, 0, "1 1 1 1", 3, {2, 3}, true, true},
    {"longer log, lower term", 2, 0, "1 1 2", 3, {1, 4}, false, false},
    {"empty logs", 0, 0, "", 1, {0, 0}, true, true},
    {"own term, no vote yet", 2, 0, "1", 2, {1, 1}, true, false},
    {"own term, voted for it", 2, 2, "1", 2, {1, 1}, true, false},
    {"own term, voted for another", 2, 3, "1", 2, {1, 1}, false, false},
    {"older term", 3, 0, "1", 2, {1, 1}, false, false},
};

/* 3.4, 3.6.1, 9.6. */
static void voters_follow_the_papers_rule(void)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        for (int pre = 0; pre < 2; pre++) {
            struct core c = core_new(3, 0, "");
            core_start(&c, (struct cor_raft_hard_state){rows[i].term, rows[i].vote},
                       rows[i].log, 0);
            c.now += 250 * MS;
            core_vote_request(&c, pre ? PRE : VOTE, 2, rows[i].asked_term, rows[i].last);
            CHECK_EQ(c.status, COR_OK);
            if (c.update.write.seq != 0) {
                CHECK(!pre);
                CHECK_EQ(c.update.n_messages, 0); /* scenario 1 */
                core_persist(&c);
            }
            const struct cor_raft_message *reply =
                core_find(&c, pre ? COR_RAFT_MSG_PRE_VOTE_REPLY : COR_RAFT_MSG_VOTE_REPLY, 2);
            REQUIRE(reply != NULL);
            CHECK_EQ(reply->reject, !(pre ? rows[i].pre_granted : rows[i].granted));
            if (pre) { /* scenario 3 */
                CHECK_EQ(c.info.term, rows[i].term);
                CHECK_EQ(c.info.vote, rows[i].vote);
            }
            core_free(&c);
        }
    }
}

/* Scenario 1, 2: the vote survives a crash, and everything else in its term. */
static void a_vote_is_kept_for_its_term(void)
{
    struct core c = core_new(3, 1, "1");
    c.now += 250 * MS;
    core_vote_request(&c, VOTE, 2, 2, (struct cor_logid){1, 1});
    struct cor_raft_hard_state state = c.update.write.hard_state;
    CHECK_EQ(state.term, 2);
    CHECK_EQ(state.vote, 2);
    core_persist(&c);
    core_heartbeat(&c, 2, 0);
    CHECK_EQ(c.info.vote, 2);
    core_start(&c, state, "1", 0);
    c.now += 250 * MS;
    core_vote_request(&c, VOTE, 3, 2, (struct cor_logid){1, 1});
    CHECK(core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 3)->reject);
    CHECK_EQ(c.info.vote, 2);
    core_free(&c);
}

static void one_answer_is_parked(void)
{
    struct core c = core_new(3, 1, "1");
    c.now += 250 * MS;
    core_vote_request(&c, VOTE, 2, 2, (struct cor_logid){1, 1});
    core_vote_request(&c, VOTE, 3, 2, (struct cor_logid){1, 1});
    core_vote_request(&c, VOTE, 2, 2, (struct cor_logid){1, 1});
    CHECK_EQ(c.update.n_messages, 0);
    core_persist(&c);
    CHECK_EQ(c.update.n_messages, 1);
    CHECK(!core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 2)->reject);
    core_free(&c);
}

/* 4.2.3: and a voter that has just started counts as having heard a leader. */
static void voters_turn_candidates_away_while_a_leader_is_heard(void)
{
    struct core c = core_new(3, 1, "1");
    c.now += 250 * MS - 1;
    core_vote_request(&c, VOTE, 3, 2, (struct cor_logid){1, 1});
    CHECK_EQ(c.update.n_messages, 0);
    CHECK_EQ(c.info.term, 1);
    core_vote_request(&c, PRE, 3, 2, (struct cor_logid){1, 1});
    CHECK(core_find(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 3)->reject);
    core_heartbeat(&c, 1, 0);
    c.now += 200 * MS;
    core_vote_request(&c, VOTE, 3, 2, (struct cor_logid){1, 1});
    CHECK_EQ(c.info.term, 1);
    c.now += 50 * MS;
    core_vote_request(&c, PRE, 3, 2, (struct cor_logid){1, 1});
    CHECK(!core_find(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 3)->reject);
    core_heartbeat(&c, 1, 0);
    core_receive(&c, (struct cor_raft_message){
                         .type = VOTE, .from = 3, .term = 2, .prev = {1, 1}, .force = true});
    CHECK_EQ(c.info.term, 2); /* 3.10: a transfer skips the window */
    CHECK_EQ(c.info.vote, 3);
    core_free(&c);
}

/* Scenario 4: force skips the window and nothing else. */
static void a_forced_request_gets_no_second_vote(void)
{
    struct core c = core_new(3, 0, "");
    core_start(&c, (struct cor_raft_hard_state){2, 2}, "1", 0);
    core_receive(&c, (struct cor_raft_message){
                         .type = VOTE, .from = 3, .term = 2, .prev = {1, 1}, .force = true});
    CHECK(core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 3)->reject);
    core_free(&c);
}

/* Scenario 7, and the leader's own window. */
static void a_leader_keeps_its_office_while_a_quorum_is_heard(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    core_vote_request(&c, VOTE, 3, c.info.term + 5, (struct cor_logid){1, 1});
    CHECK_EQ(c.info.role, COR_RAFT_LEADER);
    core_vote_request(&c, PRE, 3, c.info.term + 5, (struct cor_logid){2, 9});
    CHECK(core_find(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 3)->reject);
    c.now += 300 * MS; /* nobody answered since */
    core_vote_request(&c, VOTE, 3, c.info.term, (struct cor_logid){1, 1});
    CHECK(core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 3)->reject);
    CHECK_EQ(c.info.role, COR_RAFT_LEADER);
    core_vote_request(&c, VOTE, 3, c.info.term + 1, (struct cor_logid){2, 9});
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    core_persist(&c);
    CHECK(!core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 3)->reject);
    core_free(&c);
}

static void a_candidate_refuses_its_own_terms_rival(void)
{
    struct core c = core_new(3, 1, "1");
    core_campaign(&c);
    core_persist(&c);
    core_vote_request(&c, VOTE, 3, c.info.term, (struct cor_logid){1, 1});
    CHECK(core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 3)->reject);
    CHECK_EQ(c.info.role, COR_RAFT_CANDIDATE);
    core_free(&c);
}

static void a_pre_candidate_makes_way_for_a_candidate(void)
{
    struct core c = core_new(3, 1, "1");
    core_time(&c, 500 * MS);
    CHECK_EQ(c.info.role, COR_RAFT_PRE_CANDIDATE);
    core_vote_request(&c, VOTE, 3, 2, (struct cor_logid){1, 1});
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    core_persist(&c);
    CHECK(!core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 3)->reject);
    core_free(&c);
}

/* Scenario 10: the requests wait for the term; 9: and vouch for nothing that is not durable. */
static void vote_requests_wait_for_the_disk(void)
{
    struct core c = core_new(3, 1, "");
    core_append(&c, 1, (struct cor_logid){0, 0}, "1 1", 0);
    core_campaign(&c);
    CHECK_EQ(c.update.write.hard_state.term, 2);
    CHECK_EQ(c.update.write.hard_state.vote, 1);
    CHECK(core_find(&c, VOTE, 2) == NULL);
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 2, 2, false); /* of another life */
    CHECK_EQ(c.info.role, COR_RAFT_CANDIDATE);
    core_persist_to(&c, 1);
    CHECK(core_find(&c, VOTE, 2) == NULL);
    uint64_t term = c.info.term;
    core_time(&c, 500 * MS); /* a slow disk is no reason for another term */
    CHECK_EQ(c.info.term, term);
    CHECK_EQ(c.info.role, COR_RAFT_CANDIDATE);
    core_persist(&c);
    const struct cor_raft_message *m = core_find(&c, VOTE, 2);
    REQUIRE(m != NULL);
    CHECK_EQ(m->prev.index, 2);
    CHECK_EQ(m->prev.term, 1);
    CHECK_EQ(m->term, 2);
    CHECK(core_find(&c, VOTE, 3) != NULL);
    core_free(&c);
}

/* Scenarios 5, 108. */
static void only_this_campaigns_votes_count_and_each_once(void)
{
    struct core c = core_new(5, 1, "1");
    core_campaign(&c);
    core_persist(&c);
    CHECK_EQ(c.info.term, 2);
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 2, 2, false);
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 2, 2, false);     /* doubled */
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 3, 1, false);     /* an older term */
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 3, 2, false); /* not a vote */
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 4, 2, true);      /* refused */
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 4, 2, false);     /* and changed its mind */
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 9, 2, false);     /* a stranger */
    CHECK_EQ(c.info.role, COR_RAFT_CANDIDATE);
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 5, 2, false);
    CHECK_EQ(c.info.role, COR_RAFT_LEADER);
    CHECK(c.update.role_changed);
    core_free(&c);
}

static void only_this_rehearsals_answers_count(void)
{
    struct core c = core_new(5, 4, "1");
    core_time(&c, 500 * MS);
    REQUIRE(c.info.role == COR_RAFT_PRE_CANDIDATE);
    CHECK_EQ(core_find(&c, PRE, 2)->term, 5);
    CHECK_EQ(c.info.term, 4);
    CHECK_EQ(c.update.write.seq, 0);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 2, 5, false);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 2, 5, false);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 3, 9, false); /* of which term? */
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 3, 4, true);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 8, 5, false);
    CHECK_EQ(c.info.role, COR_RAFT_PRE_CANDIDATE);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 4, 5, false);
    CHECK_EQ(c.info.role, COR_RAFT_CANDIDATE);
    CHECK_EQ(c.info.term, 5);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 5, 5, false);
    CHECK_EQ(c.info.role, COR_RAFT_CANDIDATE);
    core_free(&c);
}

/* Scenario 11: the voter's term comes with its refusal; the next rehearsal is soon, and above
 * it. */
static void a_refusal_teaches_the_term(void)
{
    struct core c = core_new(3, 1, "1");
    core_time(&c, 500 * MS);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 2, 7, true);
    CHECK_EQ(c.info.term, 7);
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    CHECK(c.update.write.hard_state_changed);
    CHECK(c.update.deadline <= c.now + 30 * MS);
    core_persist(&c);
    core_time(&c, 30 * MS);
    CHECK_EQ(core_find(&c, PRE, 2)->term, 8);
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 3, 9, true);
    CHECK_EQ(c.info.term, 9);
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 2, 11, true); /* late: no campaign runs */
    CHECK_EQ(c.info.term, 11);
    CHECK(c.update.deadline > c.now + 30 * MS);
    core_free(&c);
}

/* Scenario 8: even sizes. */
static void half_is_no_majority(void)
{
    const uint32_t sizes[] = {2, 4, 6, 8};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        ROW("%u voters", sizes[i]);
        struct core c = core_new(sizes[i], 1, "1");
        core_campaign(&c);
        core_persist(&c);
        for (cor_node_id id = 2; id <= sizes[i] / 2; id++) {
            core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, id, 2, false);
        }
        CHECK_EQ(c.info.role, COR_RAFT_CANDIDATE);
        core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, sizes[i], 2, false);
        CHECK_EQ(c.info.role, COR_RAFT_LEADER);
        core_free(&c);
    }
}

TEST_MAIN(TEST(voters_follow_the_papers_rule), TEST(a_vote_is_kept_for_its_term),
          TEST(one_answer_is_parked), TEST(voters_turn_candidates_away_while_a_leader_is_heard),
          TEST(a_forced_request_gets_no_second_vote),
          TEST(a_leader_keeps_its_office_while_a_quorum_is_heard),
          TEST(a_candidate_refuses_its_own_terms_rival),
          TEST(a_pre_candidate_makes_way_for_a_candidate),
          TEST(vote_requests_wait_for_the_disk),
          TEST(only_this_campaigns_votes_count_and_each_once),
          TEST(only_this_rehearsals_answers_count), TEST(a_refusal_teaches_the_term),
          TEST(half_is_no_majority))
