/*
 * read.c - reads in three modes (D5): when may this node's store answer?
 *
 * All default reads that came in a turn are one question to the core, all consistent ones another: the
 * clock was read after the last of them had arrived, and one read index, lease or round serves them
 * all. A question that the core could not answer (no leader, or a new one) is asked again, together with
 * what came meanwhile, until the reads in it run out of time.
 */
#include "node/internal.h"

enum cor_status node_read(struct node *n, enum node_read_mode mode, uint64_t timeout,
                          node_read_done done, void *arg)
{
    COR_ASSERT(done != NULL);
    COR_ASSERT(mode <= NODE_READ_STALE);
    if (!node_takes_requests(n)) {
        return COR_ESTOPPED;
    }
    struct request *r = request_new(n, 0);
    if (r == NULL) {
        return COR_EBUSY;
    }
    r->is_read = true;
    r->origin = REQUEST_LOCAL;
    r->mode = (uint8_t)mode;
    r->deadline = timeout != 0 ? timeout : n->options.request_timeout;
    r->done.read = done;
    r->arg = arg;
    request_move(r, mode == NODE_READ_STALE ? &n->stale_reads : &n->fresh_reads, REQUEST_FRESH);
    node_wake(n);
    return COR_OK;
}

void read_fill_info(const struct node *n, uint64_t now, struct node_read_info *out)
{
    *out = (struct node_read_info){.kv = n->kv, .leader = n->info.leader};
    if (n->raft == NULL) {
        return;
    }
    struct cor_raft_info info;
    cor_raft_get_info(n->raft, &info);
    out->lag_entries = info.commit - n->applied;
    if (info.role != COR_RAFT_LEADER && now > info.heard_at) {
        out->last_contact_ms = (now - info.heard_at) / NODE_MS;
    }
}

/* ---- groups -------------------------------------------------------------------------------------- */

/* NULL: too many questions are open. */
static struct read_group *new_group(struct node *n, enum node_read_mode mode)
{
    if (n->n_groups == NODE_GROUPS_MAX) {
        return NULL;
    }
    while (n->groups[n->group_hint].id != 0) {
        n->group_hint = (n->group_hint + 1) % NODE_GROUPS_MAX;
    }
    struct read_group *g = &n->groups[n->group_hint];
    n->n_groups++;
    *g = (struct read_group){.id = ++n->read_serial * NODE_GROUPS_MAX + n->group_hint,
                             .mode = (uint8_t)mode};
    return g;
}

static void free_group(struct node *n, struct read_group *g)
{
    COR_ASSERT(g->reads.n == 0 && n->n_groups > 0);
    g->id = 0;
    n->n_groups--;
}

void read_on_result(struct node *n, const struct cor_raft_read_result *result)
{
    struct read_group *g = &n->groups[result->id % NODE_GROUPS_MAX];
    COR_ASSERT(g->id == result->id && !g->granted);
    if (result->status != COR_OK) {
        request_splice(&g->reads, &n->waiting_reads, REQUEST_WAITING);
        free_group(n, g);
    } else {
        g->granted = true;
        g->index = result->index;
        n->n_granted++;
    }
    node_wake(n);
}

static void ask(struct node *n, enum node_read_mode mode, struct request_list *reads)
{
    if (reads->n == 0) {
        return;
    }
    struct read_group *g = new_group(n, mode);
    if (g == NULL) {
        request_splice(reads, &n->waiting_reads, REQUEST_WAITING);
        return;
    }
    uint64_t count = reads->n;
    request_splice(reads, &g->reads, REQUEST_ASKED);
    struct cor_raft_event event = {
        .type = COR_RAFT_EV_READ,
        .read = {.id = g->id, .lease = mode == NODE_READ_DEFAULT && !n->options.no_lease}};
    uint64_t id = g->id;
    (void)core_step(n, &event, n->now, NULL);
    if (node_leads(n) && event.read.lease && g->id == id && g->granted) {
        n->stats.lease_reads += count;
    } else {
        n->stats.read_rounds++;
    }
}

void read_ask(struct node *n)
{
    for (struct request *r = n->fresh_reads.first; r != NULL; r = r->next) {
        request_arm(n, r, n->now);
    }
    struct request_list by_mode[2] = {{.first = NULL}, {.first = NULL}};
    if (n->retrying) {
        request_splice(&n->waiting_reads, &n->fresh_reads, REQUEST_WAITING);
    }
    while (n->fresh_reads.first != NULL) {
        struct request *r = n->fresh_reads.first;
        if (n->raft == NULL) {
            request_move(r, &n->waiting_reads, REQUEST_WAITING);
        } else {
            request_move(r, &by_mode[r->mode], REQUEST_ASKED);
        }
    }
    ask(n, NODE_READ_DEFAULT, &by_mode[NODE_READ_DEFAULT]);
    ask(n, NODE_READ_CONSISTENT, &by_mode[NODE_READ_CONSISTENT]);
}

/* ---- answers ------------------------------------------------------------------------------------- */

static void serve_group(struct node *n, struct read_group *g)
{
    while (g->reads.first != NULL) {
        request_answer_read(n, g->reads.first, COR_OK);
    }
    n->n_granted--;
    free_group(n, g);
}

void read_serve(struct node *n)
{
    struct request_list stale = {.first = NULL};
    request_splice(&n->stale_reads, &stale, REQUEST_ASKED);
    while (stale.first != NULL) {
        request_answer_read(n, stale.first, COR_OK);
    }
    uint32_t left = n->n_granted;
    for (uint32_t i = 0; i < NODE_GROUPS_MAX && left > 0; i++) {
        struct read_group *g = &n->groups[i];
        if (g->id == 0 || !g->granted) {
            continue;
        }
        left--;
        if (g->index <= n->applied) {
            serve_group(n, g);
        }
    }
}
