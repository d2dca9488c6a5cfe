/*
 * paper_test.c - the dissertation's Figure 3.1, one test per sentence, in its order. The comment
 * over a test restates the sentence; where this core goes beyond it (pre-vote, votes that wait
 * for the disk), the test shows that the sentence still holds.
 */
#include "tests/raft/core.h"

#include "tests/support/test.h"

/* ---- state
 * ------------------------------------------------------------------------------------ */

/* currentTerm: 0 on first boot, only grows. votedFor: none. commitIndex, lastApplied: 0. */
static void state_begins_empty(void)
{
    struct core c = core_new(3, 0, "");
    CHECK_EQ(c.info.term, 0);
    CHECK_EQ(c.info.vote, 0);
    CHECK_EQ(c.info.commit, 0);
    CHECK_EQ(c.info.applied, 0);
    CHECK_EQ(c.info.last, 0);
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    core_heartbeat(&c, 5, 0);
    core_heartbeat(&c, 4, 0);
    CHECK_EQ(c.info.term, 5);
    core_free(&c);
}

/* The persistent state is on stable storage before a request is answered. */
static void nothing_is_answered_before_it_is_durable(void)
{
    struct core c = core_new(3, 1, "1");
    c.now += 300 * MS;
    core_vote_request(&c, COR_RAFT_MSG_VOTE, 3, 2, (struct cor_logid){1, 1});
    CHECK_EQ(c.update.n_messages, 0);
    core_append(&c, 2, (struct cor_logid){1, 1}, "2", 0);
    core_heartbeat(&c, 2, 0);
    CHECK_EQ(c.update.n_messages, 0);
    core_persist(&c);
    CHECK(core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2) != NULL);
    CHECK(core_find(&c, COR_RAFT_MSG_HEARTBEAT_REPLY, 2) != NULL);
    core_free(&c);
}

/* nextIndex[]: begins at the leader's last index + 1; matchIndex[]: at 0. */
static void a_leader_begins_optimistic_and_pessimistic(void)
{
    struct core c = core_new(3, 1, "1 1 1");
    core_lead(&c);
    CHECK_EQ(core_peer(&c, 2).next, 4);
    CHECK_EQ(core_peer(&c, 2).match, 0);
    core_free(&c);
}

/* ---- AppendEntries, receiver
 * ------------------------------------------------------------------ */

/* 1. Refuse if the term is older than ours. */
static void append_1_refuses_an_older_term(void)
{
    struct core c = core_new(3, 2, "1");
    core_append(&c, 1, (struct cor_logid){1, 1}, "1", 0);
    CHECK(core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2)->reject);
    CHECK_EQ(c.info.last, 1);
    core_free(&c);
}

/* 2. Refuse if our log has no entry at prevLogIndex with prevLogTerm. */
static void append_2_refuses_without_the_previous_entry(void)
{
    struct core c = core_new(3, 2, "1");
    core_append(&c, 2, (struct cor_logid){2, 1}, "2", 0);
    CHECK(core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2)->reject);
    core_append(&c, 2, (struct cor_logid){1, 2}, "2", 0);
    CHECK(core_find(&c, COR_RAFT_MSG_APPEND_REPLY, 2)->reject);
    CHECK(strcmp(core_log(&c), "1") == 0);
    core_free(&c);
}

/* 3. An entry of ours that conflicts with a new one goes, with all that follow it. */
static void append_3_removes_what_conflicts_and_what_follows(void)
{
    struct core c = core_new(3, 3, "1 2 2 2");
    core_append(&c, 3, (struct cor_logid){1, 1}, "2 3", 0);
    CHECK_EQ(c.update.write.truncate_from, 3);
    CHECK(strcmp(core_log(&c), "1 2 3") == 0);
    core_free(&c);
}

/* 4. Entries that are not in our log yet are appended. */
static void append_4_appends_only_what_is_new(void)
{
    struct core c = core_new(3, 1, "1 1");
    core_append(&c, 1, (struct cor_logid){0, 0}, "1 1 1 1", 0);
    CHECK_EQ(c.update.write.first, 3);
    CHECK_EQ(c.update.write.n_entries, 2);
    CHECK_EQ(c.update.write.truncate_from, 0);
    core_free(&c);
}

/* 5. If leaderCommit > commitIndex: commitIndex = min(leaderCommit, index of the last new
 * entry). */
static void append_5_commits_up_to_the_last_new_entry(void)
{
    struct core c = core_new(3, 1, "1 1 1");
    core_append(&c, 1, (struct cor_logid){0, 0}, "1 1", 3);
    CHECK_EQ(c.info.commit, 2);
    core_append(&c, 1, (struct cor_logid){1, 2}, "1", 1);
    CHECK_EQ(c.info.commit, 2);
    core_free(&c);
}

/* ---- RequestVote, receiver
 * -------------------------------------------------------------------- */

/* 1. Refuse if the term is older than ours. */
static void vote_1_refuses_an_older_term(void)
{
    struct core c = core_new(3, 3, "1");
    c.now += 300 * MS;
    core_vote_request(&c, COR_RAFT_MSG_VOTE, 2, 2, (struct cor_logid){1, 1});
    const struct cor_raft_message *reply = core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 2);
    REQUIRE(reply != NULL);
    CHECK(reply->reject);
    CHECK_EQ(reply->term, 3);
    core_free(&c);
}

/* 2. Grant if we have not voted for another, and the candidate's log is at least as up to date. */
static void vote_2_grants_to_one_with_a_log_up_to_date(void)
{
    struct core c = core_new(3, 1, "1");
    c.now += 300 * MS;
    core_vote_request(&c, COR_RAFT_MSG_VOTE, 2, 2, (struct cor_logid){0, 0});
    core_persist(&c);
    CHECK(core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 2)->reject);
    core_vote_request(&c, COR_RAFT_MSG_VOTE, 3, 2, (struct cor_logid){1, 1});
    core_persist(&c);
    CHECK(!core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 3)->reject);
    core_vote_request(&c, COR_RAFT_MSG_VOTE, 2, 2, (struct cor_logid){1, 9});
    CHECK(core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 2)->reject);
    core_free(&c);
}

/* ---- all servers
 * ------------------------------------------------------------------------------- */

/* If commitIndex > lastApplied, apply the entries between. */
static void all_1_what_is_committed_is_applied(void)
{
    struct core c = core_new(3, 1, "1 1");
    core_append(&c, 1, (struct cor_logid){1, 2}, "", 2);
    CHECK_EQ(c.update.apply_to, 2);
    core_free(&c);
}

/* A higher term in a request or an answer: adopt it, become follower. */
static void all_2_a_higher_term_makes_a_follower(void)
{
    const uint8_t types[] = {COR_RAFT_MSG_APPEND_REPLY, COR_RAFT_MSG_HEARTBEAT_REPLY,
                             COR_RAFT_MSG_VOTE_REPLY,   COR_RAFT_MSG_READ,
                             COR_RAFT_MSG_HEARTBEAT,    COR_RAFT_MSG_APPEND};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        ROW("type %u", types[i]);
        struct core c = core_new(3, 1, "1");
        core_lead(&c);
        core_receive(&c, (struct cor_raft_message){.type = types[i], .from = 3, .term = 7});
        CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
        CHECK_EQ(c.info.term, 7);
        CHECK_EQ(c.update.write.hard_state.term, 7);
        CHECK_EQ(c.update.write.hard_state.vote, 0);
        core_free(&c);
    }
}

/* ---- followers
 * --------------------------------------------------------------------------------- */

/* An election timeout without a word of the leader, and without a vote given: campaign. */
static void followers_campaign_when_nobody_leads(void)
{
    struct core c = core_new(3, 1, "1");
    c.now += 249 * MS;
    core_heartbeat(&c, 1, 0);
    CHECK(c.update.deadline >= c.now + 250 * MS);
    c.now = c.update.deadline - 1;
    core_vote_request(&c, COR_RAFT_MSG_VOTE, 3, 2, (struct cor_logid){1, 1});
    CHECK(c.update.deadline >= c.now + 250 * MS); /* a vote given restarts the clock */
    core_vote_request(&c, COR_RAFT_MSG_VOTE, 2, 3, (struct cor_logid){0, 0});
    uint64_t deadline = c.update.deadline;
    c.now += 10 * MS;
    core_vote_request(&c, COR_RAFT_MSG_VOTE, 2, 4, (struct cor_logid){0, 0});
    CHECK_EQ(c.update.deadline, deadline); /* one refused does not */
    c.now = deadline;
    core_time(&c, 0);
    CHECK_EQ(c.info.role, COR_RAFT_PRE_CANDIDATE);
    core_free(&c);
}

/* ---- candidates
 * -------------------------------------------------------------------------------- */

/* On conversion: a new term, a vote for oneself, a new timeout, requests to all others. */
static void candidates_1_begin_an_election(void)
{
    struct core c = core_new(3, 1, "1");
    core_campaign(&c);
    CHECK_EQ(c.info.term, 2);
    CHECK_EQ(c.info.vote, 1);
    CHECK(c.update.deadline >= c.now + 250 * MS);
    core_persist(&c);
    CHECK(core_find(&c, COR_RAFT_MSG_VOTE, 2) != NULL);
    CHECK(core_find(&c, COR_RAFT_MSG_VOTE, 3) != NULL);
    core_free(&c);
}

/* Votes of a majority: leader. */
static void candidates_2_lead_with_a_majority(void)
{
    struct core c = core_new(5, 1, "1");
    core_campaign(&c);
    core_persist(&c);
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 2, 2, false);
    CHECK_EQ(c.info.role, COR_RAFT_CANDIDATE);
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 3, 2, false);
    CHECK_EQ(c.info.role, COR_RAFT_LEADER);
    core_free(&c);
}

/* An append of the new leader: follower. */
static void candidates_3_follow_a_new_leader(void)
{
    struct core c = core_new(3, 1, "1");
    core_campaign(&c);
    core_append(&c, 2, (struct cor_logid){1, 1}, "2", 0);
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    CHECK_EQ(c.info.leader, 2);
    CHECK_EQ(c.info.last, 2);
    core_free(&c);
}

/* The timeout passes: a new election. */
static void candidates_4_try_again(void)
{
    struct core c = core_new(3, 1, "1");
    core_campaign(&c);
    core_persist(&c);
    core_campaign(&c);
    CHECK_EQ(c.info.term, 3);
    core_free(&c);
}

/* ---- leaders
 * ----------------------------------------------------------------------------------- */

/* Heartbeats on election, and in idle times, to keep others from campaigning. */
static void leaders_1_send_heartbeats(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    CHECK(core_find(&c, COR_RAFT_MSG_HEARTBEAT, 2) != NULL);
    CHECK_EQ(c.update.deadline, c.now + 50 * MS);
    core_time(&c, 50 * MS);
    CHECK(core_find(&c, COR_RAFT_MSG_HEARTBEAT, 2) != NULL);
    CHECK(core_find(&c, COR_RAFT_MSG_HEARTBEAT, 3) != NULL);
    core_free(&c);
}

/* A command: append it to the own log; answer when it is applied. */
static void leaders_2_append_commands(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    core_propose(&c, 1, 5);
    CHECK_EQ(c.update.proposed_first, 3);
    CHECK_EQ(c.update.apply_to, 0);
    core_persist(&c);
    core_ack(&c, 3, 3);
    CHECK_EQ(c.update.apply_to, 3);
    core_free(&c);
}

/* The log is longer than nextIndex: send what is from there on. Success: move nextIndex and
 * matchIndex. */
static void leaders_3_send_what_is_missing(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    core_ack(&c, 2, 2);
    core_propose(&c, 2, 5);
    const struct cor_raft_message *m = core_find(&c, COR_RAFT_MSG_APPEND, 2);
    REQUIRE(m != NULL);
    CHECK_EQ(m->first, 3);
    CHECK_EQ(m->n_entries, 2);
    core_ack(&c, 2, 4);
    CHECK_EQ(core_peer(&c, 2).next, 5);
    CHECK_EQ(core_peer(&c, 2).match, 4);
    core_free(&c);
}

/* Refused because the logs differ: go back, and try again. */
static void leaders_4_go_back_when_refused(void)
{
    struct core c = core_new(3, 3, "1 1 3");
    core_lead(&c);
    core_receive(&c, (struct cor_raft_message){.type = COR_RAFT_MSG_APPEND_REPLY,
                                               .from = 2,
                                               .term = 4,
                                               .reject = true,
                                               .prev = {2, 2}});
    const struct cor_raft_message *m = core_find(&c, COR_RAFT_MSG_APPEND, 2);
    REQUIRE(m != NULL);
    CHECK_EQ(m->prev.index, 2);
    CHECK_EQ(m->prev.term, 1);
    core_free(&c);
}

/* N > commitIndex, a majority of matchIndex[i] >= N, and log[N].term == currentTerm: commit N. */
static void leaders_5_commit_their_own_terms_entries(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    core_persist(&c);
    core_ack(&c, 2, 1);
    CHECK_EQ(c.info.commit, 0);
    core_ack(&c, 2, 2);
    CHECK_EQ(c.info.commit, 2);
    core_free(&c);
}

TEST_MAIN(TEST(state_begins_empty), TEST(nothing_is_answered_before_it_is_durable),
          TEST(a_leader_begins_optimistic_and_pessimistic),
          TEST(append_1_refuses_an_older_term),
          TEST(append_2_refuses_without_the_previous_entry),
          TEST(append_3_removes_what_conflicts_and_what_follows),
          TEST(append_4_appends_only_what_is_new),
          TEST(append_5_commits_up_to_the_last_new_entry), TEST(vote_1_refuses_an_older_term),
          TEST(vote_2_grants_to_one_with_a_log_up_to_date),
          TEST(all_1_what_is_committed_is_applied), TEST(all_2_a_higher_term_makes_a_follower),
          TEST(followers_campaign_when_nobody_leads), TEST(candidates_1_begin_an_election),
          TEST(candidates_2_lead_with_a_majority), TEST(candidates_3_follow_a_new_leader),
          TEST(candidates_4_try_again), TEST(leaders_1_send_heartbeats),
          TEST(leaders_2_append_commands), TEST(leaders_3_send_what_is_missing),
          TEST(leaders_4_go_back_when_refused), TEST(leaders_5_commit_their_own_terms_entries))
