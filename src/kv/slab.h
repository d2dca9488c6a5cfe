/*
 * slab.h - the store's own memory: fixed-size slots in slabs, named by 32-bit references.
 *
 * Place in the system: records (record.h) and tree nodes (tree.h) live here and nowhere else, so
 * the store knows to the byte what it uses, and can give memory back.
 *
 *     reference = slab number << SLAB_UNIT_BITS | offset in the slab, in units of 16 bytes
 *
 * A slab holds slots of one size class: every 16 bytes up to 1 KiB, then eight classes to a
 * doubling (at most one eighth wasted), and beyond SLAB_SLOT_MAX one slab per object. The first
 * slabs of a class are small, so that a small store stays small. A slab whose last slot is freed
 * goes back to the system at once; a sparse one is emptied by its owner with slab_sparse(), which
 * only ever offers slabs of movable objects.
 *
 * Half of a pointer's size matters: a key costs one reference in its leaf, one in its record and
 * one in the history. The directory from slab number to address is in two levels, of which
 * neither ever moves: a reader in another thread (a held root) looks up slabs that exist for as
 * long as it reads, while the loop adds others beside them.
 *
 * The first four bytes of every object are its *link*: for records the version before, for freed
 * objects that a held root still reads the next one in line. Readers of a held root never look
 * at links.
 */
#ifndef KV_SLAB_H
#define KV_SLAB_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t slab_ref; /* 0: none */

#define SLAB_UNIT        16u
#define SLAB_UNIT_BITS   14u
#define SLAB_BYTES_MAX   ((1u << 18) - 64u) /* leaves room for the allocator's own header */
#define SLAB_EXACT_MAX   1024u
#define SLAB_N_EXACT     (SLAB_EXACT_MAX / SLAB_UNIT)
#define SLAB_N_DOUBLINGS 5u
#define SLAB_SLOT_MAX    (SLAB_EXACT_MAX << SLAB_N_DOUBLINGS) /* 32 KiB */
#define SLAB_N_CLASSES   (SLAB_N_EXACT + 8u * SLAB_N_DOUBLINGS)
#define SLAB_LARGE       SLAB_N_CLASSES /* the class of objects with a slab of their own */
#define SLAB_CHUNK       256u
#define SLAB_N_CHUNKS    1024u

enum slab_pool {
    SLAB_MOVABLE = 0, /* records: slab_sparse() may ask to move them */
    SLAB_FIXED = 1,   /* tree nodes and separators */
    SLAB_N_POOLS = 2
};

struct slab {
    struct slab *next, **link; /* in its class: with free slots, or full */
    uint32_t number;
    uint32_t slot_bytes, n_slots, n_used;
    uint32_t n_fresh;    /* slots from here on were never used */
    uint32_t free_slot;  /* first of the freed ones, + 1; 0: none */
    uint32_t first;      /* offset of slot 0, bytes */
    uint32_t slab_bytes; /* all of it, as asked of the system */
    uint16_t slot_class;
    uint8_t pool;
    bool draining; /* no new objects: its owner is emptying it */
    uint64_t live[];
};

struct slab_class {
    struct slab *partial, *full;
    uint32_t n_slabs;
    uint64_t n_slots, n_used;
};

/* Where slabs come from. @allocate may return NULL. */
struct slab_source {
    void *(*allocate)(void *arg, size_t size);
    void (*release)(void *arg, void *memory, size_t size);
    void *arg;
};

struct slab_heap {
    struct slab **chunks[SLAB_N_CHUNKS]; /* the directory */
    struct slab_class classes[SLAB_N_POOLS][SLAB_N_CLASSES + 1];
    struct slab_source source;
    uint32_t number_hint; /* no free slab number below */
    uint32_t next_class;  /* whose turn it is in slab_sparse() */
    struct slab *drained; /* being emptied; NULL: none */
    bool settled;         /* nothing was sparse, and nothing was freed or added since */
    uint64_t asked_bytes; /* of the system */
    uint64_t used_bytes;  /* in slots that hold objects */
};

void slab_heap_init(struct slab_heap *h, struct slab_source source);
/* Give everything back, whatever is in it. */
void slab_heap_deinit(struct slab_heap *h);

/* Room for an object of @size bytes, uninitialized, 16-aligned. 0: no memory. */
MUST_USE slab_ref slab_alloc(struct slab_heap *h, enum slab_pool pool, size_t size);
void slab_free(struct slab_heap *h, slab_ref ref);
/* Bytes of the slot that holds @ref: what it costs. */
uint32_t slab_size(const struct slab_heap *h, slab_ref ref);

static inline struct slab *slab_of(const struct slab_heap *h, slab_ref ref)
{
    uint32_t number = ref >> SLAB_UNIT_BITS;
    return h->chunks[number / SLAB_CHUNK][number % SLAB_CHUNK];
}

static inline void *slab_at(const struct slab_heap *h, slab_ref ref)
{
    return (unsigned char *)slab_of(h, ref) +
           (size_t)(ref & ((1u << SLAB_UNIT_BITS) - 1)) * SLAB_UNIT;
}

slab_ref slab_link(const struct slab_heap *h, slab_ref ref);
void slab_set_link(struct slab_heap *h, slab_ref ref, slab_ref to);

/* A slab that is worth emptying (an eighth of its class is free, and more than a slab's worth),
 * closed for new objects; NULL: none. The same one until it is empty and therefore gone. */
struct slab *slab_sparse(struct slab_heap *h);
/* The next object in @s at slot *@slot or later; 0: none. *@slot is set behind it. */
slab_ref slab_next(const struct slab *s, uint32_t *slot);

/* Assert what must hold inside. */
void slab_heap_check(const struct slab_heap *h);

#endif
