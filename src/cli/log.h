/*
 * log.h - the node's log on stderr: one line per event, logfmt on a terminal, JSON for programs.
 */
#ifndef CLI_LOG_H
#define CLI_LOG_H

#include "coracle/coracle.h"

#include <stdatomic.h>
#include <stdbool.h>

struct log {
    int fd;
    bool json;
    atomic_uint dropped; /* lines, since nobody reads */
};

/*
 * As cor_options.log; @arg is a struct log. Each line is one write of at most PIPE_BUF bytes, so that lines of several
 * threads, or of several nodes with one log file, do not mix. If it would block, because whoever reads the log has
 * stopped to, the line is dropped and counted: a log must not stop a node.
 */
void log_event(void *arg, enum cor_log_level level, const char *room, const char *event,
               const char *fields_logfmt, const char *fields_json);

#endif
