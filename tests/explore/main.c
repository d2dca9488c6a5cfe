/*
 * main.c - coracle-explore: every state that three cores can reach within a scope, breadth first.
 *
 * Place in the system: model.h says what a state is and what may happen in it. Here is the search: a table of the names
 * of all states seen (64-bit hashes; the states themselves are kept only while they wait, packed), where each came from,
 * and a queue. When a sentence breaks, the way there is printed: it is one of the shortest.
 *
 * Two different states with one hash would be taken for one. With ten million states that happens somewhere with a
 * chance of one in 400,000.
 *
 * Exit: 0 all sentences hold, 1 one does not, 2 wrong usage, 3 the search was cut short by --states.
 */
#include "tests/explore/model.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORDS      (sizeof(struct model) / sizeof(uint64_t))
#define PACKED_MAX (9 * WORDS)

_Static_assert(sizeof(struct model) % sizeof(uint64_t) == 0, "packed by words");

/* ---- packing: a state is mostly zeros -------------------------------------------------------------------- */

/* Words as they come: 0x80 + n for n zeros, else the number of bytes that follow. */
static size_t pack(const struct model *m, unsigned char *out)
{
    const unsigned char *in = (const unsigned char *)m;
    size_t at = 0;
    for (size_t i = 0; i < WORDS;) {
        uint64_t word;
        unsigned char zeros = 0;
        for (word = 0; i < WORDS && zeros < 127; i++, zeros++) {
            memcpy(&word, in + i * sizeof word, sizeof word);
            if (word != 0) {
                break;
            }
        }
        if (zeros > 0) {
            out[at++] = 0x80 | zeros;
        }
        if (word != 0) {
            size_t tag = at++;
            for (; word != 0; word >>= 8) {
                out[at++] = (unsigned char)word;
            }
            out[tag] = (unsigned char)(at - tag - 1);
            i++;
        }
    }
    return at;
}

static void unpack(const unsigned char *in, struct model *m)
{
    unsigned char *out = (unsigned char *)m;
    size_t at = 0;
    memset(m, 0, sizeof *m);
    for (size_t i = 0; i < WORDS;) {
        unsigned char tag = in[at++];
        if (tag >= 0x80) {
            i += tag & 0x7f;
            continue;
        }
        uint64_t word = 0;
        for (unsigned k = 0; k < tag; k++) {
            word |= (uint64_t)in[at++] << 8 * k;
        }
        memcpy(out + i * sizeof word, &word, sizeof word);
        i++;
    }
}

/* ---- the queue: one level while the next one gathers ---------------------------------------------------------- */

struct queue {
    unsigned char *bytes;
    size_t used, room;
};

static void *grown(void *p, size_t size)
{
    void *q = realloc(p, size);
    if (q == NULL) {
        (void)fprintf(stderr, "coracle-explore: out of memory\n");
        exit(3);
    }
    return q;
}

static void queue_put(struct queue *q, uint32_t state, const struct model *m)
{
    if (q->room - q->used < PACKED_MAX + sizeof state) {
        q->room = 2 * q->room + PACKED_MAX + sizeof state;
        q->bytes = grown(q->bytes, q->room);
    }
    memcpy(q->bytes + q->used, &state, sizeof state);
    q->used += sizeof state;
    q->used += pack(m, q->bytes + q->used);
}

/* ---- states seen ------------------------------------------------------------------------------------------------- */

struct origin {
    uint32_t parent;
    struct action action;
};

struct search {
    struct model_scope scope;
    uint64_t states_max;
    uint64_t *table; /* hashes; 0: free */
    uint64_t table_size;
    struct origin *origins; /* by state, in the order they were found */
    uint32_t n_states, origins_room;
    uint64_t transitions, beyond;
    uint32_t depth;
    struct queue now, next;
    /* What is being tried, for the last words. */
    uint32_t parent;
    struct action action;
};

static bool table_add(uint64_t *table, uint64_t size, uint64_t hash)
{
    uint64_t at = hash % size;
    while (table[at] != 0) {
        if (table[at] == hash) {
            return false;
        }
        at = at + 1 == size ? 0 : at + 1;
    }
    table[at] = hash;
    return true;
}

static void widen_table(struct search *s)
{
    uint64_t size = s->table_size == 0 ? 1u << 16 : 2 * s->table_size;
    uint64_t *table = calloc(size, sizeof *table);
    if (table == NULL) {
        (void)fprintf(stderr, "coracle-explore: out of memory\n");
        exit(3);
    }
    for (uint64_t i = 0; i < s->table_size; i++) {
        if (s->table[i] != 0) {
            (void)table_add(table, size, s->table[i]);
        }
    }
    free(s->table);
    s->table = table;
    s->table_size = size;
}

/* A state that was reached: wait for its turn, unless it is known. */
static void reach(struct search *s, const struct model *m)
{
    if (s->n_states >= s->table_size / 4 * 3) {
        widen_table(s);
    }
    if (!table_add(s->table, s->table_size, raft_max(model_hash(m), 1))) {
        return;
    }
    if (s->n_states == s->origins_room) {
        s->origins_room = 2 * s->origins_room + 1024;
        s->origins = grown(s->origins, s->origins_room * sizeof *s->origins);
    }
    s->origins[s->n_states] = (struct origin){s->parent, s->action};
    queue_put(&s->next, s->n_states++, m);
}

/* ---- what went wrong --------------------------------------------------------------------------------------------- */

static struct search *present; /* for a failed assertion of the code under test */

/* abort() was called on this very thread, outside of stdio. NOLINTBEGIN(bugprone-signal-handler) */
static void print_way(const struct search *s)
{
    static struct action way[10000];
    static struct model m;
    uint32_t n = 0;
    way[n++] = s->action;
    for (uint32_t at = s->parent; at != 0 && n < ARRAY_LEN(way); at = s->origins[at].parent) {
        way[n++] = s->origins[at].action;
    }
    (void)fprintf(stderr, "broken after %u actions:\n", n);
    model_init(&m, &s->scope);
    while (n > 0) {
        struct action a = way[--n];
        (void)fprintf(stderr, "    ");
        model_print_action(&m, a, stderr);
        (void)fprintf(stderr, "\n");
        if (n > 0) {
            (void)model_act(&m, &s->scope, a);
        }
    }
}

static void on_abort(int number)
{
    (void)number;
    print_way(present);
    _Exit(1);
}
/* NOLINTEND(bugprone-signal-handler) */

/* ---- the search -------------------------------------------------------------------------------------------------- */

/* False: a sentence broke. */
static bool expand(struct search *s, const struct model *from)
{
    static struct model to;
    struct action actions[MODEL_ACTIONS_MAX];
    uint32_t n = model_actions(from, &s->scope, actions);
    for (uint32_t i = 0; i < n; i++) {
        s->action = actions[i];
        s->transitions++;
        memcpy(&to, from, sizeof to);
        struct model_result r = model_act(&to, &s->scope, actions[i]);
        if (r.broken != NULL) {
            (void)fprintf(stderr, "%s\n", r.broken);
            print_way(s);
            return false;
        }
        if (r.beyond) {
            s->beyond++;
        } else {
            reach(s, &to);
        }
    }
    return true;
}

static bool search_level(struct search *s)
{
    static struct model from;
    struct queue level = s->next;
    s->next = (struct queue){s->now.bytes, 0, s->now.room};
    s->now = level;
    for (size_t at = 0; at < level.used && s->n_states < s->states_max;) {
        memcpy(&s->parent, level.bytes + at, sizeof s->parent);
        at += sizeof s->parent;
        unpack(level.bytes + at, &from);
        static unsigned char again[PACKED_MAX];
        at += pack(&from, again);
        if (!expand(s, &from)) {
            return false;
        }
    }
    return true;
}

static double seconds_since(clock_t began)
{
    return (double)(clock() - began) / CLOCKS_PER_SEC;
}

static int explore(struct search *s)
{
    static struct model m;
    clock_t began = clock();
    bool ok = true;
    model_init(&m, &s->scope);
    present = s;
    (void)signal(SIGABRT, on_abort);
    reach(s, &m);
    while (ok && s->next.used > 0 && s->n_states < s->states_max) {
        ok = search_level(s);
        s->depth++;
    }
    bool cut = ok && s->next.used > 0;
    double seconds = seconds_since(began);
    (void)printf("%u states, %" PRIu64 " transitions, %" PRIu64
                 " of them beyond the scope, depth %u%s; %.1f s, %.0f states/s\n",
                 s->n_states, s->transitions, s->beyond, s->depth,
                 cut ? ", cut short by --states" : "", seconds,
                 s->n_states / (seconds + 0.001));
    free(s->table);
    free(s->origins);
    free(s->now.bytes);
    free(s->next.bytes);
    return !ok ? 1 : cut ? 3 : 0;
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: coracle-explore [--terms N] [--entries N] [--messages N] [--crashes N]\n"
    "                       [--elections N] [--duplicates N] [--heartbeats N]\n"
    "                       [--resignations N] [--reads N] [--timed] [--led] [--states N]\n"
    "\n"
    "Visit every state that a cluster of three cores can reach within the scope.\n"
    "\n"
    "  --terms, --entries   highest term, longest log (defaults 2, 2)\n"
    "  --messages           on their way at once (3)\n"
    "  --elections          how often a node may time out (0: any number)\n"
    "  --crashes ...        how often such a thing may happen (0)\n"
    "  --timed              one clock for all nodes, and leases\n"
    "  --led                begin with a leader whose first entry is committed\n"
    "  --states             stop there (4000000000)\n"
    "\n"
    "exit: 0 all is well, 1 a sentence broke, 2 wrong usage, 3 stopped by --states or memory\n";

static const struct option {
    const char *name;
    size_t offset;
    uint32_t min, max;
} options[] = {
    {"--terms", offsetof(struct model_scope, terms), 1, MODEL_TERMS_MAX},
    {"--entries", offsetof(struct model_scope, entries), 1, MODEL_ENTRIES_MAX - 1},
    {"--messages", offsetof(struct model_scope, messages), 1, MODEL_MESSAGES_MAX},
    {"--elections", offsetof(struct model_scope, elections), 0, 99},
    {"--crashes", offsetof(struct model_scope, crashes), 0, 9},
    {"--duplicates", offsetof(struct model_scope, duplicates), 0, 9},
    {"--heartbeats", offsetof(struct model_scope, heartbeats), 0, 99},
    {"--resignations", offsetof(struct model_scope, resignations), 0, 9},
    {"--reads", offsetof(struct model_scope, reads), 0, MODEL_READS_MAX},
};

static bool read_count(const char *text, uint32_t *out)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    *out = (uint32_t)n;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && n <= UINT32_MAX;
}

/* How many arguments it took; 0: not understood. */
static int read_argument(struct search *s, const char *name, const char *value)
{
    uint32_t n;
    if (strcmp(name, "--timed") == 0) {
        s->scope.timed = true;
        return 1;
    }
    if (strcmp(name, "--led") == 0) {
        s->scope.led = true;
        return 1;
    }
    if (value == NULL || !read_count(value, &n)) {
        return 0;
    }
    if (strcmp(name, "--states") == 0) {
        s->states_max = n;
        return 2;
    }
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const struct option *o = &options[i];
        if (strcmp(name, o->name) == 0 && n >= o->min && n <= o->max) {
            memcpy((unsigned char *)&s->scope + o->offset, &n, sizeof n);
            return 2;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct search s = {.scope = {.terms = 2, .entries = 2, .messages = 3},
                              .states_max = 4000000000u};
    for (int i = 1; i < argc;) {
        int taken = read_argument(&s, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (taken == 0) {
            (void)fputs(usage, strcmp(argv[i], "--help") == 0 ? stdout : stderr);
            return strcmp(argv[i], "--help") == 0 ? 0 : 2;
        }
        i += taken;
    }
    return explore(&s);
}
