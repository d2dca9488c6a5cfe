/*
 * judge.c - the books and the comparisons. See judge.h for the sentences.
 */
#include "sim/judge.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void judge_init(struct judge *j)
{
    *j = (struct judge){0};
}

void judge_deinit(struct judge *j)
{
    map_deinit(&j->leaders);
    map_deinit(&j->hashes);
    map_deinit(&j->entries);
    map_deinit(&j->prev_terms);
    map_deinit(&j->votes);
    free(j->terms);
    free(j->committed_in);
    free(j->revisions);
}

void judge_fail(struct judge *j, const char *format, ...)
{
    if (j->failed) {
        return;
    }
    j->failed = true;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(j->text, sizeof j->text, format, args);
    va_end(args);
}

static void check_election_safety(struct judge *j, const struct judge_view *v)
{
    bool is_new;
    const uint64_t *leader = map_at(&j->leaders, v->term, 0, v->node, &is_new);
    if (*leader != v->node) {
        judge_fail(j, "Election Safety: n%u leads term %" PRIu64 ", which n%u led", v->node,
                   v->term, (unsigned)*leader);
    }
}

static void check_one_life(struct judge *j, const struct judge_view *was,
                           const struct judge_view *v)
{
    const struct {
        const char *name;
        uint64_t was, is;
    } rows[] = {{"term", was->term, v->term},
                {"commit index", was->commit, v->commit},
                {"applied index", was->applied, v->applied},
                {"revision", was->revision, v->revision}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].is < rows[i].was) {
            judge_fail(j, "n%u: %s went back from %" PRIu64 " to %" PRIu64, v->node,
                       rows[i].name, rows[i].was, rows[i].is);
        }
    }
    if (v->leader && was->leader && v->term == was->term && v->last < was->last) {
        judge_fail(j, "Leader Append-Only: n%u cut its log from %" PRIu64 " to %" PRIu64,
                   v->node, was->last, v->last);
    }
}

void judge_node(struct judge *j, const struct judge_view *v)
{
    COR_ASSERT(v->node >= 1 && v->node <= JUDGE_NODES_MAX);
    struct judge_view *was = &j->last[v->node];
    j->n_checks++;
    if (v->leader) {
        check_election_safety(j, v);
    }
    if (was->life == v->life) {
        check_one_life(j, was, v);
    }
    /* A node that starts may apply what it knew to be committed before it hears so again. */
    bool applied_early = v->applied > v->commit && v->applied > j->n_committed;
    if (applied_early || v->commit > v->last || v->durable > v->last) {
        judge_fail(j,
                   "n%u: applied %" PRIu64 " commit %" PRIu64 " durable %" PRIu64
                   " last %" PRIu64 " are out of order",
                   v->node, v->applied, v->commit, v->durable, v->last);
    }
    if (v->applied > 0 && (was->life != v->life || was->applied != v->applied)) {
        bool is_new;
        const uint64_t *hash = map_at(&j->hashes, v->applied, 0, v->hash, &is_new);
        if (*hash != v->hash) {
            judge_fail(j,
                       "State Machine Safety: n%u at index %" PRIu64 " has store %016" PRIx64
                       ", another had %016" PRIx64,
                       v->node, v->applied, v->hash, *hash);
        }
    }
    *was = *v;
}

static void add_committed(struct judge *j, uint64_t term, uint64_t now)
{
    if (j->n_committed == j->terms_room) {
        j->terms_room = j->terms_room == 0 ? 1024 : 2 * j->terms_room;
        j->terms = realloc(j->terms, j->terms_room * sizeof(uint64_t));
        j->committed_in = realloc(j->committed_in, j->terms_room * sizeof(uint64_t));
        COR_ASSERT(j->terms != NULL && j->committed_in != NULL);
    }
    j->terms[j->n_committed] = term;
    j->committed_in[j->n_committed++] = now;
}

void judge_committed(struct judge *j, unsigned node, uint64_t now, struct cor_logid at)
{
    COR_ASSERT(at.index > 0);
    j->n_checks++;
    if (at.index > j->n_committed + 1) {
        judge_fail(j, "n%u committed %" PRIu64 " before anybody committed %zu", node, at.index,
                   j->n_committed + 1);
        return;
    }
    if (at.index == j->n_committed + 1) {
        add_committed(j, at.term, now);
    }
    if (j->terms[at.index - 1] != at.term) {
        judge_fail(j,
                   "State Machine Safety: n%u committed %" PRIu64 " with term %" PRIu64
                   ", another with term %" PRIu64,
                   node, at.index, at.term, j->terms[at.index - 1]);
    }
}

/* A leader may be elected late, when others have committed in newer terms: those it need not have. */
uint64_t judge_committed_before(const struct judge *j, uint64_t term)
{
    size_t index = j->n_committed;
    while (index > 0 && j->committed_in[index - 1] >= term) {
        index--;
    }
    return index;
}

void judge_completeness(struct judge *j, unsigned node, uint64_t index, uint64_t term)
{
    COR_ASSERT(index > 0 && index <= j->n_committed);
    j->n_checks++;
    if (j->terms[index - 1] != term) {
        judge_fail(j,
                   "Leader Completeness: n%u leads with term %" PRIu64 " at %" PRIu64
                   ", committed with term %" PRIu64,
                   node, term, index, j->terms[index - 1]);
    }
}

void judge_vote(struct judge *j, unsigned node, uint64_t term, uint64_t vote)
{
    if (vote == 0) {
        return;
    }
    bool is_new;
    j->n_checks++;
    const uint64_t *before = map_at(&j->votes, node, term, vote, &is_new);
    if (*before != vote) {
        judge_fail(j, "Election Safety: n%u voted twice in term %" PRIu64, node, term);
    }
}

void judge_match(struct judge *j, unsigned node, unsigned peer, uint64_t match,
                 uint64_t durable)
{
    j->n_checks++;
    if (match > durable) {
        judge_fail(j,
                   "durability: n%u counts on n%u for entry %" PRIu64
                   ", which holds no more than %" PRIu64,
                   node, peer, match, durable);
    }
}

void judge_entry(struct judge *j, unsigned node, const struct judge_entry *e)
{
    bool is_new;
    j->n_checks++;
    const uint64_t *sum = map_at(&j->entries, e->index, e->term, e->checksum, &is_new);
    const uint64_t *prev = map_at(&j->prev_terms, e->index, e->term, e->prev_term, &is_new);
    if (*sum != e->checksum || *prev != e->prev_term) {
        judge_fail(j,
                   "Log Matching: n%u has another entry %" PRIu64 " of term %" PRIu64
                   " (%016" PRIx64 " after term %" PRIu64 ", was %016" PRIx64
                   " after term %" PRIu64 ")",
                   node, e->index, e->term, e->checksum, e->prev_term, *sum, *prev);
    }
}

void judge_durable(struct judge *j, uint64_t index, unsigned n, unsigned quorum)
{
    j->n_checks++;
    if (n < quorum) {
        judge_fail(j,
                   "durability: entry %" PRIu64 " was committed and stands on %u disks; "
                   "%u make a quorum",
                   index, n, quorum);
    }
}

static bool is_same(const struct judge_revision *a, const struct judge_revision *b)
{
    bool same = a->n == b->n;
    for (uint32_t i = 0; same && i < a->n; i++) {
        const struct judge_change *x = &a->changes[i], *y = &b->changes[i];
        same = x->key == y->key && x->deleted == y->deleted && x->value == y->value;
    }
    return same;
}

void judge_revision(struct judge *j, unsigned node, uint64_t revision,
                    const struct judge_revision *what)
{
    j->n_checks++;
    if (revision >= j->revisions_room) {
        size_t room = j->revisions_room == 0 ? 1024 : 2 * j->revisions_room;
        room = room > revision ? room : (size_t)revision + 1;
        j->revisions = realloc(j->revisions, room * sizeof(struct judge_revision));
        COR_ASSERT(j->revisions != NULL);
        memset(j->revisions + j->revisions_room, 0,
               (room - j->revisions_room) * sizeof(struct judge_revision));
        j->revisions_room = room;
    }
    struct judge_revision *known = &j->revisions[revision];
    if (known->n == 0) {
        *known = *what;
        j->n_revisions = j->n_revisions > revision ? j->n_revisions : (size_t)revision + 1;
    }
    if (!is_same(known, what)) {
        judge_fail(j,
                   "watch: n%u tells revision %" PRIu64 " differently (%u changes, first "
                   "key %u value %" PRIu64 "; was %u, key %u value %" PRIu64 ")",
                   node, revision, what->n, what->changes[0].key, what->changes[0].value,
                   known->n, known->changes[0].key, known->changes[0].value);
    }
}
