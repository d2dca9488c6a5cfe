/*
 * hash.h - XXH3-64, the one checksum and hash of our own formats.
 *
 * A checksum here guards against disks and networks, not against an adversary: who may write
 * to our files or peer connections is decided elsewhere.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "coracle/bytes.h"

#include <stdint.h>

uint64_t hash64(struct cor_bytes b);
/* Keyed: two domains (say, a batch header and a page) never share a checksum by accident. */
uint64_t hash64_seed(struct cor_bytes b, uint64_t seed);

#endif
