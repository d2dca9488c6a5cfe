/*
 * status.c - what this node knows about itself and the others (S2, S43), and the trace of writes (S26).
 *
 * Place in the system: /status and /debug/trace, routes of router.c. Numbers that may be larger than what every
 * JSON reader takes whole (identities, hashes) are hexadecimal text.
 */
#include "api/internal.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

static void field_hex(struct json_writer *w, const char *name, uint64_t v)
{
    char text[17];
    for (unsigned i = 0; i < 16; i++) {
        text[i] = digits[v >> (60 - 4 * i) & 15];
    }
    text[16] = '\0';
    json_field_text(w, name, text);
}

static void field_id(struct json_writer *w, const char *name, const unsigned char id[16])
{
    char text[33];
    for (size_t i = 0; i < 16; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    text[32] = '\0';
    json_field_text(w, name, text);
}

static const char *phase_name(enum node_phase phase)
{
    switch (phase) {
    case NODE_FORMING:
        return "forming";
    case NODE_RUNNING:
        return "running";
    case NODE_STOPPING:
        return "stopping";
    case NODE_FAILED:
        break;
    }
    return "failed";
}

/* ---- /status ---------------------------------------------------------------------------------------- */

static void put_raft(struct json_writer *w, const struct node_status *s)
{
    json_field_text(w, "role", s->role);
    json_field_u64(w, "term", s->raft.term);
    json_field_text(w, "leader", s->leader_name);
    json_field_text(w, "leader_address", s->leader_client_address);
    json_field_u64(w, "commit", s->raft.commit);
    json_field_u64(w, "applied", s->kv.applied);
    json_field_u64(w, "last", s->raft.last);
    json_field_u64(w, "durable", s->raft.durable);
}

static void put_store(struct json_writer *w, const struct node_status *s)
{
    json_field_u64(w, "revision", s->kv.revision);
    json_field_u64(w, "system_revision", s->kv.system_revision);
    json_field_u64(w, "compacted", s->kv.compacted);
    json_field_u64(w, "keys", s->kv.keys[KV_TABLE_KEYS]);
    field_hex(w, "state_hash", s->kv.hash);
}

static void put_resources(struct json_writer *w, const struct api *api,
                          const struct node_status *s)
{
    struct node_stats stats;
    node_get_stats(api->node, &stats);
    json_field_u64(w, "memory_bytes", s->kv.memory_bytes);
    json_field_u64(w, "live_bytes", s->kv.live_bytes);
    json_field_u64(w, "history_bytes", s->kv.history_bytes);
    json_field_bool(w, "memory_full", s->memory_full);
    json_field_bool(w, "disk_full", s->disk_full);
    json_field_u64(w, "disk_free_bytes", s->disk_free_bytes);
    json_field_u64(w, "watchers", stats.watchers);
    json_field_u64(w, "connections", api->stats.connections);
}

static void put_peer(struct json_writer *w, const struct node_peer_status *p)
{
    json_begin_object(w);
    json_field_text(w, "name", p->name);
    field_hex(w, "id", p->id);
    json_field_text(w, "address", p->address);
    json_field_text(w, "client_address", p->client_address);
    json_field_bool(w, "self", p->self);
    json_field_bool(w, "voter", p->voter);
    json_field_bool(w, "connected", p->connected);
    json_field_u64(w, "match", p->match);
    json_field_u64(w, "next", p->next);
    json_field_u64(w, "lag", p->lag_entries);
    json_field_u64(w, "applied", p->applied);
    json_name(w, "last_contact_ms");
    if (p->last_contact_ms == UINT64_MAX) {
        json_null(w);
    } else {
        json_u64(w, p->last_contact_ms);
    }
    json_end_object(w);
}

static enum rendered render_status(struct exchange *x, struct out *o)
{
    struct api *api = x->api;
    struct node_status s;
    node_get_status(api->node, &s);
    struct json_writer *w = api_line(api);
    json_begin_object(w);
    json_field_text(w, "name", s.name);
    field_hex(w, "id", s.id);
    json_field_text(w, "version", api->o.version);
    json_field_text(w, "phase", phase_name(s.phase));
    put_raft(w, &s);
    put_store(w, &s);
    json_field_bool(w, "ready", s.ready);
    json_field_text(w, "waiting_for", s.waiting_for);
    field_id(w, "cluster_id", s.cluster_id);
    field_id(w, "disk_id", s.disk_id);
    json_field_u64(w, "incarnation", s.incarnation);
    put_resources(w, api, &s);
    json_name(w, "peers");
    json_begin_array(w);
    for (size_t i = 0; i < s.n_peers; i++) {
        put_peer(w, &s.peers[i]);
    }
    json_end_array(w);
    json_end_object(w);
    const struct answer a = {.status = 200, .type = "application/json"};
    return answer_json(x, o, &a, w);
}

void ops_status(struct exchange *x, const struct http_request *r)
{
    static const struct exchange_ops ops = {.render = render_status};
    exchange_start_plain(x, r, &ops);
}

/* ---- /debug/trace ------------------------------------------------------------------------------------- */

static const char *const step_names[] = {
    [NODE_STEP_REQUEST] = "request",
    [NODE_STEP_LEADER_LOG] = "leader_log",
    [NODE_STEP_FOLLOWER_LOG] = "follower_log",
    [NODE_STEP_LEADER_COMMIT] = "leader_commit",
    [NODE_STEP_FOLLOWER_COMMIT] = "follower_commit",
    [NODE_STEP_ANSWER] = "answer",
};

const char *ops_member_name(const struct node_status *s, cor_node_id id)
{
    for (size_t i = 0; i < s->n_peers; i++) {
        if (s->peers[i].id == id) {
            return s->peers[i].name;
        }
    }
    return "";
}

static void put_step(struct json_writer *w, const struct node_trace *t,
                     const struct node_status *s)
{
    COR_ASSERT(t->step < ARRAY_LEN(step_names));
    json_newline(w);
    json_begin_object(w);
    json_field_u64(w, "at_ns", t->at);
    json_field_u64(w, "step", t->step);
    json_field_text(w, "name", step_names[t->step]);
    json_field_u64(w, "term", t->term);
    json_field_u64(w, "index", t->index);
    json_field_u64(w, "entries", t->n_entries);
    if (t->step == NODE_STEP_FOLLOWER_LOG) {
        json_field_text(w, "peer", ops_member_name(s, t->peer));
    }
    json_end_object(w);
}

static enum rendered render_trace(struct exchange *x, struct out *o)
{
    struct node_status s;
    struct node_trace steps[NODE_TRACE_MAX];
    node_get_status(x->api->node, &s);
    size_t n = node_get_trace(x->api->node, steps, ARRAY_LEN(steps));
    struct json_writer *w = api_line(x->api);
    json_begin_object(w);
    json_field_u64(w, "now_ns", api_now(x->api));
    json_name(w, "steps");
    json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        put_step(w, &steps[i], &s);
    }
    if (n > 0) {
        json_newline(w);
    }
    json_end_array(w);
    json_end_object(w);
    const struct answer a = {.status = 200, .type = "application/json"};
    return answer_json(x, o, &a, w);
}

void ops_trace(struct exchange *x, const struct http_request *r)
{
    static const struct exchange_ops steps = {.render = render_trace};
    static const struct exchange_ops article = {.render = ops_render_article};
    struct params p;
    if (!params_parse(x, r->query, PARAM_BIT(PARAM_FORMAT), &p)) {
        return;
    }
    struct cor_bytes format = p.bytes[PARAM_FORMAT];
    if (has_param(&p, PARAM_FORMAT) &&
        !(format.len == 7 && memcmp(format.ptr, "article", 7) == 0)) {
        exchange_fail(x, 400, "bad_request", "parameter format: there is only \"article\"");
        return;
    }
    x->ops = has_param(&p, PARAM_FORMAT) ? &article : &steps;
    exchange_ready(x);
}
