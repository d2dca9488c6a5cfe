/*
 * status.c - /v1/status: who leads, and who is there, by the addresses members know each other by.
 *
 * Place in the system: routes of routes.c. Answered from what this node knows, at once, also without a leader.
 */
#include "api/consul/consul.h"

/* A node that is alone may have no address for peers; then that for clients. */
static const char *address_of(const struct node_peer_status *p)
{
    return p->address[0] != '\0' ? p->address : p->client_address;
}

static enum rendered answer(struct exchange *x, struct out *o, struct json_writer *w)
{
    struct extra e;
    e.used = 0;
    consul_headers(&e);
    return consul_answer_json(x, o, &e, w);
}

static enum rendered render_leader(struct exchange *x, struct out *o)
{
    struct node_status s;
    const char *leader = "";
    node_get_status(x->api->node, &s);
    for (size_t i = 0; i < s.n_peers; i++) {
        if (s.raft.leader != 0 && s.peers[i].id == s.raft.leader) {
            leader = address_of(&s.peers[i]);
        }
    }
    struct json_writer *w = consul_json(x);
    json_text(w, leader);
    return answer(x, o, w);
}

static enum rendered render_peers(struct exchange *x, struct out *o)
{
    struct node_status s;
    node_get_status(x->api->node, &s);
    struct json_writer *w = consul_json(x);
    json_begin_array(w);
    for (size_t i = 0; i < s.n_peers; i++) {
        json_text(w, address_of(&s.peers[i]));
    }
    json_end_array(w);
    return answer(x, o, w);
}

static void start(struct consul_call *c, const struct exchange_ops *ops)
{
    c->x->ops = ops;
    exchange_ready(c->x);
}

void consul_status_leader(struct consul_call *c)
{
    static const struct exchange_ops ops = {.render = render_leader};
    start(c, &ops);
}

void consul_status_peers(struct consul_call *c)
{
    static const struct exchange_ops ops = {.render = render_peers};
    start(c, &ops);
}
