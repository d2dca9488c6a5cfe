/*
 * log.c - the log as the core sees it: indexes, and runs of equal terms.
 *
 * Called by append.c, replicate.c, election.c. The table holds the newest options.runs_max runs; a
 * run is (first index, term) and reaches to the next one's first, the newest to the last index. It
 * always holds the last entry's term, which votes and appends need; what is older than the table is
 * asked of the host (COR_ENEEDTERM), so nothing here is ever refused for lack of room.
 */
#include "raft/internal.h"

#include <string.h>

/* Of the newest run that begins at or before @index, its place in the table plus 1; 0: none. */
static uint32_t runs_up_to(const struct cor_raft_run *runs, uint32_t n, uint64_t index)
{
    uint32_t low = 0;
    uint32_t high = n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (runs[middle].first <= index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint64_t raft_log_known_from(const struct cor_raft *r)
{
    return r->n_runs == 0 ? r->last + 1 : raft_runs_view(r)[0].first;
}

bool raft_log_term(const struct cor_raft *r, uint64_t index, uint64_t *term)
{
    COR_ASSERT(index <= r->last);
    if (index == 0) {
        *term = 0;
        return true;
    }
    const struct cor_raft_run *runs = raft_runs_view(r);
    uint32_t n = runs_up_to(runs, r->n_runs, index);
    if (n == 0) {
        return false;
    }
    *term = runs[n - 1].term;
    return true;
}

struct cor_logid raft_log_last(const struct cor_raft *r)
{
    uint64_t term;
    bool known = raft_log_term(r, r->last, &term);
    COR_ASSERT(known); /* the table never loses the last entry's run */
    return (struct cor_logid){term, r->last};
}

void raft_log_extend(struct cor_raft *r, uint64_t term, uint64_t n)
{
    struct cor_raft_run *runs = raft_runs(r);
    COR_ASSERT(n > 0 && term > 0);
    COR_ASSERT(r->n_runs == 0 || runs[r->n_runs - 1].term <= term); /* terms never fall */
    if (r->n_runs == 0 || runs[r->n_runs - 1].term != term) {
        if (r->n_runs == r->options.runs_max) {
            memmove(runs, runs + 1, (r->n_runs - 1) * sizeof runs[0]);
            r->n_runs--;
        }
        runs[r->n_runs++] = (struct cor_raft_run){r->last + 1, term};
    }
    r->last += n;
}

void raft_log_truncate(struct cor_raft *r, uint64_t index)
{
    COR_ASSERT(index > r->commit); /* Leader Completeness: committed entries never go */
    COR_ASSERT(index <= r->last);
    const struct cor_raft_run *runs = raft_runs_view(r);
    while (r->n_runs > 0 && runs[r->n_runs - 1].first >= index) {
        r->n_runs--;
    }
    r->last = index - 1;
}

struct cor_logid raft_log_floor(const struct cor_raft *r, uint64_t limit, uint64_t term)
{
    COR_ASSERT(limit <= r->last);
    const struct cor_raft_run *runs = raft_runs_view(r);
    uint32_t n = runs_up_to(runs, r->n_runs, limit);
    COR_ASSERT(n <= r->n_runs);
    uint64_t end = limit;
    while (n > 0 && runs[n - 1].term > term) {
        n--;
        end = runs[n].first - 1;
    }
    return (struct cor_logid){n > 0 ? runs[n - 1].term : 0, end};
}
