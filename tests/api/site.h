/*
 * site.h - the api of one node in the simulated world, and clients that speak bytes to it.
 *
 * The node is a stand-in (stand_in.h), so these tests reach what a healthy cluster rarely does;
 * tests/api/cluster_test.c has real nodes.
 */
#ifndef TESTS_API_SITE_H
#define TESTS_API_SITE_H

#include "api/api.h"
#include "base/assert.h"
#include "base/format.h"
#include "sim/net.h"
#include "tests/api/stand_in.h"
#include "tests/api/talk.h"

#include <stdlib.h>
#include <string.h>

#define SITE_ADDRESS "n1:80"

/* ---- the site ------------------------------------------------------------------------------------------- */

struct site {
    struct world w;
    struct net net;
    struct host server, clients;
    struct node node;
    struct api *api;
    struct io_listener *listener;
    bool stopped;
};

static inline void site_accept(void *arg, struct io_stream *s)
{
    struct site *site = arg;
    api_accept(site->api, s);
}

static inline void site_open(struct site *s, struct api_options options)
{
    *s = (struct site){0};
    world_init(&s->w, 1);
    net_init(&s->net, &s->w);
    s->net.delay = (struct sim_delay){.min = 10 * SIM_US};
    host_init(&s->server, &s->w, &s->net, 1, NULL);
    host_init(&s->clients, &s->w, &s->net, 2, NULL);
    host_boot(&s->server);
    host_boot(&s->clients);
    node_init(&s->node, &s->server.io);
    s->node.write_delay = SIM_MS;
    options.node = &s->node;
    options.io = &s->server.io;
    options.version = "1.2.3";
    s->api = api_new(&options);
    COR_ASSERT(s->api != NULL);
    COR_ASSERT(io_listen(&s->server.io, SITE_ADDRESS, site_accept, s, NULL, &s->listener,
                         NULL) == COR_OK);
}

static inline void site_run(struct site *s, uint64_t ns)
{
    world_run(&s->w, s->w.now + ns);
}

static inline void client_open(struct client *c, struct site *s)
{
    client_dial(c, &s->w, &s->clients, SITE_ADDRESS);
}

static inline void site_on_stopped(void *arg)
{
    struct site *s = arg;
    s->stopped = true;
}

/* As after a crash: with whatever is in progress. */
static inline void site_close(struct site *s)
{
    host_halt(&s->server, HOST_KILLED);
    host_halt(&s->clients, HOST_KILLED);
    api_free(s->api);
    node_deinit(&s->node);
    host_deinit(&s->server);
    host_deinit(&s->clients);
    net_deinit(&s->net);
    world_deinit(&s->w);
}

static inline struct api_stats site_stats(const struct site *s)
{
    struct api_stats stats;
    api_get_stats(s->api, &stats);
    return stats;
}

#endif
