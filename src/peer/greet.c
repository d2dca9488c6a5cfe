/*
 * greet.c - who is welcome: the checks of a hello that need no knowledge of consensus or disks.
 *
 * Place in the system: conn.c asks when a hello arrived. What is checked here is that two processes mean
 * each other: version, name, list of members. Whether the member's disk and cluster are the right ones is
 * node/'s business, which on_hello asks last. Each refusal is a sentence for the person who
 * reads the other side's log: what was expected, what came, where to look.
 */
#include "peer/internal.h"

#include "base/error.h"

#include <string.h>

static struct peer_link *find_link(struct peers *p, const char *name)
{
    for (size_t i = 0; i < p->n_links; i++) {
        if (strcmp(p->links[i].name, name) == 0) {
            return &p->links[i];
        }
    }
    return NULL;
}

static bool refuse_version(const struct peers *p, const struct peer_hello *h,
                           struct cor_error *err)
{
    error_set(err, COR_EFOREIGN,
              "%s speaks versions %u to %u of the peer protocol, the other side %u to %u: run "
              "versions of coracle that overlap",
              p->hello.name, PEER_PROTOCOL_MIN, PEER_PROTOCOL_MAX, h->protocol_min,
              h->protocol_max);
    return false;
}

/* A dialed connection: the member that was dialed must have answered. */
static bool check_dialed(const struct peer_conn *conn, const char *name, struct cor_error *err)
{
    const struct peer_link *link = conn->link;
    const char *own = conn->peers->hello.name;
    if (strcmp(name, own) == 0) {
        error_set(err, COR_EINVAL,
                  "%s, the address of %s in the list of members, leads to %s: two members have "
                  "the same name or address",
                  link->address, link->name, own);
        return false;
    }
    if (strcmp(name, link->name) != 0) {
        error_set(
            err, COR_EINVAL,
            "%s expected %s at %s and found %s: check the addresses in the list of members",
            own, link->name, link->address, name);
        return false;
    }
    return true;
}

/* An accepted one: somebody in the list, who dials us and not the other way round. */
static bool check_accepted(const struct peer_conn *conn, const char *name,
                           struct peer_link *link, struct cor_error *err)
{
    const char *own = conn->peers->hello.name;
    if (strcmp(name, own) == 0) {
        error_set(err, COR_EINVAL,
                  "both sides are called %s: give each member a name of its own", own);
        return false;
    }
    if (link == NULL) {
        error_set(err, COR_EINVAL, "%s is not in the list of members that %s was started with",
                  name, own);
        return false;
    }
    if (link->dials) {
        error_set(err, COR_EPROTO, "%s dials %s, not the other way round", own, name);
        return false;
    }
    return true;
}

static bool check_terms(const struct peers *p, const struct peer_hello *h,
                        struct cor_error *err)
{
    if (h->level_min > p->hello.level_max || h->level_max < p->hello.level_min) {
        error_set(err, COR_EFOREIGN,
                  "%s runs at feature levels %u to %u, %s at %u to %u: run versions of coracle "
                  "that overlap",
                  p->hello.name, p->hello.level_min, p->hello.level_max, h->name, h->level_min,
                  h->level_max);
        return false;
    }
    if (h->members_hash != p->hello.members_hash) {
        error_set(
            err, COR_EINVAL,
            "%s and %s were started with different lists of members: give all members the "
            "same --cluster",
            p->hello.name, h->name);
        return false;
    }
    return true;
}

bool peer_greet(const struct peer_conn *conn, struct cor_bytes hello, struct peer_greeting *out,
                struct peer_link **link, struct cor_error *err)
{
    struct peers *p = conn->peers;
    *link = conn->link;
    switch (peer_greeting_decode(hello, out)) {
    case PEER_GREETING_OK:
        break;
    case PEER_GREETING_FOREIGN:
        return refuse_version(p, &out->hello, err);
    case PEER_GREETING_MALFORMED:
        error_set(err, COR_EPROTO, "%s does not understand this hello", p->hello.name);
        return false;
    }
    const struct peer_hello *h = &out->hello;
    if ((out->role == PEER_ROLE_NONE) != conn->dialed) {
        error_set(err, COR_EPROTO, "the hello of %s has the wrong role", h->name);
        return false;
    }
    if (conn->dialed) {
        if (!check_dialed(conn, h->name, err)) {
            return false;
        }
    } else {
        *link = find_link(p, h->name);
        if (!check_accepted(conn, h->name, *link, err)) {
            return false;
        }
    }
    return check_terms(p, h, err) && p->callbacks->on_hello(p->arg, h, err);
}
