/*
 * The simulated network keeps the promises of io.h, and breaks what it is told to break.
 */
#include "sim/net.h"

#include "tests/support/test.h"

#define TOTAL 300000u

/* One side of a conversation: sends TOTAL numbered bytes, checks what it gets, closes. */
struct side {
    struct io_stream *stream;
    size_t sent, got, n_drains;
    bool opened, wrong, ended, closed, keep_open;
    enum cor_status why;
};

struct pair {
    struct world w;
    struct net net;
    struct host hosts[2];
    struct side sides[2];
    struct io_listener *listener;
};

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 7 + i / 251);
}

static void send_some(struct side *s)
{
    unsigned char data[5000];
    while (s->sent < TOTAL && io_stream_queued(s->stream) < 20000) {
        size_t n = TOTAL - s->sent < sizeof data ? TOTAL - s->sent : sizeof data;
        for (size_t i = 0; i < n; i++) {
            data[i] = byte_at(s->sent + i);
        }
        CHECK(io_stream_send(s->stream, (struct cor_bytes){data, n}) == COR_OK);
        s->sent += n;
    }
    if (s->sent == TOTAL && s->got == TOTAL && !s->keep_open) {
        io_stream_close(s->stream, true);
    }
}

static void on_open(void *arg, struct io_stream *stream)
{
    struct side *s = arg;
    s->opened = true;
    s->stream = stream;
    send_some(s);
}

static void on_data(void *arg, struct io_stream *stream, struct cor_bytes data)
{
    struct side *s = arg;
    (void)stream;
    for (size_t i = 0; i < data.len; i++) {
        s->wrong = s->wrong || data.ptr[i] != byte_at(s->got + i);
    }
    s->got += data.len;
    send_some(s);
}

static void on_drain(void *arg, struct io_stream *stream)
{
    struct side *s = arg;
    (void)stream;
    s->n_drains++;
    send_some(s);
}

static void on_close(void *arg, struct io_stream *stream, enum cor_status why)
{
    struct side *s = arg;
    (void)stream;
    s->stream = NULL;
    s->closed = true;
    s->why = why;
}

static const struct io_stream_events events = {
    .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

static void on_accept(void *arg, struct io_stream *stream)
{
    struct pair *p = arg;
    io_stream_take(stream, &events, &p->sides[1]);
    on_open(&p->sides[1], stream);
}

static void pair_start(struct pair *p, uint64_t seed)
{
    *p = (struct pair){0};
    world_init(&p->w, seed);
    net_init(&p->net, &p->w);
    for (unsigned i = 0; i < 2; i++) {
        host_init(&p->hosts[i], &p->w, &p->net, i + 1, NULL);
        host_boot(&p->hosts[i]);
    }
    CHECK(io_listen(&p->hosts[1].io, "n2:1", on_accept, p, NULL, &p->listener, NULL) == COR_OK);
}

static void pair_dial(struct pair *p, const char *address)
{
    struct io_stream *stream = NULL;
    CHECK(io_dial(&p->hosts[0].io, address, &events, &p->sides[0], &stream) == COR_OK);
}

static uint64_t pair_end(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        if (p->hosts[i].up) {
            host_halt(&p->hosts[i], HOST_POWER_LOST);
        }
        host_deinit(&p->hosts[i]);
    }
    net_deinit(&p->net);
    uint64_t hash = p->w.hash;
    world_deinit(&p->w);
    return hash;
}

static void bytes_arrive_in_order_however_they_are_cut(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        ROW("seed %llu", (unsigned long long)seed);
        struct pair p;
        pair_start(&p, seed);
        p.net.split_permille = 500;
        p.net.stall_permille = 20;
        p.net.window_bytes = 4096;
        pair_dial(&p, "n2:1");
        world_run(&p.w, 600 * SIM_S);
        for (int i = 0; i < 2; i++) {
            CHECK(p.sides[i].opened && p.sides[i].closed && !p.sides[i].wrong);
            CHECK_EQ(p.sides[i].got, TOTAL);
            CHECK(p.sides[i].n_drains > 0);
        }
        CHECK(p.net.conns == NULL);
        (void)pair_end(&p);
    }
}

static void the_same_seed_gives_the_same_hash(void)
{
    uint64_t hashes[3];
    for (int i = 0; i < 3; i++) {
        struct pair p;
        pair_start(&p, i == 2 ? 8 : 7);
        p.net.stall_permille = 50;
        pair_dial(&p, "n2:1");
        world_run(&p.w, 30 * SIM_S);
        hashes[i] = pair_end(&p);
    }
    CHECK_EQ(hashes[0], hashes[1]);
    CHECK(hashes[0] != hashes[2]);
}

static void nobody_listening_is_a_refusal(void)
{
    struct pair p;
    pair_start(&p, 3);
    io_listener_close(p.listener);
    pair_dial(&p, "n2:1");
    world_run(&p.w, 3 * SIM_S);
    CHECK(!p.sides[0].opened && p.sides[0].closed);
    CHECK_EQ(p.sides[0].why, COR_EIO);
    (void)pair_end(&p);
}

static void a_cut_is_silence_and_a_heal_delivers_what_was_sent(void)
{
    struct pair p;
    pair_start(&p, 4);
    p.sides[0].keep_open = p.sides[1].keep_open = true;
    net_cut(&p.net, 1, 2, true);
    pair_dial(&p, "n2:1");
    world_run(&p.w, 20 * SIM_S);
    CHECK(!p.sides[0].opened && !p.sides[1].opened && !p.sides[0].closed);
    net_cut(&p.net, 1, 2, false);
    net_cut(&p.net, 2, 1, true); /* now the other way */
    world_run(&p.w, 40 * SIM_S);
    CHECK(p.sides[1].opened && !p.sides[0].opened);
    net_heal_all(&p.net);
    world_run(&p.w, 60 * SIM_S);
    CHECK_EQ(p.sides[0].got, TOTAL);
    CHECK_EQ(p.sides[1].got, TOTAL);
    (void)pair_end(&p);
}

static void a_killed_process_is_heard_of_and_a_dead_machine_is_not(void)
{
    struct pair p;
    pair_start(&p, 5);
    p.sides[0].keep_open = p.sides[1].keep_open = true;
    pair_dial(&p, "n2:1");
    world_run(&p.w, 30 * SIM_S);
    CHECK(p.sides[0].opened);
    host_halt(&p.hosts[1], HOST_KILLED);
    world_run(&p.w, 33 * SIM_S);
    CHECK(p.sides[0].closed);

    host_boot(&p.hosts[1]);
    CHECK(io_listen(&p.hosts[1].io, "n2:1", on_accept, &p, NULL, &p.listener, NULL) == COR_OK);
    p.sides[0] = p.sides[1] = (struct side){.keep_open = true};
    pair_dial(&p, "n2:1");
    world_run(&p.w, 60 * SIM_S);
    CHECK(p.sides[0].opened);
    host_halt(&p.hosts[1], HOST_POWER_LOST);
    CHECK(io_stream_send(p.sides[0].stream, COR_BYTES_LIT("anybody there?")) == COR_OK);
    world_run(&p.w, 90 * SIM_S);
    CHECK(!p.sides[0].closed);
    host_boot(&p.hosts[1]); /* the new kernel knows nothing of the connection */
    world_run(&p.w, 95 * SIM_S);
    CHECK(p.sides[0].closed);
    CHECK_EQ(p.sides[0].why, COR_EIO);
    (void)pair_end(&p);
}

static void what_arrives_in_a_pause_is_one_turn_after_it(void)
{
    struct pair p;
    pair_start(&p, 6);
    p.sides[0].keep_open = p.sides[1].keep_open = true;
    pair_dial(&p, "n2:1");
    world_run(&p.w, 2 * SIM_S);
    host_pause(&p.hosts[1], false);
    size_t before = p.sides[1].got;
    CHECK(io_stream_send(p.sides[0].stream, COR_BYTES_LIT("a")) == COR_OK);
    world_run(&p.w, 3 * SIM_S);
    CHECK(io_stream_send(p.sides[0].stream, COR_BYTES_LIT("b")) == COR_OK);
    world_run(&p.w, 9 * SIM_S);
    CHECK_EQ(p.sides[1].got, before);
    host_resume(&p.hosts[1]);
    world_run(&p.w, 9 * SIM_S);
    CHECK_EQ(p.sides[1].got, before + 2);
    (void)pair_end(&p);
}

TEST_MAIN(TEST(bytes_arrive_in_order_however_they_are_cut),
          TEST(the_same_seed_gives_the_same_hash), TEST(nobody_listening_is_a_refusal),
          TEST(a_cut_is_silence_and_a_heal_delivers_what_was_sent),
          TEST(a_killed_process_is_heard_of_and_a_dead_machine_is_not),
          TEST(what_arrives_in_a_pause_is_one_turn_after_it))
