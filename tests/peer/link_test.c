/*
 * link_test.c - links between members: who comes up, who is refused and why, what is noticed when the other side
 * dies, falls silent or talks nonsense, and how it all ends.
 */
#include "tests/peer/members.h"
#include "tests/support/test.h"

static struct members s;

static struct cor_bytes text(const char *t)
{
    return (struct cor_bytes){(const unsigned char *)t, strlen(t)};
}

static void start(size_t n, uint64_t seed)
{
    members_init(&s, n, seed);
    members_open(&s);
    net_run(&s.net, NET_S);
}

/* Every member is up with every other, and was told so as often as @times. */
static void check_all_up(unsigned times)
{
    for (size_t i = 0; i < s.n; i++) {
        for (size_t j = 0; j < s.m[i].n_others; j++) {
            ROW("n%zu, its peer %zu", i + 1, j);
            CHECK(peers_is_up(s.m[i].peers, j));
        }
        CHECK_EQ(s.m[i].n_up - s.m[i].n_down, s.m[i].n_others);
        CHECK_EQ(s.m[i].n_up, times * s.m[i].n_others);
    }
}

static void heartbeat(struct member *m, uint64_t commit)
{
    struct cor_raft_message message = {.type = COR_RAFT_MSG_HEARTBEAT, .commit = commit};
    m->in_call = true;
    CHECK(peers_send(m->peers, 0, &message));
    m->in_call = false;
}

/* A callback of the host in which it closes everything. */
static void close_all(struct member *m)
{
    m->on_any = NULL;
    peers_close(m->peers, member_on_closed, m);
}

/* ---- coming up ------------------------------------------------------------------------------------ */

static void members_find_each_other_whatever_the_order(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        start(5, seed);
        check_all_up(1);
        for (size_t i = 0; i < s.n; i++) {
            ROW("seed %u, n%zu", (unsigned)seed, i + 1);
            CHECK_EQ(s.m[i].n_hellos, 2 * s.m[i].n_others);
            CHECK_EQ(s.m[i].n_refused, 0u);
        }
        const struct peer_hello *h = peers_hello(s.m[0].peers, 0);
        REQUIRE(h != NULL);
        CHECK_BYTES(text(h->name), text("n2"));
        CHECK_BYTES(text(h->client_address), text("c2:4000"));
        CHECK_EQ(h->incarnation, 1u);
        members_deinit(&s);
    }
}

static void a_member_alone_has_no_timers(void)
{
    members_init(&s, 1, 1);
    members_open(&s);
    net_settle(&s.net);
    struct net_host *host;
    CHECK(net_next_timer(&s.net, &host) == NULL);
    members_deinit(&s);
}

static void a_member_that_comes_later_is_dialed_until_it_is_there(void)
{
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 0), COR_OK);
    net_run(&s.net, 20 * NET_S);
    /* Two per attempt: 20, 40, ... 640 ms, then one per second and a little. */
    CHECK(s.net.n_dials >= 38 && s.net.n_dials <= 54); /* 19 to 27 attempts */
    CHECK(!peers_is_up(s.m[0].peers, 0));
    CHECK(peers_hello(s.m[0].peers, 0) == NULL);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    net_run(&s.net, 1300 * NET_MS);
    check_all_up(1);
    members_deinit(&s);
}

static void options_that_make_no_sense_are_refused(void)
{
    members_init(&s, 3, 1);
    struct member *m = &s.m[0];
    m->others[1].name = "n2";
    CHECK_EQ(member_open(&s, 0), COR_EINVAL);
    m->others[1].name = "n1"; /* our own */
    CHECK_EQ(member_open(&s, 0), COR_EINVAL);
    m->others[1].name = "";
    CHECK_EQ(member_open(&s, 0), COR_EINVAL);
    m->others[1].name = "a-name-of-sixty-four-bytes-is-one-byte-longer-than-a-name-may-be";
    CHECK_EQ(strlen(m->others[1].name), PEER_NAME_MAX + 1);
    CHECK_EQ(member_open(&s, 0), COR_EINVAL);
    m->others[1].name = "n3";
    CHECK_EQ(member_open(&s, 0), COR_OK);
    struct peers *first = m->peers;
    CHECK_EQ(member_open(&s, 0), COR_EEXIST); /* its address is taken */
    m->peers = first;
    members_deinit(&s);
}

/* ---- refusals --------------------------------------------------------------------------------------- */

static void check_refused(struct member *m, const char *by, const char *reason)
{
    CHECK(m->n_refused > 0);
    CHECK_BYTES(text(m->refused_by), text(by));
    CHECK(strstr(m->reason, reason) != NULL);
    CHECK_EQ(m->n_up, 0u);
}

static void what_the_host_refuses_is_told_and_tried_again_slowly(void)
{
    for (unsigned who = 0; who < 2; who++) { /* the one that dials refuses, or is refused */
        ROW("n%u refuses", who + 1);
        members_init(&s, 2, 3);
        s.m[who].refuse = "the disk of n2 was wiped: remove it first";
        members_open(&s);
        net_run(&s.net, 60 * NET_S);
        check_refused(&s.m[1 - who], who == 0 ? "n1" : "n2", "wiped: remove it first");
        CHECK_EQ(s.m[who].n_refused, 0u);
        CHECK(s.net.n_dials >= 16 && s.net.n_dials <= 26);
        CHECK(s.m[0].n_events <= 3 && s.m[1].n_events <= 3); /* not a line per attempt */
        CHECK_EQ(s.m[0].n_garbage + s.m[1].n_garbage, 0u);   /* what was under way is none */
        s.m[who].refuse = NULL;
        net_run(&s.net, 7 * NET_S);
        check_all_up(1);
        members_deinit(&s);
    }
}

static void members_with_different_lists_or_levels_refuse_each_other(void)
{
    members_init(&s, 2, 1);
    s.m[1].hello.members_hash++;
    members_open(&s);
    net_run(&s.net, NET_S);
    check_refused(&s.m[0], "n2", "different lists of members");
    check_refused(&s.m[1], "n1", "different lists of members");
    CHECK_EQ(s.m[0].n_hellos + s.m[1].n_hellos, 0u); /* the host is asked last */
    members_deinit(&s);

    members_init(&s, 2, 1);
    s.m[0].hello.level_max = 4;
    s.m[1].hello.level_min = s.m[1].hello.level_max = 5;
    members_open(&s);
    net_run(&s.net, NET_S);
    check_refused(&s.m[0], "n2", "feature levels 5 to 5, n1 at 1 to 4");
    check_refused(&s.m[1], "n1", "feature levels 1 to 4, n2 at 5 to 5");
    members_deinit(&s);
}

static void versions_without_overlap_refuse_each_other(void)
{
    members_init(&s, 2, 1);
    members_open(&s);
    s.m[1].peers->hello.protocol_min = 2; /* as a later build would say */
    s.m[1].peers->hello.protocol_max = 3;
    net_run(&s.net, NET_S);
    check_refused(&s.m[1], "n1", "versions 1 to 1 of the peer protocol, the other side 2 to 3");
    CHECK_EQ(s.m[0].n_up, 0u);
    members_deinit(&s);
}

static void an_address_that_leads_elsewhere_is_named(void)
{
    members_init(&s, 3, 1);
    s.m[0].others[0].address = "n3:4100"; /* n1 looks for n2 there */
    members_open(&s);
    net_run(&s.net, NET_S);
    CHECK(strstr(s.m[2].reason, "n1 expected n2 at n3:4100 and found n3") != NULL);
    CHECK(!peers_is_up(s.m[0].peers, 0));
    CHECK(peers_is_up(s.m[0].peers, 1));
    members_deinit(&s);

    members_init(&s, 2, 1);
    s.m[0].others[0].address = "n1:4100";
    members_open(&s);
    net_run(&s.net, NET_S);
    CHECK(strstr(s.m[0].reason, "leads to n1") != NULL ||
          strstr(s.m[0].reason, "both sides are called n1") != NULL);
    CHECK_EQ(s.m[0].n_up, 0u);
    members_deinit(&s);
}

static void a_member_that_is_not_in_the_list_is_refused(void)
{
    members_init(&s, 2, 1);
    s.names[0][1] = '0'; /* n1 calls itself n0 */
    format_to(s.m[0].hello.name, sizeof s.m[0].hello.name, "n0");
    s.m[1].others[0].name = "n1";
    members_open(&s);
    net_run(&s.net, NET_S);
    check_refused(&s.m[0], "n2", "n0 is not in the list of members that n2 was started with");
    members_deinit(&s);
}

/* ---- going down ----------------------------------------------------------------------------------------- */

static void a_member_that_dies_is_noticed_and_met_again(void)
{
    for (unsigned who = 0; who < 2; who++) { /* the one that dials, or the one that listens */
        ROW("n%u dies", who + 1);
        start(2, 5);
        member_crash(&s.m[who], false);
        net_run(&s.net, NET_MS);
        CHECK_EQ(s.m[1 - who].n_down, 1u);
        CHECK(!peers_is_up(s.m[1 - who].peers, 0));
        CHECK_EQ(member_open(&s, who), COR_OK);
        net_run(&s.net, 100 * NET_MS);
        CHECK(peers_is_up(s.m[1 - who].peers, 0));
        CHECK_EQ(s.m[1 - who].n_up, 2u);
        CHECK_EQ(peers_hello(s.m[1 - who].peers, 0)->incarnation, 2u);
        members_deinit(&s);
    }
}

static void a_machine_that_vanishes_is_noticed_after_three_seconds(void)
{
    for (unsigned who = 0; who < 2; who++) {
        ROW("n%u vanishes", who + 1);
        start(2, 5);
        member_crash(&s.m[who], true);
        net_run(&s.net, 2900 * NET_MS);
        CHECK_EQ(s.m[1 - who].n_down, 0u);
        net_run(&s.net, 1200 * NET_MS);
        CHECK_EQ(s.m[1 - who].n_down, 1u);
        CHECK_EQ(member_open(&s, who), COR_OK);
        net_run(&s.net, 2 * NET_S);
        CHECK(peers_is_up(s.m[1 - who].peers, 0));
        members_deinit(&s);
    }
}

static void a_machine_that_comes_back_before_it_was_missed_replaces_its_connections(void)
{
    start(2, 5);
    member_crash(&s.m[0], true); /* it dials; n2 still holds the old connections */
    CHECK_EQ(member_open(&s, 0), COR_OK);
    net_run(&s.net, 500 * NET_MS);
    CHECK(peers_is_up(s.m[0].peers, 0));
    CHECK(peers_is_up(s.m[1].peers, 0));
    CHECK_EQ(s.m[1].n_down, 1u);
    CHECK_EQ(s.m[1].n_up, 2u);
    net_run(&s.net, 10 * NET_S);
    CHECK_EQ(s.m[1].n_down, 1u);
    members_deinit(&s);
}

static void silence_in_one_direction_takes_the_link_down_on_both_sides(void)
{
    start(2, 7);
    s.net.frozen[1][2] = true;
    net_run(&s.net, 4500 * NET_MS);
    CHECK_EQ(s.m[1].n_down, 1u);
    CHECK_EQ(s.m[0].n_down, 1u); /* n2 closed it */
    s.net.frozen[1][2] = false;
    net_run(&s.net, 4 * NET_S);
    check_all_up(2);
    members_deinit(&s);
}

static void an_idle_link_stays_up_with_a_few_bytes(void)
{
    start(2, 7);
    uint64_t before = s.net.n_bytes;
    net_run(&s.net, 60 * NET_S);
    check_all_up(1);
    uint64_t bytes = s.net.n_bytes - before;
    uint64_t pings = bytes / PEER_FRAME_HEADER; /* from each side of two connections */
    CHECK(pings >= 120 && pings <= 244);
    members_deinit(&s);
}

static void a_machine_that_slept_does_not_blame_the_others(void)
{
    start(2, 7);
    s.m[0].host->paused = s.m[1].host->paused = true;
    net_run(&s.net, 60 * NET_S);
    s.m[0].host->paused = s.m[1].host->paused = false;
    net_run(&s.net, 10 * NET_S);
    check_all_up(1);
    members_deinit(&s);
}

static void a_member_that_does_not_answer_the_call_is_given_up(void)
{
    members_init(&s, 2, 1);
    members_open(&s);
    s.net.frozen[2][1] = true;
    net_run(&s.net, 30 * NET_S);
    CHECK_EQ(s.m[0].n_up + s.m[1].n_up, 0u);
    CHECK(s.net.n_dials >= 18 && s.net.n_dials <= 24); /* every 2 to 3 s */
    s.net.frozen[2][1] = false;
    net_run(&s.net, 10 * NET_S);
    check_all_up(1);
    members_deinit(&s);
}

static void the_backoff_begins_anew_after_a_stable_link(void)
{
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 0), COR_OK);
    net_run(&s.net, 20 * NET_S);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    net_run(&s.net, 5 * NET_S);
    check_all_up(1);
    member_crash(&s.m[1], false);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    net_run(&s.net, 30 * NET_MS);
    CHECK(peers_is_up(s.m[0].peers, 0));
    members_deinit(&s);
}

static void losing_one_connection_takes_the_other_along(void)
{
    start(2, 7);
    struct peer_link *link = &s.m[1].peers->links[0];
    peer_conn_close(link->conns[PEER_ROLE_DATA - 1], "a test");
    net_settle(&s.net);
    CHECK_EQ(s.m[1].n_down, 1u);
    net_run(&s.net, 500 * NET_MS);
    check_all_up(2);
    CHECK_EQ(s.m[0].n_down, 1u);
    members_deinit(&s);
}

/* ---- strangers ---------------------------------------------------------------------------------------------- */

/* Somebody on host 8 who speaks bytes. */
struct raw {
    struct io_stream *stream;
    bool open, closed;
    size_t received;
};

static void raw_on_open(void *arg, struct io_stream *stream)
{
    (void)stream;
    ((struct raw *)arg)->open = true;
}

static void raw_on_data(void *arg, struct io_stream *stream, struct cor_bytes data)
{
    (void)stream;
    ((struct raw *)arg)->received += data.len;
}

static void raw_on_close(void *arg, struct io_stream *stream, enum cor_status why)
{
    (void)stream;
    (void)why;
    ((struct raw *)arg)->closed = true;
}

static const struct io_stream_events raw_events = {
    .on_open = raw_on_open, .on_data = raw_on_data, .on_close = raw_on_close};

static void raw_dial(struct raw *r, const char *address)
{
    *r = (struct raw){0};
    CHECK_EQ(io_dial(&s.net.hosts[8].io, address, &raw_events, r, &r->stream), COR_OK);
    net_run(&s.net, NET_MS);
}

static struct peer_frame_stage stage;

/* A frame; of a @part of its bytes if that is not 0. */
static void raw_send(struct raw *r, enum peer_frame_type type, struct cor_bytes payload,
                     size_t part)
{
    struct net_end *e = net_end_of(r->stream);
    size_t before = e->out.used;
    struct peer_frame_writer f = peer_frame_begin(r->stream, &stage, type);
    peer_frame_put(&f, payload);
    peer_frame_end(&f);
    e->out.used = part == 0 ? e->out.used : before + part;
    net_run(&s.net, NET_MS);
}

static struct cor_bytes raw_hello_of(const char *name, enum peer_role role, uint64_t attempt,
                                     uint64_t incarnation)
{
    static unsigned char bytes[PEER_HELLO_SIZE_MAX];
    struct peer_greeting g = {.role = (uint8_t)role, .attempt = attempt};
    g.hello = (struct peer_hello){.protocol_min = 1,
                                  .protocol_max = 1,
                                  .level_min = 1,
                                  .level_max = 1,
                                  .incarnation = incarnation,
                                  .members_hash = 4711};
    format_to(g.hello.name, sizeof g.hello.name, "%s", name);
    struct writer w = writer_of(bytes, sizeof bytes);
    peer_greeting_encode(&w, &g);
    return (struct cor_bytes){bytes, w.used};
}

static struct cor_bytes raw_hello(const char *name, enum peer_role role, uint64_t attempt)
{
    return raw_hello_of(name, role, attempt, 1);
}

static void a_hello_that_does_not_fit_its_connection_is_refused(void)
{
    static const struct {
        const char *what, *to, *name;
        enum peer_role role;
    } rows[] = {
        {"without a role", "n2:4100", "n1", PEER_ROLE_NONE},
        {"from whom we dial", "n1:4100", "n2", PEER_ROLE_CONTROL},
        {"by our own name", "n2:4100", "n2", PEER_ROLE_CONTROL},
        {"by no name", "n2:4100", "", PEER_ROLE_CONTROL},
    };
    members_init(&s, 2, 1);
    members_open(&s);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raw r;
        ROW("%s", rows[i].what);
        raw_dial(&r, rows[i].to);
        size_t before = r.received;
        raw_send(&r, PEER_FRAME_HELLO, raw_hello(rows[i].name, rows[i].role, 7), 0);
        CHECK(r.received > before + PEER_FRAME_HEADER + 20); /* a sentence, not a welcome */
        CHECK(!r.closed);
        net_run(&s.net, 2 * NET_S);
        CHECK(r.closed);
    }
    check_all_up(1);
    members_deinit(&s);
}

static void who_talks_before_the_hello_is_cut_off(void)
{
    static const struct {
        const char *what;
        enum peer_frame_type type;
        const char *payload;
    } rows[] = {
        {"a ping", PEER_FRAME_PING, ""},        {"a welcome", PEER_FRAME_WELCOME, ""},
        {"a message", PEER_FRAME_MESSAGE, "x"}, {"an append", PEER_FRAME_APPEND, "x"},
        {"a request", PEER_FRAME_REQUEST, "x"}, {"an answer", PEER_FRAME_ANSWER, "x"},
    };
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raw r;
        ROW("%s", rows[i].what);
        raw_dial(&r, "n2:4100");
        CHECK(r.open && !r.closed);
        raw_send(&r, rows[i].type, text(rows[i].payload), 0);
        CHECK(r.closed);
    }
    struct raw r;
    raw_dial(&r, "n2:4100");
    CHECK_EQ(io_stream_send(r.stream, text("GET / HTTP/1.1\r\nHost: n2\r\n\r\n")), COR_OK);
    net_run(&s.net, NET_MS);
    CHECK(r.closed);
    CHECK(s.m[1].peers->first == NULL);
    CHECK_EQ(s.m[1].n_events, 1u); /* one line for all of them */
    CHECK_BYTES(text(s.m[1].last_event), text("stranger_dropped"));
    members_deinit(&s);
}

static void who_says_nothing_is_given_up_and_keeps_nobody_out(void)
{
    static struct raw crowd[60];
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
        raw_dial(&crowd[i], "n2:4100");
    }
    size_t open = 0;
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
        open += !crowd[i].closed;
    }
    CHECK_EQ(open, PEER_STRANGERS_MAX);
    CHECK(crowd[0].closed && !crowd[ARRAY_LEN(crowd) - 1].closed);
    CHECK_EQ(member_open(&s, 0), COR_OK);
    net_run(&s.net, NET_S);
    CHECK(peers_is_up(s.m[0].peers, 0));
    net_run(&s.net, 5 * NET_S);
    for (size_t i = 0; i < ARRAY_LEN(crowd); i++) {
        CHECK(crowd[i].closed);
    }
    CHECK_EQ(s.m[0].n_down, 0u);
    members_deinit(&s);
}

static void raw_on_accept(void *arg, struct io_stream *stream)
{
    io_stream_take(stream, &raw_events, arg);
}

static void a_member_that_does_not_answer_the_hello_is_given_up(void)
{
    struct raw mute = {0};
    struct io_listener *listener;
    members_init(&s, 2, 1);
    CHECK_EQ(
        io_listen(&s.net.hosts[2].io, "n2:4100", raw_on_accept, &mute, NULL, &listener, NULL),
        COR_OK);
    CHECK_EQ(member_open(&s, 0), COR_OK);
    net_run(&s.net, 30 * NET_S);
    CHECK(mute.received > 0);
    CHECK_EQ(s.m[0].n_up, 0u);
    CHECK(s.net.n_dials >= 10 && s.net.n_dials <= 12); /* every 5 to 6 s */
    io_listener_close(listener);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    net_run(&s.net, 8 * NET_S);
    check_all_up(1);
    members_deinit(&s);
}

struct two_raws {
    struct raw raw[2];
    unsigned n;
};

static void raw_on_accept_two(void *arg, struct io_stream *stream)
{
    struct two_raws *two = arg;
    if (two->n < 2) {
        two->raw[two->n].stream = stream;
        io_stream_take(stream, &raw_events, &two->raw[two->n++]);
    }
}

static void a_member_that_restarts_between_two_hellos_is_dialed_again(void)
{
    struct two_raws two = {0};
    struct io_listener *listener;
    members_init(&s, 2, 1);
    CHECK_EQ(io_listen(&s.net.hosts[2].io, "n2:4100", raw_on_accept_two, &two, NULL, &listener,
                       NULL),
             COR_OK);
    CHECK_EQ(member_open(&s, 0), COR_OK);
    net_run(&s.net, NET_MS);
    REQUIRE(two.n == 2);
    raw_send(&two.raw[0], PEER_FRAME_HELLO, raw_hello_of("n2", PEER_ROLE_NONE, 0, 1), 0);
    CHECK(!two.raw[0].closed);
    raw_send(&two.raw[1], PEER_FRAME_HELLO, raw_hello_of("n2", PEER_ROLE_NONE, 0, 2), 0);
    CHECK(two.raw[0].closed && two.raw[1].closed);
    io_listener_close(listener);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    net_run(&s.net, NET_S);
    check_all_up(1);
    members_deinit(&s);
}

static void half_a_pair_is_not_up_and_gives_way(void)
{
    struct raw control;
    struct raw data;
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    raw_dial(&control, "n2:4100");
    raw_send(&control, PEER_FRAME_HELLO, raw_hello("n1", PEER_ROLE_CONTROL, 7), 0);
    raw_send(&control, PEER_FRAME_WELCOME, text(""), 0);
    CHECK(!control.closed);
    CHECK_EQ(s.m[1].n_up, 0u);
    raw_dial(&data, "n2:4100"); /* of another attempt: not its other half */
    raw_send(&data, PEER_FRAME_HELLO, raw_hello("n1", PEER_ROLE_DATA, 8), 0);
    raw_send(&data, PEER_FRAME_WELCOME, text(""), 0);
    CHECK(control.closed && !data.closed);
    CHECK_EQ(s.m[1].n_up, 0u);
    CHECK_EQ(member_open(&s, 0), COR_OK);
    net_run(&s.net, NET_S);
    CHECK(data.closed);
    check_all_up(1);
    members_deinit(&s);
}

static void two_incarnations_make_no_pair(void)
{
    struct raw control;
    struct raw data;
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    raw_dial(&control, "n2:4100");
    raw_send(&control, PEER_FRAME_HELLO, raw_hello_of("n1", PEER_ROLE_CONTROL, 7, 1), 0);
    raw_send(&control, PEER_FRAME_WELCOME, text(""), 0);
    raw_dial(&data, "n2:4100");
    raw_send(&data, PEER_FRAME_HELLO, raw_hello_of("n1", PEER_ROLE_DATA, 7, 2), 0);
    raw_send(&data, PEER_FRAME_WELCOME, text(""), 0);
    CHECK(control.closed && !data.closed);
    CHECK_EQ(s.m[1].n_up, 0u);
    members_deinit(&s);
}

static void a_message_on_half_a_pair_closes_it(void)
{
    struct raw control;
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    raw_dial(&control, "n2:4100");
    raw_send(&control, PEER_FRAME_HELLO, raw_hello("n1", PEER_ROLE_CONTROL, 7), 0);
    raw_send(&control, PEER_FRAME_WELCOME, text(""), 0);
    unsigned char bytes[PEER_MESSAGE_SIZE_MAX];
    struct writer w = writer_of(bytes, sizeof bytes);
    peer_message_encode(&w, &(struct cor_raft_message){.type = COR_RAFT_MSG_HEARTBEAT});
    raw_send(&control, PEER_FRAME_MESSAGE, (struct cor_bytes){bytes, w.used}, 0);
    CHECK(control.closed);
    CHECK_EQ(s.m[1].n_messages, 0u);
    members_deinit(&s);
}

/* A refusal on its way when the other connection makes the link come up: the rules change amid a frame. */
static void a_frame_cut_by_the_link_coming_up_does_no_harm(void)
{
    struct raw control;
    struct raw data;
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    raw_dial(&control, "n2:4100");
    raw_dial(&data, "n2:4100");
    raw_send(&control, PEER_FRAME_HELLO, raw_hello("n1", PEER_ROLE_CONTROL, 7), 0);
    raw_send(&data, PEER_FRAME_HELLO, raw_hello("n1", PEER_ROLE_DATA, 7), 0);
    raw_send(&control, PEER_FRAME_REFUSED, text("..a long sentence of refusal"), 20);
    raw_send(&data, PEER_FRAME_WELCOME, text(""), 0);
    struct peer_request q = {.id = 1};
    unsigned char bytes[PEER_REQUEST_HEAD_MAX];
    struct writer w = writer_of(bytes, sizeof bytes);
    peer_request_encode_head(&w, &q);
    raw_send(&data, PEER_FRAME_REQUEST, (struct cor_bytes){bytes, w.used}, 0);
    CHECK_EQ(s.m[1].n_up, 1u);
    CHECK_EQ(s.m[1].n_requests, 1u);
    CHECK_EQ(io_stream_send(control.stream, text("nce")), COR_OK);
    net_run(&s.net, NET_MS);
    CHECK(!control.closed);
    CHECK_EQ(
        io_stream_send(control.stream, text("and something that is no frame, at any length")),
        COR_OK);
    net_run(&s.net, NET_MS);
    CHECK(control.closed && data.closed);
    CHECK_EQ(s.m[1].n_down, 1u);
    members_deinit(&s);
}

/* The first message makes the link come up, and the host closes it there: it hears nothing more. */
static void a_host_that_closes_as_the_link_comes_up_gets_no_message(void)
{
    struct raw control;
    struct raw data;
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    s.m[1].on_any = close_all;
    raw_dial(&control, "n2:4100");
    raw_dial(&data, "n2:4100");
    raw_send(&control, PEER_FRAME_HELLO, raw_hello("n1", PEER_ROLE_CONTROL, 7), 0);
    raw_send(&data, PEER_FRAME_HELLO, raw_hello("n1", PEER_ROLE_DATA, 7), 0);
    raw_send(&data, PEER_FRAME_WELCOME, text(""), 0);
    raw_send(&data, PEER_FRAME_REQUEST, text("\1\1\1\1\1"), 0);
    CHECK_EQ(s.m[1].n_up, 1u);
    CHECK_EQ(s.m[1].n_requests, 0u);
    CHECK(s.m[1].closed && control.closed && data.closed);
    members_deinit(&s);
}

/* ---- nonsense on a link ---------------------------------------------------------------------------------- */

static void flipped_bits_cost_a_link_but_never_a_wrong_message(void)
{
    unsigned lost = 0;
    for (uint64_t at = 1; at < 2000; at += 37) {
        members_init(&s, 2, at);
        members_open(&s);
        net_run(&s.net, 100 * NET_MS);
        REQUIRE(s.m[0].n_up == 1);
        s.net.corrupt_at = s.net.n_delivered + at;
        uint64_t want = 0;
        for (unsigned i = 0; i < 20; i++) {
            heartbeat(&s.m[0], i + 1);
            struct member model = {.digest = want};
            uint64_t commit = i + 1;
            uint8_t type = COR_RAFT_MSG_HEARTBEAT;
            member_mix(&model, &type, 1);
            member_mix(&model, &commit, sizeof commit);
            net_settle(&s.net);
            unsigned before = s.m[1].n_messages;
            net_run(&s.net, 10 * NET_MS);
            if (s.m[1].n_messages == before) {
                break;
            }
            want = model.digest;
        }
        CHECK_EQ(s.m[1].digest, want);
        lost += s.m[1].n_down;
        net_run(&s.net, 5 * NET_S);
        CHECK(peers_is_up(s.m[0].peers, 0));
        members_deinit(&s);
    }
    CHECK(lost > 5);
}

static void inject(struct member *m, enum peer_role role, enum peer_frame_type type,
                   struct cor_bytes payload)
{
    struct peer_conn *conn = m->peers->links[0].conns[role - 1];
    struct peer_frame_writer f = peer_frame_begin(conn->stream, &stage, type);
    peer_frame_put(&f, payload);
    peer_frame_end(&f);
}

static struct cor_bytes message_bytes(const struct cor_raft_message *m, const char *rest)
{
    static unsigned char bytes[256];
    struct writer w = writer_of(bytes, sizeof bytes);
    peer_message_encode(&w, m);
    writer_bytes(&w, text(rest));
    return (struct cor_bytes){bytes, w.used};
}

static void a_message_that_makes_no_sense_drops_the_link(void)
{
    static const struct {
        const char *what;
        uint8_t role, frame, type;
        bool good;
        uint32_t n_entries;
        const char *rest;
    } rows[] = {
        {"a heartbeat", 1, PEER_FRAME_MESSAGE, COR_RAFT_MSG_HEARTBEAT, true, 0, ""},
        {"bytes behind it", 1, PEER_FRAME_MESSAGE, COR_RAFT_MSG_HEARTBEAT, false, 0, "x"},
        {"with entries", 1, PEER_FRAME_MESSAGE, COR_RAFT_MSG_HEARTBEAT, false, 1, ""},
        {"on data", 2, PEER_FRAME_MESSAGE, COR_RAFT_MSG_HEARTBEAT, false, 0, ""},
        {"an append", 2, PEER_FRAME_APPEND, COR_RAFT_MSG_APPEND, true, 0, ""},
        {"on control", 1, PEER_FRAME_APPEND, COR_RAFT_MSG_APPEND, false, 0, ""},
        {"as a message", 1, PEER_FRAME_MESSAGE, COR_RAFT_MSG_APPEND, false, 0, ""},
        {"a vote as an append", 2, PEER_FRAME_APPEND, COR_RAFT_MSG_VOTE, false, 0, ""},
        {"entries not there", 2, PEER_FRAME_APPEND, COR_RAFT_MSG_APPEND, false, 1, ""},
        {"a billion entries", 2, PEER_FRAME_APPEND, COR_RAFT_MSG_APPEND, false, 1u << 30, ""},
        {"more after entries", 2, PEER_FRAME_APPEND, COR_RAFT_MSG_APPEND, false, 0, "x"},
        {"a wrong checksum", 2, PEER_FRAME_APPEND, COR_RAFT_MSG_APPEND, false, 1,
         "\1\1\1........x"},
        {"a second welcome", 1, PEER_FRAME_WELCOME, COR_RAFT_MSG_VOTE, false, 0, NULL},
        {"a ping", 1, PEER_FRAME_PING, COR_RAFT_MSG_VOTE, true, 0, NULL},
        {"a second hello", 1, PEER_FRAME_HELLO, COR_RAFT_MSG_VOTE, false, 0, ""},
        {"half a request", 1, PEER_FRAME_REQUEST, COR_RAFT_MSG_VOTE, false, 0, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].what);
        start(2, i + 1);
        struct cor_raft_message m = {.type = rows[i].type, .n_entries = rows[i].n_entries};
        inject(&s.m[0], rows[i].role, rows[i].frame,
               rows[i].rest != NULL ? message_bytes(&m, rows[i].rest) : text(""));
        net_run(&s.net, 5 * NET_MS);
        CHECK_EQ(s.m[1].n_down, rows[i].good ? 0u : 1u);
        if (!rows[i].good) {
            CHECK_EQ(s.m[1].n_messages + s.m[1].n_requests, 0u);
        }
        net_run(&s.net, NET_S);
        check_all_up(rows[i].good ? 1 : 2);
        members_deinit(&s);
    }
    start(2, 1);
    s.m[1].refuse_messages = true; /* the host finds that it makes no sense */
    heartbeat(&s.m[0], 1);
    net_run(&s.net, 5 * NET_MS);
    CHECK_EQ(s.m[1].n_messages, 1u);
    CHECK_EQ(s.m[1].n_down, 1u);
    members_deinit(&s);
}

/* ---- the end -------------------------------------------------------------------------------------------------- */

static void closing_ends_in_one_call_and_no_other(void)
{
    start(3, 1);
    struct member *m = &s.m[1];
    m->in_call = true;
    peers_close(m->peers, member_on_closed, m);
    CHECK(!m->closed);
    unsigned heard = m->n_up + m->n_down + m->n_messages;
    m->in_call = false;
    net_run(&s.net, 10 * NET_S);
    CHECK(m->closed);
    CHECK_EQ(m->n_up + m->n_down + m->n_messages, heard);
    CHECK_EQ(s.m[0].n_down, 1u);
    CHECK_EQ(s.m[2].n_down, 1u);
    peers_free(m->peers);
    CHECK_EQ(member_open(&s, 1), COR_OK); /* the address is free again */
    net_run(&s.net, 2 * NET_S);
    for (size_t i = 0; i < s.n; i++) {
        CHECK(peers_is_up(s.m[i].peers, 0) && peers_is_up(s.m[i].peers, 1));
    }
    members_deinit(&s);
}

static void a_set_without_connections_closes_too(void)
{
    members_init(&s, 2, 1);
    CHECK_EQ(member_open(&s, 1), COR_OK);
    peers_close(s.m[1].peers, member_on_closed, &s.m[1]);
    CHECK(!s.m[1].closed);
    net_run(&s.net, NET_MS);
    CHECK(s.m[1].closed);
    members_deinit(&s);
}

static void a_host_may_close_everything_from_inside_any_callback(void)
{
    for (unsigned where = 0; where < 3; where++) { /* on_up, on_message, on_down */
        for (uint64_t seed = 1; seed < 10; seed++) {
            ROW("callback %u, seed %u", where, (unsigned)seed);
            members_init(&s, 3, seed);
            s.m[1].on_any = where == 0 ? close_all : NULL;
            members_open(&s);
            net_run(&s.net, NET_S);
            if (where > 0) {
                s.m[1].on_any = close_all;
            }
            if (where == 1) {
                heartbeat(&s.m[0], 1);
            } else if (where == 2) {
                member_crash(&s.m[0], false);
            }
            net_run(&s.net, NET_S);
            CHECK(s.m[1].closed);
            members_deinit(&s);
        }
    }
}

TEST_MAIN(TEST(members_find_each_other_whatever_the_order), TEST(a_member_alone_has_no_timers),
          TEST(a_member_that_comes_later_is_dialed_until_it_is_there),
          TEST(options_that_make_no_sense_are_refused),
          TEST(what_the_host_refuses_is_told_and_tried_again_slowly),
          TEST(members_with_different_lists_or_levels_refuse_each_other),
          TEST(versions_without_overlap_refuse_each_other),
          TEST(an_address_that_leads_elsewhere_is_named),
          TEST(a_member_that_is_not_in_the_list_is_refused),
          TEST(a_member_that_dies_is_noticed_and_met_again),
          TEST(a_machine_that_vanishes_is_noticed_after_three_seconds),
          TEST(a_machine_that_comes_back_before_it_was_missed_replaces_its_connections),
          TEST(silence_in_one_direction_takes_the_link_down_on_both_sides),
          TEST(an_idle_link_stays_up_with_a_few_bytes),
          TEST(a_machine_that_slept_does_not_blame_the_others),
          TEST(a_member_that_does_not_answer_the_call_is_given_up),
          TEST(the_backoff_begins_anew_after_a_stable_link),
          TEST(losing_one_connection_takes_the_other_along),
          TEST(a_hello_that_does_not_fit_its_connection_is_refused),
          TEST(who_talks_before_the_hello_is_cut_off),
          TEST(who_says_nothing_is_given_up_and_keeps_nobody_out),
          TEST(a_member_that_does_not_answer_the_hello_is_given_up),
          TEST(half_a_pair_is_not_up_and_gives_way), TEST(two_incarnations_make_no_pair),
          TEST(a_member_that_restarts_between_two_hellos_is_dialed_again),
          TEST(a_host_that_closes_as_the_link_comes_up_gets_no_message),
          TEST(a_message_on_half_a_pair_closes_it),
          TEST(a_frame_cut_by_the_link_coming_up_does_no_harm),
          TEST(flipped_bits_cost_a_link_but_never_a_wrong_message),
          TEST(a_message_that_makes_no_sense_drops_the_link),
          TEST(closing_ends_in_one_call_and_no_other),
          TEST(a_set_without_connections_closes_too),
          TEST(a_host_may_close_everything_from_inside_any_callback))
