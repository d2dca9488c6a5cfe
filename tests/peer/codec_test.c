/* codec_test.c - what members tell each other as bytes: round trips, one way to write each value, golden bytes. */
#include "base/hash.h"
#include "base/prng.h"
#include "tests/peer/wire.h"
#include "tests/support/test.h"

#include <stdio.h>

static unsigned char scratch[4096];

static struct cor_bytes text(const char *s)
{
    return (struct cor_bytes){(const unsigned char *)s, strlen(s)};
}

static struct cor_bytes encoded(const struct cor_raft_message *m)
{
    struct writer w = writer_of(scratch, sizeof scratch);
    peer_message_encode(&w, m);
    CHECK(writer_ok(&w));
    CHECK(w.used <= PEER_MESSAGE_SIZE_MAX);
    return (struct cor_bytes){scratch, w.used};
}

static bool decodes(struct cor_bytes in, struct cor_raft_message *out)
{
    struct reader r = reader_of(in);
    return peer_message_decode(&r, out) && reader_done(&r);
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* 0, small or huge, so that fields are absent, short and as long as can be. */
static uint64_t any_number(struct prng *random)
{
    static const uint64_t edges[] = {0, 0, 1, 127, 128, 16383, UINT64_MAX};
    uint64_t i = prng_below(random, ARRAY_LEN(edges) + 2);
    return i < ARRAY_LEN(edges) ? edges[i] : prng_next(random) >> prng_below(random, 64);
}

static struct cor_raft_message any_message(struct prng *random)
{
    return (struct cor_raft_message){
        .type = (uint8_t)(1 + prng_below(random, COR_RAFT_MSG_TIMEOUT_NOW)),
        .from = any_number(random),
        .to = any_number(random),
        .reject = prng_below(random, 2) != 0,
        .force = prng_below(random, 2) != 0,
        .lease = prng_below(random, 2) != 0,
        .term = any_number(random),
        .prev = {.term = any_number(random), .index = any_number(random)},
        .commit = any_number(random),
        .match = any_number(random),
        .received = any_number(random),
        .sent_at = any_number(random),
        .context = any_number(random),
        .index = any_number(random),
        .first = any_number(random),
        .n_entries = (uint32_t)any_number(random),
    };
}

static void check_same(const struct cor_raft_message *a, const struct cor_raft_message *b)
{
    CHECK_EQ(a->type, b->type);
    CHECK_EQ(a->from, b->from);
    CHECK_EQ(a->to, b->to);
    CHECK_EQ(a->reject, b->reject);
    CHECK_EQ(a->force, b->force);
    CHECK_EQ(a->lease, b->lease);
    CHECK_EQ(a->term, b->term);
    CHECK_EQ(a->prev.term, b->prev.term);
    CHECK_EQ(a->prev.index, b->prev.index);
    CHECK_EQ(a->commit, b->commit);
    CHECK_EQ(a->match, b->match);
    CHECK_EQ(a->received, b->received);
    CHECK_EQ(a->sent_at, b->sent_at);
    CHECK_EQ(a->context, b->context);
    CHECK_EQ(a->index, b->index);
    CHECK_EQ(a->first, b->first);
    CHECK_EQ(a->n_entries, b->n_entries);
}

static void every_message_comes_back_as_it_was(void)
{
    struct prng random = {1};
    for (unsigned i = 0; i < 20000; i++) {
        ROW("message %u", i);
        struct cor_raft_message m = any_message(&random);
        struct cor_raft_message back = {0};
        struct cor_bytes bytes = encoded(&m);
        CHECK(decodes(bytes, &back));
        check_same(&back, &m);
        for (size_t n = 0; n < bytes.len && i < 200; n++) {
            CHECK(!decodes((struct cor_bytes){bytes.ptr, n}, &back));
        }
    }
}

static void a_longest_message_fits(void)
{
    struct cor_raft_message m = {.type = COR_RAFT_MSG_APPEND, .n_entries = UINT32_MAX};
    uint64_t *fields[] = {&m.from,       &m.to,      &m.term,  &m.prev.term,
                          &m.prev.index, &m.commit,  &m.match, &m.received,
                          &m.sent_at,    &m.context, &m.index, &m.first};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        *fields[i] = UINT64_MAX;
    }
    CHECK_EQ(encoded(&m).len, PEER_MESSAGE_SIZE_MAX - 5); /* n_entries takes 5 of 10 bytes */
}

static void there_is_one_way_to_write_a_message(void)
{
    static const struct {
        const char *what;
        unsigned char bytes[32];
        size_t len;
        bool good;
    } rows[] = {
        {"a heartbeat", {7, 0, 1, 0, [20] = 9}, 21, true},
        {"something behind it", {7, 0, 1, 0, [20] = 9, 0}, 22, false},
        {"a field that is 0", {7, 0, 1, 0, [20] = 0}, 21, false},
        {"a number longer than it need be", {7, 0, 1, 0, [20] = 0x89, 0}, 22, false},
        {"type 0", {0, 0, 1, 0, [20] = 9}, 21, false},
        {"type 14", {14, 0, 1, 0, [20] = 9}, 21, false},
        {"an unknown flag", {7, 8, 1, 0, [20] = 9}, 21, false},
        {"an unknown field", {7, 0, 0, 8, [20] = 9}, 21, false},
        {"a field too few", {7, 0, 3, 0, [20] = 9}, 21, false},
        {"2^32 - 1 entries", {1, 0, 0, 4, [20] = 255, 255, 255, 255, 15}, 25, true},
        {"2^32 entries", {1, 0, 0, 4, [20] = 128, 128, 128, 128, 16}, 25, false},
    };
    struct cor_raft_message m;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].what);
        CHECK_EQ(decodes((struct cor_bytes){rows[i].bytes, rows[i].len}, &m), rows[i].good);
    }
}

/* ---- entries --------------------------------------------------------------------------------------- */

static size_t put_entry(const struct peer_entry *e)
{
    struct writer w = writer_of(scratch, sizeof scratch);
    peer_entry_encode_head(&w, e);
    CHECK(w.used >= PEER_ENTRY_HEAD_MIN && w.used <= PEER_ENTRY_HEAD_MAX);
    writer_bytes(&w, e->payload);
    CHECK(writer_ok(&w));
    return w.used;
}

static void an_entry_comes_back_or_is_refused(void)
{
    struct peer_entry e = {.term = UINT64_MAX, .type = UINT32_MAX, .payload = text("payload")};
    struct peer_entry back;
    e.checksum = hash64(e.payload);
    size_t n = put_entry(&e);
    struct reader r = reader_of((struct cor_bytes){scratch, n});
    REQUIRE(peer_entry_decode(&r, &back) && reader_done(&r));
    CHECK_EQ(back.term, e.term);
    CHECK_EQ(back.type, e.type);
    CHECK_EQ(back.checksum, e.checksum);
    CHECK_BYTES(back.payload, e.payload);
    for (size_t cut = 0; cut < n; cut++) {
        ROW("cut at %zu", cut);
        r = reader_of((struct cor_bytes){scratch, cut});
        CHECK(!peer_entry_decode(&r, &back));
    }
    e.checksum++;
    n = put_entry(&e);
    r = reader_of((struct cor_bytes){scratch, n});
    CHECK(!peer_entry_decode(&r, &back)); /* not what the proposer signed */
    e = (struct peer_entry){.checksum = hash64(text(""))};
    n = put_entry(&e);
    CHECK_EQ(n, PEER_ENTRY_HEAD_MIN);
    r = reader_of((struct cor_bytes){scratch, n});
    CHECK(peer_entry_decode(&r, &back));
}

static void the_length_of_an_entry_may_lie(void)
{
    struct writer w = writer_of(scratch, sizeof scratch);
    writer_varint(&w, 1);
    writer_varint(&w, 1);
    writer_varint(&w, UINT64_MAX);
    writer_u64(&w, 0);
    struct reader r = reader_of((struct cor_bytes){scratch, w.used + 20});
    struct peer_entry e;
    CHECK(!peer_entry_decode(&r, &e));
}

/* ---- requests ---------------------------------------------------------------------------------------- */

static void a_request_comes_back_as_it_was(void)
{
    struct peer_request q = {.id = UINT64_MAX,
                             .kind = 255,
                             .flags = 254,
                             .status = UINT16_MAX,
                             .timeout = UINT64_MAX,
                             .body = text("body")};
    struct peer_request back;
    for (unsigned i = 0; i < 2; i++) {
        struct writer w = writer_of(scratch, sizeof scratch);
        peer_request_encode_head(&w, &q);
        CHECK(w.used <= PEER_REQUEST_HEAD_MAX);
        size_t head = w.used;
        writer_bytes(&w, q.body);
        REQUIRE(peer_request_decode((struct cor_bytes){scratch, w.used}, &back));
        CHECK_EQ(back.id, q.id);
        CHECK_EQ(back.kind, q.kind);
        CHECK_EQ(back.flags, q.flags);
        CHECK_EQ(back.status, q.status);
        CHECK_EQ(back.timeout, q.timeout);
        CHECK_BYTES(back.body, q.body);
        for (size_t cut = 0; cut < head; cut++) {
            CHECK(!peer_request_decode((struct cor_bytes){scratch, cut}, &back));
        }
        q = (struct peer_request){0};
    }
    static const unsigned char status_too_large[] = {1, 1, 0, 0x80, 0x80, 4, 0};
    CHECK(!peer_request_decode((struct cor_bytes){status_too_large, sizeof status_too_large},
                               &back));
}

/* ---- hello ---------------------------------------------------------------------------------------------- */

static struct peer_greeting a_greeting(void)
{
    struct peer_greeting g = {
        .role = PEER_ROLE_DATA,
        .attempt = 0x1122334455667788,
        .hello = {.protocol_min = 1,
                  .protocol_max = 1,
                  .level_min = 1,
                  .level_max = 2,
                  .incarnation = 3,
                  .members_hash = 0x8877665544332211},
    };
    memcpy(g.hello.cluster_id, "CLUSTERCLUSTERID", 16);
    memcpy(g.hello.disk_id, "DISKDISKDISKDISK", 16);
    memcpy(g.hello.name, "n1", 3);
    memcpy(g.hello.client_address, "10.0.0.1:4001", 14);
    return g;
}

static struct writer greeting_bytes(const struct peer_greeting *g)
{
    struct writer w = writer_of(scratch, sizeof scratch);
    peer_greeting_encode(&w, g);
    CHECK(writer_ok(&w));
    return w;
}

static enum peer_greeting_result decode_greeting(size_t n, struct peer_greeting *out)
{
    unsigned char *copy = malloc(n > 0 ? n : 1);
    COR_ASSERT(copy != NULL);
    memcpy(copy, scratch, n);
    enum peer_greeting_result result = peer_greeting_decode((struct cor_bytes){copy, n}, out);
    free(copy);
    return result;
}

static void a_hello_comes_back_as_it_was(void)
{
    struct peer_greeting g = a_greeting();
    struct peer_greeting back;
    struct writer w = greeting_bytes(&g);
    REQUIRE(decode_greeting(w.used, &back) == PEER_GREETING_OK);
    CHECK_EQ(back.role, PEER_ROLE_DATA);
    CHECK_EQ(back.attempt, g.attempt);
    CHECK_EQ(back.hello.protocol_min, 1);
    CHECK_EQ(back.hello.protocol_max, 1);
    CHECK_EQ(back.hello.level_min, 1u);
    CHECK_EQ(back.hello.level_max, 2u);
    CHECK_EQ(back.hello.incarnation, 3u);
    CHECK_EQ(back.hello.members_hash, g.hello.members_hash);
    CHECK(memcmp(back.hello.cluster_id, g.hello.cluster_id, 16) == 0);
    CHECK(memcmp(back.hello.disk_id, g.hello.disk_id, 16) == 0);
    CHECK_BYTES(text(back.hello.name), text("n1"));
    CHECK_BYTES(text(back.hello.client_address), text("10.0.0.1:4001"));
    for (size_t cut = 0; cut < w.used; cut++) {
        ROW("cut at %zu", cut);
        CHECK_EQ(decode_greeting(cut, &back), PEER_GREETING_MALFORMED);
    }
}

static void a_later_hello_with_more_at_its_end_is_understood(void)
{
    struct peer_greeting g = a_greeting();
    struct peer_greeting back;
    g.hello.protocol_max = 9;
    struct writer w = greeting_bytes(&g);
    w.used -= 2; /* an authenticator, and fields of tomorrow */
    writer_u16(&w, 5);
    writer_bytes(&w, text("token"));
    writer_bytes(&w, text("tomorrow"));
    CHECK_EQ(decode_greeting(w.used, &back), PEER_GREETING_OK);
    CHECK_EQ(back.hello.authenticator_len, 5u);
    CHECK_EQ(decode_greeting(w.used - 8 - 1, &back), PEER_GREETING_MALFORMED);
}

static void a_hello_without_a_common_version_still_says_which(void)
{
    struct peer_greeting g = a_greeting();
    struct peer_greeting back;
    g.hello.protocol_min = PEER_PROTOCOL_MAX + 1;
    g.hello.protocol_max = PEER_PROTOCOL_MAX + 2;
    (void)greeting_bytes(&g);
    CHECK_EQ(decode_greeting(8, &back), PEER_GREETING_FOREIGN); /* whatever follows */
    CHECK_EQ(back.hello.protocol_min, PEER_PROTOCOL_MAX + 1);
    CHECK_EQ(back.hello.protocol_max, PEER_PROTOCOL_MAX + 2);
    g.hello.protocol_min = g.hello.protocol_max = PEER_PROTOCOL_MIN - 1;
    (void)greeting_bytes(&g);
    CHECK_EQ(decode_greeting(8, &back), PEER_GREETING_FOREIGN);
}

static void a_malformed_hello_is_refused(void)
{
    static const struct {
        const char *what;
        size_t at;
        unsigned char value;
    } rows[] = {
        {"another magic", 0, 'x'},
        {"the least version above the greatest", 4, 2},
        {"role 3", 6, 3},
        {"a control character in the name", 73, '\n'},
        {"a space in the name", 73, ' '},
        {"a byte above ASCII in the name", 74, 0xc3},
        {"a name of 64 bytes", 72, 64},
        {"an address longer than all", 75, 200},
    };
    struct peer_greeting g = a_greeting();
    struct peer_greeting back;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW("%s", rows[i].what);
        struct writer w = greeting_bytes(&g);
        scratch[rows[i].at] = rows[i].value;
        CHECK_EQ(decode_greeting(w.used, &back), PEER_GREETING_MALFORMED);
    }
}

static void a_name_has_at_most_63_bytes(void)
{
    struct peer_greeting g = a_greeting();
    struct peer_greeting back;
    memset(g.hello.name, 'n', PEER_NAME_MAX);
    struct writer w = greeting_bytes(&g);
    CHECK_EQ(decode_greeting(w.used, &back), PEER_GREETING_OK);
    CHECK_EQ(strlen(back.hello.name), PEER_NAME_MAX);
    memmove(scratch + 74, scratch + 73, w.used - 73); /* one more */
    scratch[72]++;
    CHECK_EQ(decode_greeting(w.used + 1, &back), PEER_GREETING_MALFORMED);
}

static void a_refusal_is_a_sentence_for_a_terminal(void)
{
    struct cor_error out;
    struct cor_error why = {.status = COR_EFOREIGN};
    memset(why.text, 'x', sizeof why.text - 1);
    struct writer w = writer_of(scratch, sizeof scratch);
    peer_refusal_encode(&w, &why);
    CHECK_EQ(w.used, 2 + PEER_REASON_MAX);
    CHECK(peer_refusal_decode((struct cor_bytes){scratch, w.used}, &out));
    CHECK_EQ(out.status, COR_EFOREIGN);
    CHECK_EQ(strlen(out.text), PEER_REASON_MAX);
    CHECK(!peer_refusal_decode((struct cor_bytes){scratch, w.used + 1}, &out)); /* too long */
    CHECK(!peer_refusal_decode((struct cor_bytes){scratch, 1}, &out));
    CHECK(peer_refusal_decode(COR_BYTES_LIT("\0\0a\033[2J\nb\177\0c"), &out));
    CHECK_BYTES(text(out.text), text("a [2J b  c"));
    CHECK_EQ(out.status, COR_EPROTO); /* nobody refuses with COR_OK */
}

/* ---- golden ------------------------------------------------------------------------------------------------ */

static void put_append(struct wire *w)
{
    struct peer_frame_writer f = peer_frame_begin(&w->stream, &w->stage, PEER_FRAME_APPEND);
    struct cor_raft_message m = {.type = COR_RAFT_MSG_APPEND,
                                 .from = 1,
                                 .to = 2,
                                 .term = 300,
                                 .prev = {.term = 299, .index = 9},
                                 .commit = 8,
                                 .sent_at = 5000000000,
                                 .first = 10,
                                 .n_entries = 2};
    struct peer_entry entries[] = {{.term = 299, .type = 1, .payload = text("one")},
                                   {.term = 300, .type = 2, .payload = text("")}};
    peer_frame_put(&f, encoded(&m));
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        entries[i].checksum = hash64(entries[i].payload);
        peer_frame_put(&f, (struct cor_bytes){scratch, put_entry(&entries[i])});
    }
    peer_frame_end(&f);
}

/* One of each frame of protocol 1, kept as bytes: later versions must read them and mean the same. */
static void the_golden_frames_still_mean_what_they_meant(void)
{
    unsigned char golden[1024];
    FILE *file = fopen("tests/golden/peer-1.bin", "rb");
    REQUIRE(file != NULL);
    size_t n = fread(golden, 1, sizeof golden, file);
    fclose(file);
    struct wire *w = wire_new();
    struct peer_greeting g = a_greeting();
    struct writer hello = greeting_bytes(&g);
    wire_put(w, PEER_FRAME_HELLO, (struct cor_bytes){scratch, hello.used});
    struct writer refusal = writer_of(scratch, sizeof scratch);
    peer_refusal_encode(&refusal, &(struct cor_error){.status = COR_EFOREIGN, .text = "no"});
    wire_put(w, PEER_FRAME_REFUSED, (struct cor_bytes){scratch, refusal.used});
    wire_put(w, PEER_FRAME_WELCOME, (struct cor_bytes){0});
    wire_put(w, PEER_FRAME_PING, (struct cor_bytes){0});
    struct cor_raft_message m = {.type = COR_RAFT_MSG_READ_REPLY,
                                 .from = 0x0102030405060708,
                                 .to = 2,
                                 .reject = true,
                                 .lease = true,
                                 .term = 1,
                                 .match = 128,
                                 .received = 3,
                                 .context = 4,
                                 .index = 5};
    wire_put(w, PEER_FRAME_MESSAGE, encoded(&m));
    put_append(w);
    struct peer_request q = {.id = 7, .kind = 1, .flags = 2, .timeout = 5000000000};
    struct writer request = writer_of(scratch, sizeof scratch);
    peer_request_encode_head(&request, &q);
    writer_bytes(&request, text("body"));
    wire_put(w, PEER_FRAME_REQUEST, (struct cor_bytes){scratch, request.used});
    q = (struct peer_request){.id = 7, .kind = 1, .status = COR_EBUSY};
    request = writer_of(scratch, sizeof scratch);
    peer_request_encode_head(&request, &q);
    wire_put(w, PEER_FRAME_ANSWER, (struct cor_bytes){scratch, request.used});
    CHECK_BYTES(wire_bytes(w), ((struct cor_bytes){golden, n}));
    wire_free(w);
}

TEST_MAIN(TEST(every_message_comes_back_as_it_was), TEST(a_longest_message_fits),
          TEST(there_is_one_way_to_write_a_message), TEST(an_entry_comes_back_or_is_refused),
          TEST(the_length_of_an_entry_may_lie), TEST(a_request_comes_back_as_it_was),
          TEST(a_hello_comes_back_as_it_was),
          TEST(a_later_hello_with_more_at_its_end_is_understood),
          TEST(a_hello_without_a_common_version_still_says_which),
          TEST(a_malformed_hello_is_refused), TEST(a_name_has_at_most_63_bytes),
          TEST(a_refusal_is_a_sentence_for_a_terminal),
          TEST(the_golden_frames_still_mean_what_they_meant))
