/* address_test.c - what is an address, what is not, and what stays within this machine. */
#include "os/internal.h"

#include "tests/support/test.h"

#include <string.h>

static void addresses_are_taken_apart(void)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } rows[] = {
        {"127.0.0.1:80", "127.0.0.1", 80},
        {"localhost:0", "localhost", 0},
        {"n1.example.org:65535", "n1.example.org", 65535},
        {"[::1]:2379", "::1", 2379},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
        {"0.0.0.0:00080", "0.0.0.0", 80},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct os_address a = {0};
        ROW("%s", rows[i].text);
        CHECK_EQ(os_address_parse(rows[i].text, &a, NULL), COR_OK);
        CHECK(strcmp(a.host, rows[i].host) == 0);
        CHECK_EQ(a.port, rows[i].port);
    }
}

static void what_is_no_address_is_refused_with_words(void)
{
    static const char *const rows[] = {
        "",        "80",         ":80",          "host",       "host:",     "host:x",
        "host:-1", "host:65536", "host:000080",  "host:1 ",    "::1:80",    "[::1]",
        "[::1]80", "[]:80",      "[::1:80",      "::1]:80",    "ho st:80",  "a/b:80",
        "a@b:80",  "ho\nst:80",  "h\xc3\xb6:80", "[[::1]]:80", "http://h:1"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct os_address a = {.port = 77};
        struct cor_error err = {0};
        ROW("%s", rows[i]);
        CHECK_EQ(os_address_parse(rows[i], &a, &err), COR_EINVAL);
        CHECK_EQ(a.port, 77);
        CHECK(err.text[0] != '\0');
    }
}

static void a_host_has_a_limit(void)
{
    char text[OS_HOST_MAX + 8];
    struct os_address a;
    memset(text, 'a', sizeof text);
    memcpy(text + OS_HOST_MAX - 1, ":1", 3);
    CHECK_EQ(os_address_parse(text, &a, NULL), COR_OK);
    memset(text, 'a', sizeof text);
    memcpy(text + OS_HOST_MAX, ":1", 3);
    CHECK_EQ(os_address_parse(text, &a, NULL), COR_EINVAL);
}

static void literals_need_no_resolver_and_come_back_as_text(void)
{
    static const struct {
        const char *text, *back;
        size_t n;
    } rows[] = {
        {"127.0.0.1:80", "127.0.0.1:80", 1},
        {"[0:0::1]:80", "[::1]:80", 1},
        {"localhost:80", "127.0.0.1:80", 2},
        {"example.org:80", "", 0},
        {"127.1:80", "", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct os_address a;
        struct os_sockaddr list[2];
        char back[IO_ADDRESS_MAX] = "";
        ROW("%s", rows[i].text);
        CHECK_EQ(os_address_parse(rows[i].text, &a, NULL), COR_OK);
        CHECK_EQ(os_address_literal(&a, list), rows[i].n);
        if (rows[i].n > 0) {
            os_address_format(&list[0], back, sizeof back);
        }
        CHECK(strcmp(back, rows[i].back) == 0);
    }
}

static void loopback_is_what_cannot_leave_this_machine(void)
{
    static const struct {
        const char *text;
        bool is_loopback;
    } rows[] = {
        {"127.0.0.1:1", true},
        {"127.255.0.9:1", true},
        {"[::1]:1", true},
        {"localhost:1", true},
        {"[::ffff:127.0.0.1]:1", true},
        {"0.0.0.0:1", false},
        {"[::]:1", false},
        {"128.0.0.1:1", false},
        {"10.0.0.1:1", false},
        {"localhost.example.org:1", false},
        {"[::ffff:10.0.0.1]:1", false},
        {"127.0.0.1", false},
        {"127.1:1", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ROW("%s", rows[i].text);
        CHECK(os_address_is_loopback(rows[i].text) == rows[i].is_loopback);
    }
}

TEST_MAIN(TEST(addresses_are_taken_apart), TEST(what_is_no_address_is_refused_with_words),
          TEST(a_host_has_a_limit), TEST(literals_need_no_resolver_and_come_back_as_text),
          TEST(loopback_is_what_cannot_leave_this_machine))
