/*
 * log.c - see log.h.
 */
#include "cli/log.h"

#include "base/format.h"

#include <limits.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

static const char *level_name(enum cor_log_level level)
{
    switch (level) {
    case COR_LOG_DEBUG:
        return "debug";
    case COR_LOG_INFO:
        return "info";
    case COR_LOG_WARN:
        return "warn";
    case COR_LOG_ERROR:
    case COR_LOG_OFF:
        break;
    }
    return "error";
}

/* "2026-03-01T12:00:00.123Z": sorts as text, and means the same on every machine. */
static void format_time(char *out, size_t size)
{
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    format_to(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
              utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
              (int)(now.tv_nsec / 1000000));
}

/* A pipe is ready for writing when PIPE_BUF bytes fit, and no line is longer. */
static bool would_block(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 0;
}

static void write_line(struct log *log, const char *line, size_t n)
{
    if (would_block(log->fd) || write(log->fd, line, n) != (ssize_t)n) {
        (void)atomic_fetch_add(&log->dropped, 1);
    }
}

static void say_dropped(struct log *log, const char *time)
{
    unsigned n = would_block(log->fd) ? 0 : atomic_exchange(&log->dropped, 0);
    char line[160];
    if (n == 0) {
        return;
    }
    size_t len =
        log->json
            ? format_to(line, sizeof line,
                        "{\"time\":\"%s\",\"level\":\"warn\",\"room\":\"cli\",\"event\":"
                        "\"log_dropped\",\"lines\":%u}\n",
                        time, n)
            : format_to(line, sizeof line,
                        "time=%s level=warn room=cli event=log_dropped lines=%u\n", time, n);
    write_line(log, line, len);
}

void log_event(void *arg, enum cor_log_level level, const char *room, const char *event,
               const char *fields_logfmt, const char *fields_json)
{
    struct log *log = arg;
    (void)event; /* the fields begin with it */
    char time[48], line[PIPE_BUF];
    format_time(time, sizeof time);
    size_t n = log->json ? format_to(line, sizeof line,
                                     "{\"time\":\"%s\",\"level\":\"%s\",\"room\":\"%s\",%s}\n",
                                     time, level_name(level), room, fields_json)
                         : format_to(line, sizeof line, "time=%s level=%s room=%s %s\n", time,
                                     level_name(level), room, fields_logfmt);
    say_dropped(log, time);
    write_line(log, line, n);
}
