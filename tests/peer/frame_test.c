/* frame_test.c - frames: cut anywhere, checked before they are kept, never more memory than received. */
#include "base/hash.h"
#include "base/prng.h"
#include "tests/peer/wire.h"
#include "tests/support/test.h"

#define GATHER_MIN 256u

static const struct peer_frame_rules all_rules = {{
    [PEER_FRAME_HELLO] = {true, 1024},
    [PEER_FRAME_PING] = {true, 0},
    [PEER_FRAME_MESSAGE] = {true, 200},
    [PEER_FRAME_APPEND] = {true, 4u << 20},
    [PEER_FRAME_REQUEST] = {true, 100000},
}};

/* What came out of a reader. */
struct heard {
    uint64_t digest;
    unsigned n;
    size_t longest;
    enum peer_frame_result result; /* the last */
};

static void hear(struct heard *h, const struct peer_frame_message *m)
{
    unsigned char head[] = {m->type, (unsigned char)m->payload.len};
    h->digest = hash64_seed((struct cor_bytes){head, sizeof head}, h->digest);
    h->digest = hash64_seed(m->payload, h->digest);
    h->longest = m->payload.len > h->longest ? m->payload.len : h->longest;
    h->n++;
}

/* Give @in to @f, in memory of its own size, so that a sanitizer sees a step too far. */
static void feed(struct peer_frame_reader *f, const struct peer_frame_rules *rules,
                 struct cor_bytes in, struct heard *h)
{
    unsigned char *copy = malloc(in.len > 0 ? in.len : 1);
    REQUIRE(copy != NULL);
    memcpy(copy, in.ptr, in.len);
    struct cor_bytes rest = {copy, in.len};
    struct peer_frame_message m;
    do {
        h->result = peer_frame_next(f, rules, &rest, &m);
        if (h->result == PEER_FRAME_DONE) {
            hear(h, &m);
        }
    } while (h->result == PEER_FRAME_DONE);
    free(copy);
}

/* All of @in in pieces of @chunk bytes; 0: of random sizes. */
static struct heard feed_cut(struct cor_bytes in, size_t chunk)
{
    struct peer_frame_reader f = {0};
    struct heard h = {0};
    struct prng random = {chunk + in.len};
    size_t received = 0; /* of the present message, at most */
    while (in.len > 0 && h.result <= PEER_FRAME_DONE) {
        size_t n = chunk != 0 ? chunk : 1 + (size_t)prng_below(&random, 100000);
        n = n < in.len ? n : in.len;
        feed(&f, &all_rules, (struct cor_bytes){in.ptr, n}, &h);
        in = (struct cor_bytes){in.ptr + n, in.len - n};
        received += n;
        CHECK(f.room <= GATHER_MIN || f.room <= 2 * received);
        if (f.message_type == 0) {
            CHECK(f.gathered == NULL && f.room == 0);
            received = 0;
        }
    }
    peer_frame_deinit(&f);
    return h;
}

static void messages_come_back_however_the_bytes_are_cut(void)
{
    static const size_t sizes[] = {0, 1, 2, 100, 65535, 65536, 65537, 200000, 3};
    struct wire *w = wire_new();
    struct heard want = {0};
    unsigned char *data = malloc(200000);
    REQUIRE(data != NULL);
    for (size_t i = 0; i < 200000; i++) {
        data[i] = (unsigned char)(i * 7 + i / 256);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        wire_put(w, PEER_FRAME_APPEND, (struct cor_bytes){data, sizes[i]});
        hear(&want, &(struct peer_frame_message){PEER_FRAME_APPEND, {data, sizes[i]}});
        wire_put(w, PEER_FRAME_PING, (struct cor_bytes){0});
        hear(&want, &(struct peer_frame_message){PEER_FRAME_PING, {data, 0}});
    }
    static const size_t chunks[] = {1, 2, 15, 16, 17, 1000, 65552, 65553, SIZE_MAX, 0};
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        ROW("pieces of %zu", chunks[i]);
        struct heard got = feed_cut(wire_bytes(w), chunks[i]);
        CHECK_EQ(got.n, want.n);
        CHECK_EQ(got.digest, want.digest);
        CHECK_EQ(got.longest, 200000u);
    }
    free(data);
    wire_free(w);
}

static void a_message_in_one_piece_is_not_copied(void)
{
    struct wire *w = wire_new();
    wire_put(w, PEER_FRAME_MESSAGE, COR_BYTES_LIT("hello"));
    struct peer_frame_reader f = {0};
    struct cor_bytes in = wire_bytes(w);
    struct peer_frame_message m;
    CHECK_EQ(peer_frame_next(&f, &all_rules, &in, &m), PEER_FRAME_DONE);
    CHECK(m.payload.ptr == w->bytes + PEER_FRAME_HEADER);
    CHECK_BYTES(m.payload, COR_BYTES_LIT("hello"));
    CHECK_EQ(in.len, 0u);
    CHECK(f.gathered == NULL);
    wire_free(w);
}

static void an_announcement_reserves_nothing(void)
{
    struct wire *w = wire_new();
    unsigned char *data = calloc(1, PEER_CHUNK);
    REQUIRE(data != NULL);
    wire_put(w, PEER_FRAME_APPEND, (struct cor_bytes){data, PEER_CHUNK});
    struct peer_frame_reader f = {0};
    struct heard h = {0};
    feed(&f, &all_rules, (struct cor_bytes){w->bytes, PEER_FRAME_HEADER}, &h);
    CHECK(f.gathered == NULL);
    feed(&f, &all_rules, (struct cor_bytes){w->bytes + PEER_FRAME_HEADER, 10}, &h);
    CHECK_EQ(f.room, GATHER_MIN);
    CHECK_EQ(h.result, PEER_FRAME_MORE);
    peer_frame_deinit(&f);
    free(data);
    wire_free(w);
}

/* ---- what is refused -------------------------------------------------------------------------- */

static void header(struct wire *w, uint32_t length, uint8_t type, uint8_t flags, uint16_t group)
{
    unsigned char raw[PEER_FRAME_HEADER];
    struct writer out = writer_of(raw, sizeof raw);
    writer_u32(&out, length);
    writer_u8(&out, type);
    writer_u8(&out, flags);
    writer_u16(&out, group);
    writer_u64(&out, 0);
    (void)wire_send(&w->stream, (struct cor_bytes){raw, sizeof raw});
}

static void a_header_is_refused_before_a_byte_of_payload_is_kept(void)
{
    static const struct {
        const char *what;
        uint32_t length;
        uint8_t type, flags;
        uint16_t group;
        enum peer_frame_result want;
    } rows[] = {
        {"type 0", 0, 0, 0, 0, PEER_FRAME_BAD_TYPE},
        {"the first unknown type", 0, PEER_N_FRAMES, 0, 0, PEER_FRAME_BAD_TYPE},
        {"type 255", 0, 255, 0, 0, PEER_FRAME_BAD_TYPE},
        {"a type not allowed here", 0, PEER_FRAME_ANSWER, 0, 0, PEER_FRAME_BAD_TYPE},
        {"flag 1", 4, PEER_FRAME_APPEND, 2, 0, PEER_FRAME_BAD_FLAGS},
        {"flag 7", 4, PEER_FRAME_APPEND, 0x81, 0, PEER_FRAME_BAD_FLAGS},
        {"group 1", 4, PEER_FRAME_APPEND, 0, 1, PEER_FRAME_BAD_GROUP},
        {"group 256", 4, PEER_FRAME_APPEND, 0, 256, PEER_FRAME_BAD_GROUP},
        {"more than a chunk", PEER_CHUNK + 1, PEER_FRAME_APPEND, 0, 0, PEER_FRAME_BAD_SIZE},
        {"4 GiB", UINT32_MAX, PEER_FRAME_APPEND, 1, 0, PEER_FRAME_BAD_SIZE},
        {"more than the type allows", 201, PEER_FRAME_MESSAGE, 0, 0, PEER_FRAME_BAD_SIZE},
        {"nothing, and more", 0, PEER_FRAME_APPEND, 1, 0, PEER_FRAME_BAD_SIZE},
        {"as much as the type allows", 200, PEER_FRAME_MESSAGE, 0, 0, PEER_FRAME_MORE},
        {"as much as a frame holds", PEER_CHUNK, PEER_FRAME_APPEND, 1, 0, PEER_FRAME_MORE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].what);
        struct wire *w = wire_new();
        header(w, rows[i].length, rows[i].type, rows[i].flags, rows[i].group);
        struct peer_frame_reader f = {0};
        struct heard h = {0};
        feed(&f, &all_rules, wire_bytes(w), &h);
        CHECK_EQ(h.result, rows[i].want);
        CHECK(peer_frame_result_text(h.result)[0] != '\0');
        CHECK(f.gathered == NULL);
        peer_frame_deinit(&f);
        wire_free(w);
    }
}

static void the_frames_of_one_message_have_one_type_and_one_limit(void)
{
    unsigned char *data = calloc(1, 100001);
    REQUIRE(data != NULL);
    struct wire *w = wire_new();
    wire_put(w, PEER_FRAME_REQUEST, (struct cor_bytes){data, 100000});
    CHECK_EQ(feed_cut(wire_bytes(w), 0).n, 1u);
    w->used = 0;
    wire_put(w, PEER_FRAME_REQUEST, (struct cor_bytes){data, 100001});
    struct heard h = feed_cut(wire_bytes(w), 0);
    CHECK_EQ(h.n, 0u);
    CHECK_EQ(h.result, PEER_FRAME_BAD_SIZE);
    w->used = 0;
    wire_put(w, PEER_FRAME_APPEND, (struct cor_bytes){data, 100000});
    w->used = PEER_FRAME_HEADER + PEER_CHUNK; /* its first frame, then another message */
    wire_put(w, PEER_FRAME_PING, (struct cor_bytes){0});
    CHECK_EQ(feed_cut(wire_bytes(w), 0).result, PEER_FRAME_BAD_TYPE);
    free(data);
    wire_free(w);
}

/* A flipped bit in the length may make the reader wait for more; it never gets a message out of it. */
static void no_flipped_bit_gets_through(void)
{
    struct wire *w = wire_new();
    wire_put(w, PEER_FRAME_MESSAGE, COR_BYTES_LIT("vote for n1, term 7"));
    for (size_t bit = 0; bit < 8 * w->used; bit++) {
        ROW("bit %zu", bit);
        w->bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        for (size_t chunk = 1; chunk < 100; chunk += 98) {
            CHECK_EQ(feed_cut(wire_bytes(w), chunk).n, 0u);
        }
        w->bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    CHECK_EQ(feed_cut(wire_bytes(w), 1).n, 1u);
    wire_free(w);
}

static void rules_that_change_amid_a_message_do_not_break_it(void)
{
    static const struct peer_frame_rules other = {{[PEER_FRAME_PING] = {true, 0}}};
    struct wire *w = wire_new();
    wire_put(w, PEER_FRAME_MESSAGE, COR_BYTES_LIT("the rules were others when this began"));
    struct peer_frame_reader f = {0};
    struct heard h = {0};
    feed(&f, &all_rules, (struct cor_bytes){w->bytes, 20}, &h);
    for (size_t i = 20; i < w->used; i++) {
        feed(&f, &other, (struct cor_bytes){w->bytes + i, 1}, &h);
    }
    CHECK_EQ(h.n, 1u);
    feed(&f, &other, wire_bytes(w), &h);
    CHECK_EQ(h.result, PEER_FRAME_BAD_TYPE);
    peer_frame_deinit(&f);
    wire_free(w);
}

TEST_MAIN(TEST(messages_come_back_however_the_bytes_are_cut),
          TEST(a_message_in_one_piece_is_not_copied), TEST(an_announcement_reserves_nothing),
          TEST(a_header_is_refused_before_a_byte_of_payload_is_kept),
          TEST(the_frames_of_one_message_have_one_type_and_one_limit),
          TEST(no_flipped_bit_gets_through),
          TEST(rules_that_change_amid_a_message_do_not_break_it))
