/* golden_test.c - files that format 1 wrote: later versions must read them and mean the same, and as
 * long as they write format 1, write the same. */
#include "tests/wal/world.h"

#include <stdio.h>

static size_t read_golden(const char *path, unsigned char *out, size_t size)
{
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    size_t n = f == NULL ? 0 : fread(out, 1, size, f);
    if (f != NULL) {
        fclose(f);
    }
    return n;
}

/* ---- the log ----------------------------------------------------------------------------------- */

static void write_batch(struct world *w, const struct wal_unit *unit)
{
    CHECK_EQ(wal_write(w->wal, unit), COR_OK);
    wal_flush(w->wal);
    world_rest(w);
}

static struct wal_entry entry_of(uint64_t index, uint64_t term, uint32_t type,
                                 const char *payload)
{
    struct cor_bytes b = {(const unsigned char *)payload, strlen(payload)};
    return (struct wal_entry){index, term, type, hash64(b), b};
}

static void write_log(struct world *w)
{
    struct wal_entry one[2] = {entry_of(1, 1, COR_ENTRY_NOOP, ""),
                               entry_of(2, 1, COR_ENTRY_COMMAND, "the second entry")};
    struct wal_entry two[2] = {entry_of(2, 3, COR_ENTRY_NOOP, ""),
                               entry_of(3, 3, COR_ENTRY_CONFIG, "a payload of term three")};
    CHECK_EQ(world_open(w), COR_OK);
    write_batch(w, &(struct wal_unit){.seq = 1,
                                      .hard_state_changed = true,
                                      .hard_state = {1, 7},
                                      .entries = one,
                                      .n_entries = 2});
    write_batch(w,
                &(struct wal_unit){.seq = 2, .hard_state_changed = true, .hard_state = {3, 0}});
    write_batch(
        w, &(struct wal_unit){.seq = 3, .truncate_from = 2, .entries = two, .n_entries = 2});
    wal_mark_idle(w->wal);
    world_rest(w);
    world_close(w);
}

static size_t n_seen;

static enum cor_status expect_entry(void *arg, const struct wal_entry *e)
{
    static const struct {
        uint64_t term;
        uint32_t type;
        const char *payload;
    } rows[] = {{1, COR_ENTRY_NOOP, ""},
                {3, COR_ENTRY_NOOP, ""},
                {3, COR_ENTRY_CONFIG, "a payload of term three"}};
    (void)arg;
    CHECK(n_seen < ARRAY_LEN(rows));
    if (n_seen < ARRAY_LEN(rows)) {
        const char *payload = rows[n_seen].payload;
        CHECK_EQ(e->index, n_seen + 1);
        CHECK_EQ(e->term, rows[n_seen].term);
        CHECK_EQ(e->type, rows[n_seen].type);
        CHECK_BYTES(e->payload,
                    ((struct cor_bytes){(const unsigned char *)payload, strlen(payload)}));
    }
    n_seen++;
    return COR_OK;
}

static void the_golden_log_still_means_what_it_meant(void)
{
    struct world w;
    static unsigned char bytes[WORLD_SEGMENT];
    static const unsigned char zero[1];
    world_init(&w, 1);
    size_t n = read_golden("tests/golden/log-1.wal", bytes, sizeof bytes);
    sim_disk_poke(w.disk, "0000000001.wal", 0, (struct cor_bytes){bytes, n});
    sim_disk_poke(w.disk, "0000000001.wal", WORLD_SEGMENT - 1, (struct cor_bytes){zero, 1});
    n = read_golden("tests/golden/reserve-1.wal", bytes, sizeof bytes);
    sim_disk_poke(w.disk, "reserve.wal", 0, (struct cor_bytes){bytes, n});
    /* The second segment was ready when the golden log ended; make it as it was. */
    struct world other;
    world_init(&other, 1);
    write_log(&other);
    uint64_t size = sim_disk_size(other.disk, "0000000002.wal");
    unsigned char *second = malloc((size_t)size);
    sim_disk_peek(other.disk, "0000000002.wal", 0, second, (size_t)size);
    sim_disk_poke(w.disk, "0000000002.wal", 0, (struct cor_bytes){second, (size_t)size});
    free(second);
    world_free(&other);

    CHECK_EQ(world_open(&w), COR_OK);
    CHECK_EQ(w.recovered.last, 3);
    CHECK_EQ(w.recovered.hard_state.term, 3);
    CHECK_EQ(w.recovered.hard_state.vote, 0);
    CHECK_EQ(w.recovered.torn_bytes, 0);
    n_seen = 0;
    CHECK_EQ(wal_replay(w.wal, 1, expect_entry, NULL, &w.err), COR_OK);
    CHECK_EQ(n_seen, 3);
    world_free(&w);
}

static void the_log_is_still_written_in_the_golden_way(void)
{
    struct world w;
    static unsigned char golden[WORLD_SEGMENT], now[WORLD_SEGMENT];
    world_init(&w, 1);
    write_log(&w);
    size_t n = read_golden("tests/golden/log-1.wal", golden, sizeof golden);
    sim_disk_peek(w.disk, "0000000001.wal", 0, now, n);
    CHECK_BYTES(((struct cor_bytes){now, n}), ((struct cor_bytes){golden, n}));
    n = read_golden("tests/golden/reserve-1.wal", golden, sizeof golden);
    sim_disk_peek(w.disk, "reserve.wal", 0, now, n);
    CHECK_EQ(n, RESERVE_SIZE);
    CHECK_BYTES(((struct cor_bytes){now, n}), ((struct cor_bytes){golden, n}));
    world_free(&w);
}

/* ---- the superblock ---------------------------------------------------------------------------- */

static struct superblock a_superblock(void)
{
    struct superblock sb = {.version = 3,
                            .disk_id = "disk of node one",
                            .cluster_id = "the first cluste",
                            .incarnation = 12,
                            .commit_hint = 4711,
                            .level = 1,
                            .name = "n1",
                            .n_members = 2};
    sb.members[0] = (struct superblock_member){.id = 11,
                                               .disk_id = "disk of node one",
                                               .kind = COR_MEMBER_VOTER,
                                               .name = "n1",
                                               .address = "127.0.0.1:4101"};
    sb.members[1] = (struct superblock_member){.id = 12,
                                               .disk_id = "disk of node two",
                                               .kind = COR_MEMBER_LEARNER,
                                               .name = "n2",
                                               .address = "[::1]:4102"};
    return sb;
}

static void the_golden_superblock_still_means_what_it_meant(void)
{
    unsigned char golden[SUPERBLOCK_SIZE_MAX], now[SUPERBLOCK_SIZE_MAX];
    struct superblock sb = a_superblock();
    struct superblock back;
    size_t n = read_golden("tests/golden/superblock-1.bin", golden, sizeof golden);
    CHECK_BYTES(((struct cor_bytes){now, superblock_encode(&sb, now)}),
                ((struct cor_bytes){golden, n}));
    CHECK_EQ(superblock_decode((struct cor_bytes){golden, n}, &back), COR_OK);
    CHECK(memcmp(&back, &sb, sizeof sb) == 0);
}

TEST_MAIN(TEST(the_golden_log_still_means_what_it_meant),
          TEST(the_log_is_still_written_in_the_golden_way),
          TEST(the_golden_superblock_still_means_what_it_meant))
