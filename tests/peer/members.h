/*
 * members.h - members that only talk: peers.h on the hosts of net.h, and a record of all callbacks.
 */
#ifndef TESTS_PEER_MEMBERS_H
#define TESTS_PEER_MEMBERS_H

#include "base/hash.h"
#include "peer/internal.h"
#include "tests/peer/net.h"

#define MEMBERS_MAX 8u

struct member {
    struct event_sink sink; /* first */
    struct net_host *host;
    struct peers *peers;
    struct peer_member others[MEMBERS_MAX];
    size_t n_others;
    struct peer_hello hello;
    /* What it says to others. */
    const char *refuse; /* not NULL: on_hello says no, for this reason */
    bool refuse_messages, in_call;
    void (*on_any)(struct member *m); /* at the end of on_up, on_down, on_message */
    /* What it heard. */
    unsigned n_hellos, n_up, n_down, n_refused, n_messages, n_requests, n_answers, n_events,
        n_garbage;
    char refused_by[PEER_NAME_MAX + 1], reason[COR_ERROR_TEXT_MAX], last_event[64];
    struct cor_raft_message message; /* the last one */
    uint64_t digest;                 /* of all messages, entries and requests, in order */
    bool closed;
};

struct members {
    struct net net;
    struct member m[MEMBERS_MAX];
    size_t n;
    char names[MEMBERS_MAX][8], addresses[MEMBERS_MAX][16];
};

static inline void member_mix(struct member *m, const void *data, size_t len)
{
    m->digest = hash64_seed((struct cor_bytes){data, len}, m->digest);
}

static inline bool member_on_hello(void *arg, const struct peer_hello *hello,
                                   struct cor_error *err)
{
    struct member *m = arg;
    COR_ASSERT(!m->in_call && hello->name[0] != '\0');
    m->n_hellos++;
    if (m->refuse != NULL) {
        error_set(err, COR_EFOREIGN, "%s", m->refuse);
        return false;
    }
    return true;
}

static inline void member_on_refused(void *arg, const char *name, const struct cor_error *err)
{
    struct member *m = arg;
    COR_ASSERT(!m->in_call && err->status != COR_OK);
    m->n_refused++;
    format_to(m->refused_by, sizeof m->refused_by, "%s", name);
    format_to(m->reason, sizeof m->reason, "%s", err->text);
}

static inline void member_on_up(void *arg, size_t peer)
{
    struct member *m = arg;
    COR_ASSERT(!m->in_call && peer < m->n_others);
    COR_ASSERT(m->peers == NULL || peers_is_up(m->peers, peer));
    m->n_up++;
    if (m->on_any != NULL) {
        m->on_any(m);
    }
}

static inline void member_on_down(void *arg, size_t peer)
{
    struct member *m = arg;
    COR_ASSERT(!m->in_call && peer < m->n_others && !peers_is_up(m->peers, peer));
    m->n_down++;
    if (m->on_any != NULL) {
        m->on_any(m);
    }
}

static inline bool member_on_message(void *arg, size_t peer, struct cor_raft_message *message,
                                     const struct peer_entry *entries)
{
    struct member *m = arg;
    COR_ASSERT(!m->in_call && peers_is_up(m->peers, peer));
    m->n_messages++;
    m->message = *message;
    member_mix(m, &message->type, 1);
    member_mix(m, &message->commit, sizeof message->commit);
    for (uint32_t i = 0; i < message->n_entries; i++) {
        COR_ASSERT(message->entries[i].term == entries[i].term);
        COR_ASSERT(message->entries[i].type == entries[i].type);
        COR_ASSERT(message->entries[i].size == entries[i].payload.len);
        member_mix(m, &entries[i].term, sizeof entries[i].term);
        member_mix(m, entries[i].payload.ptr, entries[i].payload.len);
    }
    if (m->on_any != NULL) {
        m->on_any(m);
    }
    return !m->refuse_messages;
}

static inline void member_note_request(struct member *m, const struct peer_request *q)
{
    COR_ASSERT(!m->in_call);
    member_mix(m, &q->id, sizeof q->id);
    member_mix(m, q->body.ptr, q->body.len);
}

static inline void member_on_request(void *arg, size_t peer, const struct peer_request *q)
{
    struct member *m = arg;
    COR_ASSERT(peer < m->n_others);
    m->n_requests++;
    member_note_request(m, q);
}

static inline void member_on_answer(void *arg, size_t peer, const struct peer_request *q)
{
    struct member *m = arg;
    COR_ASSERT(peer < m->n_others);
    m->n_answers++;
    member_note_request(m, q);
}

static inline void member_emit(struct event_sink *sink, const struct event *event)
{
    struct member *m = (struct member *)(void *)sink;
    m->n_events++;
    m->n_garbage += strcmp(event->name, "garbage_received") == 0;
    format_to(m->last_event, sizeof m->last_event, "%s", event->name);
}

static const struct peer_events member_callbacks = {
    .on_hello = member_on_hello,
    .on_refused = member_on_refused,
    .on_up = member_on_up,
    .on_down = member_on_down,
    .on_message = member_on_message,
    .on_request = member_on_request,
    .on_answer = member_on_answer,
};

static inline void member_on_closed(void *arg)
{
    struct member *m = arg;
    COR_ASSERT(!m->in_call && !m->closed);
    m->closed = true;
}

/* Start (again) member @i of @s. */
static inline enum cor_status member_open(struct members *s, size_t i)
{
    struct member *m = &s->m[i];
    m->closed = false;
    m->hello.incarnation++;
    struct peers_options o = {
        .io = &m->host->io,
        .events = &m->sink,
        .members = m->others,
        .n_members = m->n_others,
        .listen = s->addresses[i],
        .hello = m->hello,
        .callbacks = &member_callbacks,
        .arg = m,
    };
    return peers_open(&o, NULL, &m->peers);
}

static inline void member_crash(struct member *m, bool silent)
{
    net_kill(m->host, silent);
    peers_free(m->peers);
    m->peers = NULL;
}

/* @n members that know each other, not started. */
static inline void members_init(struct members *s, size_t n, uint64_t seed)
{
    *s = (struct members){.n = n};
    net_init(&s->net, seed);
    for (size_t i = 0; i < n; i++) {
        format_to(s->names[i], sizeof s->names[i], "n%u", (unsigned)i + 1);
        format_to(s->addresses[i], sizeof s->addresses[i], "n%u:4100", (unsigned)i + 1);
    }
    for (size_t i = 0; i < n; i++) {
        struct member *m = &s->m[i];
        m->sink.emit = member_emit;
        m->host = &s->net.hosts[i + 1];
        m->hello = (struct peer_hello){.level_min = 1, .level_max = 1, .members_hash = 4711};
        format_to(m->hello.name, sizeof m->hello.name, "%s", s->names[i]);
        format_to(m->hello.client_address, sizeof m->hello.client_address, "c%u:4000",
                  (unsigned)i + 1);
        for (size_t j = 0; j < n; j++) {
            if (j != i) {
                m->others[m->n_others++] = (struct peer_member){s->names[j], s->addresses[j]};
            }
        }
    }
}

static inline void members_open(struct members *s)
{
    for (size_t i = 0; i < s->n; i++) {
        COR_ASSERT(member_open(s, i) == COR_OK);
    }
}

static inline void members_deinit(struct members *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->m[i].peers != NULL) {
            member_crash(&s->m[i], true);
        }
    }
    net_deinit(&s->net);
}

#endif
