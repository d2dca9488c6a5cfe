/*
 * kv.h - what the two files of /v1/kv share.
 */
#ifndef API_CONSUL_KV_H
#define API_CONSUL_KV_H

#include "api/consul/consul.h"

/* The entry of a key as an object. */
void consul_kv_entry(struct json_writer *w, const struct kv_item *item);
/* COR_OK; 400 if the key of @c is too long or must not be empty: the exchange has failed. */
MUST_USE bool consul_kv_key(struct consul_call *c, bool may_be_empty);
/* All keys that begin with that of @c; bytes in the arena of its exchange. */
struct kv_range consul_kv_prefix(struct consul_call *c);

#endif
