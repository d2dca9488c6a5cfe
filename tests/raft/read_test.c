/*
 * read_test.c - ReadIndex, leases, reads of followers. Dissertation 6.4.
 */
#include "tests/raft/core.h"

#include "tests/support/test.h"

#define BEAT COR_RAFT_MSG_HEARTBEAT

/* A leader of term 2; its no-op is committed, at index 2. */
static struct core leader_of(uint32_t n)
{
    struct core c = core_new(n, 1, "1");
    core_lead(&c);
    core_persist(&c);
    for (cor_node_id id = 2; id <= n; id++) {
        core_ack(&c, id, 2);
    }
    return c;
}

static void echo(struct core *c, cor_node_id from, uint64_t context, uint64_t sent_at)
{
    core_receive(c, (struct cor_raft_message){.type = COR_RAFT_MSG_HEARTBEAT_REPLY,
                                              .from = from,
                                              .term = c->info.term,
                                              .match = 2,
                                              .received = 2,
                                              .context = context,
                                              .sent_at = sent_at});
}

static void a_read_is_answered_after_a_quorum_echoed_its_round(void)
{
    struct core c = leader_of(5);
    core_read(&c, 7, false);
    CHECK_EQ(c.update.n_reads, 0);
    REQUIRE(core_find(&c, BEAT, 2) != NULL);
    uint64_t round = core_find(&c, BEAT, 2)->context;
    echo(&c, 2, round, 0);
    CHECK_EQ(c.update.n_reads, 0);
    echo(&c, 2, round, 0); /* scenario 71: doubled */
    CHECK_EQ(c.update.n_reads, 0);
    echo(&c, 3, round - 1, 0); /* and late */
    CHECK_EQ(c.update.n_reads, 0);
    echo(&c, 3, round, 0);
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].id, 7);
    CHECK_EQ(c.update.reads[0].index, 2);
    CHECK_EQ(c.update.reads[0].status, COR_OK);
    core_free(&c);
}

/* One round is out at a time; who comes meanwhile shares the next, and counts no earlier echo. */
static void reads_share_rounds_sent_after_they_arrived(void)
{
    struct core c = leader_of(3);
    core_read(&c, 1, false);
    uint64_t round = core_find(&c, BEAT, 2)->context;
    core_read(&c, 2, false);
    core_read(&c, 3, false);
    CHECK_EQ(c.update.n_messages, 0);
    echo(&c, 2, round, 0);
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].id, 1);
    REQUIRE(core_find(&c, BEAT, 3) != NULL);
    CHECK_EQ(core_find(&c, BEAT, 3)->context, round + 1);
    echo(&c, 3, round, 0);
    CHECK_EQ(c.update.n_reads, 0);
    echo(&c, 3, round + 1, 0);
    CHECK_EQ(c.update.n_reads, 2);
    core_free(&c);
}

/* Heartbeats that were lost: the next ones carry the round again, with all who wait. */
static void a_lost_round_is_repeated_by_the_next_heartbeat(void)
{
    struct core c = leader_of(3);
    core_read(&c, 1, false);
    uint64_t round = core_find(&c, BEAT, 2)->context;
    core_read(&c, 2, false);
    c.now = c.update.deadline;
    core_time(&c, 0);
    CHECK_EQ(core_find(&c, BEAT, 2)->context, round + 1);
    echo(&c, 2, round + 1, 0);
    CHECK_EQ(c.update.n_reads, 2);
    core_free(&c);
}

/* Scenario 69. */
static void no_read_before_an_entry_of_the_own_term_is_committed(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    core_read(&c, 1, true);
    REQUIRE(core_find(&c, BEAT, 2) != NULL);
    uint64_t round = core_find(&c, BEAT, 2)->context;
    core_receive(&c, (struct cor_raft_message){.type = COR_RAFT_MSG_HEARTBEAT_REPLY,
                                               .from = 2,
                                               .term = 2,
                                               .context = round,
                                               .sent_at = c.now});
    CHECK_EQ(c.update.n_reads, 0);
    CHECK_EQ(c.info.lease_until, 0);
    core_persist(&c);
    core_ack(&c, 2, 2);
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].index, 2);
    core_free(&c);
}

/* D5: from the sending, 20 % shorter than election_min; scenarios 73, 23. */
static void a_lease_begins_when_the_heartbeat_left(void)
{
    struct core c = leader_of(3);
    c.now = c.update.deadline;
    core_time(&c, 0);
    uint64_t sent = core_find(&c, BEAT, 2)->sent_at;
    CHECK_EQ(sent, c.now);
    core_read(&c, 1, true);
    CHECK_EQ(c.update.n_reads, 0); /* nobody has answered yet: a round */
    c.now += 40 * MS;
    echo(&c, 3, 1, sent);
    CHECK_EQ(c.update.n_reads, 1);
    CHECK_EQ(c.info.lease_until, sent + 200 * MS);
    c.now = sent + 200 * MS - 1;
    core_read(&c, 2, true);
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].status, COR_OK);
    CHECK_EQ(c.update.n_messages, 0);
    core_read(&c, 3, false); /* `consistent` asks all the same */
    CHECK_EQ(c.update.n_reads, 0);
    c.now += 1;
    core_read(&c, 4, true);
    CHECK_EQ(c.update.n_reads, 0);
    echo(&c, 2, 2, sent - 30 * MS); /* late echoes do not shorten it */
    CHECK_EQ(c.info.lease_until, sent + 200 * MS);
    core_free(&c);
}

static void without_leases_every_read_asks(void)
{
    struct core c = core_new(3, 1, "1");
    c.options.no_lease = true;
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    core_lead(&c);
    core_persist(&c);
    core_ack(&c, 2, 2);
    echo(&c, 2, 0, c.now);
    CHECK_EQ(c.info.lease_until, 0);
    core_read(&c, 1, true);
    CHECK_EQ(c.update.n_reads, 0);
    core_free(&c);
}

static void the_line_is_bounded(void)
{
    struct core c = core_new(3, 1, "1");
    c.options.reads_max = 2;
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    core_lead(&c);
    core_read(&c, 1, false);
    core_read(&c, 2, false);
    core_read(&c, 3, false);
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].id, 3);
    CHECK_EQ(c.update.reads[0].status, COR_EBUSY);
    core_receive(&c, (struct cor_raft_message){
                         .type = COR_RAFT_MSG_READ, .from = 2, .term = 2, .context = 4});
    REQUIRE(core_find(&c, COR_RAFT_MSG_READ_REPLY, 2) != NULL);
    CHECK(core_find(&c, COR_RAFT_MSG_READ_REPLY, 2)->reject);
    core_free(&c);
}

/* Scenario 70. */
static void a_deposed_leader_answers_all_who_wait(void)
{
    struct core c = leader_of(3);
    core_read(&c, 1, false);
    core_receive(&c, (struct cor_raft_message){
                         .type = COR_RAFT_MSG_READ, .from = 2, .term = 2, .context = 4});
    core_heartbeat(&c, 3, 0);
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].status, COR_ENOTLEADER);
    CHECK(core_find(&c, COR_RAFT_MSG_READ_REPLY, 2)->reject);
    core_free(&c);
}

static void many_forwarded_reads_are_answered_in_parts(void)
{
    struct core c = leader_of(3);
    for (uint64_t i = 1; i <= 100; i++) {
        core_receive(&c, (struct cor_raft_message){
                             .type = COR_RAFT_MSG_READ, .from = 2, .term = 2, .context = i});
    }
    unsigned n = 0;
    echo(&c, 2, 1, 0);
    n += c.update.n_messages; /* 1 answer, and a round for the others */
    CHECK_EQ(core_find(&c, COR_RAFT_MSG_READ_REPLY, 2)->context, 1);
    echo(&c, 2, 2, 0);
    CHECK_EQ(c.update.n_messages, 64);
    CHECK(c.update.more);
    core_step(&c, (struct cor_raft_event){.type = COR_RAFT_EV_CONTINUE});
    CHECK_EQ(c.update.n_messages, 35);
    CHECK(!c.update.more);
    CHECK_EQ(c.update.messages[34].context, 100);
    CHECK_EQ(c.update.messages[34].index, 2);
    CHECK_EQ(n, 3);
    core_free(&c);
}

static void a_forwarded_read_may_use_the_lease(void)
{
    struct core c = leader_of(3);
    echo(&c, 2, 0, c.now);
    core_receive(
        &c, (struct cor_raft_message){
                .type = COR_RAFT_MSG_READ, .from = 3, .term = 2, .context = 9, .lease = true});
    REQUIRE(core_find(&c, COR_RAFT_MSG_READ_REPLY, 3) != NULL);
    CHECK_EQ(core_find(&c, COR_RAFT_MSG_READ_REPLY, 3)->index, 2);
    core_receive(&c, (struct cor_raft_message){
                         .type = COR_RAFT_MSG_READ, .from = 8, .term = 2, .context = 9});
    CHECK(core_find(&c, COR_RAFT_MSG_READ_REPLY, 8)->reject); /* scenario 61: a stranger */
    core_receive(&c, (struct cor_raft_message){
                         .type = COR_RAFT_MSG_READ, .from = 3, .term = 1, .context = 9});
    CHECK(core_find(&c, COR_RAFT_MSG_READ_REPLY, 3)->reject); /* asked in a term that is over */
    core_free(&c);
}

static void reply(struct core *c, cor_node_id from, uint64_t id, uint64_t index)
{
    core_receive(c, (struct cor_raft_message){.type = COR_RAFT_MSG_READ_REPLY,
                                              .from = from,
                                              .term = c->info.term,
                                              .context = id,
                                              .index = index,
                                              .reject = index == 0});
}

static void a_follower_asks_the_leader(void)
{
    struct core c = core_new(3, 1, "1");
    core_read(&c, 1, true);
    CHECK_EQ(c.update.reads[0].status, COR_ENOLEADER);
    core_heartbeat(&c, 1, 0);
    core_read(&c, 2, true);
    CHECK_EQ(c.update.n_reads, 0);
    const struct cor_raft_message *m = core_find(&c, COR_RAFT_MSG_READ, 2);
    REQUIRE(m != NULL);
    CHECK_EQ(m->context, 2);
    CHECK(m->lease);
    core_read(&c, 3, false);
    reply(&c, 2, 3, 8);
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].id, 3);
    CHECK_EQ(c.update.reads[0].index, 8); /* far ahead: served once applied */
    reply(&c, 2, 3, 8);
    CHECK_EQ(c.update.n_reads, 0); /* exactly one result */
    reply(&c, 3, 2, 8);
    CHECK_EQ(c.update.n_reads, 0); /* not from the leader */
    reply(&c, 2, 2, 0);
    CHECK_EQ(c.update.reads[0].status, COR_ENOTLEADER);
    core_free(&c);
}

/* Scenario 76. */
static void a_followers_reads_end_with_their_leader(void)
{
    struct core c = core_new(3, 1, "1");
    core_heartbeat(&c, 1, 0);
    core_read(&c, 1, false);
    core_receive(&c,
                 (struct cor_raft_message){.type = BEAT, .from = 3, .term = 2, .sent_at = 1});
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].status, COR_ENOTLEADER);
    core_read(&c, 2, false);
    core_lost(&c, 3);
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].status, COR_ENOTLEADER);
    core_read(&c, 3, false);
    CHECK_EQ(c.update.reads[0].status, COR_ENOLEADER);
    core_free(&c);
}

static void a_read_without_answer_is_given_up(void)
{
    struct core c = core_new(3, 1, "1");
    c.options.reads_max = 2;
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    core_heartbeat(&c, 1, 0);
    uint64_t asked = c.now;
    core_read(&c, 1, false);
    c.now += 10 * MS;
    core_read(&c, 2, false);
    core_read(&c, 3, false);
    CHECK_EQ(c.update.reads[0].status, COR_EBUSY);
    for (int i = 0; i < 4; i++) {
        c.now += 100 * MS;
        core_heartbeat(&c, 1, 0);
    }
    reply(&c, 2, 2, 5); /* out of order */
    CHECK_EQ(c.update.n_reads, 1);
    CHECK_EQ(c.update.deadline, asked + 500 * MS);
    c.now = c.update.deadline;
    core_time(&c, 0);
    REQUIRE(c.update.n_reads == 1);
    CHECK_EQ(c.update.reads[0].id, 1);
    CHECK_EQ(c.update.reads[0].status, COR_ENOTLEADER);
    core_free(&c);
}

TEST_MAIN(TEST(a_read_is_answered_after_a_quorum_echoed_its_round),
          TEST(reads_share_rounds_sent_after_they_arrived),
          TEST(a_lost_round_is_repeated_by_the_next_heartbeat),
          TEST(no_read_before_an_entry_of_the_own_term_is_committed),
          TEST(a_lease_begins_when_the_heartbeat_left), TEST(without_leases_every_read_asks),
          TEST(the_line_is_bounded), TEST(a_deposed_leader_answers_all_who_wait),
          TEST(many_forwarded_reads_are_answered_in_parts),
          TEST(a_forwarded_read_may_use_the_lease), TEST(a_follower_asks_the_leader),
          TEST(a_followers_reads_end_with_their_leader),
          TEST(a_read_without_answer_is_given_up))
