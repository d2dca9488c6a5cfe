/*
 * starve_test.c - for every k: the k-th allocation of the log fails, until none does. Each call says so or goes
 * without; what was refused was not begun, and what was acknowledged is there.
 *
 * The program is linked with the allocator wrapped (cmake/module.cmake). The simulated disk is spared: it
 * asserts that memory never runs out.
 */
#include "tests/wal/world.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

/* ---- the allocator -------------------------------------------------------------------------------- */

static bool is_counting; /* inside of a call on the log */
static unsigned spared;  /* inside of a call on the disk */
static uint64_t n_allocations, fail_at;
static bool has_failed;

static bool is_refused(void)
{
    if (!is_counting || spared > 0 || world_is_preparing) {
        return false;
    }
    has_failed = has_failed || n_allocations == fail_at;
    return n_allocations++ == fail_at;
}

void *__wrap_malloc(size_t size)
{
    return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return is_refused() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return is_refused() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return is_refused() ? NULL : __real_aligned_alloc(align, size);
}

/* ---- a disk that is spared -------------------------------------------------------------------------- */

static const struct io_fs_ops *real_ops;

#define SPARED(call)                                                                           \
    do {                                                                                       \
        spared++;                                                                              \
        enum cor_status st = real_ops->call;                                                   \
        spared--;                                                                              \
        return st;                                                                             \
    } while (0)

static enum cor_status spared_open(struct io_fs *fs, const char *name, unsigned flags,
                                   struct io_file **out, struct cor_error *err)
{
    SPARED(open(fs, name, flags, out, err));
}

static enum cor_status spared_write(struct io_file *f, uint64_t offset, struct cor_bytes data,
                                    struct cor_error *err)
{
    SPARED(write(f, offset, data, err));
}

static enum cor_status spared_sync(struct io_file *f, struct cor_error *err)
{
    SPARED(sync(f, err));
}

static enum cor_status spared_truncate(struct io_file *f, uint64_t size, struct cor_error *err)
{
    SPARED(truncate(f, size, err));
}

static enum cor_status spared_rename(struct io_fs *fs, const char *from, const char *to,
                                     struct cor_error *err)
{
    SPARED(rename(fs, from, to, err));
}

static enum cor_status spared_remove(struct io_fs *fs, const char *name, struct cor_error *err)
{
    SPARED(remove(fs, name, err));
}

static enum cor_status spared_sync_dir(struct io_fs *fs, struct cor_error *err)
{
    SPARED(sync_dir(fs, err));
}

/* ---- a life with one refusal -------------------------------------------------------------------------- */

static bool read_refused;

static void on_read(struct wal_read *read, enum cor_status st, const struct wal_entry *entries,
                    size_t n, const struct cor_error *err)
{
    (void)read;
    (void)entries;
    CHECK(st == COR_OK || st == COR_ENOMEM);
    CHECK(st == COR_OK ? n > 0 : n == 0 && err->status == COR_ENOMEM);
    read_refused = st == COR_ENOMEM;
}

static void count_finding(void *arg, const struct wal_finding *f)
{
    *(size_t *)arg += f->kind == WAL_FOUND_ENTRY ? 1 : 0;
}

static enum cor_status count_entry(void *arg, const struct wal_entry *e)
{
    *(size_t *)arg += e->index > 0 ? 1 : 0;
    return COR_OK;
}

/* Open; once more if there was no memory. */
static void insist(struct world *w)
{
    is_counting = true;
    enum cor_status st = world_open(w);
    is_counting = false;
    if (st == COR_ENOMEM) {
        CHECK(has_failed);
        st = world_open(w);
    }
    CHECK_EQ(st, COR_OK);
}

static void write_insisting(struct world *w, bool hard, uint64_t cut, size_t n, size_t len)
{
    uint64_t pages = wal_queued_pages(w->wal);
    is_counting = true;
    enum cor_status st = world_write(w, hard, cut, n, len);
    is_counting = false;
    if (st == COR_ENOMEM) {
        CHECK_EQ(wal_queued_pages(w->wal), pages);
        st = world_write(w, hard, cut, n, len);
    }
    CHECK_EQ(st, COR_OK);
    is_counting = true;
    world_flush(w);
    world_rest(w);
    is_counting = false;
    world_fire_timers(w, 2 * WAL_RETRY_NS); /* a segment may have found no memory */
    world_rest(w);
    CHECK_EQ(w->acked, w->seq - 1);
}

static void live(struct world *w)
{
    for (int i = 0; i < 9; i++) {
        write_insisting(w, i % 3 == 0, i == 4 ? 2 : 0, 3, (size_t)i * 4000);
    }
    is_counting = true;
    wal_mark_idle(w->wal);
    world_rest(w);
    size_t seen = 0;
    enum cor_status st = wal_replay(w->wal, 1, count_entry, &seen, &w->err);
    CHECK(st == COR_OK ? seen == w->next_index - 1 : st == COR_ENOMEM);
    struct wal_read read = {.first = 3, .n_max = 90, .bytes_max = 99999, .done = on_read};
    wal_read_start(w->wal, &read);
    world_rest(w);
    seen = 0;
    st = wal_walk(&w->disk->fs, count_finding, &seen, &w->err);
    CHECK(st == COR_OK ? seen >= w->next_index - 1 : st == COR_ENOMEM);
    is_counting = false;
}

static void every_refused_allocation_is_survived(void)
{
    struct io_fs_ops ops;
    has_failed = true;
    for (uint64_t k = 0; has_failed; k++) {
        struct world w;
        ROW("allocation %llu", (unsigned long long)k);
        world_init(&w, 3);
        real_ops = w.disk->fs.ops;
        ops = *real_ops;
        ops.open = spared_open;
        ops.write = spared_write;
        ops.sync = spared_sync;
        ops.truncate = spared_truncate;
        ops.rename = spared_rename;
        ops.remove = spared_remove;
        ops.sync_dir = spared_sync_dir;
        w.disk->fs.ops = &ops;
        n_allocations = 0;
        fail_at = k;
        has_failed = false;
        insist(&w);
        live(&w);
        world_close(&w);
        insist(&w);
        CHECK(world_check(&w));
        CHECK_EQ(w.seq, 10);
        world_free(&w);
        REQUIRE(k < 1000);
    }
}

TEST_MAIN(TEST(every_refused_allocation_is_survived))
