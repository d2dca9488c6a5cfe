/*
 * core.h - one core on the bench: node 1, whose peers, disk and clock are the test.
 *
 * Logs are written as their terms, "1 1 2", so that a reader of the dissertation sees them. Each
 * step is checked with cor_raft_check against a clone from before it.
 */
#ifndef TESTS_RAFT_CORE_H
#define TESTS_RAFT_CORE_H

#include "base/assert.h"
#include "coracle/raft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS           UINT64_C(1000000)
#define CORE_START   (1000 * MS)
#define CORE_ENTRIES 64u

struct core {
    struct cor_raft_options options;
    struct cor_raft_config config;
    size_t size;
    void *memory, *before;
    struct cor_raft *raft;
    uint64_t now, seq;
    enum cor_status status;
    struct cor_raft_update update;
    struct cor_raft_info info;
};

/* Terms of @text into @entries; their number. */
static inline uint32_t core_terms(const char *text, struct cor_raft_entry *entries)
{
    uint32_t n = 0;
    for (const char *at = text; *at != '\0';) {
        char *end;
        entries[n] = (struct cor_raft_entry){strtoull(at, &end, 10), COR_ENTRY_COMMAND, 10};
        n++;
        COR_ASSERT(end != at && n < CORE_ENTRIES);
        at = *end == ' ' ? end + 1 : end;
    }
    return n;
}

static inline uint32_t core_runs(const char *log, struct cor_raft_run *runs)
{
    struct cor_raft_entry entries[CORE_ENTRIES];
    uint32_t n = core_terms(log, entries);
    uint32_t n_runs = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || entries[i].term != entries[i - 1].term) {
            runs[n_runs++] = (struct cor_raft_run){i + 1, entries[i].term};
        }
    }
    return n_runs;
}

/* Voters 1 .. @n. */
static inline struct cor_raft_config core_config(uint32_t n)
{
    struct cor_raft_config c;
    memset(&c, 0, sizeof c);
    c.n = n;
    for (uint32_t i = 0; i < n; i++) {
        c.members[i] =
            (struct cor_raft_member){.id = i + 1, .kind = COR_MEMBER_VOTER, .in_new = true};
    }
    return c;
}

static inline void core_start(struct core *c, struct cor_raft_hard_state state, const char *log,
                              uint64_t applied)
{
    struct cor_raft_run runs[CORE_ENTRIES];
    struct cor_raft_entry entries[CORE_ENTRIES];
    struct cor_raft_recovered found = {.hard_state = state,
                                       .runs = runs,
                                       .n_runs = core_runs(log, runs),
                                       .last = core_terms(log, entries),
                                       .first = 1,
                                       .config = &c->config,
                                       .applied = applied};
    c->options.self = 1;
    c->size = cor_raft_size(&c->options);
    COR_ASSERT(c->size > 0);
    free(c->memory);
    free(c->before);
    c->memory = malloc(c->size);
    c->before = malloc(c->size);
    COR_ASSERT(c->memory != NULL && c->before != NULL);
    memset(c->memory, 0x5a, c->size);
    if (c->now == 0) {
        c->now = CORE_START;
    }
    enum cor_status st =
        cor_raft_init(c->memory, c->size, &c->options, &found, c->now, &c->raft);
    COR_ASSERT(st == COR_OK);
    c->seq = 0;
    cor_raft_get_info(c->raft, &c->info);
}

/* A core of @n voters with @log, in @term. */
static inline struct core core_new(uint32_t n, uint64_t term, const char *log)
{
    struct core c;
    memset(&c, 0, sizeof c);
    c.config = core_config(n);
    core_start(&c, (struct cor_raft_hard_state){term, 0}, log, 0);
    return c;
}

static inline void core_free(struct core *c)
{
    free(c->memory);
    free(c->before);
}

static inline void core_step(struct core *c, struct cor_raft_event ev)
{
    ev.now = c->now;
    memcpy(c->before, c->memory, c->size);
    c->status = cor_raft_step(c->raft, &ev, &c->update);
    cor_raft_check(c->raft, (const struct cor_raft *)c->before);
    if (c->status == COR_EPROTO || c->status == COR_EINVAL || c->status == COR_ENEEDTERM) {
        COR_ASSERT(cor_raft_hash(c->raft) == cor_raft_hash((const struct cor_raft *)c->before));
        COR_ASSERT(c->update.write.seq == 0 && c->update.n_messages == 0);
    }
    if (c->update.write.seq != 0) {
        COR_ASSERT(c->update.write.seq == ++c->seq);
    }
    cor_raft_get_info(c->raft, &c->info);
}

static inline void core_time(struct core *c, uint64_t ns)
{
    c->now += ns;
    core_step(c, (struct cor_raft_event){.type = COR_RAFT_EV_TIME});
}

static inline void core_receive(struct core *c, struct cor_raft_message m)
{
    m.to = 1;
    core_step(c, (struct cor_raft_event){.type = COR_RAFT_EV_RECEIVE, .message = &m});
}

/* An append of node 2 in @term: @entries after @prev. */
static inline void core_append(struct core *c, uint64_t term, struct cor_logid prev,
                               const char *entries, uint64_t commit)
{
    struct cor_raft_entry e[CORE_ENTRIES];
    struct cor_raft_message m = {.type = COR_RAFT_MSG_APPEND,
                                 .from = 2,
                                 .term = term,
                                 .prev = prev,
                                 .first = prev.index + 1,
                                 .n_entries = core_terms(entries, e),
                                 .entries = e,
                                 .commit = commit,
                                 .sent_at = 5};
    core_receive(c, m);
}

static inline void core_heartbeat(struct core *c, uint64_t term, uint64_t commit)
{
    core_receive(c, (struct cor_raft_message){.type = COR_RAFT_MSG_HEARTBEAT,
                                              .from = 2,
                                              .term = term,
                                              .commit = commit,
                                              .sent_at = 5});
}

static inline void core_persist(struct core *c)
{
    core_step(c, (struct cor_raft_event){.type = COR_RAFT_EV_PERSISTED,
                                         .persisted = {.seq = c->seq}});
}

static inline void core_persist_to(struct core *c, uint64_t seq)
{
    core_step(
        c, (struct cor_raft_event){.type = COR_RAFT_EV_PERSISTED, .persisted = {.seq = seq}});
}

static inline void core_propose(struct core *c, uint32_t n, uint32_t size)
{
    struct cor_raft_entry e[CORE_ENTRIES];
    COR_ASSERT(n <= CORE_ENTRIES);
    for (uint32_t i = 0; i < n; i++) {
        e[i] = (struct cor_raft_entry){0, COR_ENTRY_COMMAND, size};
    }
    core_step(c, (struct cor_raft_event){.type = COR_RAFT_EV_PROPOSE,
                                         .propose = {.entries = e, .n = n}});
}

static inline void core_read(struct core *c, uint64_t id, bool lease)
{
    core_step(c, (struct cor_raft_event){.type = COR_RAFT_EV_READ,
                                         .read = {.id = id, .lease = lease}});
}

static inline void core_lost(struct core *c, cor_node_id peer)
{
    core_step(c,
              (struct cor_raft_event){.type = COR_RAFT_EV_PEER_LOST, .lost = {.peer = peer}});
}

static inline void core_disk(struct core *c, bool full)
{
    core_step(c, (struct cor_raft_event){.type = COR_RAFT_EV_DISK, .disk = {.full = full}});
}

static inline void core_sent(struct core *c, cor_node_id peer, uint64_t first, uint32_t n,
                             uint64_t bytes)
{
    core_step(c, (struct cor_raft_event){
                     .type = COR_RAFT_EV_SENT,
                     .sent = {.peer = peer, .first = first, .n = n, .bytes = bytes}});
}

/* The message of @type to @to in the last update; NULL: none. */
static inline const struct cor_raft_message *core_find(const struct core *c, uint8_t type,
                                                       cor_node_id to)
{
    for (uint32_t i = 0; i < c->update.n_messages; i++) {
        const struct cor_raft_message *m = &c->update.messages[i];
        if (m->type == type && m->to == to) {
            return m;
        }
    }
    return NULL;
}

static inline void core_vote_reply(struct core *c, uint8_t type, cor_node_id from,
                                   uint64_t term, bool reject)
{
    core_receive(c, (struct cor_raft_message){
                        .type = type, .from = from, .term = term, .reject = reject});
}

/* A vote or pre-vote request of node @from. */
static inline void core_vote_request(struct core *c, uint8_t type, cor_node_id from,
                                     uint64_t term, struct cor_logid last)
{
    core_receive(
        c, (struct cor_raft_message){.type = type, .from = from, .term = term, .prev = last});
}

/* Wait for the timeout and win the pre-vote: a candidate whose term is not durable yet. */
static inline void core_campaign(struct core *c)
{
    core_time(c, c->options.election_max != 0 ? c->options.election_max : 500 * MS);
    for (cor_node_id id = 2; id <= c->config.n && c->info.role == COR_RAFT_PRE_CANDIDATE;
         id++) {
        core_vote_reply(c, COR_RAFT_MSG_PRE_VOTE_REPLY, id, c->info.term + 1, false);
    }
    COR_ASSERT(c->info.role == COR_RAFT_CANDIDATE);
}

/* Win an election; the no-op is not durable yet. */
static inline void core_lead(struct core *c)
{
    core_campaign(c);
    core_persist(c);
    for (cor_node_id id = 2; id <= c->config.n && c->info.role == COR_RAFT_CANDIDATE; id++) {
        core_vote_reply(c, COR_RAFT_MSG_VOTE_REPLY, id, c->info.term, false);
    }
    COR_ASSERT(c->info.role == COR_RAFT_LEADER);
}

/* Node @from holds the log up to @match, durable. */
static inline void core_ack(struct core *c, cor_node_id from, uint64_t match)
{
    core_receive(c, (struct cor_raft_message){.type = COR_RAFT_MSG_APPEND_REPLY,
                                              .from = from,
                                              .term = c->info.term,
                                              .match = match,
                                              .received = match});
}

static inline struct cor_raft_peer_info core_peer(const struct core *c, cor_node_id id)
{
    struct cor_raft_peer_info peers[COR_RAFT_MEMBERS_MAX];
    size_t n = cor_raft_get_peers(c->raft, peers, COR_RAFT_MEMBERS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (peers[i].id == id) {
            return peers[i];
        }
    }
    COR_ASSERT(n == 0);
    return peers[0];
}

/* The log's terms, as core_terms() reads them. */
static inline const char *core_log(const struct core *c)
{
    static char text[8 * CORE_ENTRIES];
    size_t at = 0;
    text[0] = '\0';
    for (uint64_t i = 1; i <= c->info.last && at + 24 < sizeof text; i++) {
        uint64_t term = 0;
        bool known = cor_raft_term_at(c->raft, i, &term) == COR_OK;
        int n = snprintf(text + at, sizeof text - at, known ? "%s%llu" : "%s?",
                         i > 1 ? " " : "", (unsigned long long)term);
        at += (size_t)n;
    }
    return text;
}

#endif
