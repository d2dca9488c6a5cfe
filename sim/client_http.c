/*
 * client_http.c - a client in byte mode: HTTP/1.1 over a simulated stream, as docs/api.md describes it.
 *
 * One connection, kept alive, to one node at a time. Whatever breaks after a request was written leaves its
 * outcome unknown; what could not even connect was not done.
 */
#include "sim/client.h"

#include "base/assert.h"
#include "base/format.h"
#include "http/http.h"
#include "sim/words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX 64u /* of an answer, kept: all we need to see */

struct client_http {
    struct cluster *cluster;
    struct host host;
    void *arg;
    void (*on_answer)(void *arg, const struct client_answer *a);
    struct io_stream *stream; /* NULL: not connected, not dialing */
    bool open;
    unsigned node; /* it is connected to */
    struct http_reply_parser *parser;
    bool asking; /* an answer is awaited */
    bool sent;   /* its request was written to the stream */
    struct op op;
    unsigned char *request; /* head and body */
    size_t request_len;
    unsigned status; /* of the reply that is being read */
    bool keep_alive, replied;
    struct client_answer answer;
    unsigned char body[BODY_MAX];
    size_t body_len;
};

/* ---- replies -------------------------------------------------------------------------------------- */

static uint64_t header_number(const struct http_reply *reply, const char *name)
{
    size_t len = strlen(name);
    for (uint32_t i = 0; i < reply->n_headers; i++) {
        struct cor_bytes n = reply->headers[i].name;
        if (n.len == len && memcmp(n.ptr, name, len) == 0) {
            return word_read_value(reply->headers[i].value);
        }
    }
    return 0;
}

static void on_head(void *arg, const struct http_reply *reply)
{
    struct client_http *h = arg;
    h->status = reply->status;
    h->keep_alive = reply->keep_alive;
    h->body_len = 0;
    h->answer =
        (struct client_answer){.revision = header_number(reply, "X-Coracle-Revision"),
                               .mod_revision = header_number(reply, "X-Coracle-Mod-Revision")};
}

static void on_body(void *arg, struct cor_bytes part)
{
    struct client_http *h = arg;
    size_t left = BODY_MAX - h->body_len;
    size_t n = part.len < left ? part.len : left;
    memcpy(h->body + h->body_len, part.ptr, n);
    h->body_len += n;
}

static void on_end(void *arg)
{
    struct client_http *h = arg;
    h->replied = true;
}

static const struct http_reply_events reply_events = {on_head, on_body, on_end};

static bool body_is(const struct client_http *h, const char *text)
{
    size_t len = strlen(text);
    return h->body_len >= len && memcmp(h->body, text, len) == 0;
}

/* Statuses and codes of docs/api.md. */
static enum cor_status status_of(struct client_http *h)
{
    switch (h->status) {
    case 200:
        return COR_OK;
    case 404: /* the key: our path is right */
        return h->op.kind == OP_GET ? COR_OK : COR_EINVAL;
    case 503:
        return COR_ENOTDONE;
    case 504:
        return COR_EUNKNOWN;
    case 507:
        return COR_ENOSPACE;
    default:
        return COR_EINVAL;
    }
}

static void finish(struct client_http *h, const struct client_answer *a)
{
    h->asking = h->sent = false;
    free(h->request);
    h->request = NULL;
    h->on_answer(h->arg, a);
}

static void take_reply(struct client_http *h)
{
    struct client_answer a = h->answer;
    a.status = status_of(h);
    if (a.status == COR_EINVAL) {
        judge_fail(&h->cluster->judge, "http: n%u answers %u to a proper request: %.*s",
                   h->node, h->status, (int)h->body_len, (const char *)h->body);
    }
    if (h->op.kind == OP_DELETE && a.status == COR_OK) {
        a.changed = body_is(h, "{\"deleted\":1");
    }
    if (h->op.kind == OP_GET && h->status == 200) {
        a.value = word_read_value((struct cor_bytes){h->body, h->body_len});
        if (a.value == 0) {
            judge_fail(&h->cluster->judge, "content: n%u holds something strange at key %u",
                       h->node, h->op.key);
        }
    }
    finish(h, &a);
}

/* ---- the connection ------------------------------------------------------------------------------- */

static void hang_up(struct client_http *h)
{
    if (h->stream != NULL) {
        io_stream_close(h->stream, false);
        h->stream = NULL;
    }
    h->open = false;
}

static void send_request(struct client_http *h)
{
    h->sent = true;
    enum cor_status st =
        io_stream_send(h->stream, (struct cor_bytes){h->request, h->request_len});
    COR_ASSERT(st == COR_OK);
}

static void on_open(void *arg, struct io_stream *s)
{
    struct client_http *h = arg;
    if (s == h->stream) {
        h->open = true;
        send_request(h);
    }
}

static void on_data(void *arg, struct io_stream *s, struct cor_bytes data)
{
    struct client_http *h = arg;
    if (s != h->stream) {
        return; /* hung up already */
    }
    h->replied = false;
    enum cor_status st = http_reply_parser_take(h->parser, data);
    if (st != COR_OK || (h->replied && !h->asking)) {
        judge_fail(&h->cluster->judge, "http: n%u sends what is no answer", h->node);
        hang_up(h);
        return;
    }
    if (h->replied) {
        if (!h->keep_alive) {
            hang_up(h);
        }
        take_reply(h);
    }
}

static void on_close(void *arg, struct io_stream *s, enum cor_status why)
{
    struct client_http *h = arg;
    (void)why;
    if (s != h->stream) {
        return;
    }
    h->stream = NULL;
    h->open = false;
    if (h->asking) {
        finish(h, &(struct client_answer){.status = h->sent ? COR_EUNKNOWN : COR_ENOTDONE});
    }
}

static const struct io_stream_events stream_events = {
    .on_open = on_open, .on_data = on_data, .on_close = on_close};

static void connect_to(struct client_http *h, unsigned node)
{
    hang_up(h);
    h->node = node;
    h->parser = http_reply_parser_init(h->parser, &reply_events, h);
    enum cor_status st = io_dial(&h->host.io, h->cluster->nodes[node].client_address,
                                 &stream_events, h, &h->stream);
    COR_ASSERT(st == COR_OK);
}

/* ---- requests --------------------------------------------------------------------------------------- */

static void make_request(struct client_http *h, struct cor_bytes value)
{
    static const char *const methods[] = {
        [OP_PUT] = "PUT", [OP_DELETE] = "DELETE", [OP_GET] = "GET"};
    static const char *const queries[] = {[NODE_READ_DEFAULT] = "",
                                          [NODE_READ_CONSISTENT] = "?consistent",
                                          [NODE_READ_STALE] = "?stale"};
    const struct op *op = &h->op;
    size_t room = 256 + value.len;
    char key[WORD_KEY_SIZE + 1];
    word_key(op->key, key);
    h->request = malloc(room);
    COR_ASSERT(h->request != NULL);
    size_t len = format_to((char *)h->request, room, "%s /db/%s%s HTTP/1.1\r\nHost: %s\r\n",
                           methods[op->kind], key, op->kind == OP_GET ? queries[op->mode] : "",
                           h->cluster->nodes[op->node].client_address);
    len += op->kind == OP_PUT ? format_to((char *)h->request + len, room - len,
                                          "Content-Length: %zu\r\n\r\n", value.len)
                              : format_to((char *)h->request + len, room - len, "\r\n");
    if (value.len > 0) {
        memcpy(h->request + len, value.ptr, value.len);
    }
    h->request_len = len + value.len;
}

void client_http_ask(struct client_http *h, const struct op *op, struct cor_bytes value)
{
    COR_ASSERT(!h->asking && op->kind != OP_PUT_TWO);
    h->op = *op;
    h->asking = true;
    make_request(h, value);
    if (h->open && h->node == op->node) {
        send_request(h);
    } else {
        connect_to(h, op->node);
    }
}

void client_http_give_up(struct client_http *h)
{
    hang_up(h);
    h->asking = h->sent = false;
    free(h->request);
    h->request = NULL;
}

/* ---- life ------------------------------------------------------------------------------------------ */

struct client_http *client_http_new(struct cluster *c, unsigned host_number, void *arg,
                                    void (*on_answer)(void *arg, const struct client_answer *a))
{
    struct client_http *h = calloc(1, sizeof *h);
    COR_ASSERT(h != NULL && host_number < NET_HOSTS_MAX);
    h->cluster = c;
    h->arg = arg;
    h->on_answer = on_answer;
    h->parser = malloc(http_reply_parser_size());
    COR_ASSERT(h->parser != NULL);
    host_init(&h->host, &c->world, &c->net, host_number, NULL);
    host_boot(&h->host);
    c->n_hosts = host_number > c->n_hosts ? host_number : c->n_hosts;
    return h;
}

struct host *client_http_host(struct client_http *h)
{
    return &h->host;
}

void client_http_halt(struct client_http *h)
{
    host_halt(&h->host, HOST_POWER_LOST);
}

void client_http_free(struct client_http *h)
{
    if (h != NULL) {
        host_deinit(&h->host);
        free(h->request);
        free(h->parser);
        free(h);
    }
}
