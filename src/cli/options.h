/*
 * options.h - one table per command: it reads flags, environment and file, and is what the help says.
 *
 * Place in the system: each command (command.h) has a table of options that says where in its struct of values
 * an option goes, of which type it is, and what it is for. options_parse() fills the struct; help.c prints the same
 * table for people and as a manual page; tests/cli/docs_test.c holds docs/cli.md against it.
 *
 * Precedence: flag, then environment (CORACLE_NAME), then the file of --config, then the default. An unknown flag or
 * a line of the file that is not understood is an error, never ignored. Unknown CORACLE_* variables are ignored:
 * container platforms make up such names for a service called "coracle".
 *
 * Pure: the environment and the file's bytes are arguments.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "base/arena.h"
#include "base/attr.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPTIONS_MAX      40u /* of one command */
#define OPTIONS_LIST_MAX 16u /* items of one list */
#define OPTIONS_FILE_MAX 65536u
#define OPTIONS_MEMORY   262144u /* for copies of lists and of the file's lines */

enum option_type {
    OPTION_SWITCH = 1, /* bool */
    OPTION_TEXT,       /* const char * */
    OPTION_LIST,       /* struct option_list: separated by commas; a repeated flag adds to it */
    OPTION_NUMBER,     /* uint64_t */
    OPTION_DURATION,   /* uint64_t, ns: 250ms, 30s, 1h30m */
    OPTION_SIZE,       /* uint64_t, bytes: 512, 64MiB */
    OPTION_CHOICE,     /* uint64_t: the place in choices */
    OPTION_SPAN,       /* struct option_span: two durations, 250ms-500ms */
    OPTION_HISTORY,    /* struct option_history: 10m or 10m,64MiB or off */
};

struct option_list {
    const char *items[OPTIONS_LIST_MAX];
    size_t n;
};

struct option_span {
    uint64_t min, max; /* ns */
};

struct option_history {
    uint64_t ns, bytes; /* off: UINT64_MAX both; bytes not given: 0 */
};

struct option {
    const char *name;  /* "data-dir" */
    const char *value; /* what the help calls its value; NULL: a switch */
    const char
        *initial; /* the default as one would type it; NULL: none, the field stays zero */
    const char *help;
    enum option_type type;
    bool configurable; /* also from environment and file */
    size_t offset;     /* of its field in the values */
    uint64_t min, max; /* of numbers, durations and sizes; max 0: none */
    const char *choices;
};

/* Two tables, because several commands share one (those of a client). */
struct option_table {
    const struct option *own, *shared;
    size_t n_own, n_shared;
};

/* The @i-th option; NULL past the last. */
const struct option *options_at(const struct option_table *t, size_t i);

/* What to read from. */
struct options_input {
    const char *const *flags; /* the arguments after the command's name */
    size_t n_flags;
    const char *const *environment; /* "NAME=value", ended by NULL; may be NULL */
    struct cor_bytes file;          /* content of the file of --config */
    const char *file_name;          /* for messages; NULL: there is none */
};

struct options_arguments {
    const char **items; /* what is neither flag nor value of one */
    size_t n;
};

/*
 * Fill @values, which is all zeros, from @in. Text points into @in or is taken from @memory. COR_EINVAL: @err says
 * what is wrong and, where a name was close to a known one, which was meant.
 */
MUST_USE enum cor_status options_parse(const struct option_table *t,
                                       const struct options_input *in, struct arena *memory,
                                       void *values, struct options_arguments *arguments,
                                       struct cor_error *err);

/* The value of the option @name as flag or environment have it, before the file is known; NULL: neither has it. */
const char *options_peek(const struct options_input *in, const char *name);

/* Lines "name = value"; empty ones and those that begin with '#' say nothing. @each returns other than COR_OK to
 * stop. COR_EINVAL: @err says in which line and why. */
MUST_USE enum cor_status options_file_walk(
    struct cor_bytes file, const char *file_name, struct arena *memory,
    enum cor_status (*each)(void *arg, unsigned line, const char *name, const char *value),
    void *arg, struct cor_error *err);

/* ---- values ---------------------------------------------------------------------------------------- */

/* False: not one, or too large. Untouched then. */
MUST_USE bool parse_number(const char *text, uint64_t *out);
MUST_USE bool parse_duration(const char *text, uint64_t *out); /* ns */
MUST_USE bool parse_size(const char *text, uint64_t *out);     /* bytes */

/* Of the names offered, the one that @wanted was likely meant to be; best is NULL while none is close. */
struct suggestion {
    const char *wanted, *best;
    size_t distance;
};
void suggestion_offer(struct suggestion *s, const char *name);

/* "data-dir" as "CORACLE_DATA_DIR". */
void options_environment_name(const char *name, char *out, size_t size);

#endif
