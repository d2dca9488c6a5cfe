/* memory_test.c - arenas, shared buffers, errors and events. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/event.h"
#include "base/format.h"

#include "tests/support/test.h"

#include <string.h>

static void an_arena_is_bounded_and_aligned(void)
{
    unsigned char memory[64];
    struct arena a;
    arena_init(&a, memory, sizeof memory);
    CHECK(arena_alloc(&a, 1, 1, 1) != NULL);
    uint64_t *n = ARENA_NEW(&a, uint64_t, 2);
    REQUIRE(n != NULL);
    CHECK_EQ((uintptr_t)n % alignof(uint64_t), 0u);
    CHECK_EQ(n[0] + n[1], 0u);
    CHECK(arena_alloc(&a, 1, 64, 1) == NULL);
    CHECK(arena_alloc(&a, SIZE_MAX, 2, 1) == NULL);
    arena_reset(&a);
    CHECK(arena_alloc(&a, 1, 64, 1) != NULL);
}

static void an_arena_copies_bytes(void)
{
    unsigned char memory[8];
    struct arena a;
    arena_init(&a, memory, sizeof memory);
    CHECK_BYTES(arena_dup(&a, COR_BYTES_LIT("abc")), COR_BYTES_LIT("abc"));
    CHECK(arena_dup(&a, COR_BYTES_LIT("too long")).ptr == NULL);
    CHECK_EQ(arena_dup(&a, COR_BYTES_LIT("")).len, 0u);
}

static void a_buffer_lives_until_its_last_owner_lets_go(void)
{
    struct buf *b = buf_copy(COR_BYTES_LIT("entry"));
    REQUIRE(b != NULL);
    CHECK(buf_ref(b) == b);
    buf_unref(b);
    CHECK_BYTES(buf_bytes(b), COR_BYTES_LIT("entry"));
    buf_unref(b);
    buf_unref(NULL);
}

static void an_error_is_told_from_the_inside_out(void)
{
    struct cor_error err;
    CHECK_EQ(error_set(&err, COR_ECORRUPT, "page %d: checksum", 7), COR_ECORRUPT);
    CHECK_EQ(error_prefix(&err, "segment %08d", 42), COR_ECORRUPT);
    CHECK(strcmp(err.text, "segment 00000042: page 7: checksum") == 0);
    CHECK_EQ(error_set(NULL, COR_EIO, "nobody asked"), COR_EIO);
}

static void a_long_error_is_cut(void)
{
    struct cor_error err;
    char deep[400];
    memset(deep, 'x', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    error_set(&err, COR_EIO, "%s", deep);
    CHECK_EQ(strlen(err.text), sizeof err.text - 1);
    error_prefix(&err, "%s", deep);
    CHECK_EQ(strlen(err.text), sizeof err.text - 1);
}

static struct event last;

static void keep_event(struct event_sink *sink, const struct event *e)
{
    (void)sink;
    last = *e;
}

static void an_event_carries_its_fields(void)
{
    struct event_sink sink = {.emit = keep_event};
    event_emit(&sink, EVENT_WARN, "wal", "slow_sync", event_u64("ms", 120),
               event_text("file", "00000001"), event_text("none", NULL));
    CHECK_EQ(last.n_fields, 3u);
    CHECK_EQ(last.fields[0].number, 120u);
    CHECK_BYTES(last.fields[1].text, COR_BYTES_LIT("00000001"));
    CHECK_EQ(last.fields[2].text.len, 0u);
    event_emit(NULL, EVENT_INFO, "wal", "unheard", event_hex("id", 1));
}

static void formatted_text_is_cut_and_ended(void)
{
    char out[6];
    CHECK_EQ(format_to(out, sizeof out, "%d-%s", 12, "abcdef"), 5u);
    CHECK(strcmp(out, "12-ab") == 0);
}

static void every_status_has_a_text(void)
{
#define X(name, number, text) CHECK(strcmp(cor_status_text(COR_##name), text) == 0);
    COR_STATUS_MAP(X)
#undef X
    CHECK(strcmp(cor_status_text((enum cor_status)9999), "unknown status") == 0);
}

TEST_MAIN(TEST(an_arena_is_bounded_and_aligned), TEST(an_arena_copies_bytes),
          TEST(a_buffer_lives_until_its_last_owner_lets_go),
          TEST(an_error_is_told_from_the_inside_out), TEST(a_long_error_is_cut),
          TEST(an_event_carries_its_fields), TEST(formatted_text_is_cut_and_ended),
          TEST(every_status_has_a_text))
