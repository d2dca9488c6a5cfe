/*
 * options.c - see options.h.
 *
 * First every option learns the text that counts for it and where that came from (a flag beats the environment,
 * which beats the file, which beats the default); then each text is turned into a value, so that there is one
 * conversion, and its message can name the place to correct.
 */
#include "cli/options.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"

#include <string.h>

#define PLACE_MAX 160u

enum origin {
    FROM_NOWHERE = 0,
    FROM_DEFAULT,
    FROM_FILE,
    FROM_ENVIRONMENT,
    FROM_FLAG,
};

struct setting {
    const char *text;
    enum origin origin;
    unsigned line; /* FROM_FILE */
};

struct parse {
    const struct option_table *table;
    const struct options_input *in;
    struct arena *memory;
    struct cor_error *err;
    struct setting settings[OPTIONS_MAX];
};

const struct option *options_at(const struct option_table *t, size_t i)
{
    if (i < t->n_own) {
        return &t->own[i];
    }
    return i - t->n_own < t->n_shared ? &t->shared[i - t->n_own] : NULL;
}

void options_environment_name(const char *name, char *out, size_t size)
{
    size_t n = format_to(out, size, "CORACLE_%s", name);
    for (size_t i = 0; i < n; i++) {
        if (out[i] == '-') {
            out[i] = '_';
        } else if (out[i] >= 'a' && out[i] <= 'z') {
            out[i] = (char)(out[i] - 'a' + 'A');
        }
    }
}

/* The place of the option called by the first @len bytes of @name, or SIZE_MAX. */
static size_t find(const struct option_table *t, const char *name, size_t len)
{
    const struct option *o;
    for (size_t i = 0; (o = options_at(t, i)) != NULL; i++) {
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

static char *copy_text(struct arena *memory, const char *text, size_t len)
{
    char *copy = arena_alloc(memory, len + 1, 1, 1);
    if (copy != NULL && len > 0) {
        memcpy(copy, text, len);
    }
    return copy;
}

static enum cor_status no_memory(struct cor_error *err)
{
    return error_set(err, COR_ETOOBIG, "the options are longer than %u bytes", OPTIONS_MEMORY);
}

/* ---- flags ----------------------------------------------------------------------------------------- */

static enum cor_status unknown_flag(const struct parse *p, const char *flag, size_t len)
{
    char name[64];
    format_to(name, sizeof name, "%.*s", (int)(len < 63 ? len : 63), flag);
    struct suggestion s = {.wanted = name};
    const struct option *o;
    for (size_t i = 0; (o = options_at(p->table, i)) != NULL; i++) {
        suggestion_offer(&s, o->name);
    }
    suggestion_offer(&s, "help");
    if (s.best != NULL) {
        return error_set(p->err, COR_EINVAL, "--%s: no such flag; did you mean --%s?", name,
                         s.best);
    }
    return error_set(p->err, COR_EINVAL, "--%s: no such flag", name);
}

/* A list's flag may be repeated: its items add up. For anything else the last one counts. */
static enum cor_status set_flag(struct parse *p, size_t i, const char *text)
{
    struct setting *s = &p->settings[i];
    if (s->origin == FROM_FLAG && options_at(p->table, i)->type == OPTION_LIST) {
        size_t old = strlen(s->text), more = strlen(text);
        char *joined = arena_alloc(p->memory, old + 1 + more + 1, 1, 1);
        if (joined == NULL) {
            return no_memory(p->err);
        }
        memcpy(joined, s->text, old);
        joined[old] = ',';
        memcpy(joined + old + 1, text, more);
        text = joined;
    }
    *s = (struct setting){text, FROM_FLAG, 0};
    return COR_OK;
}

/* The flag at flags[*at], and its value, which may be the argument after it. */
static enum cor_status take_flag(struct parse *p, size_t *at)
{
    const char *flag = p->in->flags[*at] + 2;
    size_t len = strcspn(flag, "=");
    size_t i = find(p->table, flag, len);
    if (i == SIZE_MAX) {
        return unknown_flag(p, flag, len);
    }
    const struct option *o = options_at(p->table, i);
    if (flag[len] == '=') {
        return set_flag(p, i, flag + len + 1);
    }
    if (o->type == OPTION_SWITCH) {
        return set_flag(p, i, "true");
    }
    const char *value = *at + 1 < p->in->n_flags ? p->in->flags[*at + 1] : NULL;
    if (value == NULL || strncmp(value, "--", 2) == 0) {
        return error_set(p->err, COR_EINVAL, "--%s needs a value: --%s %s", o->name, o->name,
                         o->value);
    }
    ++*at;
    return set_flag(p, i, value);
}

static enum cor_status read_flags(struct parse *p, struct options_arguments *arguments)
{
    arguments->items = ARENA_NEW(p->memory, const char *, p->in->n_flags + 1);
    if (arguments->items == NULL) {
        return no_memory(p->err);
    }
    arguments->n = 0;
    bool only_arguments = false;
    for (size_t at = 0; at < p->in->n_flags; at++) {
        const char *a = p->in->flags[at];
        if (only_arguments || a[0] != '-' || a[1] == '\0') {
            arguments->items[arguments->n++] = a;
        } else if (a[1] != '-') {
            return error_set(p->err, COR_EINVAL,
                             "%.40s: no such flag; flags begin with two dashes, and what "
                             "begins with one comes after --",
                             a);
        } else if (a[2] == '\0') {
            only_arguments = true;
        } else {
            enum cor_status st = take_flag(p, &at);
            if (st != COR_OK) {
                return st;
            }
        }
    }
    return COR_OK;
}

/* ---- environment ----------------------------------------------------------------------------------- */

/* The value of variable @name; NULL if it is not there, or empty. */
static const char *find_variable(const char *const *environment, const char *name)
{
    size_t len = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        const char *e = *environment;
        if (strncmp(e, name, len) == 0 && e[len] == '=' && e[len + 1] != '\0') {
            return e + len + 1;
        }
    }
    return NULL;
}

static void read_environment(struct parse *p)
{
    const struct option *o;
    for (size_t i = 0; (o = options_at(p->table, i)) != NULL; i++) {
        char name[64];
        options_environment_name(o->name, name, sizeof name);
        const char *text = o->configurable && p->settings[i].origin == FROM_NOWHERE
                               ? find_variable(p->in->environment, name)
                               : NULL;
        if (text != NULL) {
            p->settings[i] = (struct setting){text, FROM_ENVIRONMENT, 0};
        }
    }
}

const char *options_peek(const struct options_input *in, const char *name)
{
    const char *found = NULL;
    size_t len = strlen(name);
    for (size_t i = 0; i < in->n_flags && strcmp(in->flags[i], "--") != 0; i++) {
        const char *a = in->flags[i];
        if (strncmp(a, "--", 2) != 0 || strncmp(a + 2, name, len) != 0) {
            continue;
        }
        if (a[2 + len] == '=') {
            found = a + 2 + len + 1;
        } else if (a[2 + len] == '\0' && i + 1 < in->n_flags) {
            found = in->flags[++i];
        }
    }
    if (found != NULL) {
        return found;
    }
    char variable[64];
    options_environment_name(name, variable, sizeof variable);
    return find_variable(in->environment, variable);
}

/* ---- file ------------------------------------------------------------------------------------------ */

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct cor_bytes trim(struct cor_bytes b)
{
    while (b.len > 0 && is_blank(b.ptr[0])) {
        b.ptr++;
        b.len--;
    }
    while (b.len > 0 && is_blank(b.ptr[b.len - 1])) {
        b.len--;
    }
    return b;
}

/* One line that says something. */
static enum cor_status split_line(struct cor_bytes line, struct arena *memory,
                                  const char **name, const char **value)
{
    const unsigned char *equals = memchr(line.ptr, '=', line.len);
    if (equals == NULL || memchr(line.ptr, '\0', line.len) != NULL) {
        return COR_EINVAL;
    }
    size_t at = (size_t)(equals - line.ptr);
    struct cor_bytes n = trim((struct cor_bytes){line.ptr, at});
    struct cor_bytes v = trim((struct cor_bytes){equals + 1, line.len - at - 1});
    if (v.len >= 2 && v.ptr[0] == '"' && v.ptr[v.len - 1] == '"') {
        v = (struct cor_bytes){v.ptr + 1, v.len - 2};
    }
    if (n.len == 0) {
        return COR_EINVAL;
    }
    *name = copy_text(memory, (const char *)n.ptr, n.len);
    *value = copy_text(memory, (const char *)v.ptr, v.len);
    return *name == NULL || *value == NULL ? COR_ENOMEM : COR_OK;
}

enum cor_status options_file_walk(struct cor_bytes file, const char *file_name,
                                  struct arena *memory,
                                  enum cor_status (*each)(void *arg, unsigned line,
                                                          const char *name, const char *value),
                                  void *arg, struct cor_error *err)
{
    if (file.len > OPTIONS_FILE_MAX) {
        return error_set(err, COR_EINVAL, "%s: longer than %u bytes", file_name,
                         OPTIONS_FILE_MAX);
    }
    size_t at = 0;
    for (unsigned number = 1; at < file.len; number++) {
        const unsigned char *begin = file.ptr + at;
        const unsigned char *end = memchr(begin, '\n', file.len - at);
        size_t len = end == NULL ? file.len - at : (size_t)(end - begin);
        at += len + 1;
        struct cor_bytes line = trim((struct cor_bytes){begin, len});
        if (line.len == 0 || line.ptr[0] == '#') {
            continue;
        }
        const char *name, *value;
        enum cor_status st = split_line(line, memory, &name, &value);
        if (st == COR_ENOMEM) {
            return no_memory(err);
        }
        if (st != COR_OK) {
            return error_set(err, COR_EINVAL, "%s:%u: a line is NAME = VALUE, or begins with #",
                             file_name, number);
        }
        st = each(arg, number, name, value);
        if (st != COR_OK) {
            return st;
        }
    }
    return COR_OK;
}

static enum cor_status unknown_name(const struct parse *p, unsigned line, const char *name)
{
    struct suggestion s = {.wanted = name};
    const struct option *o;
    for (size_t i = 0; (o = options_at(p->table, i)) != NULL; i++) {
        if (o->configurable) {
            suggestion_offer(&s, o->name);
        }
    }
    if (s.best != NULL) {
        return error_set(p->err, COR_EINVAL, "%s:%u: %.40s: no such option; did you mean %s?",
                         p->in->file_name, line, name, s.best);
    }
    return error_set(p->err, COR_EINVAL, "%s:%u: %.40s: no such option", p->in->file_name, line,
                     name);
}

static enum cor_status on_line(void *arg, unsigned line, const char *name, const char *value)
{
    struct parse *p = arg;
    size_t i = find(p->table, name, strlen(name));
    if (i == SIZE_MAX || !options_at(p->table, i)->configurable) {
        return unknown_name(p, line, name);
    }
    struct setting *s = &p->settings[i];
    if (s->origin == FROM_FILE) {
        return error_set(p->err, COR_EINVAL, "%s:%u: %s is in line %u already",
                         p->in->file_name, line, name, s->line);
    }
    if (s->origin == FROM_NOWHERE) {
        *s = (struct setting){value, FROM_FILE, line};
    }
    return COR_OK;
}

/* ---- values ---------------------------------------------------------------------------------------- */

/* Where the text of setting @i stands, as the reader would look for it. */
static void name_place(const struct parse *p, size_t i, char *out)
{
    const struct option *o = options_at(p->table, i);
    const struct setting *s = &p->settings[i];
    if (s->origin == FROM_ENVIRONMENT) {
        options_environment_name(o->name, out, PLACE_MAX);
    } else if (s->origin == FROM_FILE) {
        format_to(out, PLACE_MAX, "%.100s:%u: %s", p->in->file_name, s->line, o->name);
    } else {
        format_to(out, PLACE_MAX, "--%s", o->name);
    }
}

/* @wanted completes "... is not". */
static enum cor_status refuse(const struct parse *p, size_t i, const char *wanted)
{
    char place[PLACE_MAX];
    name_place(p, i, place);
    return error_set(p->err, COR_EINVAL, "%s: '%.60s' is not %s", place, p->settings[i].text,
                     wanted);
}

static enum cor_status convert_list(struct parse *p, size_t i, struct option_list *out)
{
    const char *text = p->settings[i].text;
    for (;;) {
        size_t len = strcspn(text, ",");
        struct cor_bytes item = trim((struct cor_bytes){(const unsigned char *)text, len});
        if (item.len == 0) {
            return refuse(p, i, "a list: an item between commas is empty");
        }
        if (out->n == OPTIONS_LIST_MAX) {
            return refuse(p, i, "a list of at most 16 items");
        }
        out->items[out->n] = copy_text(p->memory, (const char *)item.ptr, item.len);
        if (out->items[out->n++] == NULL) {
            return no_memory(p->err);
        }
        if (text[len] == '\0') {
            return COR_OK;
        }
        text += len + 1;
    }
}

static enum cor_status convert_choice(struct parse *p, size_t i, uint64_t *out)
{
    const char *text = p->settings[i].text, *choices = options_at(p->table, i)->choices;
    const char *at = choices;
    for (uint64_t place = 0;; place++) {
        size_t len = strcspn(at, "|");
        if (strlen(text) == len && memcmp(at, text, len) == 0) {
            *out = place;
            return COR_OK;
        }
        if (at[len] == '\0') {
            break;
        }
        at += len + 1;
    }
    char wanted[96];
    format_to(wanted, sizeof wanted, "one of %s", choices);
    return refuse(p, i, wanted);
}

/* "A,B" or "A-B": the text before @separator to @first, and what follows it. NULL: there is none. */
static const char *split_at(const char *text, char separator, char *first, size_t size)
{
    const char *at = strchr(text, separator);
    if (at == NULL || (size_t)(at - text) >= size) {
        return NULL;
    }
    format_to(first, size, "%.*s", (int)(at - text), text);
    return at + 1;
}

static enum cor_status convert_pair(struct parse *p, size_t i, void *field)
{
    const char *text = p->settings[i].text;
    char first[32];
    if (options_at(p->table, i)->type == OPTION_SPAN) {
        struct option_span *span = field;
        const char *second = split_at(text, '-', first, sizeof first);
        if (second == NULL || !parse_duration(first, &span->min) ||
            !parse_duration(second, &span->max) || span->min == 0 || span->min >= span->max) {
            return refuse(p, i, "two durations, the smaller first, as in 250ms-500ms");
        }
        return COR_OK;
    }
    struct option_history *history = field;
    if (strcmp(text, "off") == 0) {
        *history = (struct option_history){UINT64_MAX, UINT64_MAX};
        return COR_OK;
    }
    const char *second = split_at(text, ',', first, sizeof first);
    bool ok = second == NULL ? parse_duration(text, &history->ns)
                             : parse_duration(first, &history->ns) &&
                                   parse_size(second, &history->bytes) && history->bytes != 0;
    return ok && history->ns != 0 ? COR_OK
                                  : refuse(p, i, "TIME or TIME,BYTES, as in 10m,64MiB, or off");
}

static enum cor_status convert_number(struct parse *p, size_t i, uint64_t *out)
{
    const struct option *o = options_at(p->table, i);
    const char *text = p->settings[i].text;
    if (o->type == OPTION_NUMBER && !parse_number(text, out)) {
        return refuse(p, i, "a number");
    }
    if (o->type == OPTION_DURATION && !parse_duration(text, out)) {
        return refuse(p, i, "a duration, as in 250ms, 30s or 10m");
    }
    if (o->type == OPTION_SIZE && !parse_size(text, out)) {
        return refuse(p, i, "a size, as in 512, 64KiB or 2GiB");
    }
    if (*out < o->min || (o->max != 0 && *out > o->max)) {
        char place[PLACE_MAX];
        name_place(p, i, place);
        return error_set(p->err, COR_EINVAL, "%s: '%.40s' is too %s", place, text,
                         *out < o->min ? "small" : "large");
    }
    return COR_OK;
}

static enum cor_status convert(struct parse *p, size_t i, unsigned char *values)
{
    const struct option *o = options_at(p->table, i);
    const char *text = p->settings[i].text;
    void *field = values + o->offset;
    switch (o->type) {
    case OPTION_SWITCH:
        *(bool *)field = strcmp(text, "true") == 0;
        return *(bool *)field || strcmp(text, "false") == 0 ? COR_OK
                                                            : refuse(p, i, "true or false");
    case OPTION_TEXT:
        *(const char **)field = text;
        return text[0] != '\0' ? COR_OK : refuse(p, i, "a value");
    case OPTION_LIST:
        return convert_list(p, i, field);
    case OPTION_CHOICE:
        return convert_choice(p, i, field);
    case OPTION_SPAN:
    case OPTION_HISTORY:
        return convert_pair(p, i, field);
    case OPTION_NUMBER:
    case OPTION_DURATION:
    case OPTION_SIZE:
        return convert_number(p, i, field);
    }
    return refuse(p, i, "of a known type");
}

enum cor_status options_parse(const struct option_table *t, const struct options_input *in,
                              struct arena *memory, void *values,
                              struct options_arguments *arguments, struct cor_error *err)
{
    COR_ASSERT(t->n_own + t->n_shared <= OPTIONS_MAX);
    struct parse p = {.table = t, .in = in, .memory = memory, .err = err};
    enum cor_status st = read_flags(&p, arguments);
    if (st != COR_OK) {
        return st;
    }
    read_environment(&p);
    if (in->file_name != NULL) {
        st = options_file_walk(in->file, in->file_name, memory, on_line, &p, err);
    }
    const struct option *o;
    for (size_t i = 0; st == COR_OK && (o = options_at(t, i)) != NULL; i++) {
        if (p.settings[i].origin == FROM_NOWHERE && o->initial != NULL) {
            p.settings[i] = (struct setting){o->initial, FROM_DEFAULT, 0};
        }
        if (p.settings[i].origin != FROM_NOWHERE) {
            st = convert(&p, i, values);
        }
    }
    return st;
}
