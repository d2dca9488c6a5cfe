/*
 * The client against nodes that are made of a list of answers: which endpoint is asked, how often, and what a broken
 * connection means. What must never happen: a write sent twice.
 */
#include "cli/client.h"

#include "tests/support/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OK_REPLY "HTTP/1.1 200 OK\r\nX-Coracle-Revision: 7\r\nContent-Length: 3\r\n\r\nyes"
#define BUSY_REPLY                                                                             \
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 16\r\n\r\n{\"error\":\"busy\"}"
#define MAYBE_REPLY "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 2\r\n\r\n{}"
#define CUT_REPLY   "HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\nonly the beginning"
#define NO_REPLY    ""

/* A node that gives each connection the next answer, and closes it; after the last one it is gone. */
struct node {
    const char *const *answers; /* ended by NULL */
    int listener;
    pthread_t thread;
    char address[32];
    unsigned requests; /* read by the test after the thread was joined */
    char first[256];   /* line of the first request */
};

static void *run_node(void *arg)
{
    struct node *n = arg;
    for (size_t i = 0; n->answers[i] != NULL; i++) {
        int fd = accept(n->listener, NULL, NULL);
        char in[4096];
        ssize_t got = fd < 0 ? -1 : recv(fd, in, sizeof in - 1, 0);
        if (got <= 0) {
            (void)close(fd);
            break; /* the test has ended: see node_stop() */
        }
        in[got] = '\0';
        if (n->requests++ == 0) {
            in[strcspn(in, "\r")] = '\0';
            (void)snprintf(n->first, sizeof n->first, "%.250s", in);
        }
        (void)!send(fd, n->answers[i], strlen(n->answers[i]), MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        (void)!recv(fd, in, sizeof in, 0); /* until the client has closed */
        (void)close(fd);
    }
    (void)close(n->listener);
    return NULL;
}

static bool node_start(struct node *n, const char *const *answers)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    *n = (struct node){.answers = answers};
    n->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(n->listener, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(n->listener, 16) != 0 ||
        getsockname(n->listener, (struct sockaddr *)&a, &len) != 0) {
        return false;
    }
    (void)snprintf(n->address, sizeof n->address, "127.0.0.1:%u", ntohs(a.sin_port));
    return pthread_create(&n->thread, NULL, run_node, n) == 0;
}

/* End a node that may still have answers: an empty connection tells it. */
static void node_stop(struct node *n)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned port;
    if (sscanf(n->address, "127.0.0.1:%u", &port) == 1) {
        a.sin_port = htons((uint16_t)port);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        (void)connect(fd, (struct sockaddr *)&a, sizeof a);
        (void)close(fd);
    }
    (void)pthread_join(n->thread, NULL);
}

struct case_of {
    const char *name;
    bool writes, refused; /* refused: nobody listens at the first endpoint */
    const char *first[4], *second[4];
    enum cor_status st;
    unsigned status, requests_first, requests_second;
};

static const struct case_of rows[] = {
    {"the first endpoint answers", true, false, {OK_REPLY}, {NULL}, COR_OK, 200, 1, 0},
    {"nobody listens at the first", true, true, {NULL}, {OK_REPLY}, COR_OK, 200, 0, 1},
    {"the first says not done", true, false, {BUSY_REPLY}, {OK_REPLY}, COR_OK, 200, 1, 1},
    {"both say not done, then the first can",
     true,
     false,
     {BUSY_REPLY, OK_REPLY},
     {BUSY_REPLY},
     COR_OK,
     200,
     2,
     1},
    {"a write that is not answered",
     true,
     false,
     {NO_REPLY},
     {OK_REPLY},
     COR_EUNKNOWN,
     0,
     1,
     0},
    {"a write whose answer is cut",
     true,
     false,
     {CUT_REPLY},
     {OK_REPLY},
     COR_EUNKNOWN,
     200,
     1,
     0},
    {"a write of unknown outcome", true, false, {MAYBE_REPLY}, {OK_REPLY}, COR_OK, 504, 1, 0},
    {"a read that is not answered", false, false, {NO_REPLY}, {OK_REPLY}, COR_OK, 200, 1, 1},
    {"a read whose answer is cut", false, false, {CUT_REPLY}, {OK_REPLY}, COR_OK, 200, 1, 1},
    {"a write, and no HTTP", true, false, {"SSH-2.0-x\r\n"}, {OK_REPLY}, COR_EUNKNOWN, 0, 1, 0},
    {"a read, and no HTTP", false, false, {"SSH-2.0-x\r\n"}, {OK_REPLY}, COR_EPROTO, 0, 1, 0},
};

static void check_case(const struct case_of *k, const char *key)
{
    struct node nodes[2];
    struct client_values v = {.timeout = UINT64_C(5000000000), .endpoints = {.n = 2}};
    REQUIRE(node_start(&nodes[0], k->first) && node_start(&nodes[1], k->second));
    v.endpoints.items[0] = nodes[0].address;
    v.endpoints.items[1] = nodes[1].address;
    if (k->refused) {
        node_stop(&nodes[0]);
    }
    struct client *c = client_new(&v);
    REQUIRE(c != NULL);
    const struct client_request r = {.method = "PUT",
                                     .target = "/db/k?a=b",
                                     .body = COR_BYTES_INIT("v"),
                                     .idempotency_key = key,
                                     .writes = k->writes,
                                     .timed = true};
    struct client_reply reply;
    struct cor_error err = {0};
    CHECK_EQ(client_ask(c, &r, 0, &reply, &err), k->st);
    CHECK_EQ(reply.status, k->status);
    if (k->st == COR_OK && k->status == 200) {
        CHECK_BYTES(reply.body, COR_BYTES_LIT("yes"));
        CHECK_EQ(reply.revision, 7);
    } else if (k->st != COR_OK) {
        CHECK(strstr(err.text, nodes[0].address) != NULL ||
              strstr(err.text, nodes[1].address) != NULL);
    }
    client_free(c);
    if (!k->refused) {
        node_stop(&nodes[0]);
    }
    node_stop(&nodes[1]);
    CHECK_EQ(nodes[0].requests, k->requests_first);
    CHECK_EQ(nodes[1].requests, k->requests_second);
    if (k->requests_first > 0) {
        CHECK(strncmp(nodes[0].first, "PUT /db/k?a=b&timeout=", 22) == 0);
    }
}

static void a_write_is_sent_once_and_everything_else_finds_a_node(void)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        check_case(&rows[i], NULL);
    }
}

#define GONE_REPLY "HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\n{}"

/* With a number it is the other way round: sent until somebody knows. */
static const struct case_of numbered[] = {
    {"not answered", true, false, {NO_REPLY}, {OK_REPLY}, COR_OK, 200, 1, 1},
    {"cut", true, false, {CUT_REPLY}, {OK_REPLY}, COR_OK, 200, 1, 1},
    {"of unknown outcome", true, false, {MAYBE_REPLY}, {OK_REPLY}, COR_OK, 200, 1, 1},
    {"unknown, then not done",
     true,
     false,
     {MAYBE_REPLY, OK_REPLY},
     {BUSY_REPLY},
     COR_OK,
     200,
     2,
     1},
    {"unknown, then forgotten", true, false, {NO_REPLY}, {GONE_REPLY}, COR_EUNKNOWN, 410, 1, 1},
    {"forgotten", true, false, {GONE_REPLY}, {OK_REPLY}, COR_OK, 410, 1, 0},
};

static void a_numbered_write_is_sent_until_its_outcome_is_known(void)
{
    for (size_t i = 0; i < ARRAY_LEN(numbered); i++) {
        ROW("%s", numbered[i].name);
        check_case(&numbered[i], "17:1");
    }
}

/* Only a first answer of "not done" means that: after an attempt that may have done it nothing does. */
static void a_numbered_write_that_nobody_answers_any_more_stays_unknown(void)
{
    struct node n;
    static const char *const answers[] = {NO_REPLY, BUSY_REPLY, NULL};
    REQUIRE(node_start(&n, answers));
    struct client_values v = {.timeout = UINT64_C(600000000),
                              .endpoints = {.items = {n.address}, .n = 1}};
    struct client *c = client_new(&v);
    REQUIRE(c != NULL);
    const struct client_request r = {
        .method = "PUT", .target = "/db/k", .idempotency_key = "17:1", .writes = true};
    struct client_reply reply;
    struct cor_error err = {0};
    CHECK_EQ(client_ask(c, &r, 0, &reply, &err), COR_EUNKNOWN);
    client_free(c);
    node_stop(&n);
    CHECK_EQ(n.requests, 2);
}

/* What was clearly not done stays so: there is no last attempt with too little time for an answer. */
static void a_write_that_was_not_done_does_not_become_unknown_at_the_end(void)
{
    struct node n;
    static const char *const answers[] = {BUSY_REPLY, BUSY_REPLY, BUSY_REPLY, BUSY_REPLY,
                                          BUSY_REPLY, BUSY_REPLY, BUSY_REPLY, BUSY_REPLY,
                                          NO_REPLY,   NULL};
    REQUIRE(node_start(&n, answers));
    struct client_values v = {.timeout = UINT64_C(1000000000), /* a pause of 0.1 s after each */
                              .endpoints = {.items = {n.address}, .n = 1}};
    struct client *c = client_new(&v);
    REQUIRE(c != NULL);
    const struct client_request r = {.method = "PUT", .target = "/db/k", .writes = true};
    struct client_reply reply;
    struct cor_error err = {0};
    CHECK_EQ(client_ask(c, &r, 0, &reply, &err), COR_ENOTDONE);
    CHECK_EQ(reply.status, 503);
    char want[64];
    (void)snprintf(want, sizeof want, "%s: busy", n.address);
    CHECK(strcmp(err.text, want) == 0);
    client_free(c);
    node_stop(&n);
    CHECK(n.requests > 1);
}

static void nobody_there_is_said_at_once(void)
{
    struct node gone;
    static const char *const none[] = {NULL};
    REQUIRE(node_start(&gone, none));
    node_stop(&gone);
    struct client_values v = {.timeout = UINT64_C(60000000000),
                              .endpoints = {.items = {gone.address}, .n = 1}};
    struct client *c = client_new(&v);
    REQUIRE(c != NULL);
    const struct client_request r = {.method = "GET", .target = "/db/k"};
    struct client_reply reply;
    struct cor_error err = {0};
    uint64_t begin = client_now();
    CHECK_EQ(client_ask(c, &r, 0, &reply, &err), COR_ENOTDONE);
    CHECK(client_now() - begin < v.timeout / 2);
    CHECK(strstr(err.text, gone.address) != NULL);
    v.endpoints.items[0] = "nonsense";
    CHECK_EQ(client_ask(c, &r, 0, &reply, &err), COR_EINVAL);
    client_free(c);
}

static bool take_part(void *arg, struct cor_bytes part)
{
    size_t *n = arg;
    *n += part.len;
    return true;
}

/* A stream that breaks is not begun again behind the caller's back: parts of it have been used. */
static void a_stream_that_breaks_is_the_callers_to_continue(void)
{
    struct node n;
    static const char *const answers[] = {CUT_REPLY, OK_REPLY, NULL};
    REQUIRE(node_start(&n, answers));
    struct client_values v = {.timeout = UINT64_C(5000000000),
                              .endpoints = {.items = {n.address}, .n = 1}};
    struct client *c = client_new(&v);
    REQUIRE(c != NULL);
    size_t got = 0;
    const struct client_request r = {
        .method = "GET", .target = "/db", .streams = true, .on_part = take_part, .arg = &got};
    struct client_reply reply;
    struct cor_error err = {0};
    CHECK_EQ(client_ask(c, &r, 0, &reply, &err), COR_EUNKNOWN);
    CHECK(reply.cut);
    CHECK_EQ(got, strlen("only the beginning"));
    client_free(c);
    node_stop(&n);
    CHECK_EQ(n.requests, 1);
}

TEST_MAIN(TEST(a_write_is_sent_once_and_everything_else_finds_a_node),
          TEST(a_numbered_write_is_sent_until_its_outcome_is_known),
          TEST(a_numbered_write_that_nobody_answers_any_more_stays_unknown),
          TEST(a_write_that_was_not_done_does_not_become_unknown_at_the_end),
          TEST(nobody_there_is_said_at_once),
          TEST(a_stream_that_breaks_is_the_callers_to_continue))
