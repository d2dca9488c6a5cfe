/*
 * bench_print.c - the bench's report: a table for people, or one JSON object.
 */
#include "cli/bench.h"

#include <inttypes.h>
#include <stdio.h>

static const uint64_t points[] = {500000, 900000, 990000, 999000, 999900};
static const char *const point_names[] = {"p50", "p90", "p99", "p99.9", "p99.99"};

static double per_second(uint64_t n, uint64_t ns)
{
    return ns == 0 ? 0 : (double)n * 1e9 / (double)ns;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static const char *kind_name(const struct bench_options *o)
{
    switch (o->kind) {
    case BENCH_PUT:
        return "put";
    case BENCH_GET:
        return "get";
    case BENCH_MIXED:
        return "mixed";
    case BENCH_WATCH:
        return "watch";
    }
    return "?";
}

/* ---- for people ---------------------------------------------------------------------------------- */

/* A duration with the unit that suits it, in at most 9 columns. */
static void print_time(uint64_t ns)
{
    if (ns < 1000000) {
        (void)printf("%7.1f us", (double)ns / 1e3);
    } else if (ns < UINT64_C(10000000000)) {
        (void)printf("%7.2f ms", (double)ns / 1e6);
    } else {
        (void)printf("%7.2f s ", (double)ns / 1e9);
    }
}

static void print_latency(const char *name, const struct histogram *h)
{
    (void)printf("%-16s", name);
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        (void)printf("  %s", point_names[i]);
        print_time(histogram_at(h, points[i]));
    }
    (void)printf("  max");
    print_time(h->max);
    (void)printf("\n");
}

static void print_load(const struct bench_options *o)
{
    (void)printf("%-16s%s", "load", kind_name(o));
    if (o->kind == BENCH_MIXED) {
        (void)printf(" (%u %% put)", o->put_percent);
    }
    if (o->kind == BENCH_GET || o->kind == BENCH_MIXED) {
        (void)printf(", %s reads", o->read_mode);
    }
    (void)printf(", %u connections", o->clients);
    if (o->rate != 0) {
        (void)printf(", open loop at %" PRIu64 "/s", o->rate);
    } else {
        (void)printf(" x %u in flight", o->pipeline);
    }
    (void)printf(", %zu-byte values, %" PRIu64 " %s keys", o->value_bytes, o->keys,
                 o->zipf ? "zipf" : "distinct");
    if (o->kind == BENCH_WATCH) {
        (void)printf(", %u watchers", o->watchers);
    }
    (void)printf("\n");
}

static void print_answers(const struct bench_answers *a)
{
    (void)printf("%-16s%" PRIu64 " ok", "answers", a->ok);
    const struct {
        uint64_t n;
        const char *name;
    } rows[] = {{a->missing, "not found"},
                {a->not_done, "not done (503)"},
                {a->unknown, "outcome unknown (504)"},
                {a->other, "other errors"},
                {a->lost, "lost with their connection"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].n > 0) {
            (void)printf(", %" PRIu64 " %s", rows[i].n, rows[i].name);
        }
    }
    (void)printf("\n");
}

/* One client's write beside the two floors it has: the sum of its parts, and the same steps done bare. */
static void print_one_write(const struct bench_result *r, const struct bench_floors *f)
{
    uint64_t parts =
        histogram_at(&f->append, 500000) + histogram_at(&f->round_trip_300, 500000);
    uint64_t bare = histogram_at(&f->write, 500000);
    uint64_t write = histogram_at(&r->latency, 500000);
    if (parts == 0 || bare == 0) {
        return;
    }
    (void)printf("%-16s", "one write");
    print_time(write);
    (void)printf(" is %.2f times append + round trip (", (double)write / (double)parts);
    print_time(parts);
    (void)printf("), %.2f times the bare write\n", (double)write / (double)bare);
}

static void print_floors(const struct bench_options *o, const struct bench_result *r,
                         const struct bench_floors *f)
{
    (void)printf("\nfloors of this machine, in the same run\n");
    (void)printf("%-16s%.0f pages of 4 KiB a second, one at a time%s\n", "durable append",
                 per_second(f->append.n, f->append_ns), f->direct ? "" : " (without O_DIRECT)");
    print_latency("", &f->append);
    print_latency("round trip 1 B", &f->round_trip_1);
    print_latency("round trip 300 B", &f->round_trip_300);
    print_latency("bare write", &f->write);
    (void)printf("%-16s%.3f %% of a core as leader, %.3f %% as follower\n", "heartbeat loop",
                 percent(f->loop_leader_cpu_ns, f->loop_ns),
                 percent(f->loop_follower_cpu_ns, f->loop_ns));
    if (o->kind == BENCH_PUT && o->clients * o->pipeline == 1 && o->rate == 0) {
        print_one_write(r, f);
    }
}

static void print_table(const struct bench_options *o, const struct bench_result *r,
                        const struct bench_floors *f)
{
    print_load(o);
    (void)printf("%-16s%" PRIu64 " in %.2f s: %.0f/s, %.1f MB/s out, %.1f MB/s in\n",
                 "requests", r->latency.n, (double)r->nanoseconds / 1e9,
                 per_second(r->latency.n, r->nanoseconds),
                 per_second(r->bytes_out, r->nanoseconds) / 1e6,
                 per_second(r->bytes_in, r->nanoseconds) / 1e6);
    print_answers(&r->answers);
    print_latency("latency", &r->latency);
    if (o->kind == BENCH_WATCH) {
        (void)printf("%-16s%" PRIu64 ": %.0f/s\n", "events", r->events,
                     per_second(r->events, r->nanoseconds));
        print_latency("event latency", &r->event_latency);
    }
    if (f != NULL) {
        print_floors(o, r, f);
    }
}

/* ---- for programs -------------------------------------------------------------------------------- */

static void json_latency(const char *name, const struct histogram *h)
{
    (void)printf("\"%s\":{\"n\":%" PRIu64 ",\"mean_ns\":%" PRIu64, name, h->n,
                 histogram_mean(h));
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        (void)printf(",\"%s_ns\":%" PRIu64, point_names[i], histogram_at(h, points[i]));
    }
    (void)printf(",\"max_ns\":%" PRIu64 "}", h->max);
}

static void print_json(const struct bench_options *o, const struct bench_result *r,
                       const struct bench_floors *f)
{
    const struct bench_answers *a = &r->answers;
    (void)printf("{\"load\":{\"kind\":\"%s\",\"reads\":\"%s\",\"clients\":%u,\"pipeline\":%u,"
                 "\"rate\":%" PRIu64 ",\"value_bytes\":%zu,\"keys\":%" PRIu64
                 ",\"zipf\":%s,\"put_percent\":%u,\"watchers\":%u},",
                 kind_name(o), o->read_mode, o->clients, o->pipeline, o->rate, o->value_bytes,
                 o->keys, o->zipf ? "true" : "false", o->put_percent, o->watchers);
    (void)printf("\"requests\":%" PRIu64 ",\"nanoseconds\":%" PRIu64
                 ",\"per_second\":%.1f,\"bytes_in\":%" PRIu64 ",\"bytes_out\":%" PRIu64 ",",
                 r->latency.n, r->nanoseconds, per_second(r->latency.n, r->nanoseconds),
                 r->bytes_in, r->bytes_out);
    (void)printf("\"answers\":{\"ok\":%" PRIu64 ",\"not_found\":%" PRIu64
                 ",\"not_done\":%" PRIu64 ",\"unknown\":%" PRIu64 ",\"other\":%" PRIu64
                 ",\"lost\":%" PRIu64 "},",
                 a->ok, a->missing, a->not_done, a->unknown, a->other, a->lost);
    json_latency("latency", &r->latency);
    if (o->kind == BENCH_WATCH) {
        (void)printf(",\"events\":%" PRIu64 ",\"events_per_second\":%.1f,", r->events,
                     per_second(r->events, r->nanoseconds));
        json_latency("event_latency", &r->event_latency);
    }
    if (f != NULL) {
        (void)printf(",\"floors\":{\"direct\":%s,\"appends_per_second\":%.1f,",
                     f->direct ? "true" : "false", per_second(f->append.n, f->append_ns));
        json_latency("append", &f->append);
        (void)printf(",");
        json_latency("round_trip_1", &f->round_trip_1);
        (void)printf(",");
        json_latency("round_trip_300", &f->round_trip_300);
        (void)printf(",");
        json_latency("bare_write", &f->write);
        (void)printf(",\"heartbeat_loop\":{\"nanoseconds\":%" PRIu64
                     ",\"leader_cpu_ns\":%" PRIu64 ",\"follower_cpu_ns\":%" PRIu64 "}}",
                     f->loop_ns, f->loop_leader_cpu_ns, f->loop_follower_cpu_ns);
    }
    (void)printf("}\n");
}

void bench_print(const struct bench_options *o, const struct bench_result *r,
                 const struct bench_floors *f)
{
    if (o->json) {
        print_json(o, r, f);
    } else {
        print_table(o, r, f);
    }
}
