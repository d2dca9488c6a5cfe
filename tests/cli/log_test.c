/*
 * The log on a pipe: whole lines in two forms, and none that stops the node because nobody reads.
 */
#include "cli/log.h"

#include "tests/support/test.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char text[1 << 20];

/* Everything that is in the pipe. */
static size_t drain(int fd)
{
    size_t used = 0;
    ssize_t n;
    while ((n = read(fd, text + used, sizeof text - 1 - used)) > 0) {
        used += (size_t)n;
    }
    text[used] = '\0';
    return used;
}

static bool open_pipe(int out[2])
{
    return pipe(out) == 0 && fcntl(out[0], F_SETFL, O_NONBLOCK) == 0;
}

static void a_line_has_time_level_room_and_fields(void)
{
    int fds[2];
    REQUIRE(open_pipe(fds));
    struct log l = {.fd = fds[1]};
    log_event(&l, COR_LOG_WARN, "wal", "slow", "event=slow ms=12",
              "\"event\":\"slow\",\"ms\":12");
    (void)drain(fds[0]);
    CHECK(strncmp(text, "time=2", 6) == 0);
    CHECK(strstr(text, "Z level=warn room=wal event=slow ms=12\n") != NULL);
    l.json = true;
    log_event(&l, COR_LOG_ERROR, "wal", "slow", "event=slow ms=12",
              "\"event\":\"slow\",\"ms\":12");
    (void)drain(fds[0]);
    CHECK(strncmp(text, "{\"time\":\"2", 10) == 0);
    CHECK(strstr(text,
                 "Z\",\"level\":\"error\",\"room\":\"wal\",\"event\":\"slow\",\"ms\":12}\n") !=
          NULL);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void a_log_that_nobody_reads_drops_lines_and_says_how_many(void)
{
    int fds[2];
    REQUIRE(open_pipe(fds));
    struct log l = {.fd = fds[1]};
    char field[1000];
    memset(field, 'x', sizeof field - 1);
    field[sizeof field - 1] = '\0';
    for (unsigned i = 0; i < 1000; i++) {
        log_event(&l, COR_LOG_INFO, "r", "e", field, field);
    }
    CHECK(atomic_load(&l.dropped) > 0);
    unsigned kept = 0;
    size_t used = drain(fds[0]);
    CHECK(used > 0 && text[used - 1] == '\n'); /* no half lines */
    for (size_t i = 0; i < used; i++) {
        kept += text[i] == '\n';
    }
    char dropped[64];
    (void)snprintf(dropped, sizeof dropped, "event=log_dropped lines=%u\n", 1000 - kept);
    log_event(&l, COR_LOG_INFO, "r", "e", "event=e", "");
    (void)drain(fds[0]);
    CHECK(strstr(text, dropped) != NULL);
    CHECK(strstr(text, "event=e\n") != NULL);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

TEST_MAIN(TEST(a_line_has_time_level_room_and_fields),
          TEST(a_log_that_nobody_reads_drops_lines_and_says_how_many))
