/*
 * docs/cli.md says what the tables of commands and options say: every flag, with its value and default, under its
 * command; and no other.
 */
#include "cli/command.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOC_MAX 65536u

/* The document with a zero byte at its end; NULL: it cannot be read. */
static char *read_document(void)
{
    char *text = calloc(1, DOC_MAX);
    FILE *f = text == NULL ? NULL : fopen("docs/cli.md", "r");
    if (f == NULL) {
        free(text);
        return NULL;
    }
    size_t n = fread(text, 1, DOC_MAX - 1, f);
    (void)fclose(f);
    text[n] = '\0';
    return text;
}

/* A copy of the section of @c; NULL: there is none. */
static char *copy_section(const char *document, const struct command *c)
{
    char heading[64];
    (void)snprintf(heading, sizeof heading, "\n## coracle %s\n", c->name);
    const char *begin = strstr(document, heading);
    if (begin == NULL) {
        return NULL;
    }
    const char *end = strstr(begin + 1, "\n## ");
    return strndup(begin, end == NULL ? strlen(begin) : (size_t)(end - begin));
}

static bool has_row(const char *text, const struct option *o)
{
    char row[160];
    (void)snprintf(row, sizeof row, "\n| `--%s%s%s` | %s%s%s| ", o->name,
                   o->value == NULL ? "" : " ", o->value == NULL ? "" : o->value,
                   o->initial == NULL ? "" : "`", o->initial == NULL ? "" : o->initial,
                   o->initial == NULL ? "" : "` ");
    return strstr(text, row) != NULL;
}

static void every_flag_is_documented_with_its_default(void)
{
    char *document = read_document();
    REQUIRE(document != NULL);
    const struct command *c;
    for (size_t i = 0; (c = commands_at(i)) != NULL; i++) {
        char *section = copy_section(document, c);
        ROW("%s", c->name);
        REQUIRE(section != NULL);
        const struct option *o;
        for (size_t k = 0; (o = options_at(&c->options, k)) != NULL; k++) {
            ROW("%s --%s", c->name, o->name);
            bool is_shared = k >= c->options.n_own;
            CHECK(has_row(is_shared ? document : section, o));
        }
        free(section);
    }
    free(document);
}

static void no_other_flag_is_documented(void)
{
    char *document = read_document();
    REQUIRE(document != NULL);
    const struct command *c;
    for (size_t i = 0; (c = commands_at(i)) != NULL; i++) {
        char *section = copy_section(document, c);
        REQUIRE(section != NULL);
        for (const char *at = section; (at = strstr(at, "\n| `--")) != NULL; at++) {
            const char *name = at + strlen("\n| `--");
            size_t len = strcspn(name, " `");
            ROW("%s --%.*s", c->name, (int)len, name);
            bool known = false;
            const struct option *o;
            for (size_t k = 0; (o = options_at(&c->options, k)) != NULL; k++) {
                known = known || (strlen(o->name) == len && memcmp(o->name, name, len) == 0);
            }
            CHECK(known);
        }
        free(section);
    }
    free(document);
}

/* What the help promises must be reached by the parser: each default is a value of its own type. */
static void every_default_is_accepted(void)
{
    const struct command *c;
    for (size_t i = 0; (c = commands_at(i)) != NULL; i++) {
        ROW("%s", c->name);
        struct arena arena;
        struct options_arguments arguments;
        struct cor_error err = {0};
        const struct options_input in = {0};
        void *memory = malloc(OPTIONS_MEMORY), *values = calloc(1, c->values_size);
        REQUIRE(memory != NULL && values != NULL);
        arena_init(&arena, memory, OPTIONS_MEMORY);
        CHECK_EQ(options_parse(&c->options, &in, &arena, values, &arguments, &err), COR_OK);
        free(values);
        free(memory);
    }
}

/* A line of help is at most 90 columns wide, so that it stays one line. */
static void help_fits_a_terminal(void)
{
    const struct command *c;
    for (size_t i = 0; (c = commands_at(i)) != NULL; i++) {
        const struct option *o;
        for (const char *at = c->details; *at != '\0'; at += strcspn(at, "\n") + 1) {
            ROW("%s: %.20s", c->name, at);
            CHECK(strcspn(at, "\n") <= 90);
        }
        for (size_t k = 0; (o = options_at(&c->options, k)) != NULL; k++) {
            for (const char *at = o->help; *at != '\0';) {
                size_t len = strcspn(at, "\n");
                ROW("%s --%s", c->name, o->name);
                CHECK(len <= 64);
                at += len + (at[len] == '\n');
            }
        }
    }
}

TEST_MAIN(TEST(every_flag_is_documented_with_its_default), TEST(no_other_flag_is_documented),
          TEST(every_default_is_accepted), TEST(help_fits_a_terminal))
