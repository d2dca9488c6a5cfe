/*
 * name.c - see model.h: which states are the same, and what their common name is.
 *
 * The numbers of nodes mean nothing to the protocol: of the six ways to give them, the one with the smallest hash names
 * the state. Nodes that look different without any numbers are put in the order of their looks first, so that nearly
 * always one way is left to try.
 */
#include "tests/explore/model.h"

#include "base/hash.h"

#include <string.h>

#define OLD (2 * MODEL_MIN) /* older than anything that is compared */

/* ---- moments ------------------------------------------------------------------------------------------------ */

static void set_now(uint64_t *moment)
{
    *moment = *moment == 0 ? 0 : MODEL_NOW;
}

/* A core asks of the past only how long ago it was, and all its answers may be given after any time: see model.h. */
static void forget_time(struct cor_raft *r)
{
    bool leads = raft_is_leader(r);
    r->now = MODEL_NOW;
    set_now(&r->heard_at);
    r->timeout = MODEL_MIN;
    r->election_at = MODEL_NOW + MODEL_MIN;
    r->heartbeat_at = leads ? MODEL_NOW + MODEL_HEARTBEAT : 0;
    set_now(&r->leader_since);
    r->sent_at = r->sent_at != 0;
    r->hasty = 0;
    for (uint32_t i = 0; i < r->n_peers; i++) {
        struct raft_peer *p = &r->peers[i];
        set_now(&p->heard_at);
        set_now(&p->probe_at);
        p->progress_at = MODEL_NOW;
        p->lease_from = p->lease_from != 0;
    }
    for (uint32_t i = 0; i < r->n_reads; i++) {
        raft_reads(r)[i].since = MODEL_NOW;
    }
}

static void pass(uint64_t *moment, uint64_t ns)
{
    if (*moment != 0) {
        *moment = raft_max(*moment, MODEL_NOW - OLD + ns) - ns;
    }
}

/* A moment that is waited for: it is due, or how long until then. */
static void come_closer(uint64_t *moment, uint64_t ns)
{
    if (*moment != 0) {
        *moment = raft_max(*moment, MODEL_NOW + ns) - ns;
    }
}

void model_pass(struct model *m, uint64_t ns)
{
    for (uint32_t k = 0; k < MODEL_NODES; k++) {
        struct cor_raft *r = model_core(&m->nodes[k]);
        pass(&r->heard_at, ns);
        come_closer(&r->election_at, ns);
        come_closer(&r->heartbeat_at, ns);
        pass(&r->leader_since, ns);
        pass(&r->sent_at, ns);
        for (uint32_t i = 0; i < r->n_peers; i++) {
            struct raft_peer *p = &r->peers[i];
            pass(&p->heard_at, ns);
            pass(&p->probe_at, ns);
            pass(&p->progress_at, ns);
            pass(&p->lease_from, ns);
        }
        for (uint32_t i = 0; i < r->n_reads; i++) {
            pass(&raft_reads(r)[i].since, ns);
        }
    }
    for (uint64_t i = 0; i < m->n_messages; i++) {
        pass(&m->messages[i].m.sent_at, ns);
    }
}

/* ---- rings and counters --------------------------------------------------------------------------------------- */

/* @n elements of a ring of @room, which begin at @head, to the front. */
static void rotate(void *ring, size_t size, uint32_t room, uint32_t head, uint32_t n)
{
    unsigned char copy[512];
    COR_ASSERT(size * room <= sizeof copy);
    memcpy(copy, ring, size * room);
    for (uint32_t i = 0; i < n; i++) {
        memcpy((unsigned char *)ring + i * size, copy + (head + i) % room * size, size);
    }
    memset((unsigned char *)ring + n * size, 0, (room - n) * size);
}

void model_settle(struct model_node *node, bool timed)
{
    struct cor_raft *r = model_core(node);
    const struct cor_raft_options *o = &r->options;
    rotate(raft_writes(r), sizeof(struct raft_write), o->writes_max, r->writes_head,
           r->n_writes);
    rotate(raft_batches(r), sizeof(struct raft_batch), o->writes_max, r->batches_head,
           r->n_batches);
    rotate(raft_reads(r), sizeof(struct raft_read), o->reads_max, r->reads_head, r->n_reads);
    r->writes_head = r->batches_head = r->reads_head = 0;
    for (uint32_t i = 0; i < r->n_peers; i++) {
        struct raft_peer *p = &r->peers[i];
        rotate(raft_inflights(r) + (size_t)i * o->inflight_messages_max,
               sizeof(struct raft_inflight), o->inflight_messages_max, p->inflight_head,
               p->n_inflight);
        p->inflight_head = 0;
    }
    uint64_t durable = r->durable_seq;
    r->durable_seq = 0;
    r->seq -= durable;
    r->hard_seq = raft_max(r->hard_seq, durable) - durable;
    for (uint32_t i = 0; i < r->n_writes; i++) {
        raft_writes(r)[i].seq -= durable;
    }
    for (uint64_t i = 0; i < node->n_writes; i++) {
        node->writes[i].seq -= durable;
    }
    r->prng.state = 0; /* timeouts are drawn from one value */
    if (!timed) {
        forget_time(r);
    }
}

/* ---- the name --------------------------------------------------------------------------------------------------- */

/* New numbers: node i + 1 is called to[i], and from[k - 1] is the node that is called k. */
struct naming {
    uint64_t to[MODEL_NODES], from[MODEL_NODES];
};

static uint64_t renamed(const struct naming *n, uint64_t id)
{
    return id == 0 ? 0 : n->to[id - 1];
}

/* As seen by @self, without any numbers. */
static uint64_t relation(uint64_t id, uint64_t self)
{
    return id == 0 ? 0 : id == self ? 1 : 2;
}

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    return hash64_seed((struct cor_bytes){data, len}, h);
}

/* Of the fixed part of a core's state, peers apart. */
static uint64_t mix_head(uint64_t h, const struct cor_raft *r, const uint64_t ids[3],
                         uint32_t slot)
{
    enum {
        BEGIN = offsetof(struct cor_raft, now),
        END = offsetof(struct cor_raft, peers)
    };
    struct cor_raft head;
    memcpy((unsigned char *)&head + BEGIN, (const unsigned char *)r + BEGIN, END - BEGIN);
    head.vote = ids[0];
    head.leader = ids[1];
    head.vote_to = ids[2];
    head.self_slot = slot;
    h = mix(h, (const unsigned char *)&head + BEGIN, END - BEGIN);
    h = mix(h, raft_runs_view(r), r->n_runs * sizeof(struct cor_raft_run));
    h = mix(h, raft_writes_view(r), r->n_writes * sizeof(struct raft_write));
    return mix(h, raft_batches_view(r), r->n_batches * sizeof(struct raft_batch));
}

static uint64_t mix_disk(uint64_t h, const struct model_node *n, const struct naming *names,
                         uint64_t self)
{
    uint64_t words[3] = {n->disk_term, 0, n->disk_last};
    words[1] = names != NULL ? renamed(names, n->disk_vote) : relation(n->disk_vote, self);
    h = mix(h, words, sizeof words);
    h = mix(h, n->disk, (n->disk_last + 1) * sizeof n->disk[0]);
    for (uint64_t i = 0; i < n->n_writes; i++) {
        struct model_write w = n->writes[i];
        w.vote = names != NULL ? renamed(names, w.vote) : relation(w.vote, self);
        h = mix(h, &w, sizeof w);
    }
    return h;
}

/* What a node looks like to one who knows no numbers. */
static uint64_t look(const struct model_node *n)
{
    const struct cor_raft *r = model_core_view(n);
    const uint64_t self = r->options.self;
    const uint64_t ids[3] = {relation(r->vote, self), relation(r->leader, self),
                             relation(r->vote_to, self)};
    return mix_disk(mix_head(1, r, ids, 0), n, NULL, self);
}

static uint64_t mix_core(uint64_t h, const struct cor_raft *r, const struct naming *names)
{
    const uint64_t ids[3] = {renamed(names, r->vote), renamed(names, r->leader),
                             renamed(names, r->vote_to)};
    h = mix_head(h, r, ids, (uint32_t)names->to[r->self_slot]);
    for (uint32_t k = 0; k < MODEL_NODES; k++) {
        uint64_t slot = names->from[k] - 1;
        struct raft_peer p = r->peers[slot];
        p.id = k + 1;
        h = mix(h, &p, sizeof p);
        h = mix(h, raft_inflights_view(r) + slot * r->options.inflight_messages_max,
                p.n_inflight * sizeof(struct raft_inflight));
    }
    for (uint32_t i = 0; i < r->n_reads; i++) {
        struct raft_read read = raft_reads_view(r)[i];
        read.from = renamed(names, read.from);
        h = mix(h, &read, sizeof read);
    }
    return h;
}

/* Messages have no order: their hashes are added up. */
static uint64_t hash_message(const struct model_message *m, const struct naming *names)
{
    const struct cor_raft_message *x = &m->m;
    const uint64_t words[] = {x->type,
                              renamed(names, x->from),
                              renamed(names, x->to),
                              x->term,
                              x->reject,
                              x->lease,
                              x->prev.term,
                              x->prev.index,
                              x->commit,
                              x->match,
                              x->received,
                              x->sent_at,
                              x->context,
                              x->index,
                              x->first,
                              x->n_entries};
    return mix(mix(2, words, sizeof words), m->terms, x->n_entries * sizeof m->terms[0]);
}

static uint64_t hash_as(const struct model *m, const struct naming *names)
{
    uint64_t h = 3, messages = 0;
    for (uint32_t k = 0; k < MODEL_NODES; k++) {
        const struct model_node *n = &m->nodes[names->from[k] - 1];
        h = mix_disk(mix_core(h, model_core_view(n), names), n, names, 0);
    }
    for (uint64_t i = 0; i < m->n_messages; i++) {
        messages += hash_message(&m->messages[i], names);
    }
    uint64_t leaders[MODEL_TERMS_MAX + 2];
    for (uint32_t t = 0; t < MODEL_TERMS_MAX + 2; t++) {
        leaders[t] = renamed(names, m->leaders[t]);
    }
    h = mix(h, leaders, sizeof leaders);
    const unsigned char *rest = (const unsigned char *)&m->n_committed;
    h = mix(h, rest, sizeof *m - offsetof(struct model, n_committed));
    return h ^ mix(messages, &m->n_messages, sizeof m->n_messages);
}

uint64_t model_hash(const struct model *m)
{
    static const uint8_t orders[6][MODEL_NODES] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                                   {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    uint64_t looks[MODEL_NODES], best = UINT64_MAX;
    for (uint32_t k = 0; k < MODEL_NODES; k++) {
        looks[k] = look(&m->nodes[k]);
    }
    for (uint32_t i = 0; i < ARRAY_LEN(orders); i++) {
        const uint8_t *o = orders[i];
        if (looks[o[0]] > looks[o[1]] || looks[o[1]] > looks[o[2]]) {
            continue;
        }
        struct naming names;
        for (uint32_t k = 0; k < MODEL_NODES; k++) {
            names.from[k] = o[k] + UINT64_C(1);
            names.to[o[k]] = k + UINT64_C(1);
        }
        best = raft_min(best, hash_as(m, &names));
    }
    return best;
}
