/*
 * help.c - the tables of commands and options, for people: as a screen of text and as a manual page.
 */
#include "cli/command.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define COLUMN 26 /* where the second column begins */

static const char exit_codes[] =
    "0  done\n"
    "1  the answer is no: no such key, the condition did not hold, damage was found\n"
    "2  the command line, the environment or the configuration file is wrong\n"
    "3  not done; once the cause is gone, retrying is safe\n"
    "5  outcome unknown: a write that may or may not have been done\n"
    "6  a node that ran had to stop; its last line of log says why\n";

void help_overview(void)
{
    (void)printf("coracle - a replicated key-value store\n\n");
    const struct command *c;
    for (size_t i = 0; (c = commands_at(i)) != NULL; i++) {
        (void)printf("  %-*s%s\n", COLUMN - 2, c->name, c->summary);
    }
    (void)printf("\n"
                 "  %-*s%s\n"
                 "  %-*s%s\n"
                 "\n"
                 "coracle serve            one durable node in ./coracle.data, on loopback\n"
                 "coracle put foo bar; coracle get foo; coracle watch --prefix /\n",
                 COLUMN - 2, "help COMMAND", "what a command does, and its flags", COLUMN - 2,
                 "version", "which version this is");
}

static void print_option(const struct option *o)
{
    char left[64];
    int n = o->value == NULL ? snprintf(left, sizeof left, "--%s", o->name)
                             : snprintf(left, sizeof left, "--%s %s", o->name, o->value);
    if (n < COLUMN - 3) {
        (void)printf("  %-*s", COLUMN - 2, left);
    } else {
        (void)printf("  %s\n%*s", left, COLUMN, "");
    }
    /* Help of several lines keeps its column. */
    for (const char *at = o->help; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        (void)printf("%.*s", (int)len, at);
        at += len;
        if (*at == '\n') {
            (void)printf("\n%*s", COLUMN, "");
            at++;
        }
    }
    if (o->initial != NULL) {
        (void)printf(" [%s]", o->initial);
    }
    (void)printf("\n");
}

/* Where else a flag may be set: for `serve` almost all of them, for the others few enough to name. */
static void print_elsewhere(const struct command *c)
{
    if (c == &command_serve) {
        (void)printf(
            "\nA flag --some-name that is not given is looked for as CORACLE_SOME_NAME in the\n"
            "environment, then as some-name = VALUE in the file of --config.\n");
        return;
    }
    const struct option *o;
    unsigned n = 0;
    for (size_t i = 0; (o = options_at(&c->options, i)) != NULL; i++) {
        char variable[64];
        options_environment_name(o->name, variable, sizeof variable);
        if (o->configurable) {
            (void)printf("%s%s", n++ == 0 ? "\nAlso in the environment: " : ", ", variable);
        }
    }
    (void)printf("%s", n > 0 ? ".\n" : "");
}

void help_command(const struct command *c)
{
    bool flags = options_at(&c->options, 0) != NULL;
    (void)printf("coracle %s - %s\n\n", c->name, c->summary);
    (void)printf("  coracle %s%s%s%s\n\n", c->name, flags ? " [flags]" : "",
                 c->arguments[0] != '\0' ? " " : "", c->arguments);
    const struct option *o;
    for (size_t i = 0; (o = options_at(&c->options, i)) != NULL; i++) {
        print_option(o);
    }
    (void)printf("%s%s", flags ? "\n" : "", c->details);
    print_elsewhere(c);
}

/* ---- the manual page ------------------------------------------------------------------------------- */

/* Text between roff's teeth: backslashes and dashes escaped, no line may begin with a dot or a quote. */
static void roff(const char *text)
{
    bool line_begins = true;
    for (; *text != '\0'; text++) {
        if (line_begins && (*text == '.' || *text == '\'')) {
            (void)printf("\\&");
        }
        if (*text == '\\') {
            (void)printf("\\e");
        } else if (*text == '-') {
            (void)printf("\\-");
        } else {
            (void)putchar(*text);
        }
        line_begins = *text == '\n';
    }
}

static void roff_option(const struct option *o)
{
    (void)printf(".TP\n.B \\-\\-");
    roff(o->name);
    if (o->value != NULL) {
        (void)printf(" \\fI");
        roff(o->value);
        (void)printf("\\fR");
    }
    (void)printf("\n");
    roff(o->help);
    if (o->initial != NULL) {
        (void)printf(" (default: ");
        roff(o->initial);
        (void)printf(")");
    }
    if (o->configurable) {
        char variable[64];
        options_environment_name(o->name, variable, sizeof variable);
        (void)printf(".\nAlso\n.B %s\nin the environment", variable);
    }
    (void)printf(".\n");
}

static void roff_command(const struct command *c)
{
    (void)printf(".SS coracle %s \\fI", c->name);
    roff(c->arguments);
    (void)printf("\\fR\n");
    roff(c->summary);
    (void)printf(".\n.PP\n.nf\n");
    roff(c->details);
    (void)printf(".fi\n");
    const struct option *o;
    for (size_t i = 0; (o = options_at(&c->options, i)) != NULL; i++) {
        roff_option(o);
    }
}

void help_manual(void)
{
    (void)printf(".TH CORACLE 1 \"\" \"coracle " CORACLE_VERSION "\" \"User commands\"\n"
                 ".SH NAME\ncoracle \\- a replicated key\\-value store\n"
                 ".SH SYNOPSIS\n.B coracle\n.I command\n.RI [ flags ]\n.RI [ arguments ]\n"
                 ".SH DESCRIPTION\n"
                 "One binary is the server, the client and the tools. A flag wins over the "
                 "environment, which wins over\nthe file of\n.BR \\-\\-config .\n"
                 ".SH COMMANDS\n");
    const struct command *c;
    for (size_t i = 0; (c = commands_at(i)) != NULL; i++) {
        roff_command(c);
    }
    (void)printf(".SH EXIT STATUS\n.nf\n");
    roff(exit_codes);
    (void)printf(".fi\n");
}
