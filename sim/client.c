/*
 * client.c - see client.h. What is asked, of whom, and what became of it; and message mode.
 *
 * A request in message mode is an object of its own, because it may outlive the interest of its client: a paused
 * node answers late, and that answer belongs to nobody. A numbered write is repeated as another such object, so that both may
 * be under way.
 */
#include "sim/client.h"

#include "base/assert.h"
#include "sim/words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_TIMEOUT (5 * SIM_S) /* a node's default */
#define OPS_SIZE        512u        /* of encoded operations, without values */

struct client {
    struct clients *all;
    unsigned number;          /* from 0 */
    struct client_http *http; /* NULL: message mode */
    struct request *request;  /* message mode */
    bool waiting;             /* for the answer to @op */
    bool retry;               /* @op was refused: ask again, of somebody else perhaps */
    bool numbered;            /* its writes have numbers... */
    uint64_t session, serial; /* ... in this session; 0: one is to be opened */
    bool opening;             /* what it waits for is a session */
    bool under_number;        /* @op is a numbered write */
    bool repeat;              /* ask @op again, under its number */
    uint64_t asked_at;
    size_t op;
    unsigned node; /* asked last */
    struct sim_event act;
};

struct request {
    struct request *next, **link;
    struct clients *all;
    struct client *client; /* NULL: it gave up */
    size_t op;
    unsigned node;
    uint64_t session, number; /* 0: none */
    bool opens;               /* a session; @op means nothing */
    struct sim_event deliver;
};

struct clients {
    struct cluster *cluster;
    struct client_options options;
    bool stopped;
    struct client clients[CLIENTS_MAX];
    unsigned n;
    struct request *requests;
    struct client_stats stats;
    size_t value_room;
    unsigned char *value; /* room for one */
    unsigned char *ops;
};

/* ---- what became of it ---------------------------------------------------------------------------- */

static void count(struct clients *cl, const struct op *op)
{
    if (op->status == COR_OK) {
        cl->stats.done++;
    } else if (history_is_not_done(op->status)) {
        cl->stats.refused++;
    } else {
        cl->stats.unknown++;
    }
}

static void think(struct client *client)
{
    struct clients *cl = client->all;
    struct world *w = &cl->cluster->world;
    if (!cl->stopped && cl->options.think > 0) {
        event_at(&client->act,
                 w->now + world_below(w, SIM_RANDOM_WORKLOAD, 2 * cl->options.think));
    }
}

/* No answer to a numbered write yet, or never one. True: this was it. */
static bool stays_open(struct client *client, struct client_answer *a)
{
    struct cluster *c = client->all->cluster;
    if (!client->under_number) {
        return false;
    }
    if (a->status == COR_EREUSED) {
        judge_fail(&c->judge, "exactly once: n%u takes number %" PRIu64 " for another write",
                   client->node, client->serial);
    }
    if (a->status == COR_ENOSESSION || a->status == COR_EFORGOTTEN) {
        client->session = 0; /* too late to learn what became of it */
        a->status = COR_EUNKNOWN;
    }
    client->repeat = client->session != 0 && a->status != COR_OK;
    return client->repeat;
}

static void record(struct client *client, const struct client_answer *answer)
{
    struct cluster *c = client->all->cluster;
    struct client_answer copy = *answer;
    struct client_answer *a = &copy;
    client->waiting = false;
    if (client->opening || stays_open(client, a)) {
        client->session = client->opening ? a->session : client->session;
        client->opening = false;
        event_clear(&client->act);
        think(client);
        return;
    }
    struct op *op = &c->history.ops[client->op];
    op->status = a->status;
    op->returned = a->status == COR_EUNKNOWN && op->kind != OP_GET ? 0 : c->world.now;
    op->revision = a->revision;
    op->changed = a->changed;
    if (op->kind == OP_GET) {
        op->value = a->value;
        op->mod_revision = a->mod_revision;
    }
    world_note(&c->world, SIM_NOTE_ANSWER, op->node, client->op, a->status);
    count(client->all, op);
    client->retry = op->kind != OP_GET && history_is_not_done(op->status);
    event_clear(&client->act);
    think(client);
}

/* A node that runs answers within the time of the request, whatever the cluster does. */
static void demand_answer(const struct client *client)
{
    struct cluster *c = client->all->cluster;
    const struct host *h = &c->nodes[client->node].host;
    uint64_t timeout = c->options.node.request_timeout;
    uint64_t since = client->asked_at;
    since = h->resumed_at > since ? h->resumed_at : since;
    timeout = timeout == 0 ? REQUEST_TIMEOUT : timeout;
    if (!h->paused && c->world.now - since > timeout + timeout / 10 + SIM_S) {
        judge_fail(&c->judge, "liveness: n%u does not answer request %zu", client->node,
                   client->op + 1);
    }
}

/* Nobody will answer any more. */
static void give_up(struct client *client)
{
    record(client, &(struct client_answer){.status = COR_EUNKNOWN});
}

static void on_http_answer(void *arg, const struct client_answer *a)
{
    struct client *client = arg;
    COR_ASSERT(client->waiting);
    record(client, a);
}

/* ---- message mode --------------------------------------------------------------------------------- */

static void request_free(struct request *r)
{
    event_clear(&r->deliver);
    if (r->next != NULL) {
        r->next->link = r->link;
    }
    *r->link = r->next;
    if (r->client != NULL) {
        r->client->request = NULL;
    }
    free(r);
}

static void answer(struct request *r, const struct client_answer *a)
{
    struct client *client = r->client;
    request_free(r);
    if (client != NULL) {
        record(client, a);
    }
}

static void on_written(void *arg, enum cor_status st, const struct kv_result *result)
{
    struct client_answer a = {.status = st};
    if (st == COR_OK) {
        a.status = result->status;
        a.revision = result->revision;
        a.changed = result->n_ops > 0 && result->ops[0].count > 0;
        a.session = result->n_ops > 0 ? result->ops[0].count : 0;
    }
    answer(arg, &a);
}

static void on_read(void *arg, enum cor_status st, const struct node_read_info *info)
{
    struct request *r = arg;
    struct judge *j = &r->all->cluster->judge;
    struct client_answer a = {.status = st};
    if (st == COR_OK) {
        char key[WORD_KEY_SIZE + 1];
        struct kv_info kv;
        struct kv_item item;
        word_key(r->all->cluster->history.ops[r->op].key, key);
        struct cor_bytes name = {(unsigned char *)key, WORD_KEY_SIZE};
        kv_get_info(info->kv, &kv);
        a.revision = kv.revision;
        if (kv_get(info->kv, KV_TABLE_KEYS, name, 0, &item) == COR_OK) {
            a.value = word_read_value(item.value);
            a.mod_revision = item.mod_revision;
            if (a.value == 0) {
                judge_fail(j, "content: n%u holds something strange at %s", r->node, key);
            }
        }
    }
    answer(r, &a);
}

static void encode_put(struct writer *w, uint32_t key, struct cor_bytes value)
{
    char text[WORD_KEY_SIZE + 1];
    word_key(key, text);
    struct kv_op op = {.kind = KV_OP_PUT,
                       .range = {.key = {(unsigned char *)text, WORD_KEY_SIZE}},
                       .value = value};
    kv_encode_op(w, &op);
}

/* The operations of the write @op, in the buffer of @cl. */
static struct cor_bytes encode(struct clients *cl, const struct op *op, struct cor_bytes value)
{
    struct writer w = writer_of(cl->ops, OPS_SIZE + 2 * cl->value_room);
    char text[WORD_KEY_SIZE + 1];
    word_key(op->key, text);
    if (op->kind == OP_DELETE) {
        struct kv_op delete = {.kind = KV_OP_DELETE,
                               .range = {.key = {(unsigned char *)text, WORD_KEY_SIZE}}};
        kv_encode_one(&w, &delete);
    } else {
        kv_encode_txn_begin(&w, 0, op->kind == OP_PUT_TWO ? 2 : 1, 0);
        encode_put(&w, op->key, value);
        if (op->kind == OP_PUT_TWO) {
            encode_put(&w, op->key2, value);
        }
    }
    COR_ASSERT(writer_ok(&w));
    return (struct cor_bytes){cl->ops, w.used};
}

/* The value that the put @at writes: its place plus one, of some length. */
static struct cor_bytes value_of(struct clients *cl, size_t at)
{
    struct world *w = &cl->cluster->world;
    size_t max = world_chance(w, SIM_RANDOM_WORKLOAD, 20) ? cl->options.value_max : 100;
    max = max < cl->options.value_max ? max : cl->options.value_max;
    size_t len = (size_t)world_below(w, SIM_RANDOM_WORKLOAD, max + 1);
    len = len > cl->options.value_min ? len : cl->options.value_min;
    COR_ASSERT(len <= cl->options.value_max);
    return (struct cor_bytes){cl->value, word_value(at + 1, len, cl->value)};
}

/* Of a numbered write, which must be the same each time. */
static struct cor_bytes fixed_value_of(struct clients *cl, size_t at)
{
    size_t max = cl->options.value_max < 100 ? cl->options.value_max : 100;
    return (struct cor_bytes){cl->value, word_value(at + 1, at % (max + 1), cl->value)};
}

/* Every second session is so short-lived that it may expire in an outage. */
static struct cor_bytes encode_open(struct clients *cl, const struct client *client)
{
    struct writer w = writer_of(cl->ops, OPS_SIZE);
    bool is_short = client != NULL && client->serial % 2 != 0;
    kv_encode_one(&w, &(struct kv_op){.kind = KV_OP_SESSION,
                                      .session_do = KV_SESSION_OPEN,
                                      .number = is_short ? KV_SESSION_IDLE_MIN : 3600 * SIM_S});
    COR_ASSERT(writer_ok(&w));
    return (struct cor_bytes){cl->ops, w.used};
}

static enum cor_status deliver_write(struct request *r, struct node *node)
{
    struct clients *cl = r->all;
    struct node_write write = {
        .dialect = ENTRY_DIALECT_NATIVE, .session = r->session, .number = r->number};
    if (r->opens) {
        write.ops = encode_open(cl, r->client);
    } else {
        const struct op *op = &cl->cluster->history.ops[r->op];
        write.ops =
            encode(cl, op, r->session != 0 ? fixed_value_of(cl, r->op) : value_of(cl, r->op));
    }
    return node_write(node, &write, on_written, r);
}

static void on_delivered(struct sim_event *e)
{
    struct request *r = CONTAINER_OF(e, struct request, deliver);
    struct clients *cl = r->all;
    struct node *node = cl->cluster->nodes[r->node].node;
    const struct op *op = &cl->cluster->history.ops[r->op];
    enum cor_status st;
    if (!r->opens && op->kind == OP_GET) {
        st = node_read(node, (enum node_read_mode)op->mode, 0, on_read, r);
    } else {
        st = deliver_write(r, node);
    }
    if (st != COR_OK) {
        answer(r, &(struct client_answer){.status = st});
    }
}

static void send_request(struct client *client)
{
    struct clients *cl = client->all;
    struct world *w = &cl->cluster->world;
    struct request *r = calloc(1, sizeof *r);
    COR_ASSERT(r != NULL);
    r->all = cl;
    r->client = client;
    r->op = client->op;
    r->node = client->node;
    r->opens = client->opening;
    if (client->under_number && !r->opens) {
        r->session = client->session;
        r->number = client->serial;
    }
    r->link = &cl->requests;
    r->next = cl->requests;
    if (r->next != NULL) {
        r->next->link = &r->next;
    }
    cl->requests = r;
    client->request = r;
    event_init(&r->deliver, w, &cl->cluster->nodes[r->node].host, SIM_NOTE_REQUEST,
               on_delivered);
    event_at(&r->deliver, w->now + world_below(w, SIM_RANDOM_WORKLOAD, SIM_MS));
}

/* A node has died with what it was asked. */
static void on_down(void *arg, unsigned node)
{
    struct clients *cl = arg;
    for (struct request *r = cl->requests, *next; r != NULL; r = next) {
        next = r->next;
        if (r->node == node) {
            answer(r, &(struct client_answer){.status = COR_EUNKNOWN});
        }
    }
}

/* ---- what is asked --------------------------------------------------------------------------------- */

/* Send it, and wait. */
static void send_to(struct client *me, unsigned node)
{
    struct clients *cl = me->all;
    struct cluster *c = cl->cluster;
    me->waiting = true;
    me->node = node;
    me->asked_at = c->world.now;
    event_clear(&me->act);
    event_at(&me->act, c->world.now + cl->options.patience);
    if (cluster_is_up(c, node)) {
        send_request(me);
    } else {
        record(me, &(struct client_answer){.status = COR_ENOTDONE});
    }
}

size_t clients_ask(struct clients *cl, unsigned client, const struct op *what)
{
    struct client *me = &cl->clients[client];
    struct cluster *c = cl->cluster;
    COR_ASSERT(client < cl->n && !me->waiting);
    struct op op = *what;
    op.client = client;
    op.invoked = c->world.now;
    op.status = COR_EUNKNOWN;
    op.value = op.kind == OP_GET ? 0 : c->history.n + 1;
    me->op = history_add(&c->history, &op);
    me->under_number = me->session != 0 && op.kind != OP_GET;
    me->serial += me->under_number;
    me->repeat = false;
    cl->stats.asked++;
    if (me->http == NULL) {
        send_to(me, op.node);
        return me->op;
    }
    me->waiting = true;
    me->node = op.node;
    cl->stats.http++;
    event_clear(&me->act);
    event_at(&me->act, c->world.now + cl->options.patience);
    client_http_ask(me->http, &op,
                    op.kind == OP_PUT ? value_of(cl, me->op) : (struct cor_bytes){0});
    return me->op;
}

static enum client_wish draw_wish(struct clients *cl)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < N_WISHES; i++) {
        sum += cl->options.weights[i];
    }
    COR_ASSERT(sum > 0);
    uint64_t draw = world_below(&cl->cluster->world, SIM_RANDOM_WORKLOAD, sum);
    unsigned i = 0;
    while (draw >= cl->options.weights[i]) {
        draw -= cl->options.weights[i++];
    }
    return (enum client_wish)i;
}

/* Mostly the node asked last, so that connections live and what was read can be read again. */
static unsigned draw_node(struct client *client)
{
    struct cluster *c = client->all->cluster;
    bool stay = client->node != 0 && cluster_is_up(c, client->node);
    if (stay && world_chance(&c->world, SIM_RANDOM_WORKLOAD, 700)) {
        return client->node;
    }
    return 1 + (unsigned)world_below(&c->world, SIM_RANDOM_WORKLOAD, c->n);
}

static struct op draw_op(struct client *client)
{
    static const uint8_t kinds[N_WISHES] = {OP_PUT, OP_PUT_TWO, OP_DELETE,
                                            OP_GET, OP_GET,     OP_GET};
    static const uint8_t modes[N_WISHES] = {[WISH_GET] = NODE_READ_DEFAULT,
                                            [WISH_GET_CONSISTENT] = NODE_READ_CONSISTENT,
                                            [WISH_GET_STALE] = NODE_READ_STALE};
    struct clients *cl = client->all;
    struct world *w = &cl->cluster->world;
    enum client_wish wish = draw_wish(cl);
    if (wish == WISH_PUT_TWO && (client->http != NULL || cl->options.n_keys < 2)) {
        wish = WISH_PUT;
    }
    uint32_t n_keys = cl->options.n_keys;
    struct op op = {.kind = kinds[wish], .mode = modes[wish]};
    op.node = draw_node(client);
    op.key = (uint32_t)world_below(w, SIM_RANDOM_WORKLOAD, n_keys);
    if (wish == WISH_PUT_TWO) {
        op.key2 =
            (op.key + 1 + (uint32_t)world_below(w, SIM_RANDOM_WORKLOAD, n_keys - 1)) % n_keys;
    }
    return op;
}

/* Time to ask, or to stop waiting. */
static void on_act(struct sim_event *e)
{
    struct client *client = CONTAINER_OF(e, struct client, act);
    struct clients *cl = client->all;
    if (client->waiting) {
        if (client->http != NULL) {
            client_http_give_up(client->http);
        } else {
            demand_answer(client);
            client->request->client = NULL;
            client->request = NULL;
        }
        give_up(client);
        return;
    }
    if (cl->stopped || cl->options.think == 0) {
        return;
    }
    if (client->repeat) {
        client->repeat = false;
        cl->stats.repeated++;
        send_to(client, draw_node(client));
    } else if (client->numbered && client->session == 0) {
        client->opening = true;
        send_to(client, draw_node(client));
    } else {
        struct op op = client->retry ? cl->cluster->history.ops[client->op] : draw_op(client);
        op.node = client->retry ? draw_node(client) : op.node;
        (void)clients_ask(cl, client->number, &op);
    }
}

/* ---- life ------------------------------------------------------------------------------------------ */

struct clients *clients_new(struct cluster *c, const struct client_options *options)
{
    struct clients *cl = calloc(1, sizeof *cl);
    COR_ASSERT(cl != NULL && options->n_keys <= HISTORY_KEYS_MAX);
    cl->cluster = c;
    cl->options = *options;
    cl->n = options->n_message + options->n_http;
    COR_ASSERT(cl->n >= 1 && cl->n <= CLIENTS_MAX);
    cl->value_room = options->value_max;
    cl->value = malloc(options->value_max + WORD_VALUE_SIZE);
    cl->ops = malloc(OPS_SIZE + 2 * options->value_max);
    COR_ASSERT(cl->value != NULL && cl->ops != NULL);
    for (unsigned i = 0; i < cl->n; i++) {
        struct client *client = &cl->clients[i];
        client->all = cl;
        client->number = i;
        client->numbered = i < options->n_numbered;
        if (i >= options->n_message) {
            client->http = client_http_new(c, c->n + 1 + i, client, on_http_answer);
        }
        event_init(&client->act, &c->world,
                   client->http == NULL ? NULL : client_http_host(client->http),
                   SIM_NOTE_REQUEST, on_act);
        think(client);
    }
    cluster_listen(c, (struct cluster_listener){.on_down = on_down, .arg = cl});
    return cl;
}

void clients_set_values(struct clients *cl, size_t min, size_t max)
{
    COR_ASSERT(min <= max && max <= cl->value_room);
    cl->options.value_min = min;
    cl->options.value_max = max;
}

void clients_stop(struct clients *cl)
{
    cl->stopped = true;
}

bool clients_are_idle(const struct clients *cl)
{
    for (unsigned i = 0; i < cl->n; i++) {
        if (cl->clients[i].waiting) {
            return false;
        }
    }
    return true;
}

bool clients_is_waiting(const struct clients *cl, unsigned client)
{
    return cl->clients[client].waiting;
}

void clients_get_stats(const struct clients *cl, struct client_stats *out)
{
    *out = cl->stats;
}

void clients_halt(struct clients *cl)
{
    cl->stopped = true;
    for (struct request *r = cl->requests, *next; r != NULL; r = next) {
        next = r->next;
        request_free(r);
    }
    for (unsigned i = 0; i < cl->n; i++) {
        event_clear(&cl->clients[i].act);
        if (cl->clients[i].http != NULL) {
            client_http_halt(cl->clients[i].http);
        }
    }
}

void clients_free(struct clients *cl)
{
    for (unsigned i = 0; i < cl->n; i++) {
        client_http_free(cl->clients[i].http);
    }
    free(cl->ops);
    free(cl->value);
    free(cl);
}
