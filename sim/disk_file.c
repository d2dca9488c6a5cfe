/* disk_file.c - contents of simulated files; disk_file.h says how they are kept. */
#include "sim/disk_file.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

/* ---- durable bytes --------------------------------------------------------------------------- */

static void chunk_unref(struct disk_chunk *c)
{
    if (c != NULL && --c->refs == 0) {
        free(c);
    }
}

static bool is_zero(const unsigned char *p, size_t len)
{
    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* A chunk that may be written to: private to this file. */
static struct disk_chunk *own_chunk(struct disk_file *f, size_t i)
{
    struct disk_chunk *c = f->chunks[i];
    if (c != NULL && c->refs == 1) {
        return c;
    }
    struct disk_chunk *copy = calloc(1, sizeof *copy);
    COR_ASSERT(copy != NULL);
    if (c != NULL) {
        memcpy(copy->bytes, c->bytes, DISK_CHUNK);
        chunk_unref(c);
    }
    copy->refs = 1;
    f->chunks[i] = copy;
    return copy;
}

static void grow_chunks(struct disk_file *f, uint64_t size)
{
    size_t n = (size_t)((size + DISK_CHUNK - 1) / DISK_CHUNK);
    if (n <= f->n_chunks) {
        return;
    }
    struct disk_chunk **chunks = realloc(f->chunks, n * sizeof(struct disk_chunk *));
    COR_ASSERT(chunks != NULL);
    memset(chunks + f->n_chunks, 0, (n - f->n_chunks) * sizeof(struct disk_chunk *));
    f->chunks = chunks;
    f->n_chunks = n;
}

/* @data == NULL: zeros. */
static void put_in_chunk(struct disk_file *f, size_t i, size_t at, const unsigned char *data,
                         size_t len)
{
    bool zeros = data == NULL || is_zero(data, len);
    if (zeros && f->chunks[i] == NULL) {
        return;
    }
    struct disk_chunk *c = own_chunk(f, i);
    if (zeros) {
        memset(c->bytes + at, 0, len);
    } else {
        memcpy(c->bytes + at, data, len);
    }
}

static void put_durable(struct disk_file *f, uint64_t offset, const unsigned char *data,
                        uint64_t len)
{
    if (len == 0) {
        return;
    }
    grow_chunks(f, offset + len);
    for (uint64_t done = 0; done < len;) {
        size_t at = (size_t)((offset + done) % DISK_CHUNK);
        uint64_t n = DISK_CHUNK - at < len - done ? DISK_CHUNK - at : len - done;
        put_in_chunk(f, (size_t)((offset + done) / DISK_CHUNK), at,
                     data == NULL ? NULL : data + done, (size_t)n);
        done += n;
    }
    if (offset + len > f->size) {
        f->size = offset + len;
    }
}

static void resize_durable(struct disk_file *f, uint64_t size)
{
    if (size < f->size) { /* what grows back later must read as zeros */
        uint64_t old = f->size;
        put_durable(f, size, NULL, old - size);
    }
    grow_chunks(f, size);
    f->size = size;
}

static void get_durable(const struct disk_file *f, uint64_t offset, unsigned char *out,
                        size_t len)
{
    for (size_t done = 0; done < len;) {
        uint64_t i = (offset + done) / DISK_CHUNK;
        size_t at = (size_t)((offset + done) % DISK_CHUNK);
        size_t n = DISK_CHUNK - at < len - done ? DISK_CHUNK - at : len - done;
        if (i < f->n_chunks && f->chunks[i] != NULL) {
            memcpy(out + done, f->chunks[i]->bytes + at, n);
        } else {
            memset(out + done, 0, n);
        }
        done += n;
    }
}

/* ---- what is pending --------------------------------------------------------------------------- */

static void add_pending(struct disk_file *f, struct disk_pending p)
{
    struct disk_pending *new = malloc(sizeof *new);
    COR_ASSERT(new != NULL);
    *new = p;
    new->next = NULL;
    *f->pending_end = new;
    f->pending_end = &new->next;
}

static unsigned char *copy_bytes(const unsigned char *data, uint64_t len)
{
    if (data == NULL || is_zero(data, (size_t)len)) {
        return NULL;
    }
    unsigned char *copy = malloc((size_t)len);
    COR_ASSERT(copy != NULL);
    memcpy(copy, data, (size_t)len);
    return copy;
}

static struct disk_pending *take_pending(struct disk_file *f)
{
    struct disk_pending *all = f->pending;
    f->pending = NULL;
    f->pending_end = &f->pending;
    return all;
}

static void free_pending(struct disk_pending *p)
{
    free(p->data);
    free(p);
}

/* A new write of [offset, offset + len) ends what a failed sync left in the cache there: of those
 * pages the file has what is written now. */
static void drop_doomed(struct disk_file *f, uint64_t offset, uint64_t len)
{
    struct disk_pending *p = take_pending(f);
    while (p != NULL) {
        struct disk_pending *next = p->next;
        bool overlaps = p->offset < offset + len && offset < p->offset + p->len;
        if (p->doomed && !p->is_truncate && overlaps) {
            free_pending(p);
        } else {
            p->next = NULL;
            *f->pending_end = p;
            f->pending_end = &p->next;
        }
        p = next;
    }
}

static void make_durable(struct disk_file *f, const struct disk_pending *p)
{
    if (p->is_truncate) {
        resize_durable(f, p->len);
    } else {
        put_durable(f, p->offset, p->data, p->len);
    }
}

/* Of the read of [offset, offset + len), overlay the part that @p changes. */
static void overlay(const struct disk_pending *p, uint64_t offset, unsigned char *out,
                    size_t len)
{
    uint64_t from = p->is_truncate ? p->len : p->offset;
    uint64_t to = p->is_truncate ? UINT64_MAX : p->offset + p->len;
    uint64_t end = offset + len;
    from = from > offset ? from : offset;
    to = to < end ? to : end;
    if (from >= to) {
        return;
    }
    if (p->is_truncate || p->data == NULL) {
        memset(out + (from - offset), 0, (size_t)(to - from));
    } else {
        memcpy(out + (from - offset), p->data + (from - p->offset), (size_t)(to - from));
    }
}

/* ---- fates --------------------------------------------------------------------------------------- */

/* Keep the sectors [first, last) of a write, counted from its start. */
static void keep_sectors(struct disk_file *f, const struct disk_pending *p, uint64_t first,
                         uint64_t last)
{
    /* Sectors are those of the file: a write that starts in the middle of one tears there too. */
    uint64_t base = p->offset / SIM_DISK_SECTOR * SIM_DISK_SECTOR;
    uint64_t from = base + first * SIM_DISK_SECTOR;
    uint64_t to = base + last * SIM_DISK_SECTOR;
    from = from > p->offset ? from : p->offset;
    to = to < p->offset + p->len ? to : p->offset + p->len;
    if (from < to) {
        put_durable(f, from, p->data == NULL ? NULL : p->data + (from - p->offset), to - from);
    }
}

static void keep_random_sectors(struct disk_file *f, const struct disk_pending *p,
                                uint64_t n_sectors, struct prng *random)
{
    for (uint64_t i = 0; i < n_sectors; i++) {
        if (prng_below(random, 2) == 0) {
            keep_sectors(f, p, i, i + 1);
        }
    }
}

static uint64_t count_sectors(const struct disk_pending *p)
{
    return (p->offset % SIM_DISK_SECTOR + p->len + SIM_DISK_SECTOR - 1) / SIM_DISK_SECTOR;
}

static void meet_random_fate(struct disk_file *f, const struct disk_pending *p,
                             struct prng *random)
{
    uint64_t draw = prng_below(random, 8);
    if (draw < 2) {
        return; /* lost */
    }
    if (draw < 4 || p->is_truncate) {
        make_durable(f, p);
        return;
    }
    uint64_t n = count_sectors(p);
    uint64_t at = prng_below(random, n + 1);
    if (draw < 6) {
        keep_sectors(f, p, 0, at);
    } else if (draw == 6) {
        keep_sectors(f, p, at, n);
    } else {
        keep_random_sectors(f, p, n, random);
    }
}

void disk_file_crash(struct disk_file *f, const struct sim_fate *fate)
{
    struct disk_pending *p = take_pending(f);
    while (p != NULL) {
        struct disk_pending *next = p->next;
        if (fate->kind == SIM_FATE_RANDOM) {
            meet_random_fate(f, p, fate->random);
        } else if (fate->kind == SIM_FATE_TORN && next == NULL && !p->is_truncate) {
            keep_sectors(f, p, 0, fate->sectors);
        } else if (fate->kind != SIM_FATE_LOST) {
            make_durable(f, p);
        }
        free_pending(p);
        p = next;
    }
    f->size_now = f->size;
}

/* ---- life and use ------------------------------------------------------------------------------ */

struct disk_file *disk_file_new(void)
{
    struct disk_file *f = calloc(1, sizeof *f);
    COR_ASSERT(f != NULL);
    f->refs = 1;
    f->pending_end = &f->pending;
    return f;
}

struct disk_file *disk_file_copy(const struct disk_file *f)
{
    struct disk_file *copy = disk_file_new();
    grow_chunks(copy, f->size);
    COR_ASSERT(copy->n_chunks <= f->n_chunks);
    for (size_t i = 0; i < copy->n_chunks; i++) {
        copy->chunks[i] = f->chunks[i];
        if (copy->chunks[i] != NULL) {
            copy->chunks[i]->refs++;
        }
    }
    copy->size = f->size;
    copy->size_now = f->size_now;
    for (const struct disk_pending *p = f->pending; p != NULL; p = p->next) {
        struct disk_pending new = *p;
        new.data = copy_bytes(p->data, p->len);
        add_pending(copy, new);
    }
    return copy;
}

void disk_file_unref(struct disk_file *f)
{
    if (--f->refs > 0) {
        return;
    }
    for (struct disk_pending *p = f->pending; p != NULL;) {
        struct disk_pending *next = p->next;
        free_pending(p);
        p = next;
    }
    for (size_t i = 0; i < f->n_chunks; i++) {
        chunk_unref(f->chunks[i]);
    }
    free(f->chunks);
    free(f);
}

size_t disk_file_read(const struct disk_file *f, uint64_t offset, unsigned char *out,
                      size_t len)
{
    if (offset >= f->size_now) {
        return 0;
    }
    if (len > f->size_now - offset) {
        len = (size_t)(f->size_now - offset);
    }
    get_durable(f, offset, out, len);
    for (const struct disk_pending *p = f->pending; p != NULL; p = p->next) {
        overlay(p, offset, out, len);
    }
    return len;
}

void disk_file_write(struct disk_file *f, uint64_t offset, struct cor_bytes data)
{
    if (data.len == 0) {
        return;
    }
    drop_doomed(f, offset, data.len);
    add_pending(f, (struct disk_pending){.offset = offset,
                                         .len = data.len,
                                         .data = copy_bytes(data.ptr, data.len)});
    if (offset + data.len > f->size_now) {
        f->size_now = offset + data.len;
    }
}

void disk_file_truncate(struct disk_file *f, uint64_t size)
{
    add_pending(f, (struct disk_pending){.is_truncate = true, .len = size});
    f->size_now = size;
}

void disk_file_sync(struct disk_file *f)
{
    struct disk_pending *p = take_pending(f);
    while (p != NULL) {
        struct disk_pending *next = p->next;
        if (p->doomed) {
            p->next = NULL;
            *f->pending_end = p;
            f->pending_end = &p->next;
        } else {
            make_durable(f, p);
            free_pending(p);
        }
        p = next;
    }
}

void disk_file_doom(struct disk_file *f)
{
    for (struct disk_pending *p = f->pending; p != NULL; p = p->next) {
        p->doomed = true;
    }
}

void disk_file_write_through(struct disk_file *f, uint64_t offset, struct cor_bytes data)
{
    drop_doomed(f, offset, data.len);
    disk_file_sync(f); /* what waits in the cache comes first, not over it later */
    disk_file_poke(f, offset, data);
}

void disk_file_poke(struct disk_file *f, uint64_t offset, struct cor_bytes data)
{
    put_durable(f, offset, data.ptr, data.len);
    if (f->size > f->size_now) {
        f->size_now = f->size;
    }
}

void disk_file_resize(struct disk_file *f, uint64_t size)
{
    resize_durable(f, size);
    f->size_now = size;
}
