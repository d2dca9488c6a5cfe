/*
 * command.h - what a command of the binary is: a name, a table of options, a function.
 *
 * Place in the system: main.c finds the command, reads its options (options.h) and runs it. Every command is one
 * const struct in its own file; commands.c lists them in the order of the help.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "base/attr.h"
#include "cli/options.h"

#include <stddef.h>

/* Stable: scripts rely on them. docs/cli.md explains them. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_NO =
        1, /* the answer is no: no such key, the condition did not hold, damage was found */
    EXIT_USAGE = 2,  /* the command line, the environment or the file is wrong */
    EXIT_FAILED = 3, /* not done; after correcting the cause, retrying is safe */
    EXIT_UNKNOWN =
        5, /* a write that may or may not have been done. (4 is kept for "not permitted".) */
    EXIT_STOPPED = 6, /* a node that ran had to stop; the last line of its log says why */
};

struct command;

struct invocation {
    const struct command *command;
    void *values; /* the command's own struct, filled from its table */
    struct options_arguments arguments;
};

struct command {
    const char *name;      /* one word or two: "put", "log dump" */
    const char *arguments; /* as the help shows them: "KEY VALUE" */
    size_t arguments_min, arguments_max;
    const char *summary; /* one line */
    const char *details; /* paragraphs, then examples; each line at most 80 columns */
    struct option_table options;
    size_t values_size;
    enum exit_code (*run)(const struct invocation *i);
};

extern const struct command command_serve, command_put, command_get, command_del, command_watch,
    command_status, command_session_open, command_session_close, command_log_dump,
    command_inspect, command_verify, command_import_goraft, command_export_goraft,
    command_bench;

/* In the order of the help; NULL past the last. */
const struct command *commands_at(size_t i);

/* "coracle put: TEXT" on stderr. Returns @code. */
enum exit_code command_fail(const struct invocation *i, enum exit_code code, const char *format,
                            ...) PRINTF_LIKE(3);

/* help.c: the overview, one command, or everything as a manual page (roff), on stdout. */
void help_overview(void);
void help_command(const struct command *c);
void help_manual(void);

#endif
