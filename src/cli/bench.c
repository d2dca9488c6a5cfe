/*
 * bench.c - `coracle bench`: options into what bench_load.c runs, then the report.
 */
#include "cli/bench.h"
#include "cli/command.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench_values {
    struct option_list endpoints;
    uint64_t clients, pipeline, rate, time, count, keys, value_size, put_percent, reads, output,
        watchers, seed;
    bool zipf, no_floors;
    const char *floor_dir;
};

#define AT(field) offsetof(struct bench_values, field)

static const struct option own[] = {
    {"endpoints", "HOST:PORT,...", "127.0.0.1:2379", "nodes to load, in turn", OPTION_LIST,
     true, AT(endpoints), 0, 0, NULL},
    {"clients", "N", "1", "connections", OPTION_NUMBER, false, AT(clients), 1,
     BENCH_CLIENTS_MAX, NULL},
    {"pipeline", "N", "1", "requests on their way per connection", OPTION_NUMBER, false,
     AT(pipeline), 1, BENCH_PIPELINE_MAX, NULL},
    {"rate", "N", "0",
     "requests per second, whatever the answers do (open loop);\n0: as fast as answers come",
     OPTION_NUMBER, false, AT(rate), 0, BENCH_RATE_MAX, NULL},
    {"time", "DURATION", "10s", "how long", OPTION_DURATION, false, AT(time),
     UINT64_C(1000000000), UINT64_C(86400000000000), NULL},
    {"count", "N", NULL, "how many requests, instead of how long", OPTION_NUMBER, false,
     AT(count), 1, 0, NULL},
    {"keys", "N", "100000", "distinct keys", OPTION_NUMBER, false, AT(keys), 1, BENCH_KEYS_MAX,
     NULL},
    {"zipf", NULL, NULL, "choose the key of rank r in proportion to 1/r, not in turn",
     OPTION_SWITCH, false, AT(zipf), 0, 0, NULL},
    {"value-size", "BYTES", "256", "size of the values written", OPTION_SIZE, false,
     AT(value_size), 0, BENCH_VALUE_MAX, NULL},
    {"put-percent", "N", "20", "share of writes of a mixed load", OPTION_NUMBER, false,
     AT(put_percent), 0, 100, NULL},
    {"reads", "MODE", "default", "default, consistent or stale", OPTION_CHOICE, false,
     AT(reads), 0, 0, "default|consistent|stale"},
    {"watchers", "N", "100", "streams that all hear every write, for watch", OPTION_NUMBER,
     false, AT(watchers), 1, BENCH_CLIENTS_MAX, NULL},
    {"floor-dir", "DIR", ".",
     "where the durable append of the floors is measured:\na directory "
     "on the disk of the nodes",
     OPTION_TEXT, false, AT(floor_dir), 0, 0, NULL},
    {"no-floors", NULL, NULL, "do not measure what the machine could do at best", OPTION_SWITCH,
     false, AT(no_floors), 0, 0, NULL},
    {"output", "FORM", "table", "table or json", OPTION_CHOICE, false, AT(output), 0, 0,
     "table|json"},
    {"seed", "N", "1", "of what is chosen at random", OPTION_NUMBER, false, AT(seed), 0, 0,
     NULL},
};

static const char *const kinds[] = {"put", "get", "mixed", "watch"};
static const char *const modes[] = {"default", "consistent", "stale"};

static enum cor_status make_options(const struct invocation *i, struct bench_options *o,
                                    struct cor_error *err)
{
    const struct bench_values *v = i->values;
    const char *kind = i->arguments.items[0];
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        if (strcmp(kind, kinds[k]) == 0) {
            o->kind = (enum bench_kind)(BENCH_PUT + k);
        }
    }
    if (o->kind == 0) {
        return error_set(err, COR_EINVAL, "'%.40s' is not one of put, get, mixed, watch", kind);
    }
    if (v->zipf && v->keys > BENCH_ZIPF_KEYS_MAX) {
        return error_set(err, COR_EINVAL, "--keys: at most %u with --zipf",
                         BENCH_ZIPF_KEYS_MAX);
    }
    memcpy(o->endpoints, v->endpoints.items, v->endpoints.n * sizeof o->endpoints[0]);
    o->n_endpoints = v->endpoints.n;
    o->clients = (unsigned)v->clients;
    o->pipeline = (unsigned)v->pipeline;
    o->rate = v->rate;
    o->nanoseconds = v->time;
    o->count = v->count;
    o->keys = v->keys;
    o->zipf = v->zipf;
    o->value_bytes = (size_t)v->value_size;
    o->put_percent = (unsigned)v->put_percent;
    o->read_mode = modes[v->reads];
    o->watchers = (unsigned)v->watchers;
    o->floor_dir = v->no_floors ? NULL : v->floor_dir;
    o->json = v->output == 1;
    o->seed = v->seed;
    return COR_OK;
}

/* What is going on, for whoever sits there and waits. */
static void say(const char *what)
{
    if (isatty(STDERR_FILENO) != 0) {
        (void)fprintf(stderr, "coracle bench: %s\n", what);
    }
}

static enum cor_status measure(const struct bench_options *o, struct bench_result *r,
                               struct bench_floors *f, struct cor_error *err)
{
    struct bench_watchers *watchers = NULL;
    say(o->kind == BENCH_GET || o->kind == BENCH_MIXED
            ? "writing every key once (--keys), then the load"
            : "the load");
    enum cor_status st =
        o->kind == BENCH_WATCH ? bench_watchers_start(o, err, &watchers) : COR_OK;
    st = st == COR_OK ? bench_load(o, r, err) : st;
    if (watchers != NULL) {
        bench_watchers_stop(watchers, r);
    }
    if (st == COR_OK && o->floor_dir != NULL) {
        say("the floors of this machine (--no-floors leaves them out)");
        st = bench_floors(o->floor_dir, f, err);
    }
    return st;
}

static enum exit_code run(const struct invocation *i)
{
    struct bench_options o = {0};
    struct cor_error err = {0};
    if (make_options(i, &o, &err) != COR_OK) {
        return command_fail(i, EXIT_USAGE, "%s", err.text);
    }
    struct bench_result *r = calloc(1, sizeof *r);
    struct bench_floors *f = calloc(1, sizeof *f);
    enum exit_code code = EXIT_OK;
    if (r == NULL || f == NULL) {
        code = command_fail(i, EXIT_FAILED, "out of memory");
    } else if (measure(&o, r, f, &err) != COR_OK) {
        code = command_fail(i, EXIT_FAILED, "%s", err.text);
    } else {
        bench_print(&o, r, o.floor_dir != NULL ? f : NULL);
        if (r->answers.ok == 0) {
            code = command_fail(i, EXIT_FAILED, "no request was done: see 'answers'");
        }
    }
    free(r);
    free(f);
    return code;
}

const struct command command_bench = {
    .name = "bench",
    .arguments = "put|get|mixed|watch",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "load a cluster, and print its figures beside the floors of the machine",
    .details =
        "One thread, many connections. The same run measures what the machine could do at\n"
        "best: a durable append, a loopback round trip, a bare loop of heartbeats.\n"
        "\n"
        "  coracle bench put --clients 50 --pipeline 20\n"
        "  coracle bench get --reads consistent --clients 100 --output json\n",
    .options = {.own = own, .n_own = ARRAY_LEN(own)},
    .values_size = sizeof(struct bench_values),
    .run = run,
};
