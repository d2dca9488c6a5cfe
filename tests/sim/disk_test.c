/*
 * The simulated disk keeps the promises of io/fs.h, and not one more: what was not synced meets every
 * fate that a real disk could give it.
 */
#include "sim/disk.h"

#include "base/attr.h"
#include "tests/support/test.h"

#include <string.h>

static struct io_file *open_file(struct sim_disk *d, const char *name, unsigned flags)
{
    struct io_file *f = NULL;
    CHECK_EQ(d->fs.ops->open(&d->fs, name, flags, &f, NULL), COR_OK);
    return f;
}

static enum cor_status write_at(struct sim_disk *d, struct io_file *f, uint64_t offset,
                                const char *text)
{
    struct cor_bytes b = {(const unsigned char *)text, strlen(text)};
    return d->fs.ops->write(f, offset, b, NULL);
}

/* The file @name holds exactly @want. */
static bool holds(struct sim_disk *d, const char *name, const char *want)
{
    unsigned char got[64];
    size_t len = 0;
    enum cor_status st = io_read_whole(&d->fs, name, got, sizeof got, &len, NULL);
    return st == COR_OK && len == strlen(want) && memcmp(got, want, len) == 0;
}

/* A disk with the synced file "f" = "old". */
static struct sim_disk *disk_with_file(void)
{
    struct sim_disk *d = sim_disk_new();
    struct io_file *f = open_file(d, "f", IO_CREATE);
    CHECK_EQ(write_at(d, f, 0, "old"), COR_OK);
    CHECK_EQ(d->fs.ops->sync(f, NULL), COR_OK);
    CHECK_EQ(d->fs.ops->sync_dir(&d->fs, NULL), COR_OK);
    d->fs.ops->close(f);
    return d;
}

static void crash(struct sim_disk *d, enum sim_fate_kind kind)
{
    sim_disk_crash(d, (struct sim_fate){.kind = kind});
}

static void what_was_synced_survives_every_fate(void)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        ROW("seed %u", (unsigned)seed);
        struct sim_disk *d = disk_with_file();
        struct prng random = {seed};
        sim_disk_crash(d, (struct sim_fate){.kind = SIM_FATE_RANDOM, .random = &random});
        CHECK(holds(d, "f", "old"));
        sim_disk_free(d);
    }
}

static void what_was_not_synced_is_visible_and_may_be_lost(void)
{
    static const struct {
        enum sim_fate_kind fate;
        const char *want;
    } rows[] = {{SIM_FATE_LOST, "old"}, {SIM_FATE_KEPT, "new"}, {SIM_FATE_TORN, "old"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("fate %d", (int)rows[i].fate);
        struct sim_disk *d = disk_with_file();
        struct io_file *f = open_file(d, "f", 0);
        CHECK_EQ(write_at(d, f, 0, "new"), COR_OK);
        CHECK(holds(d, "f", "new"));
        d->fs.ops->close(f); /* closing is no sync */
        crash(d, rows[i].fate);
        CHECK(holds(d, "f", rows[i].want));
        sim_disk_free(d);
    }
}

static void a_write_tears_at_sectors(void)
{
    enum {
        SECTORS = 8
    };
    unsigned char old[SECTORS * SIM_DISK_SECTOR], new[sizeof old], got[sizeof old];
    memset(old, 'o', sizeof old);
    memset(new, 'n', sizeof new);
    bool seen_torn = false;
    for (uint64_t seed = 0; seed < 100; seed++) {
        ROW("seed %u", (unsigned)seed);
        struct sim_disk *d = sim_disk_new();
        sim_disk_poke(d, "f", 0, (struct cor_bytes){old, sizeof old});
        struct io_file *f = open_file(d, "f", 0);
        struct cor_bytes b = {new, sizeof new};
        CHECK_EQ(d->fs.ops->write(f, 0, b, NULL), COR_OK);
        d->fs.ops->close(f);
        struct prng random = {seed};
        sim_disk_crash(d, (struct sim_fate){.kind = SIM_FATE_RANDOM, .random = &random});
        sim_disk_peek(d, "f", 0, got, sizeof got);
        unsigned n_new = 0;
        for (size_t s = 0; s < SECTORS; s++) {
            const unsigned char *sector = got + s * SIM_DISK_SECTOR;
            CHECK(memcmp(sector, old, SIM_DISK_SECTOR) == 0 ||
                  memcmp(sector, new, SIM_DISK_SECTOR) == 0);
            n_new += sector[0] == 'n';
        }
        seen_torn = seen_torn || (n_new > 0 && n_new < SECTORS);
        sim_disk_free(d);
    }
    CHECK(seen_torn);
}

static void a_torn_write_keeps_the_sectors_asked_for(void)
{
    unsigned char new[4 * SIM_DISK_SECTOR], got[sizeof new];
    memset(new, 'n', sizeof new);
    struct sim_disk *d = sim_disk_new();
    sim_disk_zero(d, "f", 0, sizeof new);
    struct io_file *f = open_file(d, "f", 0);
    CHECK_EQ(d->fs.ops->write(f, 0, (struct cor_bytes){new, sizeof new}, NULL), COR_OK);
    d->fs.ops->close(f);
    sim_disk_crash(d, (struct sim_fate){.kind = SIM_FATE_TORN, .sectors = 3});
    sim_disk_peek(d, "f", 0, got, sizeof got);
    CHECK_EQ(got[3 * SIM_DISK_SECTOR - 1], 'n');
    CHECK_EQ(got[3 * SIM_DISK_SECTOR], 0);
    sim_disk_free(d);
}

static void a_new_name_needs_a_sync_of_the_directory(void)
{
    struct sim_disk *d = sim_disk_new();
    struct io_file *f = open_file(d, "f", IO_CREATE);
    CHECK_EQ(write_at(d, f, 0, "x"), COR_OK);
    CHECK_EQ(d->fs.ops->sync(f, NULL), COR_OK);
    d->fs.ops->close(f);
    crash(d, SIM_FATE_LOST);
    CHECK(!sim_disk_has(d, "f"));
    sim_disk_free(d);
}

static void a_rename_is_whole_or_not_at_all(void)
{
    bool seen[2] = {false, false};
    for (uint64_t seed = 0; seed < 40; seed++) {
        ROW("seed %u", (unsigned)seed);
        struct sim_disk *d = disk_with_file();
        sim_disk_poke(d, "g", 0, COR_BYTES_LIT("new"));
        CHECK_EQ(d->fs.ops->rename(&d->fs, "g", "f", NULL), COR_OK);
        struct prng random = {seed};
        sim_disk_crash(d, (struct sim_fate){.kind = SIM_FATE_RANDOM, .random = &random});
        bool moved = holds(d, "f", "new");
        CHECK(moved || holds(d, "f", "old"));
        CHECK_EQ(sim_disk_has(d, "g"), !moved);
        seen[moved] = true;
        sim_disk_free(d);
    }
    CHECK(seen[false] && seen[true]);
}

static void publishing_is_all_or_nothing_at_every_crash_point(void)
{
    for (uint64_t k = 0;; k++) {
        ROW("cut at change %u", (unsigned)k);
        struct sim_disk *d = disk_with_file();
        d->cut_at = d->changes + k;
        enum cor_status st = io_publish(&d->fs, "f", COR_BYTES_LIT("new"), NULL);
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct sim_disk *after = sim_disk_clone(d);
            struct prng random = {seed};
            sim_disk_crash(after,
                           (struct sim_fate){.kind = SIM_FATE_RANDOM, .random = &random});
            CHECK(holds(after, "f", "new") || (st != COR_OK && holds(after, "f", "old")));
            sim_disk_free(after);
        }
        bool done = !d->is_cut;
        sim_disk_free(d);
        if (done) {
            CHECK_EQ(st, COR_OK);
            CHECK(k >= 4);
            return;
        }
    }
}

static void a_failed_sync_dooms_what_it_covered(void)
{
    struct sim_disk *d = disk_with_file();
    struct io_file *f = open_file(d, "f", 0);
    CHECK_EQ(write_at(d, f, 0, "new"), COR_OK);
    d->fail_syncs = true;
    CHECK_EQ(d->fs.ops->sync(f, NULL), COR_EIO);
    d->fail_syncs = false;
    CHECK_EQ(d->fs.ops->sync(f, NULL), COR_OK); /* as kernels do: it says yes */
    CHECK(holds(d, "f", "new"));                /* and shows it */
    d->fs.ops->close(f);
    crash(d, SIM_FATE_LOST);
    CHECK(holds(d, "f", "old")); /* and it never got there */
    sim_disk_free(d);
}

static void a_direct_write_is_durable_on_return(void)
{
    static _Alignas(4096) unsigned char page[4096];
    memset(page, 'p', sizeof page);
    for (int no_direct = 0; no_direct < 2; no_direct++) {
        ROW("no_direct %d", no_direct);
        struct sim_disk *d = disk_with_file();
        d->no_direct = no_direct == 1;
        struct io_file *f = open_file(d, "f", IO_DIRECT);
        CHECK_EQ(d->fs.ops->write(f, 0, (struct cor_bytes){page, sizeof page}, NULL), COR_OK);
        d->fs.ops->close(f);
        crash(d, SIM_FATE_LOST);
        CHECK_EQ(sim_disk_size(d, "f"), no_direct == 1 ? 3 : 4096);
        sim_disk_free(d);
    }
}

static void a_full_disk_takes_what_fits_and_overwrites(void)
{
    struct sim_disk *d = disk_with_file();
    d->capacity = 5;
    uint64_t left = 0;
    CHECK_EQ(d->fs.ops->free_bytes(&d->fs, &left, NULL), COR_OK);
    CHECK_EQ(left, 2);
    struct io_file *f = open_file(d, "f", 0);
    CHECK_EQ(write_at(d, f, 3, "abcdef"), COR_ENOSPACE);
    CHECK_EQ(sim_disk_size(d, "f"), 5);
    CHECK_EQ(write_at(d, f, 0, "OLDAB"), COR_OK);
    CHECK_EQ(d->fs.ops->truncate(f, 6, NULL), COR_ENOSPACE);
    d->capacity = UINT64_MAX;
    CHECK_EQ(write_at(d, f, 5, "C"), COR_OK);
    CHECK(holds(d, "f", "OLDABC"));
    d->fs.ops->close(f);
    sim_disk_free(d);
}

static void switches_break_their_operation(void)
{
    static const struct {
        const char *name;
        bool reads, writes, syncs, read_only;
        enum cor_status read, write, sync;
    } rows[] = {{"reads", true, false, false, false, COR_EIO, COR_OK, COR_OK},
                {"writes", false, true, false, false, COR_OK, COR_EIO, COR_OK},
                {"syncs", false, false, true, false, COR_OK, COR_OK, COR_EIO},
                {"read only", false, false, false, true, COR_OK, COR_EPERM, COR_EPERM}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct sim_disk *d = disk_with_file();
        struct io_file *f = open_file(d, "f", 0);
        d->fail_reads = rows[i].reads;
        d->fail_writes = rows[i].writes;
        d->fail_syncs = rows[i].syncs;
        d->read_only = rows[i].read_only;
        unsigned char byte;
        size_t got;
        CHECK_EQ(d->fs.ops->read(f, 0, &byte, 1, &got, NULL), rows[i].read);
        CHECK_EQ(write_at(d, f, 0, "x"), rows[i].write);
        CHECK_EQ(d->fs.ops->sync(f, NULL), rows[i].sync);
        d->fs.ops->close(f);
        sim_disk_free(d);
    }
}

static void one_operation_can_fail(void)
{
    struct sim_disk *d = disk_with_file();
    struct io_file *f = open_file(d, "f", 0);
    d->fail_at = d->ops + 1;
    CHECK_EQ(write_at(d, f, 0, "a"), COR_OK);
    CHECK_EQ(write_at(d, f, 0, "b"), COR_EIO);
    CHECK_EQ(write_at(d, f, 0, "c"), COR_OK);
    d->fs.ops->close(f);
    sim_disk_free(d);
}

static void handles_die_in_a_crash_and_close(void)
{
    struct sim_disk *d = disk_with_file();
    struct io_file *f = open_file(d, "f", 0);
    sim_disk_kill(d);
    CHECK_EQ(write_at(d, f, 0, "x"), COR_EIO);
    CHECK_EQ(d->n_open, 1);
    d->fs.ops->close(f);
    CHECK_EQ(d->n_open, 0);
    CHECK(holds(d, "f", "old"));
    sim_disk_free(d);
}

static void a_killed_process_loses_nothing(void)
{
    struct sim_disk *d = disk_with_file();
    struct io_file *f = open_file(d, "f", 0);
    CHECK_EQ(write_at(d, f, 0, "new"), COR_OK);
    sim_disk_kill(d);
    d->fs.ops->close(f);
    CHECK(holds(d, "f", "new"));
    crash(d, SIM_FATE_LOST); /* what the kernel still had is gone now */
    CHECK(holds(d, "f", "old"));
    sim_disk_free(d);
}

static void a_clone_lives_its_own_life(void)
{
    struct sim_disk *d = disk_with_file();
    struct io_file *f = open_file(d, "f", 0);
    CHECK_EQ(write_at(d, f, 0, "new"), COR_OK);
    struct sim_disk *copy = sim_disk_clone(d);
    CHECK_EQ(sim_disk_hash(copy), sim_disk_hash(d));
    crash(copy, SIM_FATE_LOST);
    CHECK(holds(copy, "f", "old"));
    CHECK(holds(d, "f", "new"));
    CHECK(sim_disk_hash(copy) != sim_disk_hash(d));
    d->fs.ops->close(f);
    sim_disk_free(copy);
    sim_disk_free(d);
}

static void a_lying_disk_says_yes_and_keeps_nothing(void)
{
    struct sim_disk *d = disk_with_file();
    struct io_file *f = open_file(d, "f", 0);
    d->lies = true;
    CHECK_EQ(write_at(d, f, 0, "new"), COR_OK);
    CHECK_EQ(d->fs.ops->sync(f, NULL), COR_OK);
    d->fs.ops->close(f);
    crash(d, SIM_FATE_LOST);
    CHECK(holds(d, "f", "old"));
    sim_disk_free(d);
}

TEST_MAIN(TEST(what_was_synced_survives_every_fate),
          TEST(what_was_not_synced_is_visible_and_may_be_lost), TEST(a_write_tears_at_sectors),
          TEST(a_torn_write_keeps_the_sectors_asked_for),
          TEST(a_new_name_needs_a_sync_of_the_directory), TEST(a_rename_is_whole_or_not_at_all),
          TEST(publishing_is_all_or_nothing_at_every_crash_point),
          TEST(a_failed_sync_dooms_what_it_covered), TEST(a_direct_write_is_durable_on_return),
          TEST(a_full_disk_takes_what_fits_and_overwrites),
          TEST(switches_break_their_operation), TEST(one_operation_can_fail),
          TEST(handles_die_in_a_crash_and_close), TEST(a_killed_process_loses_nothing),
          TEST(a_clone_lives_its_own_life), TEST(a_lying_disk_says_yes_and_keeps_nothing))
