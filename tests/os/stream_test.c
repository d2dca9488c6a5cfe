/* stream_test.c - connections of the real loop: bytes both ways, back-pressure, and every kind of end. */
#include "tests/os/world.h"

#include "base/format.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* One end of a connection, and what happened to it. */
struct end {
    struct net *net;
    struct io_stream *stream;
    size_t received;
    unsigned n_data, n_drains, n_opens, n_closes;
    bool saw_end;
    enum cor_status why;
    unsigned char sum; /* of the bytes received, weighted by place: order matters */
};

struct net {
    struct world w;
    struct io_listener *listener;
    char address[IO_ADDRESS_MAX];
    struct end client, server;
    struct io_task task;
    void (*on_data)(struct end *e, struct cor_bytes data);
    void (*on_turn)(struct net *net); /* at the end of a turn in which something happened */
    unsigned n_accepted;
    unsigned long n_goal;
    int plain; /* a socket outside of the loop */
};

static void end_of_turn(struct io_task *task)
{
    struct net *net = CONTAINER_OF(task, struct net, task);
    if (net->on_turn != NULL) {
        net->on_turn(net);
    }
}

static void on_open(void *arg, struct io_stream *s)
{
    struct end *e = arg;
    CHECK(e->stream == s && e->n_closes == 0);
    e->n_opens++;
    io_defer(e->net->w.io, &e->net->task);
}

static void on_data(void *arg, struct io_stream *s, struct cor_bytes data)
{
    struct end *e = arg;
    CHECK(e->stream == s && data.len > 0 && e->n_closes == 0 && !e->saw_end);
    for (size_t i = 0; i < data.len; i++) {
        e->sum = (unsigned char)(e->sum * 31 + data.ptr[i]);
    }
    e->received += data.len;
    e->n_data++;
    if (e->net->on_data != NULL) {
        e->net->on_data(e, data);
    }
    io_defer(e->net->w.io, &e->net->task);
}

static void on_end(void *arg, struct io_stream *s)
{
    struct end *e = arg;
    CHECK(e->stream == s && !e->saw_end && e->n_closes == 0);
    e->saw_end = true;
    io_defer(e->net->w.io, &e->net->task);
}

static void on_drain(void *arg, struct io_stream *s)
{
    struct end *e = arg;
    CHECK(e->stream == s && io_stream_queued(s) == 0);
    e->n_drains++;
    io_defer(e->net->w.io, &e->net->task);
}

static void on_close(void *arg, struct io_stream *s, enum cor_status why)
{
    struct end *e = arg;
    CHECK(e->stream == s && e->n_closes == 0);
    e->n_closes++;
    e->why = why;
    e->stream = NULL;
    io_defer(e->net->w.io, &e->net->task);
}

static const struct io_stream_events half_close_events = {.on_open = on_open,
                                                          .on_data = on_data,
                                                          .on_end = on_end,
                                                          .on_drain = on_drain,
                                                          .on_close = on_close};
static const struct io_stream_events events = {
    .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

static void on_accept(void *arg, struct io_stream *s)
{
    struct net *net = arg;
    net->n_accepted++;
    net->server.stream = s;
    io_stream_take(s, &half_close_events, &net->server);
    io_defer(net->w.io, &net->task);
}

static void refuse(void *arg, struct io_stream *s)
{
    struct net *net = arg;
    (void)s; /* not taken: closed */
    net->n_accepted++;
}

static bool net_open(struct net *net, void (*accept)(void *arg, struct io_stream *s))
{
    struct cor_error err = {0};
    *net = (struct net){.task.run = end_of_turn};
    net->client.net = net->server.net = net;
    if (!world_open(&net->w, NULL)) {
        return false;
    }
    enum cor_status st =
        io_listen(net->w.io, "127.0.0.1:0", accept, net, net->address, &net->listener, &err);
    ROW("%s", err.text);
    CHECK_EQ(st, COR_OK);
    ROW("%s", net->address);
    return st == COR_OK;
}

static void dial(struct net *net, const struct io_stream_events *how)
{
    CHECK_EQ(io_dial(net->w.io, net->address, how, &net->client, &net->client.stream), COR_OK);
}

static void net_close(struct net *net)
{
    CHECK(net->client.n_closes <= 1 && net->server.n_closes <= 1);
    world_close(&net->w);
}

static void send_text(struct end *e, const char *text)
{
    struct cor_bytes data = {(const unsigned char *)text, strlen(text)};
    CHECK_EQ(io_stream_send(e->stream, data), COR_OK);
}

static void stop_when_both_are_closed(struct net *net)
{
    if (net->client.n_closes == 1 && net->server.n_closes == 1) {
        os_loop_stop(net->w.loop);
    }
}

/* ---- bytes --------------------------------------------------------------------------------- */

#define LARGE     (8u << 20)
#define QUEUE_MAX ((size_t)256 * 1024)

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 7 + (i >> 8) + (i >> 16));
}

/* Send more of the LARGE bytes, no more than QUEUE_MAX queued. */
static void feed(struct net *net)
{
    static unsigned char block[40000];
    struct end *c = &net->client;
    while (c->stream != NULL && net->n_goal < LARGE &&
           io_stream_queued(c->stream) < QUEUE_MAX) {
        size_t n = LARGE - net->n_goal < sizeof block ? LARGE - net->n_goal : sizeof block;
        for (size_t i = 0; i < n; i++) {
            block[i] = pattern(net->n_goal + i);
        }
        CHECK_EQ(io_stream_send(c->stream, (struct cor_bytes){block, n}), COR_OK);
        net->n_goal += n;
    }
}

static void echo(struct end *e, struct cor_bytes data)
{
    if (e == &e->net->server) {
        CHECK_EQ(io_stream_send(e->stream, data), COR_OK);
        io_stream_pause(e->stream, io_stream_queued(e->stream) > (QUEUE_MAX / 2));
    }
}

static void echo_turn(struct net *net)
{
    if (net->client.n_opens == 1) {
        feed(net);
    }
    if (net->server.stream != NULL) {
        io_stream_pause(net->server.stream,
                        io_stream_queued(net->server.stream) > (QUEUE_MAX / 2));
    }
    if (net->client.received == LARGE) {
        os_loop_stop(net->w.loop);
    }
}

static void eight_megabytes_come_back_as_they_were(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_data = echo;
    net.on_turn = echo_turn;
    dial(&net, &events);
    world_run(&net.w);
    unsigned char sum = 0;
    for (size_t i = 0; i < LARGE; i++) {
        sum = (unsigned char)(sum * 31 + pattern(i));
    }
    CHECK_EQ(net.server.received, (size_t)LARGE);
    CHECK_EQ(net.client.received, (size_t)LARGE);
    CHECK_EQ(net.client.sum, sum);
    CHECK_EQ(net.client.n_opens, 1u);
    net_close(&net);
}

static void send_in_pieces(struct net *net)
{
    if (net->client.n_opens == 1 && net->n_goal == 0) {
        for (unsigned i = 0; i < 100; i++) {
            send_text(&net->client, "0123456789");
        }
        CHECK_EQ(io_stream_queued(net->client.stream), (size_t)1000);
        net->n_goal = 1;
    }
    if (net->server.received == 1000) {
        os_loop_stop(net->w.loop);
    }
}

static void what_is_sent_in_one_turn_leaves_together(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_turn = send_in_pieces;
    dial(&net, &events);
    world_run(&net.w);
    CHECK_EQ(net.server.n_data, 1u);
    net_close(&net);
}

static void stop_at_eleven(struct net *net)
{
    if (net->server.received == 11) {
        os_loop_stop(net->w.loop);
    }
}

static void what_is_sent_before_the_connection_stands_arrives(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_turn = stop_at_eleven;
    dial(&net, &events);
    send_text(&net.client, "hello ");
    CHECK_EQ(net.client.n_opens, 0u); /* nothing from inside io_dial() */
    send_text(&net.client, "world");
    world_run(&net.w);
    CHECK_EQ(net.client.n_opens, 1u);
    CHECK_EQ(net.client.n_drains, 1u); /* it was queued at the end of a turn */
    net_close(&net);
}

struct stall {
    struct net net;
    struct io_timer timer; /* fires every turn, until the sender is stuck */
    size_t queued;
};

static void look_for_stall(struct io_timer *t)
{
    struct stall *x = CONTAINER_OF(t, struct stall, timer);
    struct end *c = &x->net.client, *s = &x->net.server;
    size_t queued = c->stream != NULL ? io_stream_queued(c->stream) : 0;
    bool is_stuck = queued > 0 && queued == x->queued;
    x->queued = queued;
    if (is_stuck) {
        CHECK_EQ(s->received, (size_t)0);
        CHECK_EQ(c->n_drains, 0u);
        io_stream_pause(s->stream, false);
        return;
    }
    if (c->n_opens == 1 && s->stream != NULL) {
        feed(&x->net);
    }
    io_timer_set(x->net.w.io, t, 0);
}

static void pause_first(struct net *net)
{
    if (net->server.stream != NULL && net->n_goal == 0) {
        io_stream_pause(net->server.stream, true);
    }
    if (net->client.n_drains > 0) {
        feed(net);
    }
    if (net->server.received == LARGE) {
        os_loop_stop(net->w.loop);
    }
}

static void a_paused_reader_holds_up_the_sender_until_it_reads_again(void)
{
    struct stall x = {.timer.fire = look_for_stall};
    REQUIRE(net_open(&x.net, on_accept));
    x.net.on_turn = pause_first;
    dial(&x.net, &events);
    io_timer_set(x.net.w.io, &x.timer, 0);
    world_run(&x.net.w);
    CHECK(x.net.client.n_drains > 0);
    CHECK_EQ(x.net.server.received, (size_t)LARGE);
    net_close(&x.net);
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void hang_up(struct net *net)
{
    if (net->client.n_opens == 1 && net->server.stream != NULL && net->n_goal == 0) {
        net->n_goal = 1;
        send_text(&net->client, "bye");
        io_stream_close(net->client.stream, true);
        io_stream_close(net->client.stream, true);
        CHECK_EQ(net->client.n_closes, 0u); /* nothing from inside the call */
    }
    if (net->server.saw_end && net->n_goal == 1) {
        net->n_goal = 2;
        CHECK_EQ(net->server.received, (size_t)3);
        io_stream_close(net->server.stream, false);
    }
    stop_when_both_are_closed(net);
}

static void a_close_with_flush_sends_everything_first(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_turn = hang_up;
    dial(&net, &events);
    world_run(&net.w);
    CHECK_EQ(net.client.why, COR_OK);
    CHECK_EQ(net.server.why, COR_OK);
    net_close(&net);
}

static void flush_much(struct net *net)
{
    if (net->client.n_opens == 1 && net->n_goal < LARGE) {
        static unsigned char block[LARGE];
        CHECK_EQ(io_stream_send(net->client.stream, (struct cor_bytes){block, LARGE}), COR_OK);
        net->n_goal = LARGE;
        io_stream_close(net->client.stream, true);
        send_text(&net->client, "too late");
    }
    if (net->server.saw_end && net->server.stream != NULL) {
        io_stream_close(net->server.stream, true);
    }
    stop_when_both_are_closed(net);
}

static void a_close_with_flush_waits_for_a_slow_network(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_turn = flush_much;
    dial(&net, &events);
    world_run(&net.w);
    CHECK_EQ(net.server.received, (size_t)LARGE);
    CHECK_EQ(net.client.n_drains, 0u);
    net_close(&net);
}

/* A peer outside of the loop: a plain socket, for what io.h's own streams would not do. */
static int connect_plain(const char *address)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    a.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static void stop_when_server_is_closed(struct net *net)
{
    if (net->server.n_closes == 1) {
        os_loop_stop(net->w.loop);
    }
}

static void refuse_upload(struct end *e, struct cor_bytes data)
{
    (void)data;
    if (e->stream != NULL && e->n_data == 1) {
        send_text(e, "no");
        io_stream_close(e->stream, true);
    }
}

/* A refused upload: closing with unread bytes would reset the connection under the answer. */
static void an_answer_reaches_a_peer_that_is_still_sending(void)
{
    static unsigned char block[QUEUE_MAX];
    struct net net;
    char answer[8];
    REQUIRE(net_open(&net, on_accept));
    net.on_data = refuse_upload;
    net.on_turn = stop_when_server_is_closed;
    net.plain = connect_plain(net.address);
    CHECK(send(net.plain, block, sizeof block, MSG_DONTWAIT) > 0);
    world_run(&net.w);
    CHECK_EQ(net.server.why, COR_OK);
    CHECK_EQ(net.server.n_data, 1u);
    CHECK(send(net.plain, block, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1);
    CHECK_EQ(recv(net.plain, answer, 2, MSG_WAITALL), 2);
    CHECK_EQ(recv(net.plain, answer, 2, 0), 0); /* an end in order */
    (void)close(net.plain);
    net_close(&net);
}

static void answer_at_the_end(struct net *net)
{
    struct end *s = &net->server;
    if (s->saw_end && s->stream != NULL) {
        CHECK_EQ(s->received, (size_t)10);
        send_text(s, "answer");
        io_stream_close(s->stream, true);
    }
    if (s->n_closes == 1) {
        os_loop_stop(net->w.loop);
    }
}

static void the_end_of_the_peer_leaves_the_other_way_open(void)
{
    struct net net;
    char answer[16];
    REQUIRE(net_open(&net, on_accept));
    net.on_turn = answer_at_the_end;
    int fd = connect_plain(net.address);
    CHECK_EQ(send(fd, "last words", 10, 0), 10);
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    world_run(&net.w);
    CHECK_EQ(net.server.why, COR_OK);
    CHECK_EQ(recv(fd, answer, sizeof answer, MSG_WAITALL), 6); /* and then the end */
    (void)close(fd);
    net_close(&net);
}

static void reset_plain(int fd)
{
    struct linger none = {.l_onoff = 1};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
    (void)close(fd);
}

/* The connection is reset after the turn's reading and before its flush. */
static void write_into_a_reset(struct net *net)
{
    if (net->n_goal == 0) {
        CHECK_EQ(send(net->plain, "why", 3, 0), 3);
        reset_plain(net->plain);
        send_text(&net->server, "anything");
        net->n_goal = 1;
    }
    stop_when_server_is_closed(net);
}

static void what_the_peer_said_before_a_reset_is_heard(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_turn = write_into_a_reset;
    net.plain = connect_plain(net.address);
    world_run(&net.w);
    CHECK_EQ(net.server.received, (size_t)3);
    CHECK_EQ(net.server.why, COR_EIO);
    net_close(&net);
}

static void reset_on_open(struct net *net)
{
    if (net->server.stream != NULL && net->n_goal == 0) {
        net->n_goal = 1;
        reset_plain(net->plain);
    }
    stop_when_server_is_closed(net);
}

static void a_reset_is_an_error(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_turn = reset_on_open;
    net.plain = connect_plain(net.address);
    world_run(&net.w);
    CHECK_EQ(net.server.why, COR_EIO);
    CHECK(!net.server.saw_end);
    net_close(&net);
}

/* ---- limits: peers that do nothing --------------------------------------------------------- */

struct patience {
    struct net net;
    struct end servers[2]; /* [0]: its peer does not read; [1]: its peer does not close */
    unsigned n_accepted;
};

static void impatient_accept(void *arg, struct io_stream *s)
{
    static unsigned char block[LARGE];
    struct patience *x = arg;
    struct end *e = &x->servers[x->n_accepted++];
    *e = (struct end){.net = &x->net, .stream = s};
    io_stream_take(s, &half_close_events, e);
    size_t len = e == &x->servers[0] ? LARGE : 1;
    CHECK_EQ(io_stream_send(s, (struct cor_bytes){block, len}), COR_OK);
    io_stream_close(s, true);
}

static void stop_when_given_up(struct net *net)
{
    struct patience *x = CONTAINER_OF(net, struct patience, net);
    if (x->servers[0].n_closes == 1 && x->servers[1].n_closes == 1) {
        os_loop_stop(net->w.loop);
    }
}

static void peers_that_neither_read_nor_close_are_given_up(void)
{
    struct patience x = {0};
    unsigned char byte;
    REQUIRE(net_open(&x.net, on_accept));
    io_listener_close(x.net.listener);
    CHECK_EQ(io_listen(x.net.w.io, "127.0.0.1:0", impatient_accept, &x, x.net.address,
                       &x.net.listener, NULL),
             COR_OK);
    x.net.on_turn = stop_when_given_up;
    int deaf = connect_plain(x.net.address);
    int idle = connect_plain(x.net.address);
    world_run(&x.net.w); /* ends with the limit of the flush, long after that of the other */
    CHECK_EQ(x.servers[0].why, COR_OK);
    CHECK_EQ(x.servers[1].why, COR_OK);
    CHECK_EQ(recv(idle, &byte, 1, 0), 1);
    CHECK_EQ(recv(idle, &byte, 1, 0), 0);
    CHECK_EQ(send(idle, "x", 1, MSG_NOSIGNAL), 1); /* answered by a reset: nobody is there */
    CHECK(send(idle, "x", 1, MSG_NOSIGNAL) < 0);
    (void)close(deaf);
    (void)close(idle);
    net_close(&x.net);
}

static void server_ends(struct net *net)
{
    if (net->client.n_opens == 1 && net->server.stream != NULL) {
        io_stream_close(net->server.stream, false);
        CHECK_EQ(net->server.n_closes, 0u);
    }
    stop_when_both_are_closed(net);
}

static void without_on_end_the_end_of_the_peer_closes(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_turn = server_ends;
    dial(&net, &events);
    world_run(&net.w);
    CHECK_EQ(net.client.why, COR_OK);
    CHECK(!net.client.saw_end);
    net_close(&net);
}

static void close_at_once(struct end *e, struct cor_bytes data)
{
    (void)data;
    if (e == &e->net->server) {
        CHECK_EQ(e->n_data, 1u);
        io_stream_close(e->stream, false);
    }
}

static void write_much(struct net *net)
{
    if (net->client.n_opens == 1) {
        feed(net);
    }
    stop_when_both_are_closed(net);
}

/* The rest of what was ready in that turn is not delivered, and the sender learns of the reset. */
static void a_stream_that_closes_in_its_callback_hears_no_more(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_data = close_at_once;
    net.on_turn = write_much;
    dial(&net, &events);
    world_run(&net.w);
    CHECK_EQ(net.server.n_data, 1u);
    CHECK_EQ(net.client.why, COR_EIO);
    net_close(&net);
}

static void stop_when_client_is_closed(struct net *net)
{
    if (net->client.n_closes == 1) {
        os_loop_stop(net->w.loop);
    }
}

static void nobody_listening_is_an_error_after_the_call(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    io_listener_close(net.listener);
    net.on_turn = stop_when_client_is_closed;
    dial(&net, &events);
    CHECK_EQ(net.client.n_closes, 0u);
    world_run(&net.w);
    CHECK_EQ(net.client.why, COR_EIO);
    CHECK_EQ(net.client.n_opens, 0u);
    net_close(&net);
}

static void a_dial_can_be_given_up(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_turn = stop_when_client_is_closed;
    dial(&net, &events);
    io_stream_close(net.client.stream, false);
    world_run(&net.w);
    CHECK_EQ(net.client.why, COR_OK);
    CHECK_EQ(net.client.n_opens, 0u);
    net_close(&net);
}

static void a_stream_that_nobody_takes_is_closed(void)
{
    struct net net;
    REQUIRE(net_open(&net, refuse));
    net.on_turn = stop_when_client_is_closed;
    dial(&net, &events);
    world_run(&net.w);
    CHECK_EQ(net.n_accepted, 1u);
    CHECK_EQ(net.client.n_closes, 1u);
    net_close(&net);
}

static void a_loop_is_freed_with_everything_open(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    dial(&net, &events);
    os_loop_stop(net.w.loop);
    world_run(&net.w);
    send_text(&net.client, "never to be sent");
    net_close(&net);
    CHECK_EQ(net.client.n_closes, 0u);
}

/* ---- addresses, names ---------------------------------------------------------------------- */

static void dial_through(const char *host)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    ROW("%s", host);
    char port[16];
    format_to(port, sizeof port, "%s", strrchr(net.address, ':'));
    format_to(net.address, sizeof net.address, "%s%s", host, port);
    net.on_turn = stop_at_eleven;
    dial(&net, &events);
    send_text(&net.client, "hello world");
    char peer[IO_ADDRESS_MAX];
    net.w.io->ops->stream_peer(net.client.stream, peer, sizeof peer);
    CHECK(strcmp(peer, net.address) == 0);
    world_run(&net.w);
    CHECK_EQ(net.client.n_opens, 1u);
    net.w.io->ops->stream_peer(net.client.stream, peer, sizeof peer);
    CHECK(strncmp(peer, "127.0.0.1:", 10) == 0);
    net_close(&net);
}

static void a_name_is_resolved(void)
{
    dial_through("localhost");
    dial_through("127.1"); /* not a literal for inet_pton(): through the resolver */
}

static void a_name_that_does_not_exist_is_an_error_after_the_call(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    net.on_turn = stop_when_client_is_closed;
    format_to(net.address, sizeof net.address, "no..such..name:80");
    dial(&net, &events);
    world_run(&net.w);
    CHECK(net.client.why != COR_OK);
    net_close(&net);
}

static void a_loop_is_freed_while_a_name_is_looked_up(void)
{
    struct net net;
    REQUIRE(net_open(&net, on_accept));
    format_to(net.address, sizeof net.address, "no..such..name:80");
    dial(&net, &events);
    net_close(&net);
    CHECK_EQ(net.client.n_closes, 0u);
}

static void an_address_in_use_is_refused(void)
{
    struct net net;
    struct io_listener *second = NULL;
    struct cor_error err = {0};
    char bound[IO_ADDRESS_MAX] = "untouched";
    REQUIRE(net_open(&net, on_accept));
    CHECK_EQ(io_listen(net.w.io, net.address, on_accept, &net, bound, &second, &err),
             COR_EEXIST);
    CHECK(second == NULL && strcmp(bound, "untouched") == 0);
    CHECK(strstr(err.text, net.address) != NULL);
    CHECK_EQ(io_listen(net.w.io, "127.0.0.1", on_accept, &net, NULL, &second, &err),
             COR_EINVAL);
    CHECK_EQ(io_dial(net.w.io, "127.0.0.1", &events, &net.client, &net.client.stream),
             COR_EINVAL);
    net_close(&net);
}

/* ---- many ---------------------------------------------------------------------------------- */

#define MANY 1000u

struct crowd {
    struct net net; /* its listener and loop */
    struct end clients[MANY], servers[MANY];
    struct io_task task;
    unsigned n_accepted, n_greeted, n_closed;
};

static void crowd_on_data(void *arg, struct io_stream *s, struct cor_bytes data)
{
    struct end *e = arg;
    struct crowd *all = CONTAINER_OF(e->net, struct crowd, net);
    CHECK(data.len == 1);
    all->n_greeted++;
    if (all->n_greeted == MANY) {
        os_loop_stop(e->net->w.loop);
    }
    (void)s;
}

static void crowd_on_close(void *arg, struct io_stream *s, enum cor_status why)
{
    struct end *e = arg;
    struct crowd *all = CONTAINER_OF(e->net, struct crowd, net);
    (void)s;
    (void)why;
    if (++all->n_closed == 2 * MANY) {
        os_loop_stop(e->net->w.loop);
    }
}

static void crowd_on_open(void *arg, struct io_stream *s)
{
    (void)arg;
    (void)s;
}

static const struct io_stream_events crowd_events = {
    .on_open = crowd_on_open, .on_data = crowd_on_data, .on_close = crowd_on_close};

static void crowd_on_accept(void *arg, struct io_stream *s)
{
    struct net *net = arg;
    struct crowd *all = CONTAINER_OF(net, struct crowd, net);
    REQUIRE(all->n_accepted < MANY);
    struct end *e = &all->servers[all->n_accepted++];
    e->net = net;
    e->stream = s;
    io_stream_take(s, &crowd_events, e);
    CHECK_EQ(io_stream_send(s, COR_BYTES_LIT("x")), COR_OK);
}

static void a_thousand_connections_are_served(void)
{
    struct rlimit limit;
    struct crowd *all = calloc(1, sizeof *all);
    REQUIRE(all != NULL && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    REQUIRE(net_open(&all->net, crowd_on_accept));
    for (unsigned i = 0; i < MANY; i++) {
        struct end *e = &all->clients[i];
        e->net = &all->net;
        CHECK_EQ(io_dial(all->net.w.io, all->net.address, &crowd_events, e, &e->stream),
                 COR_OK);
    }
    world_run(&all->net.w);
    CHECK_EQ(all->n_accepted, MANY);
    CHECK_EQ(all->n_greeted, MANY);
    for (unsigned i = 0; i < MANY; i++) { /* the other ends follow by themselves */
        io_stream_close(i % 2 == 0 ? all->clients[i].stream : all->servers[i].stream,
                        i % 3 == 0);
    }
    for (unsigned i = 0; i < MANY; i++) {
        io_stream_close(i % 2 == 1 ? all->clients[i].stream : all->servers[i].stream, false);
    }
    world_run(&all->net.w);
    CHECK_EQ(all->n_closed, 2 * MANY);
    net_close(&all->net);
    free(all);
}

/* ---- out of descriptors -------------------------------------------------------------------- */

struct starvation {
    struct event_sink sink; /* first */
    struct net *net;
    struct rlimit limit;
    struct io_timer relief;
    unsigned n_paused, n_resumed;
    int client; /* a plain socket: it is there before the descriptors run out */
    int second; /* comes when there are some again; 0: nobody does */
};

/* Somebody closed some. */
static void on_relief(struct io_timer *t)
{
    struct starvation *x = CONTAINER_OF(t, struct starvation, relief);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &x->limit), 0);
    x->second = x->second != 0 ? connect_plain(x->net->address) : 0;
}

static void on_event(struct event_sink *sink, const struct event *event)
{
    struct starvation *x = (struct starvation *)(void *)sink;
    if (strcmp(event->name, "accept_paused") == 0) {
        x->n_paused++;
        io_timer_set(x->net->w.io, &x->relief, io_now(x->net->w.io) + 250 * WORLD_MS);
    } else if (strcmp(event->name, "accept_resumed") == 0) {
        x->n_resumed++;
        os_loop_stop(x->net->w.loop);
    }
}

static void without_descriptors_accepting_waits_and_says_so_once(void)
{
    struct net net;
    struct starvation x = {.sink.emit = on_event, .relief.fire = on_relief, .net = &net};
    net = (struct net){.task.run = end_of_turn};
    net.client.net = net.server.net = &net;
    REQUIRE(world_open(&net.w, &x.sink));
    CHECK_EQ(
        io_listen(net.w.io, "127.0.0.1:0", on_accept, &net, net.address, &net.listener, NULL),
        COR_OK);
    x.client = connect_plain(net.address);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &x.limit), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = x.limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    world_run(&net.w);
    CHECK_EQ(x.n_paused, 1u);
    CHECK_EQ(x.n_resumed, 1u);
    CHECK_EQ(net.n_accepted, 1u);
    (void)close(x.client);
    net_close(&net);
}

/* Nobody who connects takes the last of them: the log opens files. */
static void some_descriptors_are_kept_for_files(void)
{
    struct net net;
    struct starvation x = {.sink.emit = on_event, .relief.fire = on_relief, .net = &net};
    net = (struct net){.task.run = end_of_turn};
    net.client.net = net.server.net = &net;
    REQUIRE(world_open(&net.w, &x.sink));
    CHECK_EQ(
        io_listen(net.w.io, "127.0.0.1:0", on_accept, &net, net.address, &net.listener, NULL),
        COR_OK);
    x.client = connect_plain(net.address);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &x.limit), 0);
    struct rlimit tight = {.rlim_cur = (rlim_t)x.client + 4, .rlim_max = x.limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(file > x.client); /* there are some */
    (void)close(file);
    x.second = -1;
    world_run(&net.w);
    CHECK_EQ(x.n_paused, 1u);
    CHECK_EQ(x.n_resumed, 1u);
    CHECK_EQ(net.n_accepted, 1u);
    CHECK_EQ(recv(x.client, &file, 1, 0), 0); /* the first was turned away */
    (void)close(x.client);
    (void)close(x.second);
    net_close(&net);
}

TEST_MAIN(TEST(eight_megabytes_come_back_as_they_were),
          TEST(what_is_sent_in_one_turn_leaves_together),
          TEST(what_is_sent_before_the_connection_stands_arrives),
          TEST(a_paused_reader_holds_up_the_sender_until_it_reads_again),
          TEST(a_close_with_flush_sends_everything_first),
          TEST(a_close_with_flush_waits_for_a_slow_network),
          TEST(an_answer_reaches_a_peer_that_is_still_sending),
          TEST(the_end_of_the_peer_leaves_the_other_way_open),
          TEST(what_the_peer_said_before_a_reset_is_heard), TEST(a_reset_is_an_error),
          TEST(peers_that_neither_read_nor_close_are_given_up),
          TEST(without_on_end_the_end_of_the_peer_closes),
          TEST(a_stream_that_closes_in_its_callback_hears_no_more),
          TEST(nobody_listening_is_an_error_after_the_call), TEST(a_dial_can_be_given_up),
          TEST(a_stream_that_nobody_takes_is_closed),
          TEST(a_loop_is_freed_with_everything_open), TEST(a_name_is_resolved),
          TEST(a_name_that_does_not_exist_is_an_error_after_the_call),
          TEST(a_loop_is_freed_while_a_name_is_looked_up), TEST(an_address_in_use_is_refused),
          TEST(a_thousand_connections_are_served),
          TEST(without_descriptors_accepting_waits_and_says_so_once),
          TEST(some_descriptors_are_kept_for_files))
