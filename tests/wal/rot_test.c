/*
 * rot_test.c - whatever changes on a disk at rest is either found, at its place and with nothing
 * touched, or does not matter. Never are other entries there than were written.
 */
#include "base/format.h"
#include "tests/wal/world.h"

/* A small log with everything in it: batches of many sizes, over three segments, truncations, votes,
 * and at its end the proof that it was synced. @end: bytes of the last segment that are in use. */
static void write_small_log(struct world *w, bool with_mark)
{
    world_init(w, 5);
    CHECK_EQ(world_open(w), COR_OK);
    for (int i = 0; i < 14; i++) {
        CHECK_EQ(world_write(w, i % 5 == 0, i % 6 == 5 ? 2 : 0, 1 + (size_t)i % 4,
                             (size_t)(i * i * 37)),
                 COR_OK);
        if (i == 7) {
            CHECK_EQ(world_write(w, false, 0, 3, 30000), COR_OK);
        }
        world_flush(w);
        world_rest(w);
    }
    if (with_mark) {
        wal_mark_idle(w->wal);
        world_rest(w);
    }
    world_close(w);
}

static void count_rot(void *arg, const struct wal_finding *f)
{
    *(size_t *)arg += f->kind == WAL_FOUND_ROT ? 1 : 0;
}

/* Where the last batch, mark or not, lies: the file, and the bytes [from, to) in it. */
struct extent {
    char file[SEGMENT_NAME_SIZE];
    uint64_t from, to;
};

static void see(void *arg, const struct wal_finding *f)
{
    struct extent *last = arg;
    CHECK(f->kind != WAL_FOUND_ROT && f->kind != WAL_FOUND_TORN);
    if (f->kind == WAL_FOUND_ENTRY || f->kind == WAL_FOUND_IDLE_MARK) {
        memcpy(last->file, f->file, sizeof last->file);
        last->from = f->offset / WAL_PAGE * WAL_PAGE;
        last->to = (f->offset + f->bytes + WAL_PAGE - 1) / WAL_PAGE * WAL_PAGE;
    }
}

static struct extent find_last(struct world *w)
{
    struct extent last = {.from = 0};
    CHECK_EQ(wal_walk(&w->disk->fs, see, &last, &w->err), COR_OK);
    return last;
}

/* Does the error name this place, to the sector? */
static bool names_place(const struct cor_error *err, const char *file, uint64_t offset)
{
    char text[64];
    format_to(text, sizeof text, "%s: offset %llu:", file,
              (unsigned long long)(offset / WAL_SECTOR * WAL_SECTOR));
    return strstr(err->text, text) == err->text;
}

enum verdict {
    ANY = 0,   /* the place holds nothing that was written */
    MUST_FIND, /* the place holds what was synced */
};

/* Open what was tampered with at @offset of @file. */
static void judge(struct world *w, const char *file, uint64_t offset, enum verdict verdict)
{
    uint64_t before = sim_disk_hash(w->disk);
    enum cor_status st = world_open(w);
    CHECK(st == COR_OK || st == COR_ECORRUPT);
    if (st == COR_OK) {
        CHECK(verdict == ANY);
        uint64_t acked = w->acked;
        CHECK(world_check(w));
        CHECK_EQ(w->acked, acked);
    } else {
        CHECK_EQ(sim_disk_hash(w->disk), before);
        CHECK(names_place(&w->err, file, offset));
        CHECK(strstr(w->err.text, "othing was changed") != NULL);
    }
    world_close(w);
}

/* Open a log one of whose files is not what it was. */
static void judge_file(struct world *w, const char *file)
{
    uint64_t before = sim_disk_hash(w->disk);
    CHECK_EQ(world_open(w), COR_ECORRUPT);
    CHECK(strncmp(w->err.text, file, strlen(file)) == 0);
    CHECK_EQ(sim_disk_hash(w->disk), before);
}

/* Where the used part of @file ends; 0: none of it. */
static uint64_t used_bytes(const struct sim_disk *d, const char *file)
{
    uint64_t size = sim_disk_size(d, file);
    unsigned char page[WAL_PAGE];
    while (size > WAL_PAGE) {
        sim_disk_peek(d, file, size - WAL_PAGE, page, sizeof page);
        if (!wal_is_zero(page, sizeof page)) {
            return size;
        }
        size -= WAL_PAGE;
    }
    return 0;
}

static void try_sectors(struct world *w, const struct extent *last, bool zero)
{
    struct sim_disk *original = w->disk;
    for (size_t i = 0; sim_disk_name(original, i) != NULL; i++) {
        char file[IO_NAME_MAX + 1];
        memcpy(file, sim_disk_name(original, i), strlen(sim_disk_name(original, i)) + 1);
        uint64_t end = segment_seq(file) > 0 ? used_bytes(original, file) : 0;
        for (uint64_t at = WAL_PAGE; at < end; at += WAL_SECTOR) {
            uint64_t offset = at + prng_below(&w->random, WAL_SECTOR);
            ROW("%s offset %llu %s", file, (unsigned long long)offset,
                zero ? "zeroed" : "flipped");
            w->disk = sim_disk_clone(original);
            w->io.fs = &w->disk->fs;
            if (zero) {
                sim_disk_zero(w->disk, file, at, WAL_SECTOR);
            } else {
                sim_disk_flip(w->disk, file, offset, (unsigned char)(1u << (offset % 8)));
            }
            bool in_last = strcmp(file, last->file) == 0 && at >= last->from;
            judge(w, file, offset, in_last ? ANY : MUST_FIND);
            sim_disk_free(w->disk);
        }
    }
    w->disk = original;
    w->io.fs = &original->fs;
}

static void every_flipped_bit_in_what_was_synced_is_found(void)
{
    struct world w;
    write_small_log(&w, true);
    struct extent last = find_last(&w);
    try_sectors(&w, &last, false);
    try_sectors(&w, &last, false);
    world_free(&w);
}

static void every_lost_sector_in_what_was_synced_is_found(void)
{
    struct world w;
    write_small_log(&w, true);
    struct extent last = find_last(&w);
    try_sectors(&w, &last, true);
    world_free(&w);
}

/* Nothing proves that the last batch was synced; but a flipped bit is not what a crash leaves. */
static void a_flipped_bit_in_the_last_batch_is_not_taken_for_a_torn_write(void)
{
    struct world w;
    write_small_log(&w, false);
    struct extent last = find_last(&w);
    struct sim_disk *original = w.disk;
    for (uint64_t at = last.from; at < last.to; at += 97) {
        ROW("%s offset %llu", last.file, (unsigned long long)at);
        w.disk = sim_disk_clone(original);
        w.io.fs = &w.disk->fs;
        sim_disk_flip(w.disk, last.file, at, 4);
        judge(&w, last.file, at, MUST_FIND);
        sim_disk_free(w.disk);
    }
    w.disk = original;
    world_free(&w);
}

static void one_of_two_copies_of_a_segment_header_is_enough(void)
{
    struct world w;
    write_small_log(&w, true);
    for (uint64_t copy = 0; copy < 2; copy++) {
        uint64_t at = copy * 4 * WAL_SECTOR + 20;
        sim_disk_flip(w.disk, "0000000002.wal", at, 1);
        judge(&w, "0000000002.wal", at, ANY);
        if (copy == 0) {
            sim_disk_flip(w.disk, "0000000002.wal", at, 1);
        }
    }
    sim_disk_flip(w.disk, "0000000002.wal", 20, 1);
    CHECK_EQ(world_open(&w), COR_ECORRUPT);
    world_free(&w);
}

static void a_missing_or_shortened_file_is_found(void)
{
    static const char *const files[] = {"0000000001.wal", "0000000002.wal", "0000000003.wal",
                                        "reserve.wal"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct world w;
        ROW("%s missing", files[i]);
        write_small_log(&w, true);
        sim_disk_drop(w.disk, files[i]);
        judge_file(&w, files[i]);
        world_free(&w);
        ROW("%s shortened", files[i]);
        write_small_log(&w, true);
        sim_disk_cut_file(w.disk, files[i], sim_disk_size(w.disk, files[i]) - WAL_PAGE);
        judge_file(&w, files[i]);
        world_free(&w);
    }
}

/* It may have held acknowledged entries: that it was empty, nobody can know. */
static void a_missing_segment_behind_the_last_entry_is_found(void)
{
    struct world w;
    world_init(&w, 7);
    CHECK_EQ(world_open(&w), COR_OK);
    world_write_durable(&w, 1, 100);
    world_write_durable(&w, 1, 100);
    world_close(&w);
    sim_disk_drop(w.disk, "0000000002.wal");
    judge_file(&w, "0000000002.wal");
    world_free(&w);
}

static void swapped_segments_are_found(void)
{
    struct world w;
    write_small_log(&w, true);
    sim_disk_move(w.disk, "0000000001.wal", "x");
    sim_disk_move(w.disk, "0000000002.wal", "0000000001.wal");
    sim_disk_move(w.disk, "x", "0000000002.wal");
    judge(&w, "0000000001.wal", 0, MUST_FIND);
    world_free(&w);
}

/* A batch, whole and with the right stamps for its old place, where another should be. */
static void a_misdirected_write_is_found(void)
{
    struct world w;
    unsigned char page[WAL_PAGE];
    write_small_log(&w, true);
    sim_disk_peek(w.disk, "0000000001.wal", WAL_PAGE, page, sizeof page);
    sim_disk_poke(w.disk, "0000000001.wal", 2 * WAL_PAGE,
                  (struct cor_bytes){page, sizeof page});
    judge(&w, "0000000001.wal", 2 * WAL_PAGE, MUST_FIND);
    world_free(&w);
}

/* ---- sectors that fit, with a content that does not ------------------------------------------------ */

/* Change @len bytes of the header of the batch on page @page of the first segment, stamp included. */
static void forge(struct world *w, uint64_t page, size_t at, uint64_t value, size_t len)
{
    unsigned char sector[512], header[4096];
    struct segment_header h;
    uint64_t number = (1 + page) * WAL_PAGE_SECTORS;
    sim_disk_peek(w->disk, "0000000001.wal", 0, header, sizeof header);
    CHECK_EQ(segment_header_decode(header, &h), COR_OK);
    sim_disk_peek(w->disk, "0000000001.wal", number * WAL_SECTOR, sector, sizeof sector);
    for (size_t i = 0; i < len; i++) {
        sector[at + i] = (unsigned char)(value >> (8 * i));
    }
    wal_sector_stamp(sector, h.salt, number, WAL_SECTOR_HEAD);
    sim_disk_poke(w->disk, "0000000001.wal", number * WAL_SECTOR,
                  (struct cor_bytes){sector, sizeof sector});
}

static void a_header_that_contradicts_its_neighbors_is_found(void)
{
    static const struct {
        const char *name;
        size_t at, len;
        uint64_t value;
        enum cor_status st;
        const char *text;
    } rows[] = {
        {"format", 4, 2, 9, COR_EFOREIGN, "newer version"},
        {"itself", 12, 8, 0, COR_ECORRUPT, "contradicts itself"},
        {"number", 12, 8, 7, COR_ECORRUPT, "does not follow"},
        {"page", 20, 8, 5, COR_ECORRUPT, "another place"},
        {"page before", 28, 8, 0, COR_ECORRUPT, "does not agree"},
        {"chain", 36, 8, 1, COR_ECORRUPT, "does not follow"},
        {"records", 48, 4, 2, COR_ECORRUPT, "contradicts its header"},
        {"table", 68, 8, 1, COR_ECORRUPT, "does not match its checksum"},
        {"table before", 76, 8, 1, COR_ECORRUPT, "does not match its checksum"},
        {"index", 84, 8, 2, COR_ECORRUPT, "does not agree"},
        {"index before", 92, 8, 2, COR_ECORRUPT, "does not agree"},
        {"last index", 100, 8, 8, COR_ECORRUPT, "contradicts its header"},
        {"term", 108, 8, 1, COR_ECORRUPT, "goes back"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        size_t n_rot = 0;
        ROW("%s", rows[i].name);
        world_init(&w, 8);
        CHECK_EQ(world_open(&w), COR_OK);
        for (int k = 0; k < 4; k++) { /* terms 2, 3, 4, 5 */
            CHECK_EQ(world_write(&w, true, 0, 3, 300), COR_OK);
            world_flush(&w);
            world_rest(&w);
        }
        world_close(&w);
        forge(&w, 2, rows[i].at, rows[i].value, rows[i].len);
        uint64_t hash = sim_disk_hash(w.disk);
        CHECK_EQ(world_open(&w), rows[i].st);
        CHECK(strstr(w.err.text, rows[i].text) != NULL);
        CHECK_EQ(wal_walk(&w.disk->fs, count_rot, &n_rot, &w.err),
                 rows[i].st == COR_ECORRUPT ? COR_OK : rows[i].st);
        CHECK_EQ(n_rot > 0, rows[i].st == COR_ECORRUPT);
        CHECK_EQ(sim_disk_hash(w.disk), hash);
        world_free(&w);
    }
}

/* A payload that was damaged in memory, after the proposer hashed it. */
static void a_payload_that_was_wrong_before_it_was_written_is_found(void)
{
    struct world w;
    size_t n_rot = 0;
    world_init(&w, 9);
    CHECK_EQ(world_open(&w), COR_OK);
    world_write_durable(&w, 2, 100);
    struct wal_entry e = {3, 1, 1, 4711, COR_BYTES_LIT("not what 4711 is the hash of")};
    CHECK_EQ(wal_write(w.wal, &(struct wal_unit){.seq = 2, .entries = &e, .n_entries = 1}),
             COR_OK);
    world_flush(&w);
    world_rest(&w);
    world_close(&w);
    CHECK_EQ(world_open(&w), COR_ECORRUPT);
    CHECK(strstr(w.err.text, "entry 3 of term 1") != NULL);
    CHECK_EQ(wal_walk(&w.disk->fs, count_rot, &n_rot, &w.err), COR_OK);
    CHECK_EQ(n_rot, 1);
    world_free(&w);
}

/* ---- what the walk tells ------------------------------------------------------------------------ */

struct sights {
    uint64_t lost_index, lost_term;
    size_t n_entries, n_rot, n_lost, n_torn;
};

static void look(void *arg, const struct wal_finding *f)
{
    struct sights *s = arg;
    s->n_entries += f->kind == WAL_FOUND_ENTRY ? 1 : 0;
    s->n_torn += f->kind == WAL_FOUND_TORN ? 1 : 0;
    if (f->kind == WAL_FOUND_ROT && f->entry.index != 0) {
        s->lost_index = f->entry.index;
        s->lost_term = f->entry.term;
        s->n_lost++;
    } else if (f->kind == WAL_FOUND_ROT) {
        s->n_rot++;
    }
}

static void two_units(struct world *w)
{
    world_init(w, 6);
    CHECK_EQ(world_open(w), COR_OK);
    for (int i = 0; i < 4; i++) {
        world_write_durable(w, 3, 1000);
    }
    world_close(w);
}

static void the_walk_names_the_lost_entry_and_tells_of_all_others(void)
{
    struct world w;
    two_units(&w);
    struct sights s = {0};
    sim_disk_flip(w.disk, "0000000001.wal", 2 * WAL_PAGE + 3 * WAL_SECTOR, 1);
    CHECK_EQ(wal_walk(&w.disk->fs, look, &s, &w.err), COR_OK);
    CHECK_EQ(s.n_rot, 1);
    CHECK_EQ(s.n_lost, 1);
    CHECK_EQ(s.lost_index, 5);
    CHECK_EQ(s.lost_term, 1);
    CHECK_EQ(s.n_entries, 11);
    CHECK_EQ(world_open(&w), COR_ECORRUPT);
    CHECK(strstr(w.err.text, "entry 5 of term 1") != NULL);
    world_free(&w);
}

/* Of the last batch the header is gone, too; its other sectors still say that there was one. */
static void any_sector_of_a_later_batch_proves_that_the_one_before_was_synced(void)
{
    struct world w;
    two_units(&w);
    sim_disk_zero(w.disk, "0000000001.wal", 3 * WAL_PAGE + 2 * WAL_SECTOR, WAL_SECTOR);
    sim_disk_zero(w.disk, "0000000001.wal", 4 * WAL_PAGE, WAL_SECTOR);
    CHECK_EQ(world_open(&w), COR_ECORRUPT);
    CHECK(names_place(&w.err, "0000000001.wal", 3 * WAL_PAGE + 2 * WAL_SECTOR));
    world_free(&w);
}

/* Header and table of the batch are gone: the next batch repeats the table. */
static void a_lost_batch_is_named_by_the_one_after_it(void)
{
    struct world w;
    two_units(&w);
    struct sights s = {0};
    sim_disk_zero(w.disk, "0000000001.wal", 2 * WAL_PAGE, WAL_PAGE);
    CHECK_EQ(wal_walk(&w.disk->fs, look, &s, &w.err), COR_OK);
    CHECK_EQ(s.n_lost, 3);
    CHECK_EQ(s.lost_index, 6);
    CHECK_EQ(s.n_entries, 9);
    CHECK_EQ(world_open(&w), COR_ECORRUPT);
    CHECK(strstr(w.err.text, "entry 4 of term 1") != NULL);
    world_free(&w);
}

static void the_walk_tells_of_files_that_are_missing_or_foreign(void)
{
    struct world w;
    size_t n_rot = 0;
    write_small_log(&w, true);
    sim_disk_drop(w.disk, "0000000002.wal");
    CHECK_EQ(wal_walk(&w.disk->fs, count_rot, &n_rot, &w.err), COR_OK);
    CHECK(n_rot > 0);
    w.disk->fail_reads = true;
    CHECK_EQ(wal_walk(&w.disk->fs, count_rot, &n_rot, &w.err), COR_EIO);
    world_free(&w);
}

static void the_walk_tells_of_a_torn_tail(void)
{
    struct world w;
    two_units(&w);
    struct sights s = {0};
    sim_disk_zero(w.disk, "0000000001.wal", 4 * WAL_PAGE + WAL_SECTOR, WAL_SECTOR);
    uint64_t hash = sim_disk_hash(w.disk);
    CHECK_EQ(wal_walk(&w.disk->fs, look, &s, &w.err), COR_OK);
    CHECK_EQ(s.n_torn, 1);
    CHECK_EQ(s.n_rot, 0);
    CHECK_EQ(s.n_entries, 9);
    CHECK_EQ(sim_disk_hash(w.disk), hash);
    world_free(&w);
}

TEST_MAIN(TEST(every_flipped_bit_in_what_was_synced_is_found),
          TEST(every_lost_sector_in_what_was_synced_is_found),
          TEST(a_flipped_bit_in_the_last_batch_is_not_taken_for_a_torn_write),
          TEST(one_of_two_copies_of_a_segment_header_is_enough),
          TEST(a_missing_or_shortened_file_is_found),
          TEST(a_missing_segment_behind_the_last_entry_is_found),
          TEST(swapped_segments_are_found), TEST(a_misdirected_write_is_found),
          TEST(a_header_that_contradicts_its_neighbors_is_found),
          TEST(a_payload_that_was_wrong_before_it_was_written_is_found),
          TEST(the_walk_tells_of_files_that_are_missing_or_foreign),
          TEST(the_walk_names_the_lost_entry_and_tells_of_all_others),
          TEST(any_sector_of_a_later_batch_proves_that_the_one_before_was_synced),
          TEST(a_lost_batch_is_named_by_the_one_after_it), TEST(the_walk_tells_of_a_torn_tail))
