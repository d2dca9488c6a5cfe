/*
 * append.c - AppendEntries, the follower's half. Dissertation, Figure 3.1 ("Receiver
 * implementation") and 3.5.
 *
 * Two steps: raft_append_inspect() compares the message with our log and touches nothing, so that a
 * message that contradicts itself, or needs terms which only the host knows, leaves no trace;
 * raft_on_append() then carries it out. The answer is parked until what it says is durable.
 */
#include "raft/internal.h"

/* The term of our entry at @index, from the table or from what the host supplied. */
static bool term_at(const struct cor_raft *r, const struct cor_raft_event *ev, uint64_t index,
                    uint64_t *term)
{
    if (raft_log_term(r, index, term)) {
        return true;
    }
    bool found = false;
    for (uint32_t i = 0; i < ev->n_runs && ev->runs[i].first <= index; i++) {
        *term = ev->runs[i].term;
        found = true;
    }
    return found;
}

/* Our terms for [from, to] are neither in the table nor supplied. */
static struct raft_append_fit unknown_terms(const struct cor_raft *r,
                                            const struct cor_raft_event *ev, uint64_t from,
                                            uint64_t to)
{
    struct raft_append_fit f = {RAFT_FIT_UNKNOWN, 0, from, to};
    f.need_last = raft_min(raft_min(to, r->last), raft_log_known_from(r) - 1);
    COR_ASSERT(f.need_first <= f.need_last);
    if (ev->n_runs > 0) {
        f.fit = RAFT_FIT_BAD_RUNS; /* the host was asked, and began too late */
    }
    return f;
}

/* An entry at or below this index cannot be replaced by a correct leader: it is committed, or this
 * very leader has vouched for it already. */
static uint64_t settled(const struct cor_raft *r, const struct cor_raft_message *m)
{
    return m->term == r->term ? raft_max(r->commit, r->verified) : r->commit;
}

struct raft_append_fit raft_append_inspect(const struct cor_raft *r,
                                           const struct cor_raft_message *m,
                                           const struct cor_raft_event *ev)
{
    COR_ASSERT(m->type == COR_RAFT_MSG_APPEND);
    COR_ASSERT(m->n_entries == 0 || m->first == m->prev.index + 1);
    struct raft_append_fit f = {RAFT_FIT_OK, 0, 0, 0};
    uint64_t end = m->prev.index + m->n_entries;
    if (m->prev.index > r->last) {
        f.fit = RAFT_FIT_GAP;
        return f;
    }
    uint64_t term = 0;
    /* What was compacted was committed, so it equals the leader's (Leader Completeness). */
    if (m->prev.index >= r->first) {
        if (!term_at(r, ev, m->prev.index, &term)) {
            return unknown_terms(r, ev, m->prev.index, end);
        }
        if (term != m->prev.term) {
            f.fit = m->prev.index <= settled(r, m) ? RAFT_FIT_CONFLICT : RAFT_FIT_GAP;
            return f;
        }
    }
    for (; f.n_known < m->n_entries; f.n_known++) {
        uint64_t index = m->first + f.n_known;
        if (index > r->last) {
            break;
        }
        if (index < r->first) {
            continue;
        }
        if (!term_at(r, ev, index, &term)) {
            return unknown_terms(r, ev, index, end);
        }
        if (term != m->entries[f.n_known].term) {
            f.fit = index <= settled(r, m) ? RAFT_FIT_CONFLICT : RAFT_FIT_OK;
            break;
        }
    }
    return f;
}

/* Where the leader should probe next: our last place at or before prev whose term is not above
 * prev's. Whole terms are skipped, so k diverging terms cost O(k) round trips (3.5). What is
 * committed certainly agrees. */
static void reject(struct cor_raft *r, const struct cor_raft_message *m)
{
    COR_ASSERT(m->prev.index > r->commit); /* every log agrees up to the commit index */
    if (r->parked == RAFT_PARKED_ACK) {
        return; /* a late message: what is to be acknowledged says more */
    }
    uint64_t limit = raft_min(m->prev.index - 1, r->last);
    struct cor_logid at = raft_log_floor(r, limit, m->prev.term);
    if (at.index < r->commit) {
        at.index = r->commit;
        if (!raft_log_term(r, at.index, &at.term)) {
            at.term = 0;
        }
    }
    r->parked = RAFT_PARKED_REJECT;
    r->reject_at = at;
    COR_ASSERT(at.index < m->prev.index);
}

/* Append @entries after the log, cutting off what is in their place. */
static void append(struct cor_raft *r, uint64_t first, const struct cor_raft_entry *entries,
                   uint32_t n)
{
    COR_ASSERT(n > 0);
    COR_ASSERT(first > r->commit && first <= r->last + 1);
    if (first <= r->last) {
        raft_write_truncate(r, first);
    }
    uint32_t begin = 0;
    for (uint32_t i = 1; i <= n; i++) {
        if (i == n || entries[i].term != entries[begin].term) {
            raft_log_extend(r, entries[begin].term, i - begin);
            begin = i;
        }
    }
    raft_write_entries(r, first, n, 0);
}

void raft_on_append(struct cor_raft *r, const struct cor_raft_message *m,
                    const struct raft_append_fit *fit)
{
    COR_ASSERT(m->term == r->term);
    COR_ASSERT(fit->fit == RAFT_FIT_OK || fit->fit == RAFT_FIT_GAP);
    raft_heard_leader(r, m->from, m->sent_at);
    if (fit->fit == RAFT_FIT_GAP) {
        reject(r, m);
        return;
    }
    /* What we hold is skipped before anything is touched. A delayed duplicate of an older, shorter
     * message must not cut off entries that we have since acknowledged: the leader may already
     * have counted them towards a commit. A full disk takes nothing new, and says how far it
     * got. */
    uint64_t vouched = m->prev.index + fit->n_known;
    uint32_t n_new = m->n_entries - fit->n_known;
    if (n_new > 0 && !r->disk_full) {
        append(r, vouched + 1, m->entries + fit->n_known, n_new);
        vouched += n_new;
    }
    r->verified = raft_max(r->verified, vouched);
    COR_ASSERT(r->verified <= r->last);

    /* Commit only as far as this message vouches for. Our log may reach further, with an old
     * leader's entries beyond the last new one, and nothing here says that those match: Figure 3.1
     * takes the minimum with the index of the last *new* entry, not of the log. */
    r->commit = raft_max(r->commit, raft_min(m->commit, vouched));
    r->parked = RAFT_PARKED_ACK;
}
