/* layout_test.c - the bytes of the log: what is written is read back, and nothing else is. */
#include "base/writer.h"
#include "tests/wal/world.h"

/* ---- sectors ----------------------------------------------------------------------------------- */

static void a_sector_fits_its_place_its_salt_and_its_kind_alone(void)
{
    unsigned char sector[512] = {1, 2, 3};
    CHECK_EQ(wal_sector_look(sector, 5, 9), WAL_SECTOR_BAD);
    for (enum wal_sector kind = WAL_SECTOR_BODY; kind < WAL_SECTOR_BAD; kind++) {
        wal_sector_stamp(sector, 5, 9, kind);
        CHECK_EQ(wal_sector_look(sector, 5, 9), kind);
        CHECK_EQ(wal_sector_look(sector, 5, 10), WAL_SECTOR_BAD);
        CHECK_EQ(wal_sector_look(sector, 6, 9), WAL_SECTOR_BAD);
        sector[503] ^= 1;
        CHECK_EQ(wal_sector_look(sector, 5, 9), WAL_SECTOR_BAD);
    }
    memset(sector, 0, sizeof sector);
    CHECK_EQ(wal_sector_look(sector, 5, 9), WAL_SECTOR_ZERO);
    wal_sector_stamp(sector, 5, 9, WAL_SECTOR_BODY);
    CHECK_EQ(wal_sector_look(sector, 5, 9),
             WAL_SECTOR_BODY); /* written zeros are not missing */
}

static void content_goes_around_the_stamps(void)
{
    unsigned char raw[4 * 512], in[1500], out[1500];
    for (size_t offset = 0; offset < 510; offset += 7) {
        ROW("offset %zu", offset);
        memset(raw, 0xee, sizeof raw);
        world_payload(offset, in, sizeof in);
        wal_content_put(raw, offset, (struct cor_bytes){in, sizeof in});
        wal_content_get(raw, offset, out, sizeof out);
        CHECK(memcmp(in, out, sizeof in) == 0);
        for (size_t i = 0; i < 4; i++) {
            CHECK_EQ(raw[i * 512 + 504], 0xee);
        }
    }
    CHECK_EQ(wal_content_pages(1), 1);
    CHECK_EQ(wal_content_pages(WAL_PAGE_DATA), 1);
    CHECK_EQ(wal_content_pages(WAL_PAGE_DATA + 1), 2);
}

/* ---- headers ----------------------------------------------------------------------------------- */

static void put_u32(unsigned char *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (unsigned char)(v >> (8 * i));
    }
}

static void a_segment_header_says_what_it_must(void)
{
    static const struct {
        const char *name;
        size_t at;
        uint32_t value;
        enum cor_status st;
    } rows[] = {
        {"as it is", 400, 0, COR_OK},
        {"magic", 0, 7, COR_ECORRUPT},
        {"a later format", 8, 2, COR_EFOREIGN},
        {"a group", 12, 1, COR_EFOREIGN},
        {"something after the end", 400, 1, COR_EFOREIGN},
        {"number 0", 40, 0, COR_ECORRUPT},
        {"position too large", 52, 0x80000000u, COR_ECORRUPT},
        {"no pages", 56, 0, COR_ECORRUPT},
        {"too many pages", 60, 1, COR_ECORRUPT},
    };
    struct segment_header h = {.node_id = 7, .seq = 3, .base = 100, .n_pages = 15, .salt = 9};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        unsigned char page[4096];
        struct segment_header back = {.seq = 77};
        segment_header_encode(&h, page);
        put_u32(page + rows[i].at, rows[i].value);
        wal_sector_stamp(page, 0, 0, WAL_SECTOR_SEGMENT);
        CHECK_EQ(segment_header_decode(page, &back), rows[i].st);
        CHECK_EQ(back.seq, rows[i].st == COR_OK ? 3 : 77);
        page[20] ^= 1; /* the second copy is still good */
        CHECK_EQ(segment_header_decode(page, &back), COR_OK);
        CHECK_EQ(back.salt, 9);
    }
}

static void names_of_segments_are_ten_digits(void)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(42, name);
    CHECK(strcmp(name, "0000000042.wal") == 0);
    CHECK_EQ(segment_seq(name), 42);
    static const char *const others[] = {
        "0000000000.wal",  "42.wal",      "000000004x.wal", "0000000042.wab",
        "00000000042.wal", "reserve.wal", "segment.tmp",    ""};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        ROW("%s", others[i]);
        CHECK_EQ(segment_seq(others[i]), 0);
    }
}

static void a_batch_header_says_what_it_must(void)
{
    static const struct {
        const char *name;
        size_t at;
        uint32_t value;
        enum cor_status st;
    } rows[] = {
        {"as it is", 64, 0, COR_OK},
        {"magic", 0, 7, COR_ECORRUPT},
        {"a later format", 4, 2, COR_EFOREIGN},
        {"an unknown flag", 4, 0x00020001u, COR_EFOREIGN},
        {"a group", 8, 1, COR_EFOREIGN},
        {"number 0", 12, 0, COR_ECORRUPT},
        {"other pages than it needs", 44, 2, COR_ECORRUPT},
        {"too many records", 48, 4097, COR_ECORRUPT},
        {"more payload than pages", 52, 9000, COR_ECORRUPT},
        {"too long a table", 56, 70000, COR_ECORRUPT},
        {"too long a table before", 60, 70000, COR_ECORRUPT},
        {"reserved", 64, 1, COR_EFOREIGN},
        {"index 0", 84, 0, COR_ECORRUPT},
        {"an index near the end", 88, 0x80000000u, COR_ECORRUPT},
    };
    struct batch_header h = {.seq = 3,
                             .n_pages = 1,
                             .n_records = 1,
                             .payload_len = 100,
                             .table_len = 20,
                             .next_index = 5,
                             .prev_next_index = 4,
                             .last_index = 5};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        unsigned char bytes[BATCH_HEADER_SIZE];
        struct batch_header back;
        batch_header_encode(&h, bytes);
        put_u32(bytes + rows[i].at, rows[i].value);
        CHECK_EQ(batch_header_decode((struct cor_bytes){bytes, sizeof bytes}, &back),
                 rows[i].st);
        CHECK_EQ(batch_header_decode((struct cor_bytes){bytes, i}, &back), COR_ECORRUPT);
    }
}

/* ---- tables ------------------------------------------------------------------------------------ */

static void a_table_gives_back_its_records(void)
{
    static const struct record rows[] = {
        {false, 5, 2, COR_ENTRY_COMMAND, 100, 0x1122334455667788u, 0},
        {false, 6, 2, COR_ENTRY_NOOP, 0, 1, 0},
        {true, 6, 0, 0, 0, 0, 0},
        {false, 6, 3, UINT32_MAX, 70000, 2, 0},
        {true, 1, 0, 0, 0, 0, 0},
        {false, 1, 9, 1, 1, 3, 0},
    };
    unsigned char table[256];
    uint64_t term = 0;
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = record_encode(&rows[i], &term, table + len);
        CHECK(n <= RECORD_SIZE_MAX);
        len += n;
    }
    struct table_cursor c = table_open((struct cor_bytes){table, len}, 5);
    struct record r;
    uint64_t offset = BATCH_HEADER_SIZE;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("record %zu", i);
        CHECK(table_next(&c, &r));
        CHECK_EQ(r.is_truncate, rows[i].is_truncate);
        CHECK_EQ(r.index, rows[i].index);
        CHECK_EQ(r.term, rows[i].term);
        CHECK_EQ(r.type, rows[i].type);
        CHECK_EQ(r.len, rows[i].len);
        CHECK_EQ(r.checksum, rows[i].checksum);
        CHECK(r.is_truncate || r.offset == offset);
        offset += r.len;
    }
    CHECK(!table_next(&c, &r));
    CHECK(reader_done(&c.reader));
    CHECK_EQ(c.index, 2);
}

static void a_malformed_table_ends_without_being_done(void)
{
    static const struct {
        const char *name;
        size_t len;
        unsigned char bytes[24];
    } rows[] = {
        {"no term", 10, {3, 0, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"term 0", 12, {1, 0, 3, 0, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"a term alone", 2, {1, 4}},
        {"a term and no entry", 4, {1, 4, 0, 1}},
        {"two terms", 14, {1, 4, 1, 5, 3, 0, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"half a checksum", 8, {1, 4, 3, 0, 1, 1, 1, 1}},
        {"cut before index 1", 2, {0, 0}},
        {"cut behind the end", 2, {0, 6}},
        {"a cut without index", 1, {0}},
        {"a length of 2^35",
         17,
         {1, 4, 3, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"a type of 2^35",
         17,
         {1, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"a number written long", 3, {0x80, 0x00, 1}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct table_cursor c = table_open((struct cor_bytes){rows[i].bytes, rows[i].len}, 5);
        struct record r;
        CHECK(!table_next(&c, &r));
        CHECK(!reader_done(&c.reader));
        CHECK(!table_next(&c, &r));
    }
}

/* ---- the reserve ------------------------------------------------------------------------------- */

static void the_reserve_takes_the_newer_of_two_good_copies(void)
{
    unsigned char bytes[RESERVE_SIZE], newer[RESERVE_SIZE];
    static const unsigned char cluster[16] = "cluster", other[16] = "another";
    const struct wal_identity identity = {cluster, 7};
    struct reserve back;
    bool whole;
    reserve_encode(&(struct reserve){3, {5, 2}}, &identity, bytes);
    reserve_encode(&(struct reserve){4, {6, 0}}, &identity, newer);
    CHECK_EQ(reserve_decode(bytes, &identity, &back, &whole), COR_OK);
    CHECK(whole);
    CHECK_EQ(back.hard_state.vote, 2);
    memcpy(bytes, newer, WAL_PAGE); /* a crash between the two */
    CHECK_EQ(reserve_decode(bytes, &identity, &back, &whole), COR_OK);
    CHECK(!whole);
    CHECK_EQ(back.hard_state.term, 6);
    bytes[9] ^= 1; /* a torn first copy */
    CHECK_EQ(reserve_decode(bytes, &identity, &back, &whole), COR_OK);
    CHECK(!whole);
    CHECK_EQ(back.hard_state.term, 5);
    CHECK_EQ(reserve_decode(bytes, NULL, &back, &whole), COR_OK);
    CHECK_EQ(reserve_decode(bytes, &(struct wal_identity){cluster, 8}, &back, &whole),
             COR_EFOREIGN);
    CHECK_EQ(reserve_decode(bytes, &(struct wal_identity){other, 7}, &back, &whole),
             COR_EFOREIGN);
    memset(bytes + WAL_PAGE, 0, WAL_SECTOR);
    CHECK_EQ(reserve_decode(bytes, &identity, &back, &whole), COR_ECORRUPT);
}

static void hard_states_only_grow(void)
{
    static const struct {
        struct cor_raft_hard_state a, b;
        bool is_later;
    } rows[] = {
        {{2, 0}, {1, 5}, true},  {{1, 5}, {2, 0}, false}, {{2, 3}, {2, 0}, true},
        {{2, 0}, {2, 3}, false}, {{2, 3}, {2, 3}, false}, {{0, 0}, {0, 0}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("row %zu", i);
        CHECK_EQ(hard_state_is_later(&rows[i].a, &rows[i].b), rows[i].is_later);
    }
}

TEST_MAIN(TEST(a_sector_fits_its_place_its_salt_and_its_kind_alone),
          TEST(content_goes_around_the_stamps), TEST(a_segment_header_says_what_it_must),
          TEST(names_of_segments_are_ten_digits), TEST(a_batch_header_says_what_it_must),
          TEST(a_table_gives_back_its_records), TEST(a_malformed_table_ends_without_being_done),
          TEST(the_reserve_takes_the_newer_of_two_good_copies), TEST(hard_states_only_grow))
