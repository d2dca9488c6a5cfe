/* slab.c - slots in slabs: a free list to allocate in constant time, a bitmap to walk by. */
#include "kv/slab.h"

#include "base/assert.h"

#include <string.h>

#define FIRST_SLAB_BYTES (1u << 14) /* grows fourfold to SLAB_BYTES_MAX */
#define SLOTS_MIN        7u         /* a slab of large slots is not smaller than this many */
#define DIRECTORY_BYTES  (SLAB_CHUNK * sizeof(void *)) /* one chunk of it */
#define STALE_BYTE       0xdb /* what freed slots hold in checking builds */
#define SPARSE_SHARE     8u   /* of the slots of a class are free: too many */
#define LONELY_SHARE     8u /* the only slab of a class, and less than this share of it in use */

_Static_assert(SLAB_BYTES_MAX >> SLAB_UNIT_BITS <= SLAB_UNIT, "offsets fit into a reference");

/* ---- size classes -------------------------------------------------------------------------- */

static uint32_t class_of(size_t size)
{
    if (size <= SLAB_EXACT_MAX) {
        return size == 0 ? 0 : (uint32_t)((size - 1) / SLAB_UNIT);
    }
    if (size > SLAB_SLOT_MAX) {
        return SLAB_LARGE;
    }
    uint32_t doubling = 0;
    while (((size_t)SLAB_EXACT_MAX << (doubling + 1)) < size) {
        doubling++;
    }
    size_t base = (size_t)SLAB_EXACT_MAX << doubling;
    return SLAB_N_EXACT + 8 * doubling + (uint32_t)((size - base - 1) / (base / 8));
}

static uint32_t class_bytes(uint32_t slot_class)
{
    if (slot_class < SLAB_N_EXACT) {
        return (slot_class + 1) * SLAB_UNIT;
    }
    uint32_t base = SLAB_EXACT_MAX << ((slot_class - SLAB_N_EXACT) / 8);
    return base + base / 8 * ((slot_class - SLAB_N_EXACT) % 8 + 1);
}

/* ---- lists ------------------------------------------------------------------------------------ */

static void list_push(struct slab **head, struct slab *s)
{
    s->next = *head;
    s->link = head;
    if (s->next != NULL) {
        s->next->link = &s->next;
    }
    *head = s;
}

static void list_remove(struct slab *s)
{
    *s->link = s->next;
    if (s->next != NULL) {
        s->next->link = s->link;
    }
}

/* ---- slabs -------------------------------------------------------------------------------------- */

/* A free slab number, its directory chunk allocated; 0 with *@ok false: none. */
static uint32_t free_number(struct slab_heap *h, bool *ok)
{
    *ok = false;
    for (uint32_t n = h->number_hint; n < SLAB_CHUNK * SLAB_N_CHUNKS; n++) {
        struct slab ***chunk = &h->chunks[n / SLAB_CHUNK];
        if (*chunk == NULL) {
            size_t size = DIRECTORY_BYTES;
            *chunk = h->source.allocate(h->source.arg, size);
            if (*chunk == NULL) {
                return 0;
            }
            memset(*chunk, 0, size);
            h->asked_bytes += size;
        }
        if ((*chunk)[n % SLAB_CHUNK] == NULL) {
            h->number_hint = n;
            *ok = true;
            return n;
        }
    }
    return 0;
}

static size_t round_up(size_t v)
{
    return (v + SLAB_UNIT - 1) / SLAB_UNIT * SLAB_UNIT;
}

static size_t first_slot(uint32_t n_slots)
{
    return round_up(offsetof(struct slab, live) + (n_slots + 63) / 64 * sizeof(uint64_t));
}

static uint32_t slots_in(size_t bytes, uint32_t slot_bytes)
{
    uint32_t n = (uint32_t)((bytes - offsetof(struct slab, live)) / slot_bytes);
    while (first_slot(n) + (size_t)n * slot_bytes > bytes) {
        n--;
    }
    return n;
}

/* How many slots the next slab of @c gets. */
static uint32_t slots_of_next(const struct slab_class *c, uint32_t slot_bytes)
{
    size_t bytes = c->n_slabs >= 2 ? SLAB_BYTES_MAX : FIRST_SLAB_BYTES << (2 * c->n_slabs);
    uint32_t n = slots_in(bytes, slot_bytes);
    return n > SLOTS_MIN ? n : SLOTS_MIN;
}

static struct slab *slab_new(struct slab_heap *h, uint8_t pool, uint32_t slot_class,
                             size_t size)
{
    bool large = slot_class == SLAB_LARGE;
    struct slab_class *c = &h->classes[pool][slot_class];
    uint32_t slot_bytes = large ? (uint32_t)round_up(size) : class_bytes(slot_class);
    uint32_t n_slots = large ? 1 : slots_of_next(c, slot_bytes);
    size_t bytes = first_slot(n_slots) + (size_t)n_slots * slot_bytes;
    bool ok;
    uint32_t number = free_number(h, &ok);
    struct slab *s = ok ? h->source.allocate(h->source.arg, bytes) : NULL;
    if (s == NULL) {
        return NULL;
    }
    memset(s, 0, first_slot(n_slots));
    s->number = number;
    s->slot_bytes = slot_bytes;
    s->n_slots = n_slots;
    s->first = (uint32_t)first_slot(n_slots);
    s->slab_bytes = (uint32_t)bytes;
    s->slot_class = (uint16_t)slot_class;
    s->pool = pool;
    h->chunks[number / SLAB_CHUNK][number % SLAB_CHUNK] = s;
    h->asked_bytes += bytes;
    c->n_slabs++;
    c->n_slots += n_slots;
    list_push(&c->partial, s);
    h->settled = false;
    return s;
}

static void slab_give_back(struct slab_heap *h, struct slab *s)
{
    struct slab_class *c = &h->classes[s->pool][s->slot_class];
    list_remove(s);
    c->n_slabs--;
    c->n_slots -= s->n_slots;
    h->chunks[s->number / SLAB_CHUNK][s->number % SLAB_CHUNK] = NULL;
    h->number_hint = s->number < h->number_hint ? s->number : h->number_hint;
    h->asked_bytes -= s->slab_bytes;
    if (h->drained == s) {
        h->drained = NULL;
    }
    h->source.release(h->source.arg, s, s->slab_bytes);
}

/* ---- slots -------------------------------------------------------------------------------------- */

static unsigned char *slot_at(struct slab *s, uint32_t slot)
{
    return (unsigned char *)s + s->first + (size_t)slot * s->slot_bytes;
}

static uint32_t take_slot(struct slab *s)
{
    uint32_t slot;
    if (s->free_slot != 0) {
        slot = s->free_slot - 1;
        memcpy(&s->free_slot, slot_at(s, slot), sizeof s->free_slot);
    } else {
        slot = s->n_fresh++;
    }
    COR_ASSERT(slot < s->n_slots);
    s->live[slot / 64] |= (uint64_t)1 << (slot % 64);
    s->n_used++;
    return slot;
}

static slab_ref ref_of(const struct slab *s, uint32_t slot)
{
    return s->number << SLAB_UNIT_BITS |
           (uint32_t)((s->first + (size_t)slot * s->slot_bytes) / SLAB_UNIT);
}

slab_ref slab_alloc(struct slab_heap *h, enum slab_pool pool, size_t size)
{
    uint32_t slot_class = class_of(size);
    struct slab_class *c = &h->classes[pool][slot_class];
    struct slab *s = c->partial;
    if (s == NULL) {
        s = slab_new(h, (uint8_t)pool, slot_class, size);
        if (s == NULL) {
            return 0;
        }
    }
    uint32_t slot = take_slot(s);
    c->n_used++;
    h->used_bytes += s->slot_bytes;
    if (s->n_used == s->n_slots) {
        list_remove(s);
        list_push(&c->full, s);
    }
    return ref_of(s, slot);
}

void slab_free(struct slab_heap *h, slab_ref ref)
{
    struct slab *s = slab_of(h, ref);
    COR_ASSERT(ref != 0 && s != NULL);
    unsigned char *at = slab_at(h, ref);
    uint32_t slot = (uint32_t)((size_t)(at - (unsigned char *)s - s->first) / s->slot_bytes);
    uint64_t bit = (uint64_t)1 << (slot % 64);
    COR_ASSERT((s->live[slot / 64] & bit) != 0);
#ifdef CORACLE_SLOW_ASSERTS
    memset(at, STALE_BYTE, s->slot_bytes);
#endif
    struct slab_class *c = &h->classes[s->pool][s->slot_class];
    s->live[slot / 64] &= ~bit;
    memcpy(at, &s->free_slot, sizeof s->free_slot);
    s->free_slot = slot + 1;
    bool was_full = s->n_used == s->n_slots;
    s->n_used--;
    c->n_used--;
    h->used_bytes -= s->slot_bytes;
    h->settled = false;
    if (s->n_used == 0) {
        slab_give_back(h, s);
    } else if (was_full && !s->draining) {
        list_remove(s);
        list_push(&c->partial, s);
    }
}

uint32_t slab_size(const struct slab_heap *h, slab_ref ref)
{
    return slab_of(h, ref)->slot_bytes;
}

slab_ref slab_link(const struct slab_heap *h, slab_ref ref)
{
    slab_ref to;
    memcpy(&to, slab_at(h, ref), sizeof to);
    return to;
}

void slab_set_link(struct slab_heap *h, slab_ref ref, slab_ref to)
{
    memcpy(slab_at(h, ref), &to, sizeof to);
}

/* ---- sparse slabs ------------------------------------------------------------------------------ */

/* The emptiest slab of @c, if the free slots elsewhere in the class can take its objects; or the
 * only one, if it holds next to nothing. */
static struct slab *sparsest(const struct slab_class *c)
{
    uint64_t n_free = c->n_slots - c->n_used;
    struct slab *only = c->n_slabs == 1 ? c->partial : NULL;
    if (only != NULL && only->slab_bytes > 4 * FIRST_SLAB_BYTES &&
        only->n_used <= only->n_slots / LONELY_SHARE) {
        return only; /* what is left fits into a small one */
    }
    if (c->n_slabs < 2 || n_free * SPARSE_SHARE < c->n_slots) {
        return NULL;
    }
    struct slab *best = NULL;
    for (struct slab *s = c->partial; s != NULL; s = s->next) {
        if (best == NULL ||
            (uint64_t)s->n_used * best->n_slots < (uint64_t)best->n_used * s->n_slots) {
            best = s;
        }
    }
    return best != NULL && n_free >= best->n_slots ? best : NULL;
}

struct slab *slab_sparse(struct slab_heap *h)
{
    /* Asked after each entry that is applied: a look at all classes is worth it only after a change. */
    for (uint32_t i = 0; i < SLAB_N_CLASSES && h->drained == NULL && !h->settled; i++) {
        struct slab_class *c = &h->classes[SLAB_MOVABLE][h->next_class];
        h->drained = sparsest(c);
        if (h->drained != NULL) {
            h->drained->draining = true;
            list_remove(h->drained);
            list_push(&c->full, h->drained);
        } else {
            h->next_class = (h->next_class + 1) % SLAB_N_CLASSES;
        }
    }
    h->settled = h->drained == NULL;
    return h->drained;
}

slab_ref slab_next(const struct slab *s, uint32_t *slot)
{
    for (uint32_t i = *slot; i < s->n_fresh; i++) {
        if ((s->live[i / 64] >> (i % 64) & 1) != 0) {
            *slot = i + 1;
            return ref_of(s, i);
        }
    }
    *slot = s->n_fresh;
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------------ */

void slab_heap_init(struct slab_heap *h, struct slab_source source)
{
    memset(h, 0, sizeof *h);
    h->source = source;
}

void slab_heap_deinit(struct slab_heap *h)
{
    for (uint32_t i = 0; i < SLAB_N_CHUNKS && h->chunks[i] != NULL; i++) {
        for (uint32_t j = 0; j < SLAB_CHUNK; j++) {
            struct slab *s = h->chunks[i][j];
            if (s != NULL) {
                h->source.release(h->source.arg, s, s->slab_bytes);
            }
        }
        h->source.release(h->source.arg, h->chunks[i], DIRECTORY_BYTES);
        h->chunks[i] = NULL;
    }
}

static uint64_t check_slab(const struct slab *s)
{
    uint32_t n = 0;
    uint32_t slot = 0;
    while (slab_next(s, &slot) != 0) {
        n++;
    }
    COR_ASSERT(n == s->n_used);
    COR_ASSERT(s->n_used > 0);
    COR_ASSERT(s->n_fresh <= s->n_slots);
    return (uint64_t)n * s->slot_bytes;
}

void slab_heap_check(const struct slab_heap *h)
{
    uint64_t used = 0;
    for (uint32_t p = 0; p < SLAB_N_POOLS; p++) {
        for (uint32_t i = 0; i <= SLAB_N_CLASSES; i++) {
            const struct slab_class *c = &h->classes[p][i];
            for (const struct slab *s = c->partial; s != NULL; s = s->next) {
                COR_ASSERT(s->n_used < s->n_slots && !s->draining);
                used += check_slab(s);
            }
            for (const struct slab *s = c->full; s != NULL; s = s->next) {
                COR_ASSERT(s->n_used == s->n_slots || s->draining);
                used += check_slab(s);
            }
        }
    }
    COR_ASSERT(used == h->used_bytes);
}
