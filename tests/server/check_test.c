/*
 * Options that cannot work: refused, with the words that say what to do.
 */
#include "server/internal.h"

#include "tests/support/test.h"

#include <string.h>

static const struct cor_member_address three[] = {
    {"n1", "127.0.0.1:4101"}, {"n2", "127.0.0.1:4102"}, {"n3", "127.0.0.1:4103"}};

static const char *const two_listeners[] = {"127.0.0.1:2379", "[::1]:0"};

static struct cor_options good(void)
{
    return (struct cor_options){.data_dir = "d",
                                .name = "n2",
                                .members = three,
                                .n_members = 3,
                                .listen = two_listeners,
                                .n_listen = 2};
}

static void check_refused(const struct cor_options *o, const char *words)
{
    struct cor_error err = {0};
    CHECK_EQ(check_options(o, &err), COR_EINVAL);
    CHECK(strstr(err.text, words) != NULL);
    CHECK(strchr(err.text, '\n') == NULL);
    CHECK(strlen(err.text) + 1 < sizeof err.text);
}

static void what_can_work_is_taken(void)
{
    struct cor_error err;
    struct cor_options o = good();
    CHECK_EQ(check_options(&o, &err), COR_OK);
    o.listen = (const char *const[]){"0.0.0.0:2379"};
    o.n_listen = 1;
    o.insecure = true;
    o.peer_listen = "0.0.0.0:4102";
    o.advertise = "box.example:2379";
    CHECK_EQ(check_options(&o, &err), COR_OK);
    struct cor_options least = {.data_dir = "d"};
    CHECK_EQ(check_options(&least, &err), COR_OK);
}

static void addresses_are_host_and_port(void)
{
    static const char *const bad[] = {"",         "2379",      ":2379", "127.0.0.1",
                                      "a:b",      "a:65536",   "a:-1",  "a:1x",
                                      "::1:2379", "[::1:2379", "[]:1",  "http://a:1",
                                      "a b:1",    "n1=a:1",    "a:",    "a:99999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ROW("%s", bad[i]);
        struct cor_options o = good();
        o.insecure = true;
        o.listen = &bad[i];
        o.n_listen = 1;
        check_refused(&o, "HOST:PORT");
        o = good();
        o.advertise = bad[i];
        check_refused(&o, "--advertise");
    }
}

static void nothing_beyond_loopback_without_saying_so(void)
{
    static const char *const beyond[] = {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "box.example:1"};
    for (size_t i = 0; i < ARRAY_LEN(beyond); i++) {
        ROW("%s", beyond[i]);
        struct cor_options o = good();
        o.listen = &beyond[i];
        o.n_listen = 1;
        check_refused(&o, "--insecure");
        o = good();
        o.peer_listen = beyond[i];
        check_refused(&o, "--insecure");
        const struct cor_member_address members[] = {three[0], {"n2", beyond[i]}};
        o = good();
        o.members = members;
        o.n_members = 2;
        check_refused(&o, "--insecure");
        o.insecure = true;
        struct cor_error err;
        CHECK_EQ(check_options(&o, &err), COR_OK);
    }
}

static void a_cluster_lists_each_member_once_and_this_one_too(void)
{
    struct cor_options o = good();
    o.name = "n9";
    check_refused(&o, "'n9': add n9=HOST:PORT");
    const struct cor_member_address twice[] = {three[0], three[1], {"n1", "127.0.0.1:9"}};
    o = good();
    o.members = twice;
    check_refused(&o, "n1 is listed twice");
    const struct cor_member_address same[] = {three[0], three[1], {"n3", "127.0.0.1:4101"}};
    o.members = same;
    check_refused(&o, "n1 and n3 have the same address");
    const struct cor_member_address zero[] = {three[0], {"n2", "127.0.0.1:0"}};
    o.members = zero;
    o.n_members = 2;
    check_refused(&o, "--cluster '127.0.0.1:0'");
    const struct cor_member_address odd[] = {three[0], {"n 2", "127.0.0.1:4102"}};
    o.members = odd;
    check_refused(&o, "'n 2'");
    o = good();
    o.n_members = 0;
    o.peer_listen = "127.0.0.1:1";
    check_refused(&o, "--peer-listen without --cluster");
    struct cor_member_address many[COR_RAFT_MEMBERS_MAX + 1] = {{0}};
    o = good();
    o.members = many;
    o.n_members = ARRAY_LEN(many);
    check_refused(&o, "at most 16 members");
}

static void names_and_times_have_their_form(void)
{
    static const char long_name[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    struct cor_options o = {.data_dir = "d", .name = long_name};
    check_refused(&o, "1 to 63");
    o.name = "";
    check_refused(&o, "1 to 63");
    o = (struct cor_options){.data_dir = ""};
    check_refused(&o, "--data-dir");
    o = good();
    o.heartbeat_ms = 126;
    check_refused(&o, "--heartbeat");
    o.heartbeat_ms = 125;
    struct cor_error err;
    CHECK_EQ(check_options(&o, &err), COR_OK);
    o.election_min_ms = 500; /* the largest is 500 by default */
    check_refused(&o, "--election");
    o = good();
    o.election_max_ms = UINT64_MAX;
    check_refused(&o, "--election: at most an hour");
    o = good();
    o.request_timeout_ms = UINT64_MAX;
    check_refused(&o, "--request-timeout: at most an hour");
}

TEST_MAIN(TEST(what_can_work_is_taken), TEST(addresses_are_host_and_port),
          TEST(nothing_beyond_loopback_without_saying_so),
          TEST(a_cluster_lists_each_member_once_and_this_one_too),
          TEST(names_and_times_have_their_form))
