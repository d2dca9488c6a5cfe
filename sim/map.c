/*
 * map.c - open addressing with linear probing. See map.h.
 */
#include "sim/map.h"

#include "base/assert.h"

#include <stdlib.h>

static size_t start(uint64_t a, uint64_t b, size_t room)
{
    uint64_t h = (a * 0x9e3779b97f4a7c15u) ^ (b * 0xc2b2ae3d27d4eb4fu);
    return (size_t)(h ^ (h >> 29)) & (room - 1);
}

static struct map_slot *find(const struct map *m, uint64_t a, uint64_t b)
{
    size_t i = start(a, b, m->room);
    while (m->slots[i].used && (m->slots[i].a != a || m->slots[i].b != b)) {
        i = (i + 1) & (m->room - 1);
    }
    return &m->slots[i];
}

static void grow(struct map *m)
{
    struct map bigger = {.room = m->room == 0 ? 256 : 2 * m->room, .n = m->n};
    bigger.slots = calloc(bigger.room, sizeof(struct map_slot));
    COR_ASSERT(bigger.slots != NULL);
    for (size_t i = 0; i < m->room; i++) {
        if (m->slots[i].used) {
            *find(&bigger, m->slots[i].a, m->slots[i].b) = m->slots[i];
        }
    }
    free(m->slots);
    *m = bigger;
}

void map_deinit(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

uint64_t *map_at(struct map *m, uint64_t a, uint64_t b, uint64_t fresh, bool *is_new)
{
    if (2 * (m->n + 1) > m->room) {
        grow(m);
    }
    struct map_slot *slot = find(m, a, b);
    *is_new = !slot->used;
    if (!slot->used) {
        *slot = (struct map_slot){.a = a, .b = b, .value = fresh, .used = true};
        m->n++;
    }
    return &slot->value;
}

const uint64_t *map_find(const struct map *m, uint64_t a, uint64_t b)
{
    if (m->room == 0) {
        return NULL;
    }
    const struct map_slot *slot = find(m, a, b);
    return slot->used ? &slot->value : NULL;
}
