/*
 * bench.h - what `coracle bench` is made of: a load generator, the floors under it, and a report.
 *
 * Place in the system: bench.c reads the options and prints; bench_load.c speaks HTTP/1.1 to a cluster from
 * one thread, bench_watch.c listens from another; bench_floor.c measures what the machine could do at best, in the same run, so that every
 * figure stands beside its floor.
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "base/attr.h"
#include "cli/histogram.h"
#include "coracle/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_ENDPOINTS_MAX 16u
#define BENCH_CLIENTS_MAX   20000u
#define BENCH_PIPELINE_MAX  128u /* what a server reads ahead of its answers */
#define BENCH_VALUE_MAX     (1u << 20)
#define BENCH_KEYS_MAX      10000000u
#define BENCH_ZIPF_KEYS_MAX 1000000u /* one table entry each */
#define BENCH_RATE_MAX      10000000u

enum bench_kind {
    BENCH_PUT = 1,
    BENCH_GET,
    BENCH_MIXED,
    BENCH_WATCH,
};

struct bench_options {
    enum bench_kind kind;
    const char *endpoints[BENCH_ENDPOINTS_MAX]; /* host:port */
    size_t n_endpoints;
    unsigned clients;     /* connections */
    unsigned pipeline;    /* requests on their way per connection */
    uint64_t rate;        /* open loop: requests per second; 0: closed loop */
    uint64_t nanoseconds; /* how long, or... */
    uint64_t count;       /* ...how many requests; 0: time counts */
    uint64_t keys;        /* distinct keys, in turn; with zipf: chosen by rank */
    bool zipf;            /* the key of rank r is chosen in proportion to 1/r */
    size_t value_bytes;
    unsigned put_percent;  /* of mixed */
    const char *read_mode; /* "default", "consistent" or "stale" */
    unsigned watchers;     /* of watch: streams that all hear every write */
    const char *floor_dir; /* where the durable append is measured; NULL: no floors */
    bool json;
    uint64_t seed;
};

/* How answers are counted: by what a client may conclude from them. */
struct bench_answers {
    uint64_t ok, missing, not_done, unknown, other,
        lost; /* 2xx, 404, 503, 504, rest, connection */
};

struct bench_result {
    struct bench_answers answers;
    uint64_t nanoseconds;
    uint64_t bytes_in, bytes_out;
    struct histogram latency;       /* of answers, ns */
    uint64_t events;                /* that watchers got */
    struct histogram event_latency; /* from the write's sending to the event's arrival */
};

struct bench_floors {
    bool has_append;
    bool direct;                                   /* O_DIRECT was to be had there */
    struct histogram append;                       /* one 4 KiB page, durable */
    uint64_t append_ns;                            /* measured for so long */
    struct histogram round_trip_1, round_trip_300; /* TCP on loopback, bytes each way */
    struct histogram
        write; /* the bare steps of a write: durable on two of three, and answered */
    uint64_t loop_ns, loop_leader_cpu_ns, loop_follower_cpu_ns; /* bare heartbeats */
};

/* COR_OK; COR_EIO and others with @err: nothing could be reached, or resolved. */
MUST_USE enum cor_status bench_load(const struct bench_options *o, struct bench_result *r,
                                    struct cor_error *err);
/* Streams that hear what bench_load() writes: start before, stop after. Stopping waits for the last events and adds
 * what was heard to @r. */
struct bench_watchers;
MUST_USE enum cor_status bench_watchers_start(const struct bench_options *o,
                                              struct cor_error *err,
                                              struct bench_watchers **out);
void bench_watchers_stop(struct bench_watchers *w, struct bench_result *r);
MUST_USE enum cor_status bench_floors(const char *dir, struct bench_floors *f,
                                      struct cor_error *err);

/* The table for people, or one JSON object. */
void bench_print(const struct bench_options *o, const struct bench_result *r,
                 const struct bench_floors *f);

/* CLOCK_MONOTONIC, ns. */
uint64_t bench_now(void);

#endif
