/*
 * health.c - is this node well? For load balancers, service managers and people: /health, /livez, /readyz,
 * and the two pages about the program itself.
 *
 * Place in the system: routes of router.c. All are answered from what this node knows, at once.
 */
#include "api/internal.h"

#include "base/format.h"

#include <string.h>

#define WHY_MAX 448u /* a name, an address, and words */

static enum rendered answer_text(struct exchange *x, struct out *o, const char *text)
{
    const struct answer a = {.status = 200, .type = "text/plain; charset=utf-8"};
    answer_whole(x, o, &a, (struct cor_bytes){(const unsigned char *)text, strlen(text)});
    return RENDER_DONE;
}

static const char *address_of(const struct node_status *s, const char *name)
{
    for (size_t i = 0; i < s->n_peers; i++) {
        if (strcmp(s->peers[i].name, name) == 0) {
            return s->peers[i].address;
        }
    }
    return "an unknown address";
}

/* Why this node should not be asked now; "" if it may be. */
static void why_not_ready(const struct node_status *s, char *out, size_t size)
{
    out[0] = '\0';
    if (s->phase == NODE_FORMING && s->waiting_for[0] != '\0') {
        format_to(out, size, "waiting for %s at %s", s->waiting_for,
                  address_of(s, s->waiting_for));
    } else if (s->phase == NODE_FORMING) {
        format_to(out, size, "the cluster is forming");
    } else if (s->phase == NODE_STOPPING) {
        format_to(out, size, "this node is stopping");
    } else if (s->phase == NODE_FAILED) {
        format_to(out, size, "this node has failed; its log says why");
    } else if (s->raft.leader == 0) {
        format_to(out, size, "no leader is known: an election, or no majority");
    } else if (!s->ready) {
        format_to(out, size, "catching up: applied %llu of %llu entries",
                  (unsigned long long)s->raft.applied, (unsigned long long)s->raft.commit);
    }
}

/* ---- /readyz, /livez --------------------------------------------------------------------------------- */

static enum rendered fail(struct exchange *x, struct out *o, const char *why)
{
    struct extra extra;
    extra.used = 0;
    x->status = 503;
    x->code = "not_ready";
    x->text = (struct cor_bytes){(const unsigned char *)why, strlen(why)};
    return exchange_render_error(x, o, &extra);
}

static enum rendered render_ready(struct exchange *x, struct out *o)
{
    struct node_status s;
    char why[WHY_MAX];
    node_get_status(x->api->node, &s);
    why_not_ready(&s, why, sizeof why);
    if (x->api->stopping && why[0] == '\0') {
        format_to(why, sizeof why, "this node is stopping");
    }
    return why[0] == '\0' ? answer_text(x, o, "ok\n") : fail(x, o, why);
}

static enum rendered render_live(struct exchange *x, struct out *o)
{
    struct node_status s;
    node_get_status(x->api->node, &s);
    if (s.phase == NODE_FAILED) {
        return fail(x, o, "this node has failed; its log says why");
    }
    return answer_text(x, o, "ok\n");
}

void ops_readyz(struct exchange *x, const struct http_request *r)
{
    static const struct exchange_ops ops = {.render = render_ready};
    exchange_start_plain(x, r, &ops);
}

void ops_livez(struct exchange *x, const struct http_request *r)
{
    static const struct exchange_ops ops = {.render = render_live};
    exchange_start_plain(x, r, &ops);
}

/* ---- /health: etcd's form ------------------------------------------------------------------------------ */

static enum rendered render_health(struct exchange *x, struct out *o)
{
    struct node_status s;
    char why[WHY_MAX] = "";
    node_get_status(x->api->node, &s);
    if (s.phase != NODE_RUNNING || s.raft.leader == 0) {
        why_not_ready(&s, why, sizeof why);
    }
    bool well = why[0] == '\0';
    struct json_writer *w = api_line(x->api);
    json_begin_object(w);
    json_field_text(w, "health", well ? "true" : "false");
    json_field_text(w, "reason", why);
    json_end_object(w);
    struct extra extra;
    extra.used = 0;
    if (!well) {
        extra_text(&extra, "Retry-After", COR_BYTES_LIT("1"));
    }
    const struct answer a = {
        .status = well ? 200 : 503, .type = "application/json", .extra = &extra};
    return answer_json(x, o, &a, w);
}

void ops_health(struct exchange *x, const struct http_request *r)
{
    static const struct exchange_ops ops = {.render = render_health};
    exchange_start_plain(x, r, &ops);
}

/* ---- /version, / ------------------------------------------------------------------------------------------ */

static enum rendered render_version(struct exchange *x, struct out *o)
{
    struct json_writer *w = api_line(x->api);
    json_begin_object(w);
    json_field_text(w, "version", x->api->o.version);
    json_end_object(w);
    const struct answer a = {.status = 200, .type = "application/json"};
    return answer_json(x, o, &a, w);
}

void ops_version(struct exchange *x, const struct http_request *r)
{
    static const struct exchange_ops ops = {.render = render_version};
    exchange_start_plain(x, r, &ops);
}

static enum rendered render_index(struct exchange *x, struct out *o)
{
    static const char text[] =
        "Coracle, a replicated key-value store\n"
        "\n"
        "  POST, PUT /db/{key}                      set a key; the body is the value. "
        "?prev_revision=N\n"
        "  DELETE    /db/{key}                      delete it\n"
        "  GET       /db/{key}                      the value. ?stale ?consistent ?revision=N\n"
        "  GET       /db/{key}?index=N&wait=30s     wait for a change\n"
        "  GET       /db?prefix=P&limit=N&after=K   list keys and values; &keys: keys only\n"
        "  GET       /db?watch&prefix=P             follow changes\n"
        "  GET, PUT, DELETE /v1/kv/{key}            the same keys for Consul's clients; more "
        "in /v1/\n"
        "  GET       /status /metrics /health /livez /readyz /debug/trace /version\n";
    return answer_text(x, o, text);
}

void ops_index(struct exchange *x, const struct http_request *r)
{
    static const struct exchange_ops ops = {.render = render_index};
    exchange_start_plain(x, r, &ops);
}
