/*
 * catalog.h - the tables of nodes, services and checks: their keys, their rows, what follows from a change.
 *
 * Place in the system: api/consul makes rows and puts them with ordinary operations, and reads them back;
 * kv/check.c refuses what is no row; kv/exec.c calls catalog.c after each change, so that cascades
 * are the same for every dialect and every node.
 *
 *     table      key                   row
 *     NODES      node                  struct catalog_node
 *     SERVICES   node 0 service id     struct catalog_service
 *     CHECKS     node 0 check id       struct catalog_check
 *
 * Keys are in lower case (ASCII), rows keep the writing of whoever registered. Names have no control
 * characters, so that what begins with one is free for the rows that catalog.c keeps itself:
 *
 *     NODES      1 node's uuid              the key of the node with this ID
 *     SERVICES   1 service name             touched with every change that concerns the service: an instance, a
 *                                           check of one, a check of its node, its node. There while it has instances.
 *     SERVICES   2 node                     touched with every change of the node or its services
 *     SERVICES   3 service name 0 node 0 id an instance
 *     CHECKS     1 node 0 service id 0 id   a check of that service; without a service ID one of the node
 *
 * So whoever waits for a service or a node waits for one key, whose revision is exact, and a change
 * costs the services of one node, not a scan.
 *
 * What follows from a change:
 *   - a deleted node takes its services and checks along; a deleted service its checks
 *   - a node that comes with the ID of another one is that node with a new name: the other one goes
 *   - a service that changes name or tags changes its checks, which show both
 * And what a change needs: a service its node, a check its node and its service (COR_ENOTFOUND); a node
 * no other ID under its name, unless that node's check "serfHealth" is critical (COR_ECONFLICT).
 *
 * The catalog changes in stepwise transactions only, one row an operation: a precondition must see
 * what the operations before it did.
 */
#ifndef KV_CATALOG_H
#define KV_CATALOG_H

#include "kv/entry.h"

#define CATALOG_NAME_MAX 1024u /* bytes of a name or an ID */
/* A key of any of the forms above, in bytes. */
#define CATALOG_KEY_MAX (3u * CATALOG_NAME_MAX + 3u)

enum catalog_mark {
    CATALOG_NODE_ID = 1,  /* in NODES */
    CATALOG_SERVICE = 1,  /* in SERVICES */
    CATALOG_NODE = 2,     /* in SERVICES */
    CATALOG_INSTANCE = 3, /* in SERVICES */
    CATALOG_CHECK = 1,    /* in CHECKS */
};
#define CATALOG_FIRST                                                                          \
    COR_BYTES_LIT(" ") /* no row of the user's has a lower key, no other a higher */

/* @n elements one after the other: tags are blobs, a map has two blobs an element, tagged addresses of a
 * service two blobs and a varint. Maps are in order of their keys, so equal ones have equal bytes. */
struct catalog_list {
    uint64_t n;
    struct cor_bytes bytes;
};

struct catalog_node {
    struct cor_bytes id, name, address;
    struct catalog_list tagged_addresses, meta;
};

struct catalog_service {
    struct cor_bytes id, name, address;
    struct catalog_list tags, tagged_addresses, meta;
    uint64_t port, weight_passing, weight_warning;
    bool enable_tag_override;
};

struct catalog_check {
    struct cor_bytes id, name, status, notes, output;
    struct cor_bytes service_id; /* empty: a check of the node */
    struct cor_bytes type, interval, timeout;
    uint64_t exposed_port;
    struct cor_bytes definition; /* JSON; empty: {} */
};

void catalog_encode_node(struct writer *w, const struct catalog_node *row);
void catalog_encode_service(struct writer *w, const struct catalog_service *row);
void catalog_encode_check(struct writer *w, const struct catalog_check *row);
/* Views into @in. COR_OK; COR_EPROTO; COR_EFOREIGN: of a later version. */
MUST_USE enum cor_status catalog_decode_node(struct cor_bytes in, struct catalog_node *out);
MUST_USE enum cor_status catalog_decode_service(struct cor_bytes in,
                                                struct catalog_service *out);
MUST_USE enum cor_status catalog_decode_check(struct cor_bytes in, struct catalog_check *out);

/* May @name be a name or an ID? */
bool catalog_is_name(struct cor_bytes name);
/* Are @a and @b the same name, whatever the case? */
bool catalog_same_name(struct cor_bytes a, struct cor_bytes b);

/* Keys, written to @out, which has CATALOG_KEY_MAX bytes. Names must be names; case does not matter. */
struct cor_bytes catalog_key(unsigned char *out, struct cor_bytes node); /* in NODES */
/* Of a service or a check. With an empty @id: what all those of the node begin with. */
struct cor_bytes catalog_key_on(unsigned char *out, struct cor_bytes node, struct cor_bytes id);
/* Rows of catalog.c: @mark and a name; for CATALOG_INSTANCE what all of the service begin with. */
struct cor_bytes catalog_mark_key(unsigned char *out, enum catalog_mark mark,
                                  struct cor_bytes name);
/* Of a check in catalog.c's list; with an empty @id: what all checks of the service begin with, or, with an
 * empty @service_id, all of the node itself. */
struct cor_bytes catalog_check_key(unsigned char *out, struct cor_bytes node,
                                   struct cor_bytes service_id, struct cor_bytes id);
/* The second and third part of the key of an instance, or of a check in catalog.c's list. */
void catalog_split(struct cor_bytes key, struct cor_bytes *second, struct cor_bytes *third);
/* The node in a key of SERVICES or CHECKS that is not one of catalog.c's. */
struct cor_bytes catalog_node_of(struct cor_bytes key);
/* The node's own key, or else all keys that begin with @key, which ends with a 0. @end: room for it,
 * CATALOG_KEY_MAX bytes. */
struct kv_range catalog_below(uint8_t table, struct cor_bytes key, unsigned char *end);

static inline bool catalog_has(uint8_t table)
{
    return table == KV_TABLE_NODES || table == KV_TABLE_SERVICES || table == KV_TABLE_CHECKS;
}

/* Whether the put or deletion @op in a table of the catalog is one that catalog.c can follow. COR_OK;
 * COR_EINVAL; COR_EPROTO; COR_EFOREIGN. */
MUST_USE enum cor_status catalog_check_op(const struct kv_op *op, struct cor_error *err);

#endif
