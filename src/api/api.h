/*
 * api.h - the client side of a node: connections, the router, and one folder per dialect.
 *
 * Place in the system: server/ (or the simulator) listens through io/ and hands each accepted stream
 * to api_accept(); from there on bytes become requests (http/), requests find their handler in the
 * table of routes, handlers translate to operations and reads of node/ and back. Handlers never
 * touch a stream, block, or free: an exchange's arena goes as a whole once the response is out.
 *
 * Pure: runs unchanged on libuv and in the simulator.
 */
#ifndef API_API_H
#define API_API_H

#include "base/attr.h"
#include "base/event.h"
#include "coracle/status.h"
#include "io/io.h"
#include "node/node.h"

#include <stddef.h>
#include <stdint.h>

struct api;

/* Durations in nanoseconds; 0: the default given. */
struct api_options {
    struct node *node;
    struct io *io;
    struct event_sink *events;
    uint32_t connections_max; /* 20,000; past it: 503 and close */
    uint64_t header_timeout;  /* 10 s to send a whole request head */
    uint64_t body_timeout;    /* 30 s without a byte of an unfinished body */
    uint64_t idle_timeout;    /* 5 min between requests */
    uint64_t write_timeout;   /* 30 s without progress of a reader */
    uint32_t pipeline_max; /* 128 requests of one connection in progress; then it is not read */
    uint64_t memory_max;   /* 256 MiB for requests on their way in and answers that slow readers
                            leave waiting, all together; past it those are refused, these cut off */
    const char *version;   /* for /status, /metrics */
    const char *const
        *host_names; /* allowed in Host besides loopback names and addresses, against DNS
                               rebinding; NULL with any_host */
    size_t n_host_names;
    bool any_host;
};

/* NULL: out of memory. */
struct api *api_new(const struct api_options *options);
/* Take over an accepted stream (calls io_stream_take). */
void api_accept(struct api *api, struct io_stream *s);
/* Finish what is in progress, close idle connections, refuse new ones; then @done. */
void api_stop(struct api *api, uint64_t grace, void (*done)(void *arg), void *arg);
/* After @done and that of node_stop(), which answers what clients that left had asked for; or after the
 * world was crashed (simulator). Before node_free(), for the node's watches end here. */
void api_free(struct api *api);

struct api_stats {
    uint64_t connections, connections_total, requests, refused, bytes_in, bytes_out;
};
void api_get_stats(const struct api *api, struct api_stats *out);

#endif
