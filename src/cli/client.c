/*
 * client.c - see client.h.
 */
#include "cli/client.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"
#include "cli/socket.h"
#include "json/reader.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MS         UINT64_C(1000000)
#define CONNECT_NS (1000 * MS) /* for one endpoint of several */
#define PAUSE_NS   (100 * MS)  /* between two rounds over all endpoints */
/* No attempt with less: "not done" is better news than "no answer in time". */
#define LEAST_NS      (500 * MS)
#define SERVER_MAX_MS 60000u /* the longest "timeout=" that a node takes */
#define HEAD_ROOM     (HTTP_TARGET_MAX + 1024u)
#define READ_ROOM     65536u

const struct option client_table[CLIENT_TABLE_LEN] = {
    {"endpoints", "HOST:PORT,...", "127.0.0.1:2379",
     "nodes to ask; the first that answers counts", OPTION_LIST, true,
     offsetof(struct client_values, endpoints), 0, 0, NULL},
    {"timeout", "DURATION", "10s", "for an answer, tries at other nodes included",
     OPTION_DURATION, true, offsetof(struct client_values, timeout), 1 * MS, 3600000 * MS,
     NULL},
};

struct client {
    const struct client_values *v;
    size_t at; /* the endpoint to ask next: the one that answered last */
    const char *endpoint;
    const struct client_request *request;
    struct client_reply reply;
    bool ended, enough, too_large;
    uint64_t parts;
    unsigned char *body;
    size_t body_used, body_size;
    void *parser_memory;
    char head[HEAD_ROOM];
    unsigned char in[READ_ROOM];
};

struct client *client_new(const struct client_values *v)
{
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->v = v;
    c->parser_memory = malloc(http_reply_parser_size());
    if (c->parser_memory == NULL) {
        free(c);
        return NULL;
    }
    return c;
}

void client_free(struct client *c)
{
    if (c != NULL) {
        free(c->parser_memory);
        free(c->body);
        free(c);
    }
}

const char *client_endpoint(const struct client *c)
{
    return c->endpoint;
}

/* ---- the answer ------------------------------------------------------------------------------------ */

/* A header's value as a number; 0 if it is none. */
static uint64_t number_of(struct cor_bytes value)
{
    char text[24];
    uint64_t v = 0;
    format_to(text, sizeof text, "%.*s", (int)(value.len < 23 ? value.len : 23),
              (const char *)value.ptr);
    return parse_number(text, &v) ? v : 0;
}

static bool is_header(const struct http_header *h, const char *lower)
{
    size_t len = strlen(lower);
    for (size_t i = 0; i < len && h->name.len == len; i++) {
        unsigned char c = h->name.ptr[i];
        if ((c >= 'A' && c <= 'Z' ? c + 0x20 : c) != (unsigned char)lower[i]) {
            return false;
        }
    }
    return h->name.len == len;
}

static void on_head(void *arg, const struct http_reply *reply)
{
    struct client *c = arg;
    c->reply.status = reply->status;
    for (uint32_t i = 0; i < reply->n_headers; i++) {
        const struct http_header *h = &reply->headers[i];
        if (is_header(h, "x-coracle-revision")) {
            c->reply.revision = number_of(h->value);
        } else if (is_header(h, "x-coracle-create-revision")) {
            c->reply.create_revision = number_of(h->value);
        } else if (is_header(h, "x-coracle-mod-revision")) {
            c->reply.mod_revision = number_of(h->value);
        } else if (is_header(h, "x-coracle-version")) {
            c->reply.version = number_of(h->value);
        } else if (is_header(h, "x-consul-index")) {
            c->reply.consul_index = number_of(h->value);
        }
    }
}

static void collect(struct client *c, struct cor_bytes part)
{
    if (part.len > CLIENT_BODY_MAX - c->body_used) {
        c->too_large = true;
        return;
    }
    size_t need = c->body_used + part.len;
    if (need > c->body_size) {
        size_t size = need < 4096 ? 4096 : 2 * need;
        unsigned char *more = realloc(c->body, size);
        if (more == NULL) {
            c->too_large = true;
            return;
        }
        c->body = more;
        c->body_size = size;
    }
    if (part.len > 0) {
        memcpy(c->body + c->body_used, part.ptr, part.len);
    }
    c->body_used = need;
}

static void on_body(void *arg, struct cor_bytes part)
{
    struct client *c = arg;
    const struct client_request *r = c->request;
    if (r->on_part == NULL || c->reply.status >= 300) {
        collect(c, part);
    } else if (!c->enough) {
        c->parts++;
        c->enough = !r->on_part(r->arg, part);
    }
}

static void on_end(void *arg)
{
    struct client *c = arg;
    c->ended = true;
}

/* ---- one attempt ----------------------------------------------------------------------------------- */

/* The request's head. "timeout=" leaves the node some time less than we wait, so that it speaks first. */
static enum cor_status make_head(struct client *c, uint64_t time, struct cor_bytes *out,
                                 struct cor_error *err)
{
    const struct client_request *r = c->request;
    char timeout[48] = "", length[48] = "", key[80] = "";
    if (r->timed) {
        uint64_t ms = (time - time / 8) / MS;
        ms = ms < 1 ? 1 : (ms > SERVER_MAX_MS ? SERVER_MAX_MS : ms);
        format_to(timeout, sizeof timeout, "%ctimeout=%llums",
                  strchr(r->target, '?') == NULL ? '?' : '&', (unsigned long long)ms);
    }
    if (r->idempotency_key != NULL) {
        format_to(key, sizeof key, "Idempotency-Key: %s\r\n", r->idempotency_key);
    }
    if (r->method[0] == 'P') {
        format_to(length, sizeof length, "Content-Length: %zu\r\n", r->body.len);
    }
    size_t n = format_to(c->head, sizeof c->head,
                         "%s %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: coracle/" CORACLE_VERSION
                         "\r\n%s%s\r\n",
                         r->method, r->target, timeout, c->endpoint, length, key);
    if (n + 1 >= sizeof c->head) {
        return error_set(err, COR_ETOOBIG, "the key is too long for a request");
    }
    *out = (struct cor_bytes){(const unsigned char *)c->head, n};
    return COR_OK;
}

/* Until the answer has ended, or enough of it was seen. */
static enum cor_status receive(struct client *c, int fd, uint64_t deadline,
                               struct cor_error *err)
{
    static const struct http_reply_events events = {on_head, on_body, on_end};
    struct http_reply_parser *p = http_reply_parser_init(c->parser_memory, &events, c);
    while (!c->ended && !c->enough) {
        bool streaming = c->request->streams && c->reply.status == 200;
        uint64_t until = streaming ? client_now() + CLIENT_SILENCE : deadline;
        size_t got;
        enum cor_status st = socket_receive(fd, c->in, sizeof c->in, until, &got, err);
        if (st != COR_OK) {
            return st;
        }
        if (got == 0) {
            return http_reply_parser_close(p) == COR_OK && c->ended
                       ? COR_OK
                       : error_set(err, COR_EIO, "the connection was closed before the answer");
        }
        st = http_reply_parser_take(p, (struct cor_bytes){c->in, got});
        if (st != COR_OK || c->too_large) {
            return error_set(err, COR_EPROTO,
                             "what answers there does not speak as a node does");
        }
    }
    return COR_OK;
}

/* COR_OK: an answer. COR_ENOTDONE: certainly not sent. COR_EUNKNOWN: may have been sent. COR_EPROTO: a read, and no node. COR_ETOOBIG. */
static enum cor_status attempt(struct client *c, uint64_t connect_ns, uint64_t ns,
                               struct cor_error *err)
{
    uint64_t begin = client_now();
    struct cor_bytes head = {NULL, 0};
    c->reply = (struct client_reply){0};
    c->ended = c->enough = c->too_large = false;
    c->parts = 0;
    c->body_used = 0;
    enum cor_status st = make_head(c, ns, &head, err);
    if (st != COR_OK) {
        return st;
    }
    int fd;
    st = socket_dial(c->endpoint, begin + (connect_ns < ns ? connect_ns : ns), &fd, err);
    if (st != COR_OK) {
        (void)error_prefix(err, "%s", c->endpoint);
        return st == COR_EINVAL ? COR_EINVAL : COR_ENOTDONE;
    }
    st = socket_send(fd, head, begin + ns, err);
    st = st == COR_OK ? socket_send(fd, c->request->body, begin + ns, err) : st;
    /* Also when sending failed: a node that refuses a body early has said why before it closed. */
    struct cor_error *late = st == COR_OK ? err : NULL;
    enum cor_status received = receive(c, fd, begin + ns, late);
    (void)close(fd);
    if (received != COR_OK) {
        (void)error_prefix(err, "%s", c->endpoint);
        c->reply.cut = c->parts > 0;
        return received == COR_EPROTO && !c->request->writes ? COR_EPROTO : COR_EUNKNOWN;
    }
    c->reply.body = (struct cor_bytes){c->body, c->body_used};
    return COR_OK;
}

enum cor_status client_ask_one(struct client *c, const char *endpoint,
                               const struct client_request *r, uint64_t timeout,
                               struct client_reply *reply, struct cor_error *err)
{
    c->request = r;
    c->endpoint = endpoint;
    enum cor_status st = attempt(c, timeout, timeout, err);
    *reply = c->reply;
    return st;
}

/* ---- all endpoints --------------------------------------------------------------------------------- */

static void pause_until(uint64_t at)
{
    uint64_t now = client_now();
    if (at > now) {
        const struct timespec t = {(time_t)((at - now) / (1000 * MS)),
                                   (long)((at - now) % (1000 * MS))};
        (void)nanosleep(&t, NULL);
    }
}

/* Done twice it is as good as done once. */
static bool may_repeat(const struct client *c)
{
    return !c->request->writes || c->request->idempotency_key != NULL;
}

/* How long this attempt may take: a write has one chance and gets all the time, others leave some for what comes after. */
static uint64_t time_for(const struct client *c, uint64_t left)
{
    bool last = c->request->writes ? !may_repeat(c) : c->v->endpoints.n == 1;
    return last ? left : left / 2 + 1;
}

/* Whether another endpoint may be tried after this outcome. */
static bool may_go_on(const struct client *c, enum cor_status st)
{
    if (st == COR_OK) {
        return c->reply.status == 503 || /* nothing was done: retry is safe */
               (c->reply.status == 504 && c->request->writes && may_repeat(c));
    }
    return st == COR_ENOTDONE || (st == COR_EUNKNOWN && may_repeat(c) && c->parts == 0);
}

/* Whether this outcome of a write leaves open if it was done. */
static bool is_open(const struct client *c, enum cor_status st)
{
    return c->request->writes &&
           (st == COR_EUNKNOWN || (st == COR_OK && c->reply.status == 504));
}

/* What the node said when it did nothing, as a sentence. */
static void set_refusal(const struct client *c, struct cor_error *err)
{
    struct json_value *body = json_parse(c->reply.body);
    const char *text = json_get_text(json_member(body, "error"));
    (void)error_set(err, COR_ENOTDONE, "%s: %s", c->endpoint,
                    text[0] != '\0' ? text : http_status_text(c->reply.status));
    json_free(body);
}

enum cor_status client_ask(struct client *c, const struct client_request *r, uint64_t timeout,
                           struct client_reply *reply, struct cor_error *err)
{
    const struct option_list *all = &c->v->endpoints;
    uint64_t deadline = client_now() + (timeout != 0 ? timeout : c->v->timeout);
    uint64_t least = (deadline - client_now()) / 4;
    least = least < LEAST_NS ? least : LEAST_NS;
    bool reached = false; /* somebody, in this round */
    bool open = false;    /* an attempt may have done it */
    c->request = r;
    for (size_t n = 1;; n++) {
        uint64_t now = client_now();
        uint64_t left = deadline > now ? deadline - now : 1;
        c->endpoint = all->items[c->at % all->n];
        enum cor_status st = attempt(c, all->n > 1 ? CONNECT_NS : left, time_for(c, left), err);
        *reply = c->reply;
        if (open && st == COR_OK && c->reply.status == 410) {
            return error_set(err, COR_EUNKNOWN, "%s: the session knows no answer any more",
                             c->endpoint);
        }
        if (!may_go_on(c, st)) {
            return st;
        }
        open = open || is_open(c, st);
        if (st == COR_OK) {
            set_refusal(c, err);
        }
        c->at = (c->at + 1) % all->n;
        reached = reached || st != COR_ENOTDONE;
        bool round_ends = n % all->n == 0;
        uint64_t pause = round_ends ? PAUSE_NS : 0;
        if (client_now() + pause + least >= deadline || (round_ends && !reached && !open)) {
            return open ? COR_EUNKNOWN : COR_ENOTDONE;
        }
        reached = reached && !round_ends;
        pause_until(client_now() + pause);
    }
}

/* ---- failures -------------------------------------------------------------------------------------- */

static enum exit_code code_of(unsigned status)
{
    switch (status) {
    case 404:
    case 409:
        return EXIT_NO;
    case 413:
    case 414:
        return EXIT_USAGE; /* too big, however often it is sent */
    case 504:
        return EXIT_UNKNOWN;
    default:
        return EXIT_FAILED;
    }
}

enum exit_code client_fail(const struct invocation *i, enum cor_status st,
                           const struct client_reply *reply, const struct cor_error *err)
{
    if (st == COR_EUNKNOWN) {
        return command_fail(
            i, EXIT_UNKNOWN,
            "outcome unknown: %s; the write may or may not have been done: read "
            "the key before writing again, or use --prev-revision or --session",
            err->text);
    }
    if (st == COR_EINVAL || st == COR_ETOOBIG) {
        return command_fail(i, EXIT_USAGE, "%s", err->text);
    }
    if (st != COR_OK) {
        return command_fail(i, EXIT_FAILED, "not done: %s", err->text);
    }
    struct json_value *body = json_parse(reply->body);
    const char *text = json_get_text(json_member(body, "error"));
    const struct json_value *present = json_member(body, "mod_revision");
    enum exit_code code = code_of(reply->status);
    if (text[0] == '\0') {
        (void)command_fail(i, code, "%s", http_status_text(reply->status));
    } else if (reply->status == 409 && present != NULL) {
        (void)command_fail(i, code, "%s (its mod revision is %llu)", text,
                           (unsigned long long)json_get_u64(present));
    } else {
        (void)command_fail(i, code, "%s", text);
    }
    json_free(body);
    return code;
}
