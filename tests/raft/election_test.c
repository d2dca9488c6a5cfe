/*
 * election_test.c - timers, closed connections, lost quorums, single nodes.
 */
#include "tests/raft/core.h"

#include "tests/support/test.h"

/* 3.4: timeouts are drawn uniformly, and differ between nodes. */
static void timeouts_are_spread_over_their_range(void)
{
    uint64_t low = COR_RAFT_NEVER;
    uint64_t high = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct core c = core_new(3, 0, "");
        c.options.seed = seed;
        core_start(&c, (struct cor_raft_hard_state){0, 0}, "", 0);
        core_time(&c, 0);
        uint64_t timeout = c.update.deadline - c.now;
        low = timeout < low ? timeout : low;
        high = timeout > high ? timeout : high;
        core_free(&c);
    }
    CHECK(low >= 250 * MS && low < 255 * MS);
    CHECK(high < 500 * MS && high > 495 * MS);
}

/* The deadline is exact: early calls change nothing, late ones act. */
static void a_follower_campaigns_at_its_deadline_and_not_before(void)
{
    struct core c = core_new(3, 1, "1");
    core_time(&c, 0);
    uint64_t deadline = c.update.deadline;
    c.now = deadline - 1;
    core_time(&c, 0);
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    CHECK_EQ(c.update.deadline, deadline);
    core_heartbeat(&c, 1, 0);
    core_time(&c, 1);
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    c.now = c.update.deadline;
    core_time(&c, 0);
    CHECK_EQ(c.info.role, COR_RAFT_PRE_CANDIDATE);
    CHECK_EQ(c.info.leader, 0);
    c.now = c.update.deadline;
    core_time(&c, 0); /* and again, with a fresh timeout, in the same term */
    CHECK(core_find(&c, COR_RAFT_MSG_PRE_VOTE, 3) != NULL);
    CHECK_EQ(c.info.term, 1);
    core_free(&c);
}

static void a_candidate_that_hears_nobody_rehearses_again(void)
{
    struct core c = core_new(3, 1, "1");
    core_campaign(&c);
    core_persist(&c);
    c.now = c.update.deadline;
    core_time(&c, 0);
    CHECK_EQ(c.info.role, COR_RAFT_PRE_CANDIDATE);
    CHECK_EQ(c.info.term, 2);
    CHECK_EQ(core_find(&c, COR_RAFT_MSG_PRE_VOTE, 2)->term, 3);
    core_free(&c);
}

static void a_candidate_follows_the_leader_of_its_term(void)
{
    struct core c = core_new(3, 1, "1");
    core_campaign(&c);
    core_persist(&c);
    core_heartbeat(&c, 2, 0);
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    CHECK_EQ(c.info.leader, 2);
    CHECK_EQ(c.info.vote, 1);
    CHECK(c.update.role_changed);
    core_heartbeat(&c, 2, 0);
    CHECK(!c.update.role_changed);
    core_free(&c);
}

/* D15: the window of the last heartbeat, then at most 30 ms. */
static void a_closed_connection_of_the_leader_hastens_the_election(void)
{
    struct core c = core_new(3, 1, "1");
    core_heartbeat(&c, 1, 0);
    uint64_t heard = c.now;
    c.now += 20 * MS;
    core_lost(&c, 3);
    CHECK(c.update.deadline >= heard + 250 * MS);
    core_lost(&c, 2);
    CHECK(c.update.deadline >= heard + 250 * MS);
    CHECK(c.update.deadline <= heard + 280 * MS);
    c.now = c.update.deadline;
    core_time(&c, 0);
    CHECK_EQ(c.info.role, COR_RAFT_PRE_CANDIDATE);
    /* A refusal by the only one left: try again soon, not after a whole timeout. */
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 3, 1, true);
    CHECK(c.update.deadline <= c.now + 30 * MS);
    for (int i = 0; i < 10; i++) {
        c.now = c.update.deadline;
        core_time(&c, 0);
        core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 3, 1, true);
    }
    CHECK(c.update.deadline >= c.now + 250 * MS); /* but not for ever */
    core_free(&c);
}

static void losing_the_last_possible_voter_ends_a_campaign(void)
{
    struct core c = core_new(3, 1, "1");
    core_heartbeat(&c, 1, 0);
    core_lost(&c, 2);
    c.now = c.update.deadline;
    core_time(&c, 0);
    REQUIRE(c.info.role == COR_RAFT_PRE_CANDIDATE);
    core_lost(&c, 3);
    CHECK(c.update.deadline <= c.now + 30 * MS);
    core_free(&c);
}

static void a_leader_that_is_back_in_time_keeps_its_office(void)
{
    struct core c = core_new(3, 1, "1");
    core_heartbeat(&c, 1, 0);
    core_lost(&c, 2);
    core_lost(&c, 7); /* a stranger */
    CHECK_EQ(c.status, COR_OK);
    core_heartbeat(&c, 1, 0);
    CHECK(c.update.deadline >= c.now + 250 * MS);
    core_free(&c);
}

/* Scenario 17: sends, and hears nothing. */
static void a_leader_without_a_quorum_gives_up(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    uint64_t since = c.now;
    while (c.info.role == COR_RAFT_LEADER && c.now < since + 1000 * MS) {
        c.now = c.update.deadline;
        core_time(&c, 0);
    }
    CHECK_EQ(c.now, since + 500 * MS);
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    CHECK_EQ(c.info.term, 2);
    CHECK_EQ(c.info.vote, 1);
    CHECK_EQ(c.info.leader, 0);
    core_free(&c);
}

static void a_leader_that_is_answered_stays(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    for (int i = 0; i < 40; i++) {
        c.now = c.update.deadline;
        core_time(&c, 0);
        const struct cor_raft_message *beat = core_find(&c, COR_RAFT_MSG_HEARTBEAT, 3);
        REQUIRE(beat != NULL);
        core_receive(&c, (struct cor_raft_message){.type = COR_RAFT_MSG_HEARTBEAT_REPLY,
                                                   .from = 3,
                                                   .term = 2,
                                                   .sent_at = beat->sent_at});
    }
    CHECK_EQ(c.info.role, COR_RAFT_LEADER);
    core_free(&c);
}

/* Scenario 23. */
static void an_hours_pause_costs_at_most_one_election(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    core_ack(&c, 2, 2);
    c.now += 3600 * 1000 * MS;
    core_read(&c, 1, true);
    CHECK_EQ(c.update.n_reads, 0);
    core_time(&c, 0);
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    CHECK_EQ(c.info.term, 2);
    CHECK_EQ(c.update.n_reads, 1);
    CHECK_EQ(c.update.reads[0].status, COR_ENOTLEADER);

    core_time(&c, 3600 * 1000 * MS);
    CHECK_EQ(c.info.role, COR_RAFT_PRE_CANDIDATE);
    CHECK(c.update.deadline > c.now);
    core_free(&c);
}

static void time_that_goes_backwards_is_refused(void)
{
    struct core c = core_new(3, 1, "1");
    core_time(&c, 10);
    c.now -= 1;
    core_time(&c, 0);
    CHECK_EQ(c.status, COR_EINVAL);
    c.now = UINT64_MAX;
    core_time(&c, 0);
    CHECK_EQ(c.status, COR_EINVAL);
    core_free(&c);
}

/* Scenario 21. */
static void a_single_voter_leads_at_once_and_commits_after_its_own_sync(void)
{
    struct core c = core_new(1, 0, "");
    core_time(&c, 0);
    CHECK_EQ(c.info.role, COR_RAFT_CANDIDATE);
    core_persist(&c);
    CHECK_EQ(c.info.role, COR_RAFT_LEADER);
    CHECK_EQ(c.info.commit, 0);
    core_propose(&c, 3, 10);
    CHECK_EQ(c.update.proposed_first, 2);
    CHECK_EQ(c.update.deadline, COR_RAFT_NEVER); /* an idle single node sleeps */
    CHECK_EQ(c.info.commit, 0);
    core_persist(&c);
    CHECK_EQ(c.info.commit, 4);
    CHECK_EQ(c.update.apply_to, 4);
    CHECK_EQ(c.info.lease_until, COR_RAFT_NEVER);
    core_read(&c, 1, true);
    CHECK_EQ(c.update.reads[0].index, 4);
    core_read(&c, 2, false);
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].index, 4);
    core_time(&c, 3600 * 1000 * MS);
    CHECK_EQ(c.info.role, COR_RAFT_LEADER);
    core_free(&c);
}

/* Scenario 20, 19. */
static void who_is_no_voter_never_campaigns_but_votes(void)
{
    for (int kind = 0; kind < 2; kind++) {
        ROW("%s", kind == 0 ? "learner" : "not a member");
        struct core c = core_new(3, 1, "1");
        if (kind == 0) {
            c.config.members[0].kind = COR_MEMBER_LEARNER;
        } else {
            c.config.members[0].id = 9;
        }
        core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
        core_time(&c, 5000 * MS);
        CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
        CHECK_EQ(c.update.deadline, COR_RAFT_NEVER);
        core_vote_request(&c, COR_RAFT_MSG_VOTE, 2, 2, (struct cor_logid){1, 1});
        core_persist(&c);
        CHECK(!core_find(&c, COR_RAFT_MSG_VOTE_REPLY, 2)->reject);
        core_free(&c);
    }
}

/* Scenario 13, 57: a campaign inside a joint configuration needs both majorities. */
static void a_joint_configuration_needs_both_majorities(void)
{
    struct core c = core_new(5, 1, "1");
    for (uint32_t i = 0; i < 5; i++) { /* old: 1 2 3; new: 1 4 5 */
        c.config.members[i].in_old = i <= 2;
        c.config.members[i].in_new = i == 0 || i > 2;
    }
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    core_time(&c, 500 * MS);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 2, 2, false);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 3, 2, false);
    CHECK_EQ(c.info.role, COR_RAFT_PRE_CANDIDATE);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 4, 2, false);
    REQUIRE(c.info.role == COR_RAFT_CANDIDATE);
    core_persist(&c);
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 4, 2, false);
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 5, 2, false);
    CHECK_EQ(c.info.role, COR_RAFT_CANDIDATE);
    core_vote_reply(&c, COR_RAFT_MSG_VOTE_REPLY, 3, 2, false);
    REQUIRE(c.info.role == COR_RAFT_LEADER);
    core_persist(&c);
    core_ack(&c, 4, 2);
    CHECK_EQ(c.info.commit, 0);
    core_ack(&c, 2, 2);
    CHECK_EQ(c.info.commit, 2);
    core_free(&c);
}

TEST_MAIN(TEST(timeouts_are_spread_over_their_range),
          TEST(a_follower_campaigns_at_its_deadline_and_not_before),
          TEST(a_candidate_that_hears_nobody_rehearses_again),
          TEST(a_candidate_follows_the_leader_of_its_term),
          TEST(a_closed_connection_of_the_leader_hastens_the_election),
          TEST(losing_the_last_possible_voter_ends_a_campaign),
          TEST(a_leader_that_is_back_in_time_keeps_its_office),
          TEST(a_leader_without_a_quorum_gives_up), TEST(a_leader_that_is_answered_stays),
          TEST(an_hours_pause_costs_at_most_one_election),
          TEST(time_that_goes_backwards_is_refused),
          TEST(a_single_voter_leads_at_once_and_commits_after_its_own_sync),
          TEST(who_is_no_voter_never_campaigns_but_votes),
          TEST(a_joint_configuration_needs_both_majorities))
