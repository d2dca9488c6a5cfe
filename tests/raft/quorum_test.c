/*
 * quorum_test.c - majorities against an obvious twin; options and recovered state at the door;
 * clones.
 */
#include "base/prng.h"
#include "raft/internal.h"
#include "tests/raft/core.h"

#include "tests/support/test.h"

/* The highest value that, in each half that has members, more than half of them have reached. */
static uint64_t obvious_quorum_value(const struct cor_raft_config *c, const uint64_t *values)
{
    uint64_t best = 0;
    for (uint32_t candidate = 0; candidate < c->n; candidate++) {
        bool ok = true;
        for (int half = 0; half < 2; half++) {
            uint32_t size = 0;
            uint32_t reached = 0;
            for (uint32_t i = 0; i < c->n; i++) {
                const struct cor_raft_member *m = &c->members[i];
                bool in = m->kind == COR_MEMBER_VOTER && (half ? m->in_new : m->in_old);
                size += in;
                reached += in && values[i] >= values[candidate];
            }
            ok = ok && (size == 0 || 2 * reached > size);
        }
        best = ok && values[candidate] > best ? values[candidate] : best;
    }
    return best;
}

/* Scenarios 8, 13, 57. */
static void majorities_agree_with_their_definition(void)
{
    struct prng rng = {1};
    for (int round = 0; round < 5000; round++) {
        struct core c;
        memset(&c, 0, sizeof c);
        c.config = core_config(1 + (uint32_t)prng_below(&rng, COR_RAFT_MEMBERS_MAX));
        uint64_t values[COR_RAFT_MEMBERS_MAX];
        for (uint32_t i = 0; i < c.config.n; i++) {
            struct cor_raft_member *m = &c.config.members[i];
            values[i] = prng_below(&rng, 6);
            m->in_old = prng_below(&rng, 2) == 0;
            m->in_new = i == 0 || !m->in_old || prng_below(&rng, 2) == 0;
            m->kind = i > 0 && prng_below(&rng, 4) == 0 ? COR_MEMBER_LEARNER : COR_MEMBER_VOTER;
        }
        ROW("round %d", round);
        core_start(&c, (struct cor_raft_hard_state){0, 0}, "", 0);
        CHECK_EQ(raft_quorum_value(c.raft, values), obvious_quorum_value(&c.config, values));
        core_free(&c);
    }
}

static void options_out_of_range_have_no_size(void)
{
    const struct cor_raft_options good = {.self = 1};
    CHECK(cor_raft_size(&good) > 0);
    CHECK(cor_raft_size(&good) < 512u * 1024u);
    CHECK_EQ(cor_raft_size(NULL), 0);
    struct cor_raft_options bad[12];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        bad[i] = good;
    }
    bad[0].self = 0;
    bad[1].lease_permille = 951;
    bad[2].election_min = 500 * MS;
    bad[3].heartbeat = 250 * MS;
    bad[4].election_max = UINT64_MAX;
    bad[5].runs_max = 1;
    bad[6].reads_max = UINT32_MAX;
    bad[7].inflight_messages_max = UINT32_MAX;
    bad[8].inflight_bytes_max = UINT64_MAX;
    bad[9].message_bytes_max = UINT64_MAX;
    bad[10].uncommitted_bytes_max = UINT64_MAX;
    bad[11].message_entries_max = UINT32_MAX;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ROW("options %u", (unsigned)i);
        CHECK_EQ(cor_raft_size(&bad[i]), 0);
    }
}

static enum cor_status try_init(const struct cor_raft_recovered *found)
{
    static unsigned char block[512u * 1024u] __attribute__((aligned(16)));
    const struct cor_raft_options options = {.self = 1};
    struct cor_raft *r;
    return cor_raft_init(block, sizeof block, &options, found, CORE_START, &r);
}

/* Found state that contradicts itself is refused: the host's log was cut or mixed up. */
static void recovered_state_is_checked(void)
{
    struct cor_raft_config config = core_config(3);
    const struct cor_raft_run runs[] = {{1, 1}, {3, 2}};
    const struct cor_raft_run falling[] = {{1, 2}, {3, 1}};
    const struct cor_raft_run same_place[] = {{1, 1}, {1, 2}};
    const struct cor_raft_recovered good = {.hard_state = {2, 1},
                                            .runs = runs,
                                            .n_runs = 2,
                                            .last = 4,
                                            .first = 1,
                                            .config = &config};
    CHECK_EQ(try_init(&good), COR_OK);
    struct cor_raft_recovered bad[13];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        bad[i] = good;
    }
    bad[0].hard_state.term = 1; /* older than its entries */
    bad[1].runs = falling;
    bad[2].runs = same_place;
    bad[3].last = 2; /* the last run begins past it */
    bad[4].n_runs = 0;
    bad[5].first = 0;
    bad[6].first = 6;
    bad[7].applied = 5;
    bad[8].first = 3; /* compacted, and not applied */
    bad[9].config = NULL;
    bad[10].runs = NULL;
    bad[11].hard_state.term = UINT64_MAX;
    bad[12].last = UINT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ROW("recovered %u", (unsigned)i);
        CHECK_EQ(try_init(&bad[i]), COR_EINVAL);
    }
    const struct cor_raft_recovered voted_in_no_term = {
        .hard_state = {0, 1}, .first = 1, .config = &config};
    CHECK_EQ(try_init(&voted_in_no_term), COR_EINVAL);
}

/* Scenario 66. */
static void configurations_are_checked(void)
{
    const struct cor_raft_config good = core_config(3);
    struct cor_raft_config bad[6];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        bad[i] = good;
    }
    bad[0].n = 0;
    bad[1].n = COR_RAFT_MEMBERS_MAX + 1;
    bad[2].members[1].id = 1;
    bad[3].members[1].id = 0;
    bad[4].members[1].kind = 9;
    bad[5].members[1].in_new = false; /* a voter in neither half */
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ROW("configuration %u", (unsigned)i);
        const struct cor_raft_recovered found = {.first = 1, .config = &bad[i]};
        CHECK_EQ(try_init(&found), COR_EINVAL);
    }
    struct cor_raft_config learners = core_config(2);
    learners.members[0].kind = learners.members[1].kind = COR_MEMBER_LEARNER;
    const struct cor_raft_recovered found = {.first = 1, .config = &learners};
    CHECK_EQ(try_init(&found), COR_EINVAL);
}

static void memory_that_does_not_fit_is_refused(void)
{
    struct core c = core_new(3, 1, "1");
    struct cor_raft_recovered found = {.first = 1, .config = &c.config};
    struct cor_raft *r;
    unsigned char *memory = c.memory;
    CHECK_EQ(cor_raft_init(memory, c.size - 1, &c.options, &found, 1, &r), COR_EINVAL);
    CHECK_EQ(cor_raft_init(memory + 8, c.size, &c.options, &found, 1, &r), COR_EINVAL);
    CHECK_EQ(cor_raft_init(NULL, c.size, &c.options, &found, 1, &r), COR_EINVAL);
    CHECK_EQ(cor_raft_init(memory, c.size, NULL, &found, 1, &r), COR_EINVAL);
    CHECK_EQ(cor_raft_init(memory, c.size, &c.options, NULL, 1, &r), COR_EINVAL);
    CHECK_EQ(cor_raft_init(memory, c.size, &c.options, &found, 1, NULL), COR_EINVAL);
    CHECK_EQ(cor_raft_init(memory, c.size, &c.options, &found, UINT64_MAX, &r), COR_EINVAL);
    c.options.self = 0;
    CHECK_EQ(cor_raft_init(memory, c.size, &c.options, &found, 1, &r), COR_EINVAL);
    core_free(&c);
}

/* D1: memcpy clones a core; the clone lives on elsewhere and does the same. */
static void a_clone_goes_on_like_the_original(void)
{
    struct core c = core_new(3, 1, "1 1");
    core_lead(&c);
    core_read(&c, 1, false);
    core_propose(&c, 3, 10);
    void *copy = malloc(c.size);
    REQUIRE(copy != NULL);
    memcpy(copy, c.memory, c.size);
    struct cor_raft *clone = copy;
    CHECK_EQ(cor_raft_hash(clone), cor_raft_hash(c.raft));
    for (int i = 0; i < 30; i++) {
        c.now += 20 * MS;
        struct cor_raft_event ev = {.type = COR_RAFT_EV_TIME, .now = c.now};
        struct cor_raft_update update;
        CHECK_EQ(cor_raft_step(clone, &ev, &update), COR_OK);
        core_time(&c, 0);
        CHECK_EQ(update.n_messages, c.update.n_messages);
        CHECK_EQ(update.deadline, c.update.deadline);
        CHECK_EQ(cor_raft_hash(clone), cor_raft_hash(c.raft));
    }
    uint64_t hash = cor_raft_hash(clone);
    core_time(&c, 1);
    CHECK(cor_raft_hash(c.raft) != hash);
    free(copy);
    core_free(&c);
}

static void views_show_the_configuration(void)
{
    struct core c = core_new(3, 1, "1");
    c.config.members[2].kind = COR_MEMBER_LEARNER;
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    struct cor_raft_config config;
    cor_raft_get_config(c.raft, &config);
    CHECK_EQ(config.n, 3);
    CHECK_EQ(config.members[2].kind, COR_MEMBER_LEARNER);
    CHECK(config.members[1].in_new && !config.members[1].in_old);
    uint64_t term;
    CHECK_EQ(cor_raft_term_at(c.raft, 0, &term), COR_OK);
    CHECK_EQ(cor_raft_term_at(c.raft, 2, &term), COR_ENOTFOUND);
    struct cor_raft_peer_info peers[2];
    CHECK_EQ(cor_raft_get_peers(c.raft, peers, 2), 2);
    CHECK_EQ(peers[1].progress, 0);
    core_lead(&c);
    CHECK_EQ(core_peer(&c, 1).next, 3);
    CHECK_EQ(core_peer(&c, 3).next, 2);
    core_free(&c);
}

/* Learners get entries, and count for nothing. */
static void learners_are_fed_and_not_counted(void)
{
    struct core c = core_new(4, 1, "1");
    c.config.members[2].kind = c.config.members[3].kind = COR_MEMBER_LEARNER;
    core_start(&c, (struct cor_raft_hard_state){1, 0}, "1", 0);
    core_lead(&c);
    CHECK(core_find(&c, COR_RAFT_MSG_APPEND, 4) != NULL);
    core_persist(&c);
    core_ack(&c, 3, 2);
    core_ack(&c, 4, 2);
    CHECK_EQ(c.info.commit, 0);
    core_ack(&c, 2, 2);
    CHECK_EQ(c.info.commit, 2);
    core_free(&c);
}

static void unknown_kinds_are_refused(void)
{
    struct core c = core_new(3, 1, "1");
    core_step(&c, (struct cor_raft_event){.type = 0});
    CHECK_EQ(c.status, COR_EINVAL);
    core_step(&c, (struct cor_raft_event){.type = 99});
    CHECK_EQ(c.status, COR_EINVAL);
    core_step(&c, (struct cor_raft_event){.type = COR_RAFT_EV_RECEIVE});
    CHECK_EQ(c.status, COR_EINVAL);
    core_receive(&c, (struct cor_raft_message){.type = 0, .from = 2, .term = 1});
    CHECK_EQ(c.status, COR_EPROTO);
    core_receive(&c, (struct cor_raft_message){.type = 14, .from = 2, .term = 1});
    CHECK_EQ(c.status, COR_EPROTO);
    core_receive(&c,
                 (struct cor_raft_message){.type = COR_RAFT_MSG_VOTE, .from = 1, .term = 2});
    CHECK_EQ(c.status, COR_EPROTO);
    core_receive(&c, (struct cor_raft_message){.type = COR_RAFT_MSG_VOTE, .term = 2});
    CHECK_EQ(c.status, COR_EPROTO);
    for (uint8_t type = COR_RAFT_MSG_SNAPSHOT; type <= COR_RAFT_MSG_TIMEOUT_NOW; type++) {
        uint64_t hash = cor_raft_hash(c.raft); /* places that are kept: ignored */
        core_receive(&c, (struct cor_raft_message){.type = type, .from = 2, .term = 5});
        CHECK_EQ(c.status, COR_OK);
        CHECK_EQ(cor_raft_hash(c.raft), hash);
    }
    core_free(&c);
}

/* Each field of each kind of message, one at a time, set to what no peer can mean. */
static void messages_out_of_all_bounds_are_refused(void)
{
    const uint64_t huge = UINT64_MAX;
    struct cor_raft_entry e = {1, COR_ENTRY_COMMAND, 1};
    struct cor_raft_entry untyped = {1, 0, 1};
    struct cor_raft_entry unknown = {1, 9, 1};
    const struct cor_raft_message bad[] = {
        {.type = COR_RAFT_MSG_APPEND, .term = 0},
        {.type = COR_RAFT_MSG_APPEND, .term = 1, .sent_at = huge},
        {.type = COR_RAFT_MSG_APPEND, .term = 1, .commit = huge},
        {.type = COR_RAFT_MSG_APPEND, .term = 1, .prev = {huge, 1}},
        {.type = COR_RAFT_MSG_APPEND, .term = 1, .n_entries = 1, .first = 1},
        {.type = COR_RAFT_MSG_APPEND, .term = 1, .n_entries = 1, .first = 2, .entries = &e},
        {.type = COR_RAFT_MSG_APPEND,
         .term = 1,
         .n_entries = 1,
         .first = 1,
         .entries = &untyped},
        {.type = COR_RAFT_MSG_APPEND,
         .term = 1,
         .n_entries = 1,
         .first = 1,
         .entries = &unknown},
        {.type = COR_RAFT_MSG_HEARTBEAT, .term = 0},
        {.type = COR_RAFT_MSG_HEARTBEAT, .term = 1, .sent_at = huge},
        {.type = COR_RAFT_MSG_APPEND_REPLY, .term = 0},
        {.type = COR_RAFT_MSG_APPEND_REPLY, .term = 1, .match = 1},
        {.type = COR_RAFT_MSG_APPEND_REPLY, .term = 1, .received = huge},
        {.type = COR_RAFT_MSG_APPEND_REPLY, .term = 1, .sent_at = huge},
        {.type = COR_RAFT_MSG_APPEND_REPLY, .term = 1, .prev = {1, huge}},
        {.type = COR_RAFT_MSG_APPEND_REPLY, .term = 1, .prev = {huge, 1}},
        {.type = COR_RAFT_MSG_HEARTBEAT_REPLY, .term = 0},
        {.type = COR_RAFT_MSG_HEARTBEAT_REPLY, .term = 1, .match = 1},
        {.type = COR_RAFT_MSG_VOTE, .term = 0},
        {.type = COR_RAFT_MSG_VOTE, .term = 1, .prev = {1, 1}}, /* its own term's entries */
        {.type = COR_RAFT_MSG_VOTE, .term = 2, .prev = {1, huge}},
        {.type = COR_RAFT_MSG_PRE_VOTE, .term = 0},
        {.type = COR_RAFT_MSG_PRE_VOTE, .term = huge},
        {.type = COR_RAFT_MSG_VOTE_REPLY, .term = 0},
        {.type = COR_RAFT_MSG_PRE_VOTE_REPLY, .term = 0},
        {.type = COR_RAFT_MSG_READ, .term = 0},
        {.type = COR_RAFT_MSG_READ_REPLY, .term = 0},
        {.type = COR_RAFT_MSG_READ_REPLY, .term = 1},
        {.type = COR_RAFT_MSG_READ_REPLY, .term = 1, .index = huge},
        {.type = COR_RAFT_MSG_SNAPSHOT, .term = 0},
    };
    struct core c = core_new(3, 0, "");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ROW("message %u", (unsigned)i);
        struct cor_raft_message m = bad[i];
        m.from = 2;
        core_receive(&c, m);
        CHECK_EQ(c.status, COR_EPROTO);
    }
    struct cor_raft_message astray = {
        .type = COR_RAFT_MSG_HEARTBEAT, .from = 2, .to = 3, .term = 1, .sent_at = 1};
    core_step(&c, (struct cor_raft_event){.type = COR_RAFT_EV_RECEIVE, .message = &astray});
    CHECK_EQ(c.status, COR_EPROTO);
    core_vote_reply(&c, COR_RAFT_MSG_PRE_VOTE_REPLY, 2, 0, true); /* a fresh voter may refuse */
    CHECK_EQ(c.status, COR_OK);
    core_free(&c);
}

TEST_MAIN(TEST(majorities_agree_with_their_definition), TEST(options_out_of_range_have_no_size),
          TEST(recovered_state_is_checked), TEST(configurations_are_checked),
          TEST(memory_that_does_not_fit_is_refused), TEST(a_clone_goes_on_like_the_original),
          TEST(views_show_the_configuration), TEST(learners_are_fed_and_not_counted),
          TEST(unknown_kinds_are_refused), TEST(messages_out_of_all_bounds_are_refused))
