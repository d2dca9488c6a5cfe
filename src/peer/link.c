/*
 * link.c - a member: the pair of connections to it.
 *
 * Place in the system: conn.c reports what happens to connections; peers.c sends through links that are up.
 *
 * The member whose name sorts first dials both connections of a pair at the same time, under one random number
 * (the *attempt*), and both sides only pair what has the same number. So a connection of an earlier
 * attempt whose end has not been noticed yet can neither be mistaken for half of a new pair nor take
 * a new one down. When one half is lost the other is closed: the host sees one thing, up or down.
 */
#include "peer/internal.h"

#include "base/hash.h"

#include <string.h>

void peer_link_say(struct peer_link *link, const char *event, const char *reason)
{
    struct cor_bytes text = {(const unsigned char *)reason, strlen(reason)};
    uint64_t hash = hash64(text);
    uint64_t now = io_now(link->peers->io);
    if (hash == link->refusal_hash && now < link->refusal_at + PEER_REFUSAL_EVENTS) {
        return;
    }
    link->refusal_hash = hash;
    link->refusal_at = now;
    event_emit(link->peers->events, EVENT_WARN, "peer", event, event_text("peer", link->name),
               event_bytes("reason", text));
}

/* ---- dialing ------------------------------------------------------------------------------------ */

/* 20 ms, doubling to 1 s; five seconds after a refusal; and up to a quarter more, so that members
 * that lost each other at the same time do not come back at the same time. */
static void dial_later(struct peer_link *link)
{
    struct peers *p = link->peers;
    uint64_t delay = PEER_BACKOFF_REFUSED;
    if (!link->refused) {
        unsigned doublings = link->failures < 10 ? link->failures : 10;
        delay = PEER_BACKOFF_MIN << doublings;
        delay = delay < PEER_BACKOFF_MAX ? delay : PEER_BACKOFF_MAX;
        link->failures++;
    }
    link->refused = false;
    delay += prng_below(&p->prng, delay / 4 + 1);
    io_timer_set(p->io, &link->redial, io_now(p->io) + delay);
}

void peer_link_dial(struct peer_link *link)
{
    struct peers *p = link->peers;
    COR_ASSERT(link->dials && !p->closing);
    COR_ASSERT(link->conns[0] == NULL && link->conns[1] == NULL);
    link->attempt = prng_next(&p->prng) | 1;
    enum cor_status st = peer_conn_dial(link, PEER_ROLE_CONTROL);
    if (st == COR_OK) {
        st = peer_conn_dial(link, PEER_ROLE_DATA);
    }
    if (st == COR_OK) {
        return;
    }
    peer_link_say(link, "dial_failed", cor_status_text(st));
    if (link->conns[0] != NULL) {
        peer_conn_close(link->conns[0], "the other connection could not be dialed");
    } else {
        dial_later(link);
    }
}

void peer_link_on_redial(struct io_timer *timer)
{
    struct peer_link *link = CONTAINER_OF(timer, struct peer_link, redial);
    peer_link_dial(link);
}

/* ---- up and down --------------------------------------------------------------------------------- */

static bool is_paired(const struct peer_link *link)
{
    const struct peer_conn *a = link->conns[0], *b = link->conns[1];
    return a != NULL && b != NULL && a->attempt == b->attempt &&
           a->incarnation == b->incarnation;
}

void peer_link_check(struct peer_link *link)
{
    struct peers *p = link->peers;
    if (link->up || !is_paired(link) || link->conns[0]->state != PEER_CONN_UP ||
        link->conns[1]->state != PEER_CONN_UP) {
        return;
    }
    link->up = true;
    link->refused = false;
    link->up_at = io_now(p->io);
    event_emit(p->events, EVENT_INFO, "peer", "link_up", event_text("peer", link->name),
               event_u64("incarnation", link->hello.incarnation));
    p->callbacks->on_up(p->arg, link->index);
}

bool peer_link_promote(struct peer_link *link)
{
    if (!is_paired(link)) {
        return false;
    }
    for (unsigned i = 0; i < PEER_N_ROLES; i++) {
        if (link->conns[i]->state == PEER_CONN_WELCOMING) {
            peer_conn_set_up(link->conns[i]);
        }
        if (link->conns[i]->state != PEER_CONN_UP) {
            return false;
        }
    }
    peer_link_check(link);
    return true;
}

void peer_link_lost(struct peer_link *link, struct peer_conn *conn, const char *why)
{
    struct peers *p = link->peers;
    COR_ASSERT(peer_conn_is_attached(conn));
    struct peer_conn *pair = link->conns[PEER_N_ROLES - conn->role];
    link->conns[0] = link->conns[1] = NULL;
    if (pair != NULL) {
        peer_conn_close(pair, why); /* detached: does not come back here */
    }
    bool was_up = link->up;
    link->up = false;
    link->doomed = NULL;
    if (was_up && io_now(p->io) - link->up_at >= PEER_STABLE) {
        link->failures = 0;
    }
    if (p->closing) {
        return;
    }
    if (link->dials) {
        dial_later(link);
    }
    if (was_up) {
        event_emit(p->events, EVENT_WARN, "peer", "link_down", event_text("peer", link->name),
                   event_text("reason", why));
        p->callbacks->on_down(p->arg, link->index);
    }
}

void peer_link_attach(struct peer_link *link, struct peer_conn *conn)
{
    struct peer_conn **place = &link->conns[conn->role - 1];
    struct peer_conn *pair = link->conns[PEER_N_ROLES - conn->role];
    if (*place == conn) { /* dialed */
        if (pair != NULL && pair->state >= PEER_CONN_WELCOMING &&
            pair->incarnation != conn->incarnation) {
            peer_conn_close(pair, "the member was restarted meanwhile");
        }
        return;
    }
    /* The other side dials again: whatever is left of an earlier attempt is over there. */
    if (*place != NULL) {
        peer_conn_close(*place, "replaced by a newer connection");
    } else if (pair != NULL &&
               (pair->attempt != conn->attempt || pair->incarnation != conn->incarnation)) {
        peer_conn_close(pair, "replaced by a newer connection");
    }
    /* A host's on_down may have closed everything. */
    if (conn->state != PEER_CONN_CLOSED) {
        COR_ASSERT(*place == NULL);
        *place = conn;
    }
}
