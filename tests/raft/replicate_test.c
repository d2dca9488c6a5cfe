/*
 * replicate_test.c - the leader: what goes to whom, what counts, what is committed.
 */
#include "tests/raft/core.h"

#include "tests/support/test.h"

#define APPEND COR_RAFT_MSG_APPEND

/* A leader of term 2 over "1", no-op at 2 durable, whose peers are in the pipeline with all of
 * it. */
static struct core leader_of(uint32_t n)
{
    struct core c = core_new(n, 1, "1");
    core_lead(&c);
    core_persist(&c);
    for (cor_node_id id = 2; id <= n; id++) {
        core_ack(&c, id, 2);
    }
    COR_ASSERT(n == 1 || c.info.commit == 2);
    return c;
}

static void reject(struct core *c, cor_node_id from, struct cor_logid hint)
{
    core_receive(c, (struct cor_raft_message){.type = COR_RAFT_MSG_APPEND_REPLY,
                                              .from = from,
                                              .term = c->info.term,
                                              .reject = true,
                                              .prev = hint});
}

static void beat(struct core *c, cor_node_id from, uint64_t match, uint64_t received)
{
    core_receive(c, (struct cor_raft_message){.type = COR_RAFT_MSG_HEARTBEAT_REPLY,
                                              .from = from,
                                              .term = c->info.term,
                                              .match = match,
                                              .received = received,
                                              .sent_at = CORE_START});
}

/* Scenario 42; and 3.4: heartbeats prevent new elections. */
static void a_new_leader_announces_itself_and_a_no_op(void)
{
    struct core c = core_new(3, 1, "1 1");
    core_lead(&c);
    CHECK_EQ(c.update.write.first, 3);
    CHECK_EQ(c.update.write.n_entries, 1);
    CHECK_EQ(c.update.write.term, 2);
    CHECK(!c.update.write.hard_state_changed);
    for (cor_node_id id = 2; id <= 3; id++) {
        const struct cor_raft_message *m = core_find(&c, APPEND, id);
        REQUIRE(m != NULL);
        CHECK_EQ(m->prev.index, 2);
        CHECK_EQ(m->prev.term, 1);
        CHECK_EQ(m->first, 3);
        CHECK_EQ(m->n_entries, 1);
        CHECK(m->entries == NULL);
        CHECK(core_find(&c, COR_RAFT_MSG_HEARTBEAT, id) != NULL);
    }
    core_free(&c);
}

/* Scenario 41, Figure 3.7: an entry of an older term on a majority is not committed by counting. */
static void an_old_terms_entry_is_not_committed_by_counting(void)
{
    struct core c = core_new(5, 3, "1 2"); /* S1 of the figure, about to lead term 4 */
    core_lead(&c);
    core_persist(&c);
    core_ack(&c, 2, 2);
    core_ack(&c, 3, 2); /* (c): entry 2 of term 2 is on S1, S2, S3 */
    CHECK_EQ(c.info.commit, 0);
    core_ack(&c, 2, 3);
    CHECK_EQ(c.info.commit, 0);
    core_ack(&c, 3, 3); /* (e): and with an entry of term 4 it is */
    CHECK_EQ(c.info.commit, 3);
    core_free(&c);
}

/* Scenario 44. */
static void others_disks_may_commit_before_the_leaders(void)
{
    struct core c = leader_of(3);
    core_propose(&c, 1, 10);
    core_ack(&c, 2, 3);
    CHECK_EQ(c.info.commit, 2); /* the leader's own is not durable: one of three */
    core_ack(&c, 3, 3);
    CHECK_EQ(c.info.commit, 3);
    CHECK_EQ(c.info.durable, 2);
    core_propose(&c, 1, 10);
    core_ack(&c, 2, 4);
    CHECK_EQ(c.info.commit, 3);
    core_persist(&c);
    CHECK_EQ(c.info.commit, 4);
    core_free(&c);
}

/* Scenario 43. */
static void a_leader_counts_itself_only_as_a_voter_of_the_half(void)
{
    struct core c = core_new(4, 1, "1");
    for (uint32_t i = 0; i < 4; i++) { /* old: 1 2 3; new: 2 3 4 */
        c.config.members[i].in_old = i < 3;
        c.config.members[i].in_new = i > 0;
    }
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    core_lead(&c);
    core_persist(&c);
    core_ack(&c, 2, 2); /* old: 1 and 2; new: 2 alone */
    CHECK_EQ(c.info.commit, 0);
    core_ack(&c, 4, 2);
    CHECK_EQ(c.info.commit, 2);
    core_free(&c);
}

/* Scenario 40, and one append per peer in a step, with the own disk in parallel. */
static void proposals_leave_in_the_step_that_takes_them(void)
{
    struct core c = leader_of(3);
    core_propose(&c, 40, 10);
    CHECK_EQ(c.status, COR_OK);
    CHECK_EQ(c.update.proposed_first, 3);
    CHECK_EQ(c.update.write.first, 3);
    CHECK_EQ(c.update.write.n_entries, 40);
    CHECK_EQ(c.update.n_messages, 2);
    CHECK_EQ(core_find(&c, APPEND, 2)->n_entries, 40);
    CHECK_EQ(core_find(&c, APPEND, 2)->commit, 2);
    core_propose(&c, 1, 10);
    CHECK_EQ(core_find(&c, APPEND, 3)->first, 43);
    CHECK_EQ(c.info.uncommitted_bytes, 410);
    core_persist(&c);
    core_ack(&c, 3, 42);
    CHECK_EQ(c.info.uncommitted_bytes, 10);
    core_ack(&c, 3, 43);
    CHECK_EQ(c.info.uncommitted_bytes, 0);
    core_free(&c);
}

static void a_follower_hears_of_a_commit_without_waiting(void)
{
    struct core c = leader_of(3);
    core_propose(&c, 1, 10);
    core_persist(&c);
    core_ack(&c, 2, 3);
    const struct cor_raft_message *news = core_find(&c, COR_RAFT_MSG_HEARTBEAT, 2);
    REQUIRE(news != NULL);
    CHECK_EQ(news->commit, 3);
    CHECK_EQ(news->sent_at, 0);
    CHECK(core_find(&c, COR_RAFT_MSG_HEARTBEAT, 3) == NULL); /* it has not got the entry */
    core_ack(&c, 3, 3);
    CHECK_EQ(core_find(&c, COR_RAFT_MSG_HEARTBEAT, 3)->commit, 3);
    CHECK(core_find(&c, COR_RAFT_MSG_HEARTBEAT, 2) == NULL); /* once */
    core_propose(&c, 1, 10);
    core_propose(&c, 1, 10);
    core_persist(&c);
    core_ack(&c, 2, 4);
    CHECK_EQ(c.info.commit, 4);
    CHECK(core_find(&c, COR_RAFT_MSG_HEARTBEAT, 2) == NULL); /* entry 5 is still on its way */
    core_ack(&c, 2, 5);
    CHECK_EQ(core_find(&c, COR_RAFT_MSG_HEARTBEAT, 2)->commit, 5);
    core_free(&c);
}

/* Scenarios 38, 39: exactly one outcome, refused whole. */
static void proposals_past_the_limit_are_refused_and_later_taken(void)
{
    struct core c = core_new(3, 1, "1");
    c.options.uncommitted_bytes_max = 100;
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    core_propose(&c, 1, 10);
    CHECK_EQ(c.status, COR_ENOTLEADER);
    CHECK_EQ(c.update.proposed_first, 0);
    core_lead(&c);
    core_persist(&c);
    core_propose(&c, 1, 1000); /* alone it fits: else it could never be proposed */
    CHECK_EQ(c.status, COR_OK);
    core_propose(&c, 1, 1);
    CHECK_EQ(c.status, COR_EBUSY);
    CHECK_EQ(c.update.proposed_first, 0);
    CHECK_EQ(c.info.last, 3);
    core_propose(&c, 1, 0); /* an empty one costs nothing */
    CHECK_EQ(c.status, COR_OK);
    core_persist(&c);
    core_ack(&c, 2, 4);
    core_propose(&c, 2, 40);
    CHECK_EQ(c.status, COR_OK);
    core_propose(&c, 1, 20);
    CHECK_EQ(c.status, COR_OK);
    core_propose(&c, 1, 1);
    CHECK_EQ(c.status, COR_EBUSY);
    core_disk(&c, true);
    core_propose(&c, 1, 0);
    CHECK_EQ(c.status, COR_ENOSPACE);
    core_free(&c);
}

static void batches_beyond_the_ring_are_joined(void)
{
    struct core c = core_new(3, 1, "1");
    c.options.writes_max = 2;
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    core_lead(&c);
    for (int i = 0; i < 4; i++) {
        core_propose(&c, 1, 10);
    }
    CHECK_EQ(c.info.uncommitted_bytes, 40);
    core_persist(&c);
    core_ack(&c, 2, 5);
    CHECK_EQ(c.info.uncommitted_bytes, 30);
    core_ack(&c, 2, 6);
    CHECK_EQ(c.info.uncommitted_bytes, 0);
    core_free(&c);
}

static void proposals_that_make_no_sense_are_the_hosts_error(void)
{
    struct core c = leader_of(3);
    struct cor_raft_entry e = {0, COR_ENTRY_CONFIG, 1};
    struct cor_raft_event ev = {.type = COR_RAFT_EV_PROPOSE,
                                .propose = {.entries = &e, .n = 1}};
    core_step(&c, ev);
    CHECK_EQ(c.status, COR_EINVAL);
    e.type = 0;
    core_step(&c, ev);
    CHECK_EQ(c.status, COR_EINVAL);
    e.type = 7;
    core_step(&c, ev);
    CHECK_EQ(c.status, COR_EINVAL);
    ev.propose.n = 0;
    core_step(&c, ev);
    CHECK_EQ(c.status, COR_EINVAL);
    ev.propose.n = 1;
    ev.propose.entries = NULL;
    core_step(&c, ev);
    CHECK_EQ(c.status, COR_EINVAL);
    core_free(&c);
}

/* Scenario 31, Figure 3.6 (a leader over followers (a) to (f)): the hints find the place in as many
 * round trips as there are diverging terms, at most. */
static void probes_find_where_logs_diverge(void)
{
    static const struct {
        const char *name, *follower;
        unsigned probes_max;
        uint64_t common;
    } figure[] = {
        {"a", "1 1 1 4 4 5 5 6 6", 2, 9},      {"b", "1 1 1 4", 2, 4},
        {"c", "1 1 1 4 4 5 5 6 6 6 6", 1, 10}, {"d", "1 1 1 4 4 5 5 6 6 6 7 7", 1, 10},
        {"e", "1 1 1 4 4 4 4", 2, 5},          {"f", "1 1 1 2 2 2 3 3 3 3 3", 2, 3},
    };
    for (size_t i = 0; i < ARRAY_LEN(figure); i++) {
        ROW("follower (%s)", figure[i].name);
        struct core c = core_new(3, 7, "1 1 1 4 4 5 5 6 6 6");
        struct core f = core_new(3, 7, figure[i].follower);
        core_lead(&c);
        uint64_t match = 0;
        for (unsigned probe = 1; match == 0; probe++) {
            REQUIRE(probe <= figure[i].probes_max + 1);
            const struct cor_raft_message *m = core_find(&c, APPEND, 2);
            REQUIRE(m != NULL);
            core_append(&f, m->term, m->prev, "", 0);
            if (f.update.write.seq != 0) {
                core_persist(&f);
            }
            const struct cor_raft_message *answer = core_find(&f, COR_RAFT_MSG_APPEND_REPLY, 2);
            REQUIRE(answer != NULL);
            match = answer->reject ? 0 : answer->match;
            if (answer->reject) {
                reject(&c, 2, answer->prev);
            }
        }
        CHECK_EQ(match, figure[i].common);
        core_free(&c);
        core_free(&f);
    }
}

/* Scenario 32. */
static void a_late_rejection_moves_nothing_below_the_match(void)
{
    struct core c = leader_of(3);
    core_propose(&c, 3, 10);
    core_ack(&c, 2, 4);
    reject(&c, 2, (struct cor_logid){1, 1});
    CHECK_EQ(core_peer(&c, 2).match, 4);
    CHECK_EQ(core_peer(&c, 2).next, 5);
    CHECK_EQ(core_peer(&c, 2).progress, COR_RAFT_PROBE);
    REQUIRE(core_find(&c, APPEND, 2) != NULL);
    CHECK_EQ(core_find(&c, APPEND, 2)->prev.index, 4);
    reject(&c, 2, (struct cor_logid){0, 0}); /* again: no answer to an answer without end */
    CHECK(core_find(&c, APPEND, 2) == NULL);
    core_ack(&c, 2, 3); /* nor does an old success move the match back */
    CHECK_EQ(core_peer(&c, 2).match, 4);
    core_free(&c);
}

static void the_window_of_messages_holds(void)
{
    struct core c = core_new(3, 1, "1");
    c.options.inflight_messages_max = 2;
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    core_lead(&c);
    core_ack(&c, 2, 2);
    for (int i = 0; i < 4; i++) {
        core_propose(&c, 1, 10);
    }
    CHECK_EQ(core_peer(&c, 2).inflight_messages, 2);
    CHECK(core_find(&c, APPEND, 2) == NULL);
    core_ack(&c, 2, 3);
    REQUIRE(core_find(&c, APPEND, 2) != NULL); /* the rest in one */
    CHECK_EQ(core_find(&c, APPEND, 2)->first, 5);
    CHECK_EQ(core_find(&c, APPEND, 2)->n_entries, 2);
    core_ack(&c, 2, 6);
    CHECK_EQ(core_peer(&c, 2).inflight_messages, 0); /* scenario 36 */
    core_free(&c);
}

/* The host reports what it sent: cuts, bytes, nothing at all. */
static void a_cut_append_is_continued_until_a_window_is_full(void)
{
    struct core c = core_new(3, 1, "1");
    c.options.inflight_bytes_max = 100;
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    core_lead(&c);
    core_ack(&c, 2, 2);
    core_ack(&c, 3, 2);
    core_propose(&c, 10, 30);
    core_sent(&c, 2, 3, 2, 60);
    CHECK_EQ(core_peer(&c, 2).inflight_bytes, 60);
    const struct cor_raft_message *m = core_find(&c, APPEND, 2);
    REQUIRE(m != NULL);
    CHECK_EQ(m->first, 5);
    CHECK_EQ(m->n_entries, 8);
    CHECK_EQ(c.update.n_messages, 1); /* never one for another peer */
    core_sent(&c, 2, 5, 2, 60);
    CHECK(core_find(&c, APPEND, 2) == NULL); /* 120 of 100 bytes */
    core_sent(&c, 3, 3, 10, 300);
    CHECK_EQ(core_peer(&c, 2).next, 7);
    core_ack(&c, 2, 4);
    REQUIRE(core_find(&c, APPEND, 2) != NULL);
    CHECK_EQ(core_find(&c, APPEND, 2)->first, 7);
    core_sent(&c, 2, 7, 0, 0); /* the queue is full */
    CHECK_EQ(core_peer(&c, 2).next, 7);
    CHECK(core_find(&c, APPEND, 2) == NULL);
    core_propose(&c, 1, 30);
    CHECK(core_find(&c, APPEND, 2) == NULL); /* until it is heard */
    core_ack(&c, 2, 6);
    CHECK_EQ(core_find(&c, APPEND, 2)->first, 7);
    core_ack(&c, 2, 13);
    CHECK_EQ(core_peer(&c, 2).inflight_bytes, 0); /* scenario 36 */
    CHECK_EQ(core_peer(&c, 2).inflight_messages, 0);
    core_free(&c);
}

static void reports_that_fit_nothing_are_ignored_or_refused(void)
{
    struct core c = leader_of(3);
    core_propose(&c, 2, 10);
    core_sent(&c, 2, 3, 3, 30);
    CHECK_EQ(c.status, COR_EINVAL); /* more than was named */
    core_sent(&c, 2, 9, 1, 10);
    CHECK_EQ(c.status, COR_OK);
    core_sent(&c, 7, 3, 1, 10);
    CHECK_EQ(c.status, COR_OK);
    core_sent(&c, 2, 3, 1, UINT64_MAX);
    CHECK_EQ(c.status, COR_EINVAL);
    CHECK_EQ(core_peer(&c, 2).inflight_bytes, 0);
    core_sent(&c, 2, 3, 2, 20);
    core_sent(&c, 2, 3, 2, 20); /* twice counts once */
    CHECK_EQ(core_peer(&c, 2).inflight_bytes, 20);
    core_free(&c);
}

/* Scenario 107: what the host could not send is asked for again once the peer is heard. */
static void a_probe_that_never_left_is_repeated(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    core_sent(&c, 2, 2, 0, 0);
    CHECK(core_find(&c, APPEND, 2) == NULL);
    beat(&c, 2, 0, 0);
    CHECK(core_find(&c, APPEND, 2) != NULL);
    beat(&c, 2, 0, 0);
    CHECK(core_find(&c, APPEND, 2) == NULL);
    c.now += 250 * MS;
    beat(&c, 2, 0, 0); /* no answer for so long: lost */
    CHECK(core_find(&c, APPEND, 2) != NULL);
    core_free(&c);
}

/* Scenario 35. */
static void silent_loss_is_noticed_by_heartbeats(void)
{
    struct core c = leader_of(3);
    core_propose(&c, 1, 10);
    core_propose(&c, 1, 10);
    beat(&c, 2, 2, 3);
    c.now += 200 * MS;
    beat(&c, 2, 2, 3);
    CHECK_EQ(core_peer(&c, 2).progress, COR_RAFT_PIPELINE);
    c.now += 50 * MS;
    beat(&c, 2, 2, 3);
    CHECK_EQ(core_peer(&c, 2).progress, COR_RAFT_PROBE);
    CHECK_EQ(core_peer(&c, 2).inflight_messages, 0);
    REQUIRE(core_find(&c, APPEND, 2) != NULL);
    CHECK_EQ(core_find(&c, APPEND, 2)->first, 4);
    core_ack(&c, 2, 4);
    CHECK_EQ(core_peer(&c, 2).progress, COR_RAFT_PIPELINE);

    core_propose(&c, 1, 10); /* received, on a slow disk: no loss */
    for (int i = 0; i < 10; i++) {
        c.now += 100 * MS;
        beat(&c, 2, 4, 5);
    }
    CHECK_EQ(core_peer(&c, 2).progress, COR_RAFT_PIPELINE);
    core_free(&c);
}

static void a_closed_connection_empties_the_window(void)
{
    struct core c = leader_of(3);
    core_propose(&c, 2, 10);
    core_lost(&c, 2);
    CHECK_EQ(core_peer(&c, 2).progress, COR_RAFT_PROBE);
    CHECK_EQ(core_peer(&c, 2).inflight_messages, 0);
    CHECK_EQ(core_peer(&c, 2).next, 3);
    core_propose(&c, 1, 10);
    CHECK(core_find(&c, APPEND, 2) == NULL);
    CHECK(core_find(&c, APPEND, 3) != NULL);
    beat(&c, 2, 2, 2);
    REQUIRE(core_find(&c, APPEND, 2) != NULL);
    CHECK_EQ(core_find(&c, APPEND, 2)->n_entries, 3);
    core_lost(&c, 1); /* itself: nonsense, and harmless */
    CHECK_EQ(c.status, COR_OK);
    core_free(&c);
}

/* A follower whose disk is full agrees and takes nothing: no round without end. */
static void a_full_follower_is_not_asked_at_network_speed(void)
{
    struct core c = core_new(3, 1, "1");
    core_lead(&c);
    core_ack(&c, 2, 1);
    CHECK(core_find(&c, APPEND, 2) == NULL);
    CHECK_EQ(core_peer(&c, 2).progress, COR_RAFT_PROBE);
    c.now += 250 * MS;
    beat(&c, 2, 1, 1);
    CHECK(core_find(&c, APPEND, 2) != NULL);
    core_ack(&c, 2, 2);
    CHECK_EQ(core_peer(&c, 2).progress, COR_RAFT_PIPELINE);
    core_free(&c);
}

static void prev_terms_the_table_lost_are_marked(void)
{
    struct core c = core_new(3, 9, "");
    c.options.runs_max = 2;
    core_start(&c, (struct cor_raft_hard_state){9, 0}, "1 2 3 4 5", 0);
    core_lead(&c);
    CHECK(!core_find(&c, APPEND, 2)->prev_term_unknown);
    reject(&c, 2, (struct cor_logid){2, 2});
    const struct cor_raft_message *m = core_find(&c, APPEND, 2);
    REQUIRE(m != NULL);
    CHECK(m->prev_term_unknown);
    CHECK_EQ(m->prev.index, 2);
    CHECK_EQ(m->prev.term, 0);
    core_free(&c);
}

/* Scenarios 33, 34: entries before the first are gone; the place for snapshots is kept. */
static void a_peer_that_needs_compacted_entries_is_set_aside(void)
{
    struct core c = core_new(3, 2, "");
    const struct cor_raft_run runs[] = {{6, 1}};
    struct cor_raft_recovered found = {.hard_state = {2, 0},
                                       .runs = runs,
                                       .n_runs = 1,
                                       .last = 8,
                                       .first = 6,
                                       .config = &c.config,
                                       .applied = 6};
    REQUIRE(cor_raft_init(c.memory, c.size, &c.options, &found, c.now, &c.raft) == COR_OK);
    core_lead(&c);
    reject(&c, 2, (struct cor_logid){1, 3});
    CHECK(core_find(&c, APPEND, 2) == NULL);
    CHECK_EQ(core_peer(&c, 2).progress, COR_RAFT_SNAPSHOT);
    beat(&c, 2, 3, 3);
    CHECK_EQ(core_peer(&c, 2).progress, COR_RAFT_SNAPSHOT);
    beat(&c, 2, 7, 7); /* it has got them from elsewhere */
    REQUIRE(core_find(&c, APPEND, 2) != NULL);
    CHECK_EQ(core_find(&c, APPEND, 2)->first, 8);
    reject(&c, 3, (struct cor_logid){1, 5}); /* the boundary: prev is just before the first */
    REQUIRE(core_find(&c, APPEND, 3) != NULL);
    CHECK_EQ(core_find(&c, APPEND, 3)->first, 6);
    CHECK(core_find(&c, APPEND, 3)->prev_term_unknown);
    core_free(&c);
}

/* Answers that no correct follower gives. */
static void lies_about_our_own_log_are_refused(void)
{
    struct core c = leader_of(3);
    const struct cor_raft_message good = {.type = COR_RAFT_MSG_APPEND_REPLY,
                                          .from = 2,
                                          .term = c.info.term,
                                          .match = 2,
                                          .received = 2,
                                          .sent_at = c.now};
    struct cor_raft_message bad[6];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        bad[i] = good;
    }
    bad[0].match = bad[0].received = 3;
    bad[1].received = 1;
    bad[2].sent_at = c.now + 1;
    bad[3].context = 99;
    bad[4].prev = (struct cor_logid){1, 9};
    bad[5].received = UINT64_MAX;
    core_receive(&c, good);
    CHECK_EQ(c.status, COR_OK);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ROW("lie %u", (unsigned)i);
        core_receive(&c, bad[i]);
        CHECK_EQ(c.status, COR_EPROTO);
    }
    core_append(&c, c.info.term, (struct cor_logid){2, 2}, "", 0);
    CHECK_EQ(c.status, COR_EPROTO); /* another leader of this term */
    struct cor_raft_message stranger = good;
    stranger.from = 8;
    core_receive(&c, stranger);
    CHECK_EQ(c.status, COR_OK);
    core_free(&c);
}

/* Scenario 39, 49: leaving office forgets what belonged to it, not the log. */
static void a_deposed_leader_keeps_its_log(void)
{
    struct core c = leader_of(3);
    core_propose(&c, 3, 10);
    core_receive(
        &c, (struct cor_raft_message){
                .type = COR_RAFT_MSG_HEARTBEAT_REPLY, .from = 3, .term = 9, .reject = true});
    CHECK_EQ(c.info.role, COR_RAFT_FOLLOWER);
    CHECK_EQ(c.info.term, 9);
    CHECK_EQ(c.info.vote, 0);
    CHECK_EQ(c.info.last, 5);
    CHECK_EQ(c.info.uncommitted_bytes, 0);
    core_ack(&c, 2, 5); /* of a term that is over */
    CHECK_EQ(c.info.commit, 2);
    core_append(&c, 9, (struct cor_logid){2, 2}, "9", 0);
    CHECK(strcmp(core_log(&c), "1 2 9") == 0);
    core_free(&c);
}

/* Scenario 45. */
static void applied_never_passes_commit_or_goes_back(void)
{
    struct core c = leader_of(3);
    struct cor_raft_event ev = {.type = COR_RAFT_EV_APPLIED, .applied = {.index = 3}};
    core_step(&c, ev);
    CHECK_EQ(c.status, COR_EINVAL);
    ev.applied.index = 2;
    core_step(&c, ev);
    CHECK_EQ(c.info.applied, 2);
    ev.applied.index = 1;
    core_step(&c, ev);
    CHECK_EQ(c.status, COR_EINVAL);
    core_free(&c);
}

TEST_MAIN(TEST(a_new_leader_announces_itself_and_a_no_op),
          TEST(an_old_terms_entry_is_not_committed_by_counting),
          TEST(others_disks_may_commit_before_the_leaders),
          TEST(a_leader_counts_itself_only_as_a_voter_of_the_half),
          TEST(proposals_leave_in_the_step_that_takes_them),
          TEST(a_follower_hears_of_a_commit_without_waiting),
          TEST(proposals_past_the_limit_are_refused_and_later_taken),
          TEST(batches_beyond_the_ring_are_joined),
          TEST(proposals_that_make_no_sense_are_the_hosts_error),
          TEST(probes_find_where_logs_diverge),
          TEST(a_late_rejection_moves_nothing_below_the_match),
          TEST(the_window_of_messages_holds),
          TEST(a_cut_append_is_continued_until_a_window_is_full),
          TEST(reports_that_fit_nothing_are_ignored_or_refused),
          TEST(a_probe_that_never_left_is_repeated), TEST(silent_loss_is_noticed_by_heartbeats),
          TEST(a_closed_connection_empties_the_window),
          TEST(a_full_follower_is_not_asked_at_network_speed),
          TEST(prev_terms_the_table_lost_are_marked),
          TEST(a_peer_that_needs_compacted_entries_is_set_aside),
          TEST(lies_about_our_own_log_are_refused), TEST(a_deposed_leader_keeps_its_log),
          TEST(applied_never_passes_commit_or_goes_back))
