/*
 * write.c - proposals: from a request to an entry of the log, and what becomes of it.
 *
 * An entry is a header and the operations of one client. The operations were copied once, when the
 * request came, behind room for a header; the leader writes the header into that room, right before
 * them, when it proposes. From then on the same bytes go to the log, to the peers and into the store.
 *
 * Outcomes. A proposal is known done when the entry at its index is applied and has its term; known not done
 * when an entry of another term is *applied* there. That it was cut off our log proves nothing: who
 * still has it may win a later election and commit it (Figure 3.7 is such a story). So a request whose leader
 * steps down keeps waiting, as long as its deadline allows, for what its index turns out to hold.
 */
#include "node/internal.h"

#include "base/hash.h"

#include <string.h>

/* ---- taking requests ---------------------------------------------------------------------------- */

/* The largest header that a request can get: entry.h, field by field. */
static uint32_t header_room(const struct node_write *write)
{
    size_t fixed = 1 + 2 + 1 + 1 + 1 + 1; /* no flags, principal, auth revision or deadline */
    size_t times = VARINT_SIZE_MAX + VARINT_SIZE_MAX;
    return (uint32_t)(fixed + varint_size(write->session) + varint_size(write->number) + times);
}

struct request *write_new(struct node *n, const struct node_write *write)
{
    uint32_t room = header_room(write);
    struct request *r = request_new(n, write->ops.len);
    if (r == NULL) {
        return NULL;
    }
    r->payload = buf_new(room + write->ops.len);
    if (r->payload == NULL) {
        request_free(n, r);
        return NULL;
    }
    memcpy(r->payload->data + room, write->ops.ptr, write->ops.len);
    r->ops_at = room;
    r->dialect = write->dialect;
    r->session = write->session;
    r->number = write->number;
    r->deadline = write->timeout != 0 ? write->timeout : n->options.request_timeout;
    request_move(r, &n->fresh_writes, REQUEST_FRESH);
    return r;
}

enum cor_status node_write(struct node *n, const struct node_write *write, node_write_done done,
                           void *arg)
{
    COR_ASSERT(done != NULL);
    if (!node_takes_requests(n)) {
        return COR_ESTOPPED;
    }
    if (write->ops.len > NODE_REQUEST_MAX) {
        return COR_ETOOBIG;
    }
    if ((write->session == 0) != (write->number == 0)) {
        return COR_EINVAL;
    }
    enum cor_status st = kv_check_ops(write->ops, NULL);
    if (st != COR_OK) {
        return st == COR_ETOOBIG ? st : COR_EINVAL;
    }
    struct request *r = write_new(n, write);
    if (r == NULL) {
        return COR_EBUSY;
    }
    r->origin = REQUEST_LOCAL;
    r->done.write = done;
    r->arg = arg;
    node_wake(n);
    return COR_OK;
}

enum cor_status write_propose_own(struct node *n, const struct kv_op *op, bool *under_way)
{
    unsigned char ops[64];
    struct writer w = writer_of(ops, sizeof ops);
    kv_encode_one(&w, op);
    COR_ASSERT(writer_ok(&w));
    struct node_write write = {.ops = {ops, w.used}};
    struct request *r = write_new(n, &write);
    if (r == NULL) {
        return COR_EBUSY;
    }
    r->origin = REQUEST_OWN;
    r->arg = under_way;
    *under_way = true;
    node_wake(n);
    return COR_OK;
}

/* ---- admission --------------------------------------------------------------------------------- */

/* The store's size and the cluster's time are known once what was found at the start is applied. */
bool write_clock_is_known(const struct node *n)
{
    return n->applied >= n->recovered_last;
}

/* Whether all @ops do is take away. Asked only when memory is short. */
static bool only_takes_away(struct cor_bytes ops)
{
    struct reader in = reader_of(ops);
    struct kv_txn_head head = {0};
    if (reader_u8(&in) == KV_PRE_STATE) {
        kv_decode_txn_head(&in, &head);
    } else {
        head.n_then = reader_varint(&in);
    }
    for (uint64_t i = 0; i < head.n_compares; i++) {
        struct kv_compare compare;
        kv_decode_compare(&in, &compare);
    }
    for (uint64_t i = 0; i < head.n_then + head.n_else && reader_ok(&in); i++) {
        struct kv_op op;
        kv_decode_op(&in, &op);
        if (op.kind == KV_OP_PUT || op.kind == KV_OP_TXN ||
            (op.kind == KV_OP_SESSION && op.session_do == KV_SESSION_OPEN)) {
            return false;
        }
    }
    return true;
}

static bool memory_allows(const struct node *n, const struct request *r, uint64_t ahead)
{
    size_t len = r->payload->len;
    struct cor_bytes ops = {r->payload->data + r->ops_at, len - r->ops_at};
    return kv_has_room(n->kv, (size_t)(n->proposed_bytes + ahead + len)) ||
           only_takes_away(ops);
}

/* ---- proposing ------------------------------------------------------------------------------------- */

/* Write the header into the room before the operations. Returns where the entry begins. */
static uint32_t stamp(const struct node *n, const struct request *r, uint64_t wall_ms)
{
    struct entry_header header = {.dialect = r->dialect,
                                  .session = r->session,
                                  .number = r->number,
                                  .cluster_time = n->time_base + (n->now - n->time_base_at),
                                  .wall_ms = wall_ms};
    unsigned char bytes[ENTRY_HEADER_SIZE_MAX];
    size_t len = entry_header_encode(&header, bytes);
    COR_ASSERT(len <= r->ops_at);
    memcpy(r->payload->data + r->ops_at - len, bytes, len);
    return r->ops_at - (uint32_t)len;
}

/* As many of those that wait as one step takes; those for which there is no memory are told so. */
static uint32_t gather(struct node *n)
{
    uint64_t bytes = 0;
    uint32_t count = 0;
    struct request *next;
    for (struct request *r = n->waiting_writes.first;
         r != NULL && count < NODE_BATCH_MAX && bytes < NODE_BATCH_BYTES_MAX; r = next) {
        next = r->next;
        if (!memory_allows(n, r, bytes)) {
            n->memory_refused = r->payload->len;
            request_answer_write(n, r, COR_ENOSPACE, NULL);
            continue;
        }
        n->batch[count++] = r;
        bytes += r->payload->len;
    }
    return count;
}

/* How many of the batch the log has room for: all, but for rare moments. */
static uint32_t fit_log(struct node *n, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += n->batch[i]->payload->len;
    }
    while (count > 0 && !log_has_room(n, bytes, count)) {
        bytes -= n->batch[--count]->payload->len;
    }
    return count;
}

static enum cor_status propose_batch(struct node *n, uint32_t count)
{
    uint64_t wall_ms = io_wall_ms(n->io);
    for (uint32_t i = 0; i < count; i++) {
        struct request *r = n->batch[i];
        uint32_t offset = stamp(n, r, wall_ms);
        uint32_t len = r->payload->len - offset;
        r->entry_at = offset;
        r->proposed_at = n->now;
        n->heads[i] = (struct cor_raft_entry){.type = COR_ENTRY_COMMAND, .size = len};
    }
    struct cor_raft_event event = {.type = COR_RAFT_EV_PROPOSE,
                                   .propose = {.entries = n->heads, .n = count}};
    struct source source = {.batch = n->batch, .n_batch = count};
    return core_step(n, &event, n->now, &source);
}

static void refuse_waiting(struct node *n, enum cor_status st)
{
    struct request *last = n->waiting_writes.last; /* the owners may write again meanwhile */
    while (last != NULL) {
        struct request *r = n->waiting_writes.first;
        last = r == last ? NULL : last;
        request_answer_write(n, r, st, NULL);
    }
}

/* Time goes on from the newest in the log, which is in our store if we did not see it enter the log. */
static void start_clock(struct node *n)
{
    if (n->time_term == n->info.term) {
        return;
    }
    struct kv_info kv;
    kv_get_info(n->kv, &kv);
    n->time_term = n->info.term;
    n->time_base = kv.cluster_time > n->log_time ? kv.cluster_time : n->log_time;
    n->time_base_at = n->now;
}

uint64_t write_cluster_time(struct node *n)
{
    start_clock(n);
    return n->time_base + (n->now - n->time_base_at);
}

static void propose(struct node *n)
{
    start_clock(n);
    while (node_leads(n) && n->waiting_writes.first != NULL) {
        uint32_t count = gather(n);
        uint32_t fits = fit_log(n, count);
        if (count > 0 && fits == 0 && n->disk_full) {
            refuse_waiting(n, COR_ENOSPACE);
            return;
        }
        if (fits == 0 || !cache_reserve(&n->cache, fits)) {
            return; /* room comes with the next segment, a commit, a sync; or time runs out */
        }
        enum cor_status st = propose_batch(n, fits);
        if (st == COR_ENOSPACE) {
            refuse_waiting(n, st);
        }
        if (st != COR_OK) {
            return; /* COR_EBUSY: when something was committed */
        }
    }
}

/* ---- where it goes ------------------------------------------------------------------------------------- */

/* We do not lead. */
static void pass_on(struct node *n, struct request_list *from)
{
    struct request *next;
    for (struct request *r = from->first; r != NULL; r = next) {
        next = r->next;
        if (r->origin == REQUEST_REMOTE || r->origin == REQUEST_OWN) {
            request_answer_write(n, r, COR_ENOTDONE, NULL); /* it was sent once already */
        } else if (!node_can_forward(n) || !forward_send(n, r)) {
            request_move(r, &n->waiting_writes, REQUEST_WAITING);
        }
    }
}

void write_take_fresh(struct node *n)
{
    for (struct request *r = n->fresh_writes.first; r != NULL; r = r->next) {
        request_arm(n, r, n->now);
    }
    struct request_list fresh = {.first = NULL};
    request_splice(&n->fresh_writes, &fresh, REQUEST_FRESH);
    if (node_leads(n)) {
        request_splice(&fresh, &n->waiting_writes, REQUEST_WAITING);
        if (write_clock_is_known(n)) {
            propose(n);
        }
        return;
    }
    if (n->retrying) {
        struct request_list waiting = {.first = NULL};
        request_splice(&n->waiting_writes, &waiting, REQUEST_WAITING);
        pass_on(n, &waiting);
    }
    pass_on(n, &fresh);
}

/* ---- what became of it ----------------------------------------------------------------------------------- */

void write_orphan(struct node *n, uint64_t from)
{
    while (n->proposed.last != NULL && n->proposed.last->index >= from) {
        struct request *r = n->proposed.last;
        COR_ASSERT(n->proposed_bytes >= r->payload->len);
        n->proposed_bytes -= r->payload->len;
        request_move(r, &n->orphans, REQUEST_ORPHANED);
    }
}

struct request *write_waiter(struct node *n, uint64_t index, uint64_t term)
{
    struct request *r = n->proposed.first;
    if (r != NULL && r->index == index && r->term == term) {
        return r;
    }
    for (r = n->orphans.first; r != NULL; r = r->next) {
        if (r->index == index && r->term == term) {
            return r;
        }
    }
    return NULL;
}

void write_applied(struct node *n, uint64_t index, struct request *waiter,
                   const struct kv_result *result)
{
    if (waiter != NULL) {
        n->stats.commit_ns_total += n->now - waiter->proposed_at;
        n->stats.commits_timed++;
        request_answer_write(n, waiter, COR_OK, result);
    }
    while (n->proposed.first != NULL && n->proposed.first->index <= index) {
        request_answer_write(n, n->proposed.first, COR_ENOTDONE, NULL);
    }
    struct request *next;
    for (struct request *r = n->orphans.first; r != NULL; r = next) {
        next = r->next;
        if (r->index <= index) {
            request_answer_write(n, r, COR_ENOTDONE, NULL);
        }
    }
}
