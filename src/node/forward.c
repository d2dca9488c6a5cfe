/*
 * forward.c - writes by way of the leader, which answers for what it proposed.
 *
 * A request is sent once (D16). If the leader refuses before it appends, or the link is down before we
 * send, it is not done. If the link breaks or time runs out after that, nobody here knows.
 *
 *     request := u8 dialect | varint session, number | operations
 *     answer  := a result (kv_result_encode), if the status is COR_OK
 */
#include "node/internal.h"

#include <string.h>

#define FORWARD_HEAD_MAX (1u + 2u * VARINT_SIZE_MAX)

bool node_can_forward(const struct node *n)
{
    cor_node_id leader = n->info.leader;
    return n->raft != NULL && leader != 0 && leader != node_self_id(n) &&
           !n->members[leader - 1].leaving && peers_is_up(n->peers, node_peer_of_id(n, leader));
}

bool forward_send(struct node *n, struct request *r)
{
    unsigned char head[FORWARD_HEAD_MAX];
    struct writer w = writer_of(head, sizeof head);
    writer_u8(&w, r->dialect);
    writer_varint(&w, r->session);
    writer_varint(&w, r->number);
    COR_ASSERT(writer_ok(&w) && w.used <= r->ops_at);
    unsigned char *body = r->payload->data + r->ops_at - w.used;
    memcpy(body, head, w.used);
    size_t peer = node_peer_of_id(n, n->info.leader);
    struct peer_request q = {
        .id = r->id,
        .kind = FORWARD_WRITE,
        .timeout = r->deadline > n->now ? r->deadline - n->now : 1,
        .body = {body, r->payload->len - r->ops_at + w.used},
    };
    if (!peers_send_request(n->peers, peer, &q)) {
        return false;
    }
    r->peer = peer;
    request_move(r, &n->forwarded, REQUEST_FORWARDED);
    n->stats.writes_forwarded++;
    return true;
}

/* ---- on the leader ------------------------------------------------------------------------------- */

static void answer(struct node *n, size_t peer, uint64_t id, enum cor_status st,
                   struct cor_bytes body)
{
    struct peer_request a = {
        .id = id, .kind = FORWARD_WRITE, .status = (uint16_t)st, .body = body};
    (void)peers_send_answer(n->peers, peer, &a); /* lost: the other side sees the link go */
}

enum cor_status forward_decode(struct cor_bytes body, struct node_write *out)
{
    struct reader in = reader_of(body);
    *out = (struct node_write){.dialect = reader_u8(&in)};
    out->session = reader_varint(&in);
    out->number = reader_varint(&in);
    out->ops = (struct cor_bytes){in.at, (size_t)(in.end - in.at)};
    if (!reader_ok(&in)) {
        return COR_EINVAL;
    }
    if (out->ops.len > NODE_REQUEST_MAX) {
        return COR_ETOOBIG;
    }
    enum cor_status st = kv_check_ops(out->ops, NULL);
    return st == COR_OK || st == COR_ETOOBIG ? st : COR_EINVAL;
}

void forward_on_request(struct node *n, size_t peer, const struct peer_request *request)
{
    struct node_write write;
    struct request *r = NULL;
    enum cor_status st = COR_ENOTDONE;
    if (node_leads(n) && node_is_live(n)) { /* also while we stop: see stop.c */
        st = forward_decode(request->body, &write);
    }
    if (st == COR_OK) {
        write.timeout = request->timeout;
        r = write_new(n, &write);
        st = r == NULL ? COR_EBUSY : COR_OK;
    }
    if (st != COR_OK) {
        answer(n, peer, request->id, st, (struct cor_bytes){0});
        return;
    }
    r->origin = REQUEST_REMOTE;
    r->peer = peer;
    r->link = n->members[node_member_of_peer(n, peer)].links;
    r->remote_id = request->id;
    node_wake(n);
}

void forward_answer(struct node *n, const struct request *r, enum cor_status st,
                    const struct kv_result *result)
{
    const struct member *m = &n->members[node_member_of_peer(n, r->peer)];
    if (r->link != m->links || n->peers == NULL) {
        return; /* the process that asked is gone, or knows that it lost us */
    }
    struct writer w = writer_of(n->answer_memory, NODE_ANSWER_MAX);
    if (result != NULL) {
        (void)kv_result_encode(result, &w);
        if (!writer_ok(&w)) {
            struct kv_result cut = *result;
            cut.status = COR_ETOOBIG;
            cut.n_ops = 0;
            w = writer_of(n->answer_memory, NODE_ANSWER_MAX);
            (void)kv_result_encode(&cut, &w);
        }
    }
    answer(n, r->peer, r->remote_id, st, (struct cor_bytes){n->answer_memory, w.used});
}

/* ---- back where it came from ----------------------------------------------------------------------- */

/* A status that the leader may give; anything else a peer sends is as good as no answer. */
static enum cor_status sane_status(uint16_t status)
{
    static const enum cor_status known[] = {
        COR_OK, COR_ENOTDONE, COR_ENOLEADER, COR_EBUSY, COR_ENOSPACE, COR_ETOOBIG, COR_EINVAL};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (status == (uint16_t)known[i]) {
            return known[i];
        }
    }
    return status == COR_ESTOPPED ? COR_ENOTDONE : COR_EUNKNOWN; /* it is stopping, not we */
}

void forward_on_answer(struct node *n, size_t peer, const struct peer_request *reply)
{
    struct request *r = request_find(n, reply->id);
    if (r == NULL || r->state != REQUEST_FORWARDED || r->peer != peer) {
        return; /* too late */
    }
    enum cor_status st = sane_status(reply->status);
    struct kv_result result;
    arena_reset(&n->arena);
    if (st == COR_OK && kv_result_decode(reply->body, &n->arena, &result) != COR_OK) {
        st = COR_EUNKNOWN; /* it was done, but what it did does not fit or makes no sense */
    }
    request_answer_write(n, r, st, st == COR_OK ? &result : NULL);
}

void forward_link_lost(struct node *n, size_t peer)
{
    struct request *next;
    for (struct request *r = n->forwarded.first; r != NULL; r = next) {
        next = r->next;
        if (r->peer == peer) {
            request_answer_write(n, r, COR_EUNKNOWN, NULL);
        }
    }
}
