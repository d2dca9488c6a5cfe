/* room: peer
 *
 * peer_frame_fuzz.c - what a peer may send, from the first byte of a frame to the last field of a message.
 *
 * The first byte chooses how the rest is used:
 *   bit 0   the rest is payload, to be framed here with the right checksums, so that decoders are reached:
 *           a list of pieces, each a type (one byte), a length (two bytes) and so many bytes
 *           otherwise it is what arrived, as it is
 *   others  seed of the cuts
 * The bytes go through one reader whole and through another cut at random. Beyond "does not crash": both
 * give the same messages and end the same way; a reader never holds more than twice what it received,
 * and nothing between messages; and what decodes encodes to the same bytes.
 */
#include "base/assert.h"
#include "base/prng.h"
#include "peer/codec.h"
#include "peer/frame.h"

#include <stdlib.h>
#include <string.h>

#define GATHER_MIN   256u
#define MESSAGES_MAX 64u
#define WIRE_MAX     (1u << 20)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* ---- what came out -------------------------------------------------------------------------------- */

struct heard {
    struct {
        uint8_t type;
        size_t len;
        unsigned char *bytes;
    } messages[MESSAGES_MAX];
    unsigned n;
    enum peer_frame_result end;
};

static void keep(struct heard *h, const struct peer_frame_message *m)
{
    if (h->n < MESSAGES_MAX) {
        unsigned char *copy = malloc(m->payload.len + 1);
        COR_ASSERT(copy != NULL);
        if (m->payload.len > 0) {
            memcpy(copy, m->payload.ptr, m->payload.len);
        }
        h->messages[h->n].type = m->type;
        h->messages[h->n].len = m->payload.len;
        h->messages[h->n].bytes = copy;
        h->n++;
    }
}

static const struct peer_frame_rules rules = {{
    [PEER_FRAME_HELLO] = {true, PEER_HELLO_SIZE_MAX},
    [PEER_FRAME_REFUSED] = {true, 2u + PEER_REASON_MAX},
    [PEER_FRAME_WELCOME] = {true, 0},
    [PEER_FRAME_PING] = {true, 0},
    [PEER_FRAME_MESSAGE] = {true, PEER_MESSAGE_SIZE_MAX},
    [PEER_FRAME_APPEND] = {true, PEER_MESSAGE_MAX},
    [PEER_FRAME_REQUEST] = {true, PEER_MESSAGE_MAX},
    [PEER_FRAME_ANSWER] = {true, PEER_MESSAGE_MAX},
}};

/* @cuts NULL: in one piece. */
static struct heard read_all(struct cor_bytes in, struct prng *cuts)
{
    struct heard h = {.end = PEER_FRAME_MORE};
    struct peer_frame_reader f = {0};
    size_t received = 0;
    while (in.len > 0 && h.end == PEER_FRAME_MORE) {
        size_t n = cuts == NULL ? in.len : 1 + (size_t)prng_below(cuts, 1000);
        n = n < in.len ? n : in.len;
        unsigned char *piece = malloc(n);
        COR_ASSERT(piece != NULL);
        memcpy(piece, in.ptr, n);
        struct cor_bytes rest = {piece, n};
        struct peer_frame_message m;
        received += n;
        while ((h.end = peer_frame_next(&f, &rules, &rest, &m)) == PEER_FRAME_DONE) {
            keep(&h, &m);
            COR_ASSERT(f.room <= GATHER_MIN || f.room <= 2 * received);
        }
        COR_ASSERT(f.room <= GATHER_MIN || f.room <= 2 * received);
        COR_ASSERT(f.message_type != 0 || f.gathered == NULL || h.end > PEER_FRAME_DONE);
        COR_ASSERT(h.end != PEER_FRAME_MORE || rest.len == 0);
        free(piece);
        in = (struct cor_bytes){in.ptr + n, in.len - n};
    }
    peer_frame_deinit(&f);
    return h;
}

/* ---- what it means ----------------------------------------------------------------------------------- */

static void check_equal(struct cor_bytes in, const struct writer *w)
{
    COR_ASSERT(writer_ok(w) && w->used == in.len);
    COR_ASSERT(in.len == 0 || memcmp(w->base, in.ptr, in.len) == 0);
}

static void check_message(struct cor_bytes in, unsigned char *out)
{
    struct reader r = reader_of(in);
    struct cor_raft_message m;
    struct writer w = writer_of(out, in.len);
    if (!peer_message_decode(&r, &m)) {
        return;
    }
    peer_message_encode(&w, &m);
    COR_ASSERT(w.used == (size_t)(r.at - in.ptr) && w.used <= PEER_MESSAGE_SIZE_MAX);
    for (uint32_t i = 0; i < m.n_entries && r.at < r.end; i++) {
        struct peer_entry e;
        if (!peer_entry_decode(&r, &e)) {
            return;
        }
        peer_entry_encode_head(&w, &e);
        writer_bytes(&w, e.payload);
    }
    check_equal((struct cor_bytes){in.ptr, (size_t)(r.at - in.ptr)}, &w);
}

static void check_request(struct cor_bytes in, unsigned char *out)
{
    struct peer_request q;
    struct writer w = writer_of(out, in.len);
    if (peer_request_decode(in, &q)) {
        peer_request_encode_head(&w, &q);
        COR_ASSERT(w.used <= PEER_REQUEST_HEAD_MAX);
        writer_bytes(&w, q.body);
        check_equal(in, &w);
    }
}

#define HELLO_SPARE 7u /* magic, two protocol numbers, role; then a byte that is 0 today */

/* A hello of ours comes back; one of a later version may be longer, and comes back as far as we know. */
static void check_hello(struct cor_bytes in, unsigned char *out)
{
    struct peer_greeting g;
    struct peer_greeting again;
    enum peer_greeting_result result = peer_greeting_decode(in, &g);
    if (result == PEER_GREETING_OK) {
        struct writer w = writer_of(out, PEER_HELLO_SIZE_MAX);
        peer_greeting_encode(&w, &g);
        COR_ASSERT(writer_ok(&w) && w.used <= in.len);
        COR_ASSERT(peer_greeting_decode((struct cor_bytes){out, w.used}, &again) == result);
        unsigned char twice[PEER_HELLO_SIZE_MAX];
        struct writer v = writer_of(twice, sizeof twice);
        peer_greeting_encode(&v, &again);
        check_equal((struct cor_bytes){out, w.used}, &v);
        /* Up to the authenticator, but for the byte that is kept for later versions. */
        COR_ASSERT(memcmp(out, in.ptr, HELLO_SPARE) == 0);
        COR_ASSERT(memcmp(out + HELLO_SPARE + 1, in.ptr + HELLO_SPARE + 1,
                          w.used - 2 - HELLO_SPARE - 1) == 0);
    }
}

static void check_refusal(struct cor_bytes in)
{
    struct cor_error why;
    if (peer_refusal_decode(in, &why)) {
        COR_ASSERT(strlen(why.text) <= PEER_REASON_MAX);
        for (const char *c = why.text; *c != '\0'; c++) {
            COR_ASSERT((unsigned char)*c >= ' ' && *c != 0x7f);
        }
    }
}

static void check_meaning(uint8_t type, struct cor_bytes in)
{
    unsigned char *out = malloc(in.len + PEER_HELLO_SIZE_MAX);
    COR_ASSERT(out != NULL);
    switch (type) {
    case PEER_FRAME_HELLO:
        check_hello(in, out);
        break;
    case PEER_FRAME_REFUSED:
        check_refusal(in);
        break;
    case PEER_FRAME_MESSAGE:
    case PEER_FRAME_APPEND:
        check_message(in, out);
        break;
    case PEER_FRAME_REQUEST:
    case PEER_FRAME_ANSWER:
        check_request(in, out);
        break;
    default:
        COR_ASSERT(in.len == 0);
    }
    free(out);
}

/* ---- what arrives --------------------------------------------------------------------------------------- */

struct wire {
    struct io io;
    struct io_stream stream;
    unsigned char bytes[WIRE_MAX];
    size_t used;
};

static enum cor_status wire_send(struct io_stream *s, struct cor_bytes data)
{
    struct wire *w = CONTAINER_OF(s, struct wire, stream);
    if (w->used + data.len > sizeof w->bytes) {
        return COR_ENOMEM;
    }
    memcpy(w->bytes + w->used, data.ptr, data.len);
    w->used += data.len;
    return COR_OK;
}

static const struct io_ops wire_ops = {.stream_send = wire_send};
static struct wire wire;
static struct peer_frame_stage stage;

static struct cor_bytes frame_pieces(struct cor_bytes in)
{
    struct reader r = reader_of(in);
    wire.io.ops = &wire_ops;
    wire.stream.io = &wire.io;
    wire.used = 0;
    while (reader_ok(&r) && r.at < r.end) {
        uint8_t type = reader_u8(&r);
        uint64_t n = reader_u16(&r);
        uint64_t left = (uint64_t)(r.end - r.at);
        struct cor_bytes piece = reader_bytes(&r, n < left ? n : left);
        struct peer_frame_writer f =
            peer_frame_begin(&wire.stream, &stage, type % PEER_N_FRAMES);
        for (unsigned i = 0; i <= type / 64u; i++) { /* some of them in several frames */
            peer_frame_put(&f, piece);
        }
        peer_frame_end(&f);
    }
    return (struct cor_bytes){wire.bytes, wire.used};
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct cor_bytes in = {data + 1, size - 1};
    struct prng cuts = {data[0]};
    in = (data[0] & 1) != 0 ? frame_pieces(in) : in;
    struct heard whole = read_all(in, NULL);
    struct heard cut = read_all(in, &cuts);
    COR_ASSERT(whole.n == cut.n && whole.end == cut.end);
    for (unsigned i = 0; i < whole.n; i++) {
        size_t len = whole.messages[i].len;
        COR_ASSERT(whole.messages[i].type == cut.messages[i].type);
        COR_ASSERT(len == cut.messages[i].len);
        COR_ASSERT(memcmp(whole.messages[i].bytes, cut.messages[i].bytes, len) == 0);
        check_meaning(whole.messages[i].type, (struct cor_bytes){whole.messages[i].bytes, len});
        free(whole.messages[i].bytes);
        free(cut.messages[i].bytes);
    }
    return 0;
}
