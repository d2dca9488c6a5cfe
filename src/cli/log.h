/*
 * log.h - the node's log on stderr: one line per event, logfmt on a terminal, JSON for programs.
 */
#ifndef CLI_LOG_H
#define CLI_LOG_H

#include "coracle/coracle.h"

#include <stdbool.h>

struct log {
    int fd;
    bool json;
};

/* As cor_options.log; @arg is a struct log. Each line is one write, so that lines of several threads, or of several
 * nodes with one log file, do not mix. */
void log_event(void *arg, enum cor_log_level level, const char *room, const char *event,
               const char *fields_logfmt, const char *fields_json);

#endif
