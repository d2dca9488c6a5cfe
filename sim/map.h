/*
 * map.h - a hash map from two numbers to one, for the books that judges keep. Only grows.
 */
#ifndef SIM_MAP_H
#define SIM_MAP_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t a, b, value;
    bool used;
};

struct map {
    struct map_slot *slots; /* room is 0 or a power of two, at most half used */
    size_t n, room;
};

void map_deinit(struct map *m);
/* The place of the value of (a, b), made with @fresh if it was not there (then *is_new). */
uint64_t *map_at(struct map *m, uint64_t a, uint64_t b, uint64_t fresh, bool *is_new);
/* NULL: not there. */
const uint64_t *map_find(const struct map *m, uint64_t a, uint64_t b);

#endif
