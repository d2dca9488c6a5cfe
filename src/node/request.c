/*
 * request.c - requests that wait: their memory, their deadlines, and the one answer that each gets.
 *
 * Requests live in a pool that grows in chunks and never moves them; what a request may cost all in all is
 * bounded by pending_bytes_max. A number names a request to a peer: its place in the pool and a
 * serial, so that a late answer finds nothing. Deadlines are a heap with one timer, which may fire
 * early (the request it was set for was answered) and then sets itself again.
 *
 * An answer frees the request first and calls its owner last, so the owner may do what it likes.
 */
#include "node/internal.h"

#include <stdlib.h>

/* ---- lists ------------------------------------------------------------------------------------- */

static void list_remove(struct request *r)
{
    struct request_list *l = r->list;
    if (l == NULL) {
        return;
    }
    *(r->prev != NULL ? &r->prev->next : &l->first) = r->next;
    *(r->next != NULL ? &r->next->prev : &l->last) = r->prev;
    l->n--;
    r->list = NULL;
}

void request_move(struct request *r, struct request_list *to, enum request_state state)
{
    list_remove(r);
    r->list = to;
    r->next = NULL;
    r->prev = to->last;
    *(to->last != NULL ? &to->last->next : &to->first) = r;
    to->last = r;
    to->n++;
    r->state = (uint8_t)state;
}

void request_splice(struct request_list *from, struct request_list *to,
                    enum request_state state)
{
    while (from->first != NULL) {
        request_move(from->first, to, state);
    }
}

/* ---- the heap of deadlines ------------------------------------------------------------------------ */

static void heap_put(struct requests *q, size_t at, struct request *r)
{
    q->heap[at] = r;
    r->heap_at = at + 1;
}

static void sift_up(struct requests *q, size_t at, struct request *r)
{
    while (at > 0 && q->heap[(at - 1) / 2]->deadline > r->deadline) {
        heap_put(q, at, q->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(q, at, r);
}

static void sift_down(struct requests *q, size_t at, struct request *r)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < q->n_armed && q->heap[child + 1]->deadline < q->heap[child]->deadline) {
            child++;
        }
        if (child >= q->n_armed || q->heap[child]->deadline >= r->deadline) {
            break;
        }
        heap_put(q, at, q->heap[child]);
        at = child;
    }
    heap_put(q, at, r);
}

static void disarm(struct requests *q, struct request *r)
{
    if (r->heap_at == 0) {
        return;
    }
    size_t at = r->heap_at - 1;
    COR_ASSERT(q->heap[at] == r);
    r->heap_at = 0;
    struct request *moved = q->heap[--q->n_armed];
    if (moved == r) {
        return;
    }
    if (at > 0 && q->heap[(at - 1) / 2]->deadline > moved->deadline) {
        sift_up(q, at, moved);
    } else {
        sift_down(q, at, moved);
    }
}

/* The timer may stand too early, never too late. */
static void set_timer(struct node *n)
{
    struct requests *q = &n->requests;
    if (q->n_armed == 0) {
        return;
    }
    uint64_t at = q->heap[0]->deadline;
    if (q->timer_at == 0 || at < q->timer_at) {
        q->timer_at = at;
        io_timer_set(n->io, &q->timer, at);
    }
}

void request_arm(struct node *n, struct request *r, uint64_t now)
{
    COR_ASSERT(r->heap_at == 0);
    struct requests *q = &n->requests;
    uint64_t left = r->deadline;
    r->deadline = left < IO_NEVER - 1 - now ? now + left : IO_NEVER - 1;
    sift_up(q, q->n_armed++, r);
    set_timer(n);
}

void request_on_timer(struct io_timer *timer)
{
    struct requests *q = CONTAINER_OF(timer, struct requests, timer);
    struct node *n = CONTAINER_OF(q, struct node, requests);
    n->now = io_now(n->io);
    q->timer_at = 0;
    while (q->n_armed > 0 && q->heap[0]->deadline <= n->now) {
        request_give_up(n, q->heap[0], COR_ETIMEDOUT);
    }
    set_timer(n);
}

/* ---- the pool ----------------------------------------------------------------------------------------- */

static bool grow(struct requests *q)
{
    size_t places = (q->n_chunks + 1) * REQUEST_CHUNK;
    if (places > (size_t)1 << REQUEST_SLOT_BITS) {
        return false;
    }
    struct request **chunks = realloc(q->chunks, (q->n_chunks + 1) * sizeof(struct request *));
    if (chunks == NULL) {
        return false;
    }
    q->chunks = chunks;
    struct request **heap = realloc(q->heap, places * sizeof(struct request *));
    if (heap == NULL) {
        return false;
    }
    q->heap = heap;
    struct request *chunk = calloc(REQUEST_CHUNK, sizeof *chunk);
    if (chunk == NULL) {
        return false;
    }
    for (size_t i = REQUEST_CHUNK; i-- > 0;) {
        chunk[i].id = q->n_chunks * REQUEST_CHUNK + i;
        chunk[i].next = q->free;
        q->free = &chunk[i];
    }
    q->chunks[q->n_chunks++] = chunk;
    return true;
}

static uint64_t place_of(uint64_t id)
{
    return id & ((UINT64_C(1) << REQUEST_SLOT_BITS) - 1);
}

struct request *request_new(struct node *n, uint64_t bytes)
{
    struct requests *q = &n->requests;
    uint64_t charge = bytes + NODE_REQUEST_COST;
    if (charge > n->options.pending_bytes_max ||
        q->bytes > n->options.pending_bytes_max - charge || (q->free == NULL && !grow(q))) {
        return NULL;
    }
    struct request *r = q->free;
    q->free = r->next;
    q->n++;
    q->bytes += charge;
    *r = (struct request){.id = ++q->serial << REQUEST_SLOT_BITS | place_of(r->id),
                          .charge = charge,
                          .state = REQUEST_FRESH};
    return r;
}

void request_free(struct node *n, struct request *r)
{
    struct requests *q = &n->requests;
    COR_ASSERT(r->state != REQUEST_FREE);
    COR_ASSERT(q->bytes >= r->charge);
    if (r->state == REQUEST_PROPOSED) {
        COR_ASSERT(n->proposed_bytes >= r->payload->len);
        n->proposed_bytes -= r->payload->len;
    }
    list_remove(r);
    disarm(q, r);
    buf_unref(r->payload);
    r->payload = NULL;
    q->bytes -= r->charge;
    q->n--;
    r->state = REQUEST_FREE;
    r->next = q->free;
    q->free = r;
    if (n->stop_step == STOP_DRAINING) {
        node_wake(n); /* perhaps it was the last one */
    }
}

struct request *request_find(struct node *n, uint64_t id)
{
    const struct requests *q = &n->requests;
    uint64_t place = place_of(id);
    if (place >= q->n_chunks * REQUEST_CHUNK) {
        return NULL;
    }
    struct request *r = &q->chunks[place / REQUEST_CHUNK][place % REQUEST_CHUNK];
    return r->state != REQUEST_FREE && r->id == id ? r : NULL;
}

void requests_deinit(struct node *n)
{
    struct requests *q = &n->requests;
    io_timer_clear(n->io, &q->timer);
    for (size_t i = 0; i < q->n_chunks; i++) {
        for (size_t j = 0; j < REQUEST_CHUNK; j++) {
            buf_unref(q->chunks[i][j].payload);
        }
        free(q->chunks[i]);
    }
    free(q->chunks);
    free(q->heap);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static void count_write(struct node *n, enum cor_status st)
{
    if (st == COR_OK) {
        n->stats.writes++;
    } else if (st == COR_EUNKNOWN) {
        n->stats.writes_unknown++;
    } else {
        n->stats.writes_failed++;
    }
}

void request_answer_write(struct node *n, struct request *r, enum cor_status st,
                          const struct kv_result *result)
{
    COR_ASSERT(!r->is_read);
    COR_ASSERT((st == COR_OK) == (result != NULL));
    node_write_done done = r->done.write;
    void *arg = r->arg;
    if (r->origin == REQUEST_REMOTE) {
        forward_answer(n, r, st, result);
        done = NULL;
    } else if (r->origin == REQUEST_OWN) {
        *(bool *)arg = false;
        done = NULL;
    } else {
        count_write(n, st);
    }
    request_free(n, r);
    if (done != NULL) {
        done(arg, st, result);
    }
}

static void count_read(struct node *n, uint8_t mode, enum cor_status st)
{
    if (st != COR_OK) {
        n->stats.reads_failed++;
    } else if (mode == NODE_READ_DEFAULT) {
        n->stats.reads_default++;
    } else if (mode == NODE_READ_CONSISTENT) {
        n->stats.reads_consistent++;
    } else {
        n->stats.reads_stale++;
    }
}

void request_answer_read(struct node *n, struct request *r, enum cor_status st)
{
    COR_ASSERT(r->is_read);
    node_read_done done = r->done.read;
    void *arg = r->arg;
    count_read(n, r->mode, st);
    request_free(n, r);
    struct node_read_info info;
    read_fill_info(n, n->now, &info);
    done(arg, st, &info);
}

/* What a request that gets no answer is told. @not_done: why, if nothing was sent or appended. */
void request_give_up(struct node *n, struct request *r, enum cor_status not_done)
{
    bool timed_out = not_done == COR_ETIMEDOUT;
    if (timed_out && n->info.leader == 0) {
        not_done = COR_ENOLEADER;
    }
    if (r->is_read) {
        request_answer_read(n, r, not_done);
        return;
    }
    switch ((enum request_state)r->state) {
    case REQUEST_FRESH:
    case REQUEST_WAITING:
        request_answer_write(n, r, not_done == COR_ETIMEDOUT ? COR_ENOTDONE : not_done, NULL);
        return;
    case REQUEST_FORWARDED:
    case REQUEST_PROPOSED:
    case REQUEST_ORPHANED:
        request_answer_write(n, r, COR_EUNKNOWN, NULL);
        return;
    case REQUEST_FREE:
    case REQUEST_ASKED:
        break;
    }
    COR_ASSERT(false);
}

static void give_up_list(struct node *n, struct request_list *l, enum cor_status not_done)
{
    while (l->first != NULL) {
        request_give_up(n, l->first, not_done);
    }
}

void request_give_up_all(struct node *n, enum cor_status not_done)
{
    struct request_list *const lists[] = {&n->fresh_writes, &n->waiting_writes, &n->forwarded,
                                          &n->proposed,     &n->orphans,        &n->fresh_reads,
                                          &n->stale_reads,  &n->waiting_reads};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        give_up_list(n, lists[i], not_done);
    }
    for (size_t i = 0; i < NODE_GROUPS_MAX; i++) {
        give_up_list(n, &n->groups[i].reads, not_done);
    }
    COR_ASSERT(n->requests.n == 0 || node_takes_requests(n));
}
