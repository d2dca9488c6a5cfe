/* superblock_test.c - the state file: two copies, one of which always tells the truth. */
#include "tests/wal/world.h"

static struct superblock sample(uint64_t commit)
{
    struct superblock sb = {.disk_id = "0123456789abcde",
                            .incarnation = 1,
                            .commit_hint = commit,
                            .name = "n1",
                            .n_members = COR_RAFT_MEMBERS_MAX};
    for (uint32_t i = 0; i < COR_RAFT_MEMBERS_MAX; i++) {
        struct superblock_member *m = &sb.members[i];
        m->id = i + 1;
        m->kind = COR_MEMBER_VOTER;
        memset(m->name, 'n', WAL_NAME_MAX);
        memset(m->address, 'a', WAL_ADDRESS_MAX);
    }
    return sb;
}

static void what_was_written_is_read_back(void)
{
    struct sim_disk *d = sim_disk_new();
    struct superblock sb = sample(5);
    struct superblock back;
    struct cor_error err;
    CHECK_EQ(superblock_read(&d->fs, &back, &err), COR_ENOTFOUND);
    CHECK_EQ(superblock_write(&d->fs, &sb, &err), COR_OK);
    CHECK_EQ(sb.version, 1);
    sb.commit_hint = 6;
    CHECK_EQ(superblock_write(&d->fs, &sb, &err), COR_OK);
    CHECK_EQ(superblock_read(&d->fs, &back, &err), COR_OK);
    CHECK_EQ(back.version, 2);
    CHECK(memcmp(&back, &sb, sizeof sb) == 0);
    CHECK(sim_disk_used(d) <= 2 * (uint64_t)SUPERBLOCK_SIZE_MAX);
    sim_disk_free(d);
}

static void every_crash_leaves_the_old_or_the_new(void)
{
    struct prng random = {9};
    for (uint64_t k = 0; k < 16; k++) {
        for (int round = 0; round < 10; round++) {
            struct sim_disk *d = sim_disk_new();
            struct superblock sb = sample(1);
            struct superblock back;
            struct cor_error err;
            ROW("change %llu, round %d", (unsigned long long)k, round);
            CHECK_EQ(superblock_write(&d->fs, &sb, &err), COR_OK);
            d->cut_at = d->changes + k;
            sb.commit_hint = 2;
            enum cor_status st = superblock_write(&d->fs, &sb, &err);
            sim_disk_crash(d, (struct sim_fate){SIM_FATE_RANDOM, &random, 0});
            CHECK_EQ(superblock_read(&d->fs, &back, &err), COR_OK);
            CHECK(back.commit_hint == 2 || (st != COR_OK && back.commit_hint == 1));
            CHECK_EQ(superblock_write(&d->fs, &back, &err), COR_OK);
            sim_disk_free(d);
        }
    }
}

static void rot_of_one_copy_does_not_matter(void)
{
    for (int both = 0; both < 2; both++) {
        struct sim_disk *d = sim_disk_new();
        struct superblock sb = sample(1);
        struct superblock back;
        struct cor_error err;
        CHECK_EQ(superblock_write(&d->fs, &sb, &err), COR_OK);
        sb.commit_hint = 2;
        CHECK_EQ(superblock_write(&d->fs, &sb, &err), COR_OK);
        sim_disk_flip(d, "state-a", 100, 1);
        CHECK_EQ(superblock_read(&d->fs, &back, &err), COR_OK);
        CHECK_EQ(back.commit_hint, 2);
        if (both == 1) {
            sim_disk_cut_file(d, "state-b", 0);
            CHECK_EQ(superblock_read(&d->fs, &back, &err), COR_ECORRUPT);
            CHECK(strstr(err.text, "state-a") != NULL);
        }
        sim_disk_free(d);
    }
}

static void a_newer_format_is_refused_as_such(void)
{
    unsigned char bytes[SUPERBLOCK_SIZE_MAX];
    struct superblock sb = sample(1);
    struct superblock back;
    struct cor_error err;
    size_t n = superblock_encode(&sb, bytes);
    bytes[8] = 2;
    uint64_t sum = hash64((struct cor_bytes){bytes, n - 8});
    for (size_t i = 0; i < 8; i++) {
        bytes[n - 8 + i] = (unsigned char)(sum >> (8 * i));
    }
    CHECK_EQ(superblock_decode((struct cor_bytes){bytes, n}, &back), COR_EFOREIGN);
    struct sim_disk *d = sim_disk_new();
    CHECK_EQ(superblock_write(&d->fs, &sb, &err), COR_OK);
    sim_disk_poke(d, "state-b", 0, (struct cor_bytes){bytes, n});
    CHECK_EQ(superblock_read(&d->fs, &back, &err), COR_EFOREIGN);
    sim_disk_free(d);
}

/* With the right checksum, so that only the content is wrong. */
static enum cor_status decode_sealed(unsigned char *bytes, size_t n)
{
    struct superblock back;
    uint64_t sum = hash64((struct cor_bytes){bytes, n});
    for (size_t i = 0; i < 8; i++) {
        bytes[n + i] = (unsigned char)(sum >> (8 * i));
    }
    return superblock_decode((struct cor_bytes){bytes, n + 8}, &back);
}

static void what_no_version_writes_is_refused(void)
{
    static const struct {
        const char *name;
        size_t at;
        unsigned char value;
        enum cor_status st;
    } rows[] = {
        {"as it is", 8, 1, COR_OK},
        {"magic", 0, 0, COR_ECORRUPT},
        {"a NUL in a name", 73, 0, COR_ECORRUPT},
        {"too long a name", 72, 64, COR_ECORRUPT},
        {"too many members", 75, 17, COR_ECORRUPT},
        {"fewer members", 75, 0, COR_ECORRUPT},
        {"an unknown kind", 103, 3, COR_ECORRUPT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char bytes[SUPERBLOCK_SIZE_MAX + 1];
        struct superblock sb = sample(1);
        sb.n_members = 1;
        ROW("%s", rows[i].name);
        size_t n = superblock_encode(&sb, bytes) - 8;
        bytes[rows[i].at] = rows[i].value;
        CHECK_EQ(decode_sealed(bytes, n), rows[i].st);
        CHECK_EQ(decode_sealed(bytes, n + 1), COR_ECORRUPT); /* something after the end */
        CHECK_EQ(decode_sealed(bytes, i * 11), COR_ECORRUPT);
    }
}

static void no_flipped_bit_is_believed(void)
{
    unsigned char bytes[SUPERBLOCK_SIZE_MAX];
    struct superblock sb = sample(1);
    struct superblock back;
    sb.n_members = 2;
    size_t n = superblock_encode(&sb, bytes);
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= (unsigned char)(1u << (i % 8));
        CHECK_EQ(superblock_decode((struct cor_bytes){bytes, n}, &back), COR_ECORRUPT);
        bytes[i] ^= (unsigned char)(1u << (i % 8));
        CHECK_EQ(superblock_decode((struct cor_bytes){bytes, i}, &back), COR_ECORRUPT);
    }
    CHECK_EQ(superblock_decode((struct cor_bytes){bytes, n}, &back), COR_OK);
}

static void a_full_disk_takes_a_state_that_it_has_room_for(void)
{
    struct sim_disk *d = sim_disk_new();
    struct superblock sb = sample(1);
    struct superblock back;
    struct cor_error err;
    CHECK_EQ(superblock_write(&d->fs, &sb, &err), COR_OK);
    d->capacity = sim_disk_used(d);
    sb.incarnation++;
    CHECK_EQ(superblock_write(&d->fs, &sb, &err), COR_OK);
    CHECK_EQ(superblock_read(&d->fs, &back, &err), COR_OK);
    CHECK_EQ(back.incarnation, 2);
    sim_disk_free(d);
}

static void a_disk_that_fails_is_reported(void)
{
    struct sim_disk *d = sim_disk_new();
    struct superblock sb = sample(1);
    struct superblock back;
    struct cor_error err;
    d->read_only = true;
    CHECK_EQ(superblock_write(&d->fs, &sb, &err), COR_EPERM);
    CHECK_EQ(sb.version, 0);
    d->read_only = false;
    CHECK_EQ(superblock_write(&d->fs, &sb, &err), COR_OK);
    d->fail_reads = true;
    CHECK_EQ(superblock_read(&d->fs, &back, &err), COR_EIO);
    sim_disk_free(d);
}

TEST_MAIN(TEST(what_was_written_is_read_back), TEST(every_crash_leaves_the_old_or_the_new),
          TEST(rot_of_one_copy_does_not_matter), TEST(a_newer_format_is_refused_as_such),
          TEST(what_no_version_writes_is_refused), TEST(no_flipped_bit_is_believed),
          TEST(a_full_disk_takes_a_state_that_it_has_room_for),
          TEST(a_disk_that_fails_is_reported))
