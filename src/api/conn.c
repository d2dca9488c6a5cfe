/*
 * conn.c - one connection: bytes become exchanges, exchanges become bytes, in order.
 *
 * Place in the system: the callbacks of a stream come in here; http/ cuts requests out of what arrives,
 * router.c finds who answers. Two directions, each held back by the other's limits:
 *
 *   in    a request is taken while there is room in the queue (pipeline_max) and the reader takes its
 *         answers; otherwise the stream is paused, and what had already arrived waits in c->rest
 *   out   at the end of a turn in which the first exchange became ready, the queue is walked: ready ones are
 *         rendered until one is not, or API_QUEUED_MAX bytes wait for the reader
 *
 * A *deaf* connection discards what arrives: it has announced its end, or serves a watch. It still
 * reads, for that is how the end of the client is noticed. A parser is held only while a request is incomplete,
 * so an idle connection is this struct and its stream.
 */
#include "api/internal.h"

#include <stdlib.h>
#include <string.h>

#define REST_MAX (1u << 20) /* more than any stream delivers after it was paused */

/* ---- out ---------------------------------------------------------------------------------------------- */

bool conn_is_full(const struct conn *c)
{
    return io_stream_queued(c->stream) >= API_QUEUED_MAX;
}

/* Count what waits for the reader, and of what it sent. False: it is more than all connections together may leave
 * waiting. */
static bool weigh(struct conn *c)
{
    struct api *api = c->api;
    size_t queued = c->closed ? 0 : io_stream_queued(c->stream);
    queued = (queued > API_SLOW ? queued : 0) + c->rest_len;
    api->held_bytes += queued;
    api->held_bytes -= c->waiting;
    c->waiting = queued;
    return queued == 0 || api->held_bytes <= api->o.memory_max;
}

void conn_send(struct conn *c, struct cor_bytes b)
{
    struct api *api = c->api;
    if (c->broken || c->closed) {
        return;
    }
    (void)api_now(api); /* so that this turn is known to end */
    c->sent += b.len;
    api->spent += b.len;
    api->stats.bytes_out += b.len;
    c->broken = io_stream_send(c->stream, b) != COR_OK;
    if (io_stream_queued(c->stream) > API_SLOW) {
        (void)weigh(c);
        conn_run_again(c); /* and see whether it left with this turn */
    }
}

void conn_run_later(struct conn *c)
{
    io_defer(c->api->io, &c->task);
}

/* Bytes that have left the queue. */
static uint64_t progress(const struct conn *c)
{
    return c->sent - io_stream_queued(c->stream);
}

static void drop_parser(struct conn *c)
{
    if (c->parser != NULL) {
        if (http_parser_is_idle(c->parser->http)) {
            api_give_parser(c->api, c->parser);
        } else {
            parser_free(c->parser);
        }
        c->parser = NULL;
    }
}

static void drop_rest(struct conn *c)
{
    free(c->rest);
    c->rest = NULL;
    c->rest_at = c->rest_len = 0;
    (void)weigh(c);
}

void conn_deafen(struct conn *c)
{
    c->deaf = true;
    c->want_continue = false;
    drop_rest(c);
}

/* ---- its place among the others ---------------------------------------------------------------------------- */

static enum conn_list place_of(const struct conn *c)
{
    if (c->first != NULL) {
        return c->first->ready && conn_is_full(c) ? CONN_STALLED : CONN_BUSY;
    }
    if (c->deaf) {
        return CONN_LINGER;
    }
    if (c->parser == NULL) {
        return CONN_IDLE;
    }
    return http_parser_in_body(c->parser->http) ? CONN_BODY : CONN_HEAD;
}

/* After anything happened. @heard: bytes arrived. */
static void settle(struct conn *c, bool heard)
{
    if (c->closed) {
        return;
    }
    enum conn_list list = place_of(c);
    if (list != c->list || (list == CONN_BODY && heard)) {
        api_list(c, list);
        if (list == CONN_STALLED) {
            c->sent_at_stamp = progress(c);
        }
    }
    bool pause = !c->deaf && (c->rest_len > 0 || c->want_continue || list == CONN_STALLED);
    if (pause != c->paused) {
        c->paused = pause;
        io_stream_pause(c->stream, pause);
    }
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

static void drop_exchanges(struct conn *c)
{
    while (c->first != NULL) {
        struct exchange *x = c->first;
        c->first = x->next;
        exchange_abandon(x);
    }
    c->end = &c->first;
    c->n_exchanges = 0;
}

void conn_close(struct conn *c, bool flush)
{
    if (c->closed) {
        return;
    }
    c->closed = true;
    conn_deafen(c); /* and what waited is forgotten */
    drop_exchanges(c);
    drop_parser(c);
    io_cancel(c->api->io, &c->task);
    again_leave(c);
    api_list(c, CONN_BUSY); /* for api_free; no deadline is there */
    io_stream_close(c->stream, flush);
}

void conn_free(struct conn *c)
{
    c->closed = true;
    io_cancel(c->api->io, &c->task);
    again_leave(c);
    drop_exchanges(c);
    drop_rest(c);
    drop_parser(c);
    api_unlist(c);
    free(c);
}

/* ---- in -------------------------------------------------------------------------------------------------------- */

/* NULL: no memory; the connection is closed. */
static struct exchange *add_exchange(struct conn *c, size_t need)
{
    struct exchange *x = exchange_new(c->api, need);
    if (x == NULL) {
        conn_close(c, true);
        return NULL;
    }
    x->conn = c;
    x->link = c->end;
    *c->end = x;
    c->end = &x->next;
    c->n_exchanges++;
    return x;
}

/* Answer with an error, then end; the client may still be sending. */
static void refuse(struct conn *c, unsigned status, const char *reason)
{
    const char *code = "bad_request";
    if (status == 413 || status == 414 || status == 431) {
        code = "too_big";
    } else if (status == 408) {
        code = "request_timeout";
    } else if (status == 503) {
        code = "busy";
    }
    struct exchange *x = add_exchange(c, 0);
    if (x != NULL) {
        x->close = x->linger = true;
        conn_deafen(c);
        exchange_fail(x, status, code, reason);
    }
}

static void take_request(struct conn *c, const struct http_request *r)
{
    struct api *api = c->api;
    struct exchange *x = add_exchange(c, router_need(r));
    if (x == NULL) {
        return;
    }
    api->stats.requests++;
    x->head = r->head;
    x->minor_0 = r->minor_0;
    x->close = !r->keep_alive;
    if (x->close || api->stopping) {
        conn_deafen(c);
    }
    if (door_check(x, r)) {
        router_handle(x, r);
    }
}

static bool has_room(const struct conn *c)
{
    if (c->deaf || c->closed || c->want_continue || c->list == CONN_STALLED) {
        return false;
    }
    return c->n_exchanges == 0 ||
           (c->n_exchanges < c->api->o.pipeline_max && c->api->n_exchanges < API_EXCHANGES_MAX);
}

static void send_continue(struct conn *c)
{
    c->want_continue = false;
    conn_send(c, COR_BYTES_LIT(HTTP_CONTINUE_TEXT));
}

/* One step of the parser. Returns how much of @in it took. */
static size_t parse_step(struct conn *c, struct cor_bytes in)
{
    size_t used = 0;
    if (c->parser == NULL && (c->parser = api_take_parser(c->api)) == NULL) {
        refuse(c, 503, "out of memory");
        return in.len;
    }
    struct parser *p = c->parser;
    switch (http_parser_take(p->http, in, &used)) {
    case HTTP_NEED_MORE:
        break;
    case HTTP_REQUEST:
        take_request(c, http_parser_request(p->http));
        if (c->parser != NULL) {
            http_parser_next(p->http);
        }
        break;
    case HTTP_CONTINUE:
        /* An interim answer must not overtake the answers before it. */
        c->want_continue = true;
        if (c->first == NULL) {
            send_continue(c);
        }
        break;
    case HTTP_REFUSED:
        refuse(c, http_parser_status(p->http), http_parser_reason(p->http));
        return in.len;
    }
    return used;
}

/* Take of @in what there is room for; returns how much. */
static size_t parse(struct conn *c, struct cor_bytes in)
{
    size_t at = 0;
    while (at < in.len && has_room(c)) {
        at += parse_step(c, (struct cor_bytes){in.ptr + at, in.len - at});
    }
    if (c->deaf || (c->parser != NULL && http_parser_is_idle(c->parser->http))) {
        drop_parser(c);
    }
    return c->deaf ? in.len : at;
}

static void keep_rest(struct conn *c, struct cor_bytes in)
{
    size_t kept = c->rest_len - c->rest_at;
    unsigned char *rest = kept + in.len > REST_MAX ? NULL : malloc(kept + in.len);
    if (rest == NULL) {
        conn_close(c, false);
        return;
    }
    if (kept > 0) {
        memcpy(rest, c->rest + c->rest_at, kept);
    }
    memcpy(rest + kept, in.ptr, in.len);
    free(c->rest);
    c->rest = rest;
    c->rest_at = 0;
    c->rest_len = kept + in.len;
    if (!weigh(c)) {
        c->api->stats.refused++;
        conn_close(c, false);
    }
}

static void parse_rest(struct conn *c)
{
    if (c->rest_len == 0 || !has_room(c)) {
        return;
    }
    unsigned char *rest = c->rest; /* conn_deafen may let go of it while it is read */
    size_t at = c->rest_at, len = c->rest_len;
    c->rest = NULL;
    c->rest_at = c->rest_len = 0;
    at += parse(c, (struct cor_bytes){rest + at, len - at});
    if (at < len && !c->closed && !c->deaf) {
        c->rest = rest;
        c->rest_at = at;
        c->rest_len = len;
        return;
    }
    free(rest);
    (void)weigh(c);
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

static void pop(struct conn *c)
{
    struct exchange *x = c->first;
    c->first = x->next;
    if (c->first == NULL) {
        c->end = &c->first;
    } else {
        c->first->link = &c->first;
    }
    c->n_exchanges--;
    x->link = NULL;
    exchange_free(x);
}

/* Render one exchange. False: the walk is over. */
static bool render_first(struct conn *c, struct out *o)
{
    struct exchange *x = c->first;
    switch (x->ops->render(x, o)) {
    case RENDER_DONE:
        break;
    case RENDER_MORE:
        conn_run_again(c);
        return false;
    case RENDER_WAIT:
        x->ready = false;
        return false;
    case RENDER_CUT:
        out_flush(o);
        conn_close(c, true);
        return false;
    }
    bool close = x->close, linger = x->linger;
    pop(c);
    if (!close) {
        return true;
    }
    out_flush(o);
    conn_deafen(c);
    drop_exchanges(c);
    if (!linger) {
        conn_close(c, true);
    }
    return false;
}

static void run(struct conn *c)
{
    struct out o = {.conn = c};
    bool going = true;
    while (going && !c->closed && c->first != NULL && c->first->ready) {
        if (conn_is_full(c) || api_is_spent(c->api)) {
            conn_run_again(c);
            break;
        }
        going = render_first(c, &o);
    }
    if (c->closed) {
        return;
    }
    out_flush(&o);
    if (c->want_continue && c->first == NULL) {
        send_continue(c);
    }
    settle(c, false);
    parse_rest(c);
    if (c->broken || (c->ended && c->first == NULL)) {
        conn_close(c, !c->broken);
    }
    settle(c, false);
}

static void on_task(struct io_task *task)
{
    run(CONTAINER_OF(task, struct conn, task));
}

bool conn_go_on(struct conn *c)
{
    if (!weigh(c)) {
        c->api->stats.refused++;
        conn_close(c, false);
    } else if (conn_is_full(c)) {
        settle(c, false);
    } else if (api_is_spent(c->api)) {
        return false;
    } else {
        run(c);
    }
    return true;
}

/* Nothing waits any longer. */
static void stop_exchanges(struct conn *c)
{
    for (struct exchange *x = c->first; x != NULL; x = x->next) {
        if (x->ops != NULL && x->ops->stop != NULL) {
            x->ops->stop(x);
        }
    }
}

/* ---- the stream ----------------------------------------------------------------------------------------------------- */

static void on_data(void *arg, struct io_stream *s, struct cor_bytes data)
{
    struct conn *c = arg;
    (void)s;
    c->api->stats.bytes_in += data.len;
    if (c->closed || c->deaf) {
        return;
    }
    size_t used = c->rest_len > 0 ? 0 : parse(c, data);
    if (used < data.len && !c->closed) {
        keep_rest(c, (struct cor_bytes){data.ptr + used, data.len - used});
    }
    settle(c, true);
}

/* The client says no more. That may be all it says, or it is gone: from here both look the same. What
 * was asked is answered, but nothing waits any longer, and a watch is over. */
static void on_end(void *arg, struct io_stream *s)
{
    struct conn *c = arg;
    (void)s;
    c->ended = true;
    if (c->first == NULL) {
        conn_close(c, true);
        return;
    }
    for (struct exchange *x = c->first; x != NULL; x = x->next) {
        if (x->endless) {
            conn_close(c, false);
            return;
        }
    }
    stop_exchanges(c);
}

static void on_drain(void *arg, struct io_stream *s)
{
    struct conn *c = arg;
    (void)s;
    if (!c->closed) {
        (void)weigh(c); /* nothing */
        run(c);
    }
}

static void on_close(void *arg, struct io_stream *s, enum cor_status why)
{
    struct conn *c = arg;
    struct api *api = c->api;
    (void)s, (void)why;
    conn_free(c);
    api_conn_gone(api);
}

const struct io_stream_events conn_events = {
    .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .on_close = on_close};

/* ---- for the set -------------------------------------------------------------------------------------------------------- */

struct conn *conn_new(struct api *api, struct io_stream *s)
{
    struct conn *c = calloc(1, sizeof *c);
    if (c != NULL) {
        c->api = api;
        c->stream = s;
        c->end = &c->first;
        c->task.run = on_task;
    }
    return c;
}

void conn_expired(struct conn *c)
{
    switch ((enum conn_list)c->list) {
    case CONN_HEAD:
    case CONN_BODY:
        refuse(c, 408, "the request did not arrive in time");
        drop_parser(c);
        settle(c, false);
        return;
    case CONN_STALLED:
        if (progress(c) > c->sent_at_stamp) {
            c->sent_at_stamp = progress(c);
            api_list(c, CONN_STALLED);
            return;
        }
        conn_close(c, false);
        return;
    case CONN_IDLE:
    case CONN_LINGER:
    case CONN_BUSY:
    case CONN_N_LISTS:
        break;
    }
    conn_close(c, true);
}

void conn_stop(struct conn *c)
{
    if (c->closed) {
        return;
    }
    if (c->list == CONN_IDLE || c->list == CONN_LINGER) {
        conn_close(c, true);
        return;
    }
    if (c->first == NULL) {
        return; /* half a request: it may still arrive, and is the last one */
    }
    conn_deafen(c);
    drop_parser(c);
    stop_exchanges(c);
    settle(c, false);
}
