/*
 * log.c - see log.h.
 */
#include "cli/log.h"

#include "base/format.h"

#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096u

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

void log_event(void *arg, enum cor_log_level level, const char *room, const char *event,
               const char *fields_logfmt, const char *fields_json)
{
    const struct log *log = arg;
    (void)event; /* the fields begin with it */
    char time[48], line[LINE_MAX_BYTES];
    format_time(time, sizeof time);
    size_t n = log->json ? format_to(line, sizeof line,
                                     "{\"time\":\"%s\",\"level\":\"%s\",\"room\":\"%s\",%s}\n",
                                     time, level_name(level), room, fields_json)
                         : format_to(line, sizeof line, "time=%s level=%s room=%s %s\n", time,
                                     level_name(level), room, fields_logfmt);
    if (write(log->fd, line, n) < 0) {
        return; /* nobody can be told that nobody can be told */
    }
}
