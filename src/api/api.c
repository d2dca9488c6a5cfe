/*
 * api.c - the set of connections: accepting, deadlines, stopping; and what they share.
 *
 * Place in the system: server/ (or the simulator) calls the functions of api.h; conn.c is one connection.
 *
 * Time: each connection stands in exactly one list (internal.h), and all of one list have the same patience, so
 * each list is in order of deadlines by itself: entering one is O(1), and one timer looks at the heads. It is
 * set for the earliest deadline there was when it was set; a connection that was used meanwhile only moves
 * back. So connections in use never touch it, and without connections it is off.
 */
#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- time --------------------------------------------------------------------------------------------- */

uint64_t api_now(struct api *api)
{
    if (!api->now_known) {
        api->now = io_now(api->io);
        api->now_known = true;
        io_defer(api->io, &api->turn);
    }
    return api->now;
}

static void on_turn(struct io_task *task)
{
    struct api *api = CONTAINER_OF(task, struct api, turn);
    api->now_known = false;
    api->spent = 0;
    if (api->line.size > API_LINE_KEEP) {
        api_line(api);
        json_writer_free(&api->line);
    }
    if (api->stopping && api->stats.connections == 0 && api->done != NULL) {
        void (*done)(void *arg) = api->done;
        api->done = NULL;
        io_timer_clear(api->io, &api->grace);
        done(api->done_arg);
    }
}

static uint64_t patience(const struct api *api, enum conn_list list)
{
    switch (list) {
    case CONN_IDLE:
        return api->o.idle_timeout;
    case CONN_HEAD:
        return api->o.header_timeout;
    case CONN_BODY:
        return api->o.body_timeout;
    case CONN_STALLED:
        return api->o.write_timeout;
    case CONN_LINGER:
        return API_LINGER;
    case CONN_BUSY:
    case CONN_N_LISTS:
        break;
    }
    return IO_NEVER;
}

void api_wake_at(struct api *api, uint64_t at)
{
    if (at < api->deadline_at) {
        api->deadline_at = at;
        io_timer_set(api->io, &api->deadline, at);
    }
}

/* Everyone in @list whose time is up. */
static void expire(struct api *api, enum conn_list list)
{
    uint64_t wait = patience(api, list);
    while (wait != IO_NEVER && api->lists[list] != NULL) {
        struct conn *c = api->lists[list];
        if (c->stamp + wait > api_now(api)) {
            api_wake_at(api, c->stamp + wait);
            return;
        }
        conn_expired(c);
        COR_ASSERT(api->lists[list] != c || c->stamp + wait > api_now(api));
    }
}

static void on_deadline(struct io_timer *timer)
{
    struct api *api = CONTAINER_OF(timer, struct api, deadline);
    api->deadline_at = IO_NEVER;
    for (unsigned list = 0; list < CONN_N_LISTS; list++) {
        expire(api, (enum conn_list)list);
    }
    raftd_watch_tend(api);
}

/* ---- the lists ---------------------------------------------------------------------------------------- */

void api_unlist(struct conn *c)
{
    if (c->link == NULL) {
        return;
    }
    struct api *api = c->api;
    *c->link = c->next;
    if (c->next != NULL) {
        c->next->link = c->link;
    } else {
        api->ends[c->list] = c->link;
    }
    c->link = NULL;
}

void api_list(struct conn *c, enum conn_list list)
{
    struct api *api = c->api;
    api_unlist(c);
    c->list = (uint8_t)list;
    c->stamp = api_now(api);
    c->next = NULL;
    c->link = api->ends[list];
    *c->link = c;
    api->ends[list] = &c->next;
    uint64_t wait = patience(api, list);
    if (wait != IO_NEVER) {
        api_wake_at(api, c->stamp + wait);
    }
}

void api_conn_gone(struct api *api)
{
    if (--api->stats.connections == 0) {
        io_timer_clear(api->io, &api->deadline);
        api->deadline_at = IO_NEVER;
        io_defer(api->io, &api->turn);
    }
}

/* ---- what connections share ------------------------------------------------------------------------------ */

static void *grow_block(void *arg, void *old, size_t used, size_t need)
{
    struct parser *p = arg;
    (void)used;
    if (need > p->block_size) {
        /* The owner of the block is p: @old is its block, or NULL at the start of a request. */
        COR_ASSERT(old == NULL || old == p->block);
        uint64_t held = p->api->held_bytes - p->block_size + need;
        void *grown = held > p->api->o.memory_max ? NULL : realloc(p->block, need);
        if (grown == NULL) {
            return NULL;
        }
        p->api->held_bytes = held;
        p->block = grown;
        p->block_size = need;
    }
    return p->block;
}

struct parser *api_take_parser(struct api *api)
{
    struct parser *p = api->parsers;
    if (p != NULL) {
        api->parsers = p->next;
        api->n_parsers--;
        return p;
    }
    p = calloc(1, sizeof *p + http_parser_size());
    if (p == NULL) {
        return NULL;
    }
    const struct http_limits limits = {.body_max = KV_VALUE_MAX};
    p->api = api;
    p->memory = (struct http_memory){.grow = grow_block, .arg = p};
    p->http = http_parser_init(p + 1, &limits, &p->memory);
    return p;
}

static void free_block(struct parser *p)
{
    p->api->held_bytes -= p->block_size;
    free(p->block);
    p->block = NULL;
    p->block_size = 0;
}

void api_give_parser(struct api *api, struct parser *p)
{
    COR_ASSERT(http_parser_is_idle(p->http));
    const struct http_limits limits = {.body_max = KV_VALUE_MAX};
    p->http =
        http_parser_init(p + 1, &limits, &p->memory); /* an empty line may have been seen */
    if (p->block_size > API_PARSER_KEEP) {
        free_block(p);
    }
    if (api->n_parsers == API_PARSERS_MAX) {
        parser_free(p);
        return;
    }
    p->next = api->parsers;
    api->parsers = p;
    api->n_parsers++;
}

void parser_free(struct parser *p)
{
    free_block(p);
    free(p);
}

struct json_writer *api_line(struct api *api)
{
    if (api->line_event != NULL) {
        node_event_unref(api->line_event);
        api->line_event = NULL;
    }
    json_restart(&api->line);
    return &api->line;
}

const char *api_leader_name(struct api *api, cor_node_id id)
{
    if (id == 0) {
        return "";
    }
    if (id != api->leader) {
        struct node_status status;
        node_get_status(api->node, &status);
        if (status.raft.leader != id) {
            return "";
        }
        size_t len = strlen(status.leader_name);
        COR_ASSERT(len < sizeof api->leader_name);
        memcpy(api->leader_name, status.leader_name, len + 1);
        api->leader = id;
    }
    return api->leader_name;
}

/* ---- life -------------------------------------------------------------------------------------------------- */

static void set_default(uint64_t *value, uint64_t if_zero)
{
    *value = *value == 0 ? if_zero : *value;
}

static void on_grace_over(struct io_timer *timer)
{
    struct api *api = CONTAINER_OF(timer, struct api, grace);
    for (unsigned list = 0; list < CONN_N_LISTS; list++) {
        struct conn *next;
        for (struct conn *c = api->lists[list]; c != NULL; c = next) {
            next = c->next;
            conn_close(c, false);
        }
    }
}

struct api *api_new(const struct api_options *options)
{
    struct api *api = calloc(1, sizeof *api);
    if (api == NULL) {
        return NULL;
    }
    api->o = *options;
    if (api->o.connections_max == 0) {
        api->o.connections_max = 20000;
    }
    if (api->o.pipeline_max == 0) {
        api->o.pipeline_max = 128;
    }
    set_default(&api->o.header_timeout, 10 * API_S);
    set_default(&api->o.body_timeout, 30 * API_S);
    set_default(&api->o.idle_timeout, 300 * API_S);
    set_default(&api->o.write_timeout, 30 * API_S);
    set_default(&api->o.memory_max, UINT64_C(256) << 20);
    api->io = options->io;
    api->node = options->node;
    for (unsigned list = 0; list < CONN_N_LISTS; list++) {
        api->ends[list] = &api->lists[list];
    }
    api->quiet_end = &api->quiet;
    api->line = json_writer_growing(API_LINE_MAX);
    api->deadline_at = IO_NEVER;
    api->deadline.fire = on_deadline;
    api->grace.fire = on_grace_over;
    api->turn.run = on_turn;
    again_init(api);
    return api;
}

static void ignore_data(void *arg, struct io_stream *s, struct cor_bytes data)
{
    (void)arg, (void)s, (void)data;
}

static void ignore_close(void *arg, struct io_stream *s, enum cor_status why)
{
    (void)arg, (void)s, (void)why;
}

static void refuse(struct api *api, struct io_stream *s)
{
    static const struct io_stream_events nobody = {.on_data = ignore_data,
                                                   .on_close = ignore_close};
    api->stats.refused++;
    io_stream_take(s, &nobody, NULL);
    if (io_stream_send(
            s,
            COR_BYTES_LIT("HTTP/1.1 503 Service Unavailable\r\n"
                          "Content-Type: application/json\r\n"
                          "Content-Length: 52\r\n"
                          "Retry-After: 1\r\n"
                          "Connection: close\r\n\r\n"
                          "{\"error\":\"too many connections here\",\"code\":\"busy\"}\n")) ==
        COR_OK) {
        io_stream_close(s, true);
    }
}

void api_accept(struct api *api, struct io_stream *s)
{
    struct conn *c = NULL;
    if (api->stats.connections < api->o.connections_max && !api->stopping) {
        c = conn_new(api, s);
    }
    if (c == NULL) {
        refuse(api, s);
        return;
    }
    api->stats.connections++;
    api->stats.connections_total++;
    io_stream_take(s, &conn_events, c);
    api_list(c, CONN_IDLE);
}

void api_stop(struct api *api, uint64_t grace, void (*done)(void *arg), void *arg)
{
    COR_ASSERT(!api->stopping);
    api->stopping = true;
    api->done = done;
    api->done_arg = arg;
    for (unsigned list = 0; list < CONN_N_LISTS; list++) {
        struct conn *next;
        for (struct conn *c = api->lists[list]; c != NULL; c = next) {
            next = c->next;
            conn_stop(c);
        }
    }
    io_timer_set(api->io, &api->grace, api_now(api) + grace);
    io_defer(api->io, &api->turn);
}

void api_free(struct api *api)
{
    for (unsigned list = 0; list < CONN_N_LISTS; list++) {
        while (api->lists[list] != NULL) {
            conn_free(api->lists[list]);
        }
    }
    exchanges_free(api);
    while (api->parsers != NULL) {
        struct parser *p = api->parsers;
        api->parsers = p->next;
        parser_free(p);
    }
    api_line(api);
    json_writer_free(&api->line);
    io_timer_clear(api->io, &api->deadline);
    io_timer_clear(api->io, &api->grace);
    again_deinit(api);
    io_cancel(api->io, &api->turn);
    free(api);
}

void api_get_stats(const struct api *api, struct api_stats *out)
{
    *out = api->stats;
}
