/* reader_test.c - readers of hostile bytes, and writers, as mirror images. */
#include "base/reader.h"
#include "base/writer.h"

#include "tests/support/test.h"

#include <string.h>

static void reads_back_what_was_written(void)
{
    unsigned char out[128];
    struct writer w = writer_of(out, sizeof out);
    writer_u8(&w, 0xfe);
    writer_u16(&w, 0xfedc);
    writer_u32(&w, 0xfedcba98);
    writer_u64(&w, 0xfedcba9876543210u);
    writer_blob(&w, COR_BYTES_LIT("blob"));
    REQUIRE(writer_ok(&w));
    struct reader r = reader_of((struct cor_bytes){out, w.used});
    CHECK_EQ(reader_u8(&r), 0xfe);
    CHECK_EQ(reader_u16(&r), 0xfedc);
    CHECK_EQ(reader_u32(&r), 0xfedcba98u);
    CHECK_EQ(reader_u64(&r), 0xfedcba9876543210u);
    CHECK_BYTES(reader_blob(&r), COR_BYTES_LIT("blob"));
    CHECK(reader_done(&r));
}

static void fields_are_little_endian(void)
{
    unsigned char out[4];
    struct writer w = writer_of(out, sizeof out);
    writer_u32(&w, 0x04030201);
    CHECK_BYTES(((struct cor_bytes){out, 4}), COR_BYTES_LIT("\1\2\3\4"));
}

static void a_failure_lasts(void)
{
    struct reader r = reader_of(COR_BYTES_LIT("\1\2\3"));
    CHECK_EQ(reader_u32(&r), 0u);
    CHECK(!reader_ok(&r));
    CHECK_EQ(reader_u8(&r), 0);
    CHECK(reader_bytes(&r, 0).ptr == NULL);
    CHECK(!reader_done(&r));
}

static void a_huge_length_does_not_wrap(void)
{
    struct reader r = reader_of(COR_BYTES_LIT("abc"));
    CHECK(reader_bytes(&r, UINT64_MAX).ptr == NULL);
    CHECK(!reader_ok(&r));
}

static void what_is_left_over_is_not_done(void)
{
    struct reader r = reader_of(COR_BYTES_LIT("ab"));
    CHECK_EQ(reader_u8(&r), 'a');
    CHECK(reader_ok(&r));
    CHECK(!reader_done(&r));
}

static void varints_of_every_length_survive(void)
{
    for (unsigned bits = 0; bits <= 64; bits++) {
        uint64_t v = bits == 0 ? 0 : UINT64_MAX >> (64 - bits);
        ROW("%u bits", bits);
        unsigned char out[VARINT_SIZE_MAX];
        struct writer w = writer_of(out, sizeof out);
        writer_varint(&w, v);
        REQUIRE(writer_ok(&w));
        CHECK_EQ(w.used, varint_size(v));
        struct reader r = reader_of((struct cor_bytes){out, w.used});
        CHECK_EQ(reader_varint(&r), v);
        CHECK(reader_done(&r));
    }
}

static void a_number_has_one_spelling(void)
{
    static const struct {
        const char *name;
        struct cor_bytes in;
    } rows[] = {
        {"needless zero group", COR_BYTES_INIT("\x81\x00")},
        {"bits beyond the 64th", COR_BYTES_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02")},
        {"eleven bytes", COR_BYTES_INIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")},
        {"cut off", COR_BYTES_INIT("\x80")},
        {"nothing", COR_BYTES_INIT("")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].name);
        struct reader r = reader_of(rows[i].in);
        CHECK_EQ(reader_varint(&r), 0u);
        CHECK(!reader_ok(&r));
    }
}

static void a_writer_without_room_writes_nothing_more(void)
{
    unsigned char out[4] = "....";
    struct writer w = writer_of(out, 3);
    writer_u16(&w, 0x4141);
    writer_u16(&w, 0x4242);
    writer_u8(&w, 0x43);
    CHECK(!writer_ok(&w));
    CHECK_BYTES(((struct cor_bytes){out, 4}), COR_BYTES_LIT("AA.."));
}

static void a_counting_writer_measures(void)
{
    struct writer w = writer_counting();
    writer_blob(&w, COR_BYTES_LIT("four"));
    writer_u64(&w, 1);
    CHECK(writer_ok(&w));
    CHECK_EQ(w.used, 13u);
}

TEST_MAIN(TEST(reads_back_what_was_written), TEST(fields_are_little_endian),
          TEST(a_failure_lasts), TEST(a_huge_length_does_not_wrap),
          TEST(what_is_left_over_is_not_done), TEST(varints_of_every_length_survive),
          TEST(a_number_has_one_spelling), TEST(a_writer_without_room_writes_nothing_more),
          TEST(a_counting_writer_measures))
