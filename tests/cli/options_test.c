/*
 * The reader of flags, environment and file: who wins, what is refused, and with which words.
 */
#include "cli/options.h"

#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

struct values {
    const char *name;
    struct option_list list;
    struct option_span span;
    struct option_history history;
    uint64_t number, duration, size, choice;
    bool on;
};

static const struct option own[] = {
    {"name", "NAME", "none", "", OPTION_TEXT, true, offsetof(struct values, name), 0, 0, NULL},
    {"data-list", "A,B", NULL, "", OPTION_LIST, true, offsetof(struct values, list), 0, 0,
     NULL},
    {"span", "A-B", NULL, "", OPTION_SPAN, true, offsetof(struct values, span), 0, 0, NULL},
    {"history", "H", NULL, "", OPTION_HISTORY, true, offsetof(struct values, history), 0, 0,
     NULL},
    {"number", "N", "7", "", OPTION_NUMBER, true, offsetof(struct values, number), 2, 9, NULL},
    {"duration", "D", NULL, "", OPTION_DURATION, true, offsetof(struct values, duration), 0, 0,
     NULL},
};

static const struct option shared[] = {
    {"size", "S", NULL, "", OPTION_SIZE, true, offsetof(struct values, size), 0, 0, NULL},
    {"choice", "C", "red", "", OPTION_CHOICE, true, offsetof(struct values, choice), 0, 0,
     "red|green|blue"},
    {"on", NULL, NULL, "", OPTION_SWITCH, true, offsetof(struct values, on), 0, 0, NULL},
    {"flag-only", "X", NULL, "", OPTION_NUMBER, false, offsetof(struct values, duration), 0, 0,
     NULL},
};

static const struct option_table table = {own, shared, ARRAY_LEN(own), ARRAY_LEN(shared)};

/* One run: arguments, environment and file; and what came of it. */
static struct run {
    const char *flags[12], *environment[8], *file;
    struct values values;
    struct options_arguments arguments;
    struct cor_error err;
    unsigned char memory[OPTIONS_MEMORY];
} r;

static enum cor_status parse(const char *file)
{
    size_t n = 0;
    while (r.flags[n] != NULL) {
        n++;
    }
    const struct options_input in = {
        .flags = r.flags,
        .n_flags = n,
        .environment = r.environment,
        .file = {(const unsigned char *)file, file == NULL ? 0 : strlen(file)},
        .file_name = file == NULL ? NULL : "conf"};
    struct arena arena;
    arena_init(&arena, r.memory, sizeof r.memory);
    memset(&r.values, 0, sizeof r.values);
    return options_parse(&table, &in, &arena, &r.values, &r.arguments, &r.err);
}

static void set_flags(const char *a, const char *b, const char *c)
{
    memset(r.flags, 0, sizeof r.flags);
    memset(r.environment, 0, sizeof r.environment);
    r.flags[0] = a;
    r.flags[1] = b;
    r.flags[2] = c;
}

static void a_flag_beats_the_environment_beats_the_file_beats_the_default(void)
{
    static const char file[] = "name = from-file\nnumber=3\n";
    set_flags("--name", "from-flag", NULL);
    r.environment[0] = "CORACLE_NAME=from-environment";
    REQUIRE(parse(file) == COR_OK);
    CHECK(strcmp(r.values.name, "from-flag") == 0);
    CHECK_EQ(r.values.number, 3);

    set_flags(NULL, NULL, NULL);
    r.environment[0] = "CORACLE_NAME=from-environment";
    REQUIRE(parse(file) == COR_OK);
    CHECK(strcmp(r.values.name, "from-environment") == 0);

    set_flags(NULL, NULL, NULL);
    r.environment[0] = "CORACLE_NAME="; /* empty is not set */
    REQUIRE(parse(file) == COR_OK);
    CHECK(strcmp(r.values.name, "from-file") == 0);

    set_flags(NULL, NULL, NULL);
    REQUIRE(parse(NULL) == COR_OK);
    CHECK(strcmp(r.values.name, "none") == 0);
    CHECK_EQ(r.values.number, 7);
    CHECK_EQ(r.values.choice, 0);
}

static void every_type_is_read(void)
{
    set_flags("--data-list= a, b,c", "--span=250ms-1m30s", "--history=10m,64MiB");
    r.flags[3] = "--duration=1h1m1s1ms1us1ns";
    r.flags[4] = "--size=2GiB";
    r.flags[5] = "--choice=blue";
    r.flags[6] = "--on";
    r.flags[7] = "--data-list";
    r.flags[8] = "d";
    REQUIRE(parse(NULL) == COR_OK);
    CHECK_EQ(r.values.list.n, 4);
    CHECK(strcmp(r.values.list.items[0], "a") == 0 && strcmp(r.values.list.items[3], "d") == 0);
    CHECK_EQ(r.values.span.min, 250000000);
    CHECK_EQ(r.values.span.max, UINT64_C(90000000000));
    CHECK_EQ(r.values.history.ns, UINT64_C(600000000000));
    CHECK_EQ(r.values.history.bytes, 64u << 20);
    CHECK_EQ(r.values.duration, UINT64_C(3661001001001));
    CHECK_EQ(r.values.size, UINT64_C(2) << 30);
    CHECK_EQ(r.values.choice, 2);
    CHECK(r.values.on);

    set_flags("--history", "off", "--on=false");
    REQUIRE(parse(NULL) == COR_OK);
    CHECK_EQ(r.values.history.ns, UINT64_MAX);
    CHECK(!r.values.on);
}

static void arguments_stand_anywhere_and_after_two_dashes_are_anything(void)
{
    set_flags("key", "--on", "-");
    r.flags[3] = "--";
    r.flags[4] = "--name";
    r.flags[5] = "-x";
    REQUIRE(parse(NULL) == COR_OK);
    REQUIRE(r.arguments.n == 4);
    CHECK(strcmp(r.arguments.items[0], "key") == 0);
    CHECK(strcmp(r.arguments.items[1], "-") == 0);
    CHECK(strcmp(r.arguments.items[2], "--name") == 0);
    CHECK(strcmp(r.arguments.items[3], "-x") == 0);
}

static void what_is_wrong_is_refused_with_words_that_help(void)
{
    static const struct {
        const char *name, *flag, *next, *environment, *file, *text;
    } rows[] = {
        {"a letter wrong", "--nmae", "x", NULL, NULL,
         "--nmae: no such flag; did you mean --name?"},
        {"only the beginning", "--data", "x", NULL, NULL,
         "--data: no such flag; did you mean --data-list?"},
        {"nothing like it", "--frobnicate", "x", NULL, NULL, "--frobnicate: no such flag"},
        {"one dash", "-name", "x", NULL, NULL,
         "-name: no such flag; flags begin with two dashes, and what begins with one comes "
         "after --"},
        {"no value", "--name", NULL, NULL, NULL, "--name needs a value: --name NAME"},
        {"a flag for a value", "--name", "--on", NULL, NULL,
         "--name needs a value: --name NAME"},
        {"an empty value", "--name=", NULL, NULL, NULL, "--name: '' is not a value"},
        {"not a number", "--number", "7x", NULL, NULL, "--number: '7x' is not a number"},
        {"too large a number", "--number", "10", NULL, NULL, "--number: '10' is too large"},
        {"too small a number", "--number", "1", NULL, NULL, "--number: '1' is too small"},
        {"past 64 bits", "--number", "18446744073709551616", NULL, NULL,
         "--number: '18446744073709551616' is not a number"},
        {"no unit", "--duration", "30", NULL, NULL,
         "--duration: '30' is not a duration, as in 250ms, 30s or 10m"},
        {"a duration past 64 bits", "--duration", "300000000h", NULL, NULL,
         "--duration: '300000000h' is not a duration, as in 250ms, 30s or 10m"},
        {"not a size", "--size", "1Mib", NULL, NULL,
         "--size: '1Mib' is not a size, as in 512, 64KiB or 2GiB"},
        {"not a choice", "--choice", "yellow", NULL, NULL,
         "--choice: 'yellow' is not one of red|green|blue"},
        {"part of a choice", "--choice", "re", NULL, NULL,
         "--choice: 're' is not one of red|green|blue"},
        {"neither true nor false", "--on=maybe", NULL, NULL, NULL,
         "--on: 'maybe' is not true or false"},
        {"a span backwards", "--span", "2s-1s", NULL, NULL,
         "--span: '2s-1s' is not two durations, the smaller first, as in 250ms-500ms"},
        {"an empty item", "--data-list", "a,,b", NULL, NULL,
         "--data-list: 'a,,b' is not a list: an item between commas is empty"},
        {"in the environment", NULL, NULL, "CORACLE_NUMBER=many", NULL,
         "CORACLE_NUMBER: 'many' is not a number"},
        {"in the file", NULL, NULL, NULL, "# first\n\nnumber = many\n",
         "conf:3: number: 'many' is not a number"},
        {"unknown in the file", NULL, NULL, NULL, "numbr = 3\n",
         "conf:1: numbr: no such option; did you mean number?"},
        {"not for the file", NULL, NULL, NULL, "flag-only = 3\n",
         "conf:1: flag-only: no such option"},
        {"twice in the file", NULL, NULL, NULL, "number = 3\nname = n\nnumber = 3\n",
         "conf:3: number is in line 1 already"},
        {"no equals sign", NULL, NULL, NULL, "number 3\n",
         "conf:1: a line is NAME = VALUE, or begins with #"},
        {"no name", NULL, NULL, NULL, "= 3\n",
         "conf:1: a line is NAME = VALUE, or begins with #"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        set_flags(rows[i].flag, rows[i].next, NULL);
        r.environment[0] = rows[i].environment;
        CHECK_EQ(parse(rows[i].file), COR_EINVAL);
        CHECK_BYTES(
            ((struct cor_bytes){(const unsigned char *)r.err.text, strlen(r.err.text)}),
            ((struct cor_bytes){(const unsigned char *)rows[i].text, strlen(rows[i].text)}));
    }
}

static void a_file_may_have_blanks_comments_quotes_and_no_last_newline(void)
{
    set_flags(NULL, NULL, NULL);
    REQUIRE(parse("\r\n  # c\r\n\t name\t=  \" a = b \" \r\nnumber=4") == COR_OK);
    CHECK(strcmp(r.values.name, " a = b ") == 0);
    CHECK_EQ(r.values.number, 4);
}

static void a_list_ends_at_its_limit(void)
{
    set_flags("--data-list", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", NULL);
    REQUIRE(parse(NULL) == COR_OK);
    CHECK_EQ(r.values.list.n, OPTIONS_LIST_MAX);
    set_flags("--data-list", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", NULL);
    CHECK_EQ(parse(NULL), COR_EINVAL);
}

static void a_file_over_its_limit_is_refused(void)
{
    char *file = malloc(OPTIONS_FILE_MAX + 2);
    REQUIRE(file != NULL);
    memset(file, '\n', OPTIONS_FILE_MAX + 1);
    file[OPTIONS_FILE_MAX] = '\0';
    set_flags(NULL, NULL, NULL);
    CHECK_EQ(parse(file), COR_OK);
    file[OPTIONS_FILE_MAX] = '\n';
    file[OPTIONS_FILE_MAX + 1] = '\0';
    CHECK_EQ(parse(file), COR_EINVAL);
    free(file);
}

static void the_name_of_the_file_is_known_before_the_rest(void)
{
    const struct options_input flags = {
        .flags =
            (const char *const[]){"--on", "--config=a", "--config", "b", "--", "--config=c"},
        .n_flags = 6};
    CHECK(strcmp(options_peek(&flags, "config"), "b") == 0);
    const struct options_input environment = {
        .environment = (const char *const[]){"CORACLE_CONFIGS=x", "CORACLE_CONFIG=d", NULL}};
    CHECK(strcmp(options_peek(&environment, "config"), "d") == 0);
    const struct options_input none = {0};
    CHECK(options_peek(&none, "config") == NULL);
}

TEST_MAIN(TEST(a_flag_beats_the_environment_beats_the_file_beats_the_default),
          TEST(every_type_is_read),
          TEST(arguments_stand_anywhere_and_after_two_dashes_are_anything),
          TEST(what_is_wrong_is_refused_with_words_that_help),
          TEST(a_file_may_have_blanks_comments_quotes_and_no_last_newline),
          TEST(a_list_ends_at_its_limit), TEST(a_file_over_its_limit_is_refused),
          TEST(the_name_of_the_file_is_known_before_the_rest))
