/*
 * main.c - the binary `coracle`: find the command, read its options, run it.
 *
 * Place in the system: the top. Commands are in their own files (command.h);
 * nothing here knows what they do.
 */
#include "cli/command.h"

#include "base/error.h"
#include "base/format.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

extern char **environ;

/* What a run needs until it ends: freed by main. */
struct memory {
    unsigned char *block; /* of OPTIONS_MEMORY bytes */
    unsigned char *file;  /* of OPTIONS_FILE_MAX + 1 */
    void *values;
};

static bool asks_for_help(char **arguments, size_t n)
{
    for (size_t i = 0; i < n && strcmp(arguments[i], "--") != 0; i++) {
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

/* The command whose name is the first one or two of @words; *used is how many.
 * NULL: none. */
static const struct command *find_command(char **words, size_t n, size_t *used)
{
    const struct command *c;
    for (size_t i = 0; (c = commands_at(i)) != NULL; i++) {
        char name[32];
        size_t wanted = strchr(c->name, ' ') == NULL ? 1 : 2;
        if (n < wanted) {
            continue;
        }
        format_to(name, sizeof name, "%s%s%s", words[0], wanted == 2 ? " " : "",
                  wanted == 2 ? words[1] : "");
        if (strcmp(c->name, name) == 0) {
            *used = wanted;
            return c;
        }
    }
    return NULL;
}

static enum exit_code no_such_command(const char *word)
{
    struct suggestion s = {.wanted = word};
    const struct command *c;
    for (size_t i = 0; (c = commands_at(i)) != NULL; i++) {
        suggestion_offer(&s, c->name);
    }
    suggestion_offer(&s, "help");
    suggestion_offer(&s, "version");
    if (s.best != NULL) {
        (void)fprintf(stderr, "coracle: %s: no such command; did you mean %s?\n", word, s.best);
    } else {
        (void)fprintf(stderr, "coracle: %s: no such command; coracle help lists them\n", word);
    }
    return EXIT_USAGE;
}

static enum exit_code help(char **words, size_t n)
{
    size_t used;
    if (n == 0) {
        help_overview();
        return EXIT_OK;
    }
    if (strcmp(words[0], "--man") == 0) {
        help_manual();
        return EXIT_OK;
    }
    const struct command *c = find_command(words, n, &used);
    if (c == NULL) {
        return no_such_command(words[0]);
    }
    help_command(c);
    return EXIT_OK;
}

/* The file of --config, whole. */
static enum cor_status read_config(const char *name, struct memory *m, struct options_input *in,
                                   struct cor_error *err)
{
    FILE *f = fopen(name, "rbe");
    if (f == NULL) {
        return error_set(err, COR_EINVAL, "--config: %s: %s", name, strerror(errno));
    }
    m->file = malloc(OPTIONS_FILE_MAX + 1);
    size_t n = m->file == NULL ? 0 : fread(m->file, 1, OPTIONS_FILE_MAX + 1, f);
    int failed = ferror(f);
    (void)fclose(f);
    if (m->file == NULL || failed != 0) {
        return error_set(err, COR_EINVAL, "--config: %s: cannot be read", name);
    }
    in->file = (struct cor_bytes){m->file, n};
    in->file_name = name;
    return COR_OK;
}

static enum cor_status prepare(struct invocation *i, struct options_input *in, struct memory *m,
                               struct cor_error *err)
{
    const struct command *c = i->command;
    m->block = malloc(OPTIONS_MEMORY);
    m->values = calloc(1, c->values_size);
    if (m->block == NULL || m->values == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    i->values = m->values;
    struct arena arena;
    arena_init(&arena, m->block, OPTIONS_MEMORY);
    const char *config = c == &command_serve ? options_peek(in, "config") : NULL;
    enum cor_status st = config == NULL ? COR_OK : read_config(config, m, in, err);
    if (st == COR_OK) {
        st = options_parse(&c->options, in, &arena, i->values, &i->arguments, err);
    }
    if (st == COR_OK &&
        (i->arguments.n < c->arguments_min || i->arguments.n > c->arguments_max)) {
        st = error_set(err, COR_EINVAL, "%s arguments; usage: coracle %s%s%s",
                       i->arguments.n < c->arguments_min ? "missing" : "too many", c->name,
                       c->arguments[0] != '\0' ? " " : "", c->arguments);
    }
    return st;
}

static enum exit_code run(const struct command *c, char **arguments, size_t n)
{
    struct invocation i = {.command = c};
    struct memory m = {0};
    struct options_input in = {.flags = (const char *const *)arguments,
                               .n_flags = n,
                               .environment = (const char *const *)environ};
    struct cor_error err;
    enum cor_status st = prepare(&i, &in, &m, &err);
    enum exit_code code =
        st == COR_OK ? c->run(&i)
                     : command_fail(&i, EXIT_USAGE, "%s (coracle help %s)", err.text, c->name);
    free(m.values);
    free(m.file);
    free(m.block);
    return code;
}

/* What was printed may still fail to arrive: a full disk behind a redirection,
 * say. */
static enum exit_code flush_output(enum exit_code code)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return code;
    }
    (void)fprintf(stderr, "coracle: the output could not be written: %s\n", strerror(errno));
    return code == EXIT_OK ? EXIT_FAILED : code;
}

static enum exit_code dispatch(char **words, size_t n)
{
    if (n == 0) {
        help_overview();
        return EXIT_USAGE;
    }
    if (strcmp(words[0], "help") == 0) {
        return help(words + 1, n - 1);
    }
    if (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0) {
        return help(NULL, 0);
    }
    if (strcmp(words[0], "version") == 0 || strcmp(words[0], "--version") == 0) {
        (void)printf("coracle " CORACLE_VERSION "\n");
        return EXIT_OK;
    }
    size_t used = 0;
    const struct command *c = find_command(words, n, &used);
    if (c == NULL) {
        return no_such_command(words[0]);
    }
    if (asks_for_help(words + used, n - used)) {
        help_command(c);
        return EXIT_OK;
    }
    return run(c, words + used, n - used);
}

/* A node has a descriptor for each client, a bench one for each connection: as
 * many as the system allows. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    /* One arena for all threads: the store has its own slabs, and an arena per
   * thread costs an idle node more than it ever saves. */
    (void)mallopt(M_ARENA_MAX, 1);
    raise_file_limit();
    size_t n = argc > 0 ? (size_t)argc - 1 : 0;
    return (int)flush_output(dispatch(argv + (argc > 0), n));
}
