/*
 * traffic_test.c - what travels over links that are up: appends of any size, requests, and what happens when the
 * other side does not read.
 */
#include "tests/peer/members.h"
#include "tests/support/test.h"

static struct members s;
static unsigned char payload[PEER_MESSAGE_MAX];
static struct peer_entry entries[PEER_ENTRIES_MAX];

static void start(size_t n, uint64_t seed)
{
    members_init(&s, n, seed);
    members_open(&s);
    net_run(&s.net, NET_S);
    for (size_t i = 0; i < s.n; i++) {
        REQUIRE(s.m[i].n_up == n - 1);
    }
}

/* @n entries that share @bytes of payload; their checksums. */
static struct cor_raft_message make_append(uint32_t n, size_t bytes, uint64_t index)
{
    for (size_t i = 0; i < bytes; i++) {
        payload[i] = (unsigned char)(i * 13 + index);
    }
    for (uint32_t i = 0; i < n; i++) {
        size_t from = bytes * i / n;
        size_t to = bytes * (i + 1) / n;
        entries[i] = (struct peer_entry){
            .term = index + i, .type = 1 + i % 3, .payload = {payload + from, to - from}};
        entries[i].checksum = hash64(entries[i].payload);
    }
    return (struct cor_raft_message){.type = COR_RAFT_MSG_APPEND,
                                     .term = 5,
                                     .prev = {.term = 5, .index = index - 1},
                                     .first = index,
                                     .commit = index,
                                     .n_entries = n};
}

/* What a member's digest becomes by @m and entries[]. */
static void mix_append(struct member *model, const struct cor_raft_message *m)
{
    member_mix(model, &m->type, 1);
    member_mix(model, &m->commit, sizeof m->commit);
    for (uint32_t i = 0; i < m->n_entries; i++) {
        member_mix(model, &entries[i].term, sizeof entries[i].term);
        member_mix(model, entries[i].payload.ptr, entries[i].payload.len);
    }
}

static bool send_append(struct member *from, const struct cor_raft_message *m)
{
    from->in_call = true; /* no callback from inside */
    bool sent = peers_send_append(from->peers, 0, m, entries);
    from->in_call = false;
    return sent;
}

static void appends_of_any_size_arrive_whole_and_in_order(void)
{
    static const struct {
        uint32_t n;
        size_t bytes;
    } rows[] = {
        {0, 0},
        {1, 0},
        {1, 1},
        {31, 3000},
        {32, 3000},
        {33, 3000},
        {4096, 0},
        {4096, 100000},
        {1, 65536},
        {2, 200000},
        {1, 2u << 20},
        {4096, 4u << 20},
        {1, PEER_MESSAGE_MAX},
    };
    static struct member model;
    for (unsigned whole = 0; whole < 2; whole++) {
        start(2, 3 + whole);
        s.net.whole = whole != 0;
        model.digest = 0;
        unsigned sent = 0;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            ROW("%u entries of %zu bytes", rows[i].n, rows[i].bytes);
            size_t head = PEER_MESSAGE_SIZE_MAX + rows[i].n * PEER_ENTRY_HEAD_MAX;
            size_t room = PEER_MESSAGE_MAX - head;
            size_t bytes = rows[i].bytes < room ? rows[i].bytes : room;
            struct cor_raft_message m = make_append(rows[i].n, bytes, 1000 * i + 1);
            CHECK(send_append(&s.m[0], &m));
            mix_append(&model, &m);
            sent++;
            if (i % 3 == 0) {
                continue; /* some together with the next */
            }
            net_run(&s.net, 10 * NET_MS);
            CHECK_EQ(s.m[1].n_messages, sent);
            CHECK_EQ(s.m[1].digest, model.digest);
            CHECK_EQ(s.m[1].message.n_entries, rows[i].n);
            CHECK_EQ(s.m[1].message.first, m.first);
            CHECK_EQ(s.m[1].message.prev.index, m.prev.index);
        }
        net_run(&s.net, 10 * NET_MS);
        CHECK_EQ(s.m[1].digest, model.digest);
        CHECK_EQ(s.m[1].n_down, 0u);
        struct peer_stats stats;
        peers_get_stats(s.m[0].peers, &stats);
        CHECK_EQ(stats.messages_sent, sent);
        CHECK(stats.bytes_sent > 10u << 20);
        peers_get_stats(s.m[1].peers, &stats);
        CHECK_EQ(stats.messages_received, sent);
        members_deinit(&s);
    }
}

static void what_is_too_long_is_dropped_and_the_link_stays(void)
{
    start(2, 1);
    struct cor_raft_message m = make_append(1, PEER_MESSAGE_MAX, 1);
    CHECK(!send_append(&s.m[0], &m));
    struct peer_request q = {.id = 1, .body = {payload, PEER_MESSAGE_MAX}};
    CHECK(!peers_send_request(s.m[0].peers, 0, &q));
    CHECK_EQ(peers_queued(s.m[0].peers, 0), 0u);
    q.body.len -= PEER_REQUEST_HEAD_MAX;
    CHECK(peers_send_request(s.m[0].peers, 0, &q));
    net_run(&s.net, NET_S);
    CHECK_EQ(s.m[1].n_requests, 1u);
    CHECK_EQ(s.m[1].n_down, 0u);
    members_deinit(&s);
}

static void nothing_is_sent_to_a_link_that_is_down(void)
{
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 0), COR_OK);
    net_run(&s.net, NET_S);
    struct cor_raft_message m = make_append(1, 10, 1);
    struct cor_raft_message vote = {.type = COR_RAFT_MSG_VOTE};
    struct peer_request q = {.id = 1};
    CHECK(!send_append(&s.m[0], &m));
    CHECK(!peers_send(s.m[0].peers, 0, &vote));
    CHECK(!peers_send_request(s.m[0].peers, 0, &q));
    CHECK(!peers_send_answer(s.m[0].peers, 0, &q));
    CHECK_EQ(peers_queued(s.m[0].peers, 0), 0u);
    members_deinit(&s);
}

static void messages_of_the_core_travel_on_control_and_entries_on_data(void)
{
    start(2, 1);
    struct cor_raft_message append = make_append(4096, 3u << 20, 1);
    struct cor_raft_message vote = {.type = COR_RAFT_MSG_VOTE, .term = 9};
    CHECK(send_append(&s.m[0], &append));
    size_t queued = peers_queued(s.m[0].peers, 0);
    CHECK(queued > 3u << 20);
    CHECK(peers_send(s.m[0].peers, 0, &vote));
    CHECK_EQ(peers_queued(s.m[0].peers, 0), queued);
    CHECK(peers_send(s.m[0].peers, 0,
                     &(struct cor_raft_message){.type = COR_RAFT_MSG_APPEND, .term = 9}));
    CHECK(peers_queued(s.m[0].peers, 0) > queued);
    net_run(&s.net, NET_MS);
    CHECK_EQ(s.m[1].n_messages, 3u);
    members_deinit(&s);
}

static void requests_and_answers_travel_both_ways_small_and_large(void)
{
    static const size_t sizes[] = {0,     1,       PEER_SMALL_BODY_MAX, PEER_SMALL_BODY_MAX + 1,
                                   65536, 3u << 20};
    static struct member model;
    model.digest = 0;
    start(2, 9);
    (void)make_append(1, sizeof payload, 7);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        ROW("%zu bytes", sizes[i]);
        struct peer_request q = {.id = i + 1,
                                 .kind = 2,
                                 .flags = 3,
                                 .status = COR_EBUSY,
                                 .timeout = 4,
                                 .body = {payload, sizes[i]}};
        member_note_request(&model, &q);
        CHECK(peers_send_request(s.m[0].peers, 0, &q));
        bool small = sizes[i] <= PEER_SMALL_BODY_MAX;
        CHECK(small == (peers_queued(s.m[0].peers, 0) == 0));
        CHECK(peers_send_answer(s.m[1].peers, 0, &q));
        net_run(&s.net, NET_MS);
        CHECK_EQ(s.m[1].n_requests, i + 1);
        CHECK_EQ(s.m[0].n_answers, i + 1);
        CHECK_EQ(s.m[1].digest, model.digest);
        CHECK_EQ(s.m[0].digest, model.digest);
    }
    CHECK_EQ(s.m[0].n_requests + s.m[1].n_answers, 0u);
    members_deinit(&s);
}

static void a_member_that_does_not_read_loses_the_link_not_our_memory(void)
{
    start(2, 1);
    s.net.frozen[1][2] = true;
    struct cor_raft_message m = make_append(64, 3u << 20, 1);
    unsigned sent = 0;
    while (sent < 100 && send_append(&s.m[0], &m)) {
        sent++;
        net_settle(&s.net);
    }
    CHECK_EQ(sent, PEER_QUEUE_BYTES_MAX / (3u << 20));
    CHECK(peers_queued(s.m[0].peers, 0) <= PEER_QUEUE_BYTES_MAX);
    CHECK_EQ(s.m[0].n_down, 0u);
    CHECK(peers_is_up(s.m[0].peers, 0));
    CHECK(!send_append(&s.m[0], &m)); /* doomed: nothing more goes */
    struct cor_raft_message vote = {.type = COR_RAFT_MSG_VOTE};
    CHECK(!peers_send(s.m[0].peers, 0, &vote));
    net_settle(&s.net); /* the end of the turn */
    CHECK_EQ(s.m[0].n_down, 1u);
    CHECK_EQ(peers_queued(s.m[0].peers, 0), 0u);
    s.net.frozen[1][2] = false;
    net_run(&s.net, 5 * NET_S);
    CHECK(peers_is_up(s.m[0].peers, 0));
    CHECK(send_append(&s.m[0], &m));
    net_run(&s.net, NET_MS);
    CHECK(s.m[1].n_messages >= 1);
    members_deinit(&s);
}

/* What a closing host does in on_message, and then still reads the message. */
static void close_and_read(struct member *m)
{
    m->on_any = NULL;
    peers_close(m->peers, member_on_closed, m);
}

static bool read_after_close(void *arg, size_t peer, struct cor_raft_message *message,
                             const struct peer_entry *received)
{
    struct member *m = arg;
    (void)peer;
    close_and_read(m);
    for (uint32_t i = 0; i < message->n_entries; i++) {
        member_mix(m, received[i].payload.ptr, received[i].payload.len);
    }
    m->n_messages++;
    return true;
}

static void a_message_stays_readable_when_the_host_closes_inside_it(void)
{
    static struct member model;
    static struct peer_events callbacks;
    model.digest = 0;
    start(2, 1);
    callbacks = member_callbacks;
    callbacks.on_message = read_after_close;
    s.m[1].peers->callbacks = &callbacks;
    struct cor_raft_message m = make_append(100, 300000, 1);
    for (uint32_t i = 0; i < m.n_entries; i++) {
        member_mix(&model, entries[i].payload.ptr, entries[i].payload.len);
    }
    CHECK(send_append(&s.m[0], &m));
    net_run(&s.net, NET_S);
    CHECK_EQ(s.m[1].n_messages, 1u);
    CHECK_EQ(s.m[1].digest, model.digest);
    CHECK(s.m[1].closed);
    members_deinit(&s);
}

static void a_steady_stream_survives_any_cuts_between_many_members(void)
{
    static struct member model;
    start(3, 11);
    model.digest = 0;
    for (uint64_t i = 1; i <= 300; i++) {
        struct cor_raft_message m = make_append((uint32_t)(i % 50), i * 37 % 9000, i);
        CHECK(peers_send_append(s.m[0].peers, 0, &m, entries));
        CHECK(peers_send_append(s.m[0].peers, 1, &m, entries));
        mix_append(&model, &m);
        if (i % 7 == 0) {
            net_run(&s.net, NET_MS);
        }
    }
    net_run(&s.net, NET_S);
    for (size_t i = 1; i < 3; i++) {
        CHECK_EQ(s.m[i].n_messages, 300u);
        CHECK_EQ(s.m[i].digest, model.digest);
    }
    members_deinit(&s);
}

TEST_MAIN(TEST(appends_of_any_size_arrive_whole_and_in_order),
          TEST(what_is_too_long_is_dropped_and_the_link_stays),
          TEST(nothing_is_sent_to_a_link_that_is_down),
          TEST(messages_of_the_core_travel_on_control_and_entries_on_data),
          TEST(requests_and_answers_travel_both_ways_small_and_large),
          TEST(a_member_that_does_not_read_loses_the_link_not_our_memory),
          TEST(a_message_stays_readable_when_the_host_closes_inside_it),
          TEST(a_steady_stream_survives_any_cuts_between_many_members))
