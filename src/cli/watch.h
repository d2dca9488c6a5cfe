/*
 * watch.h - what the two halves of `coracle watch` share: streams of changes (watch.c), and blocking queries of
 * Consul's kinds (watch_kind.c).
 */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include "cli/client.h"
#include "cli/command.h"

enum watch_kind {
    WATCH_STREAM = 0,
    WATCH_KEY,
    WATCH_KEYPREFIX,
    WATCH_SERVICE,
    WATCH_SERVICES,
    WATCH_NODES,
    WATCH_CHECKS,
};
#define WATCH_KINDS "stream|key|keyprefix|service|services|nodes|checks"

struct watch_values {
    struct client_values client;
    bool prefix;
    uint64_t start_revision;
    uint64_t kind; /* enum watch_kind */
    struct option_list tags;
    const char *service, *state;
    bool passing, stale;
};

#define WATCH_PAUSE_MS_MIN 25u  /* between two connections... */
#define WATCH_PAUSE_MS_MAX 800u /* ...when nobody can be reached */
void watch_pause(unsigned ms);

/* Every kind but WATCH_STREAM. */
enum exit_code watch_kind_run(const struct invocation *i);

#endif
