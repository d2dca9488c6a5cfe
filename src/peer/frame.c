/*
 * frame.c - the reader and the writer of frames. See frame.h for the format.
 *
 * The reader has two ways. If nothing was gathered and a whole message of one frame lies in the input, the
 * message is a view of the input. Otherwise payload is copied to the memory of the message, frame after
 * frame; each frame is verified when its last byte is there, before the next one is looked at.
 */
#include "peer/frame.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/reader.h"
#include "base/writer.h"

#include <stdlib.h>
#include <string.h>

#define FLAG_MORE   1u
#define GATHER_MIN  256u /* bytes: the smallest piece of memory for a message */
#define CHECKSUM_AT 8u   /* offset in the header */
#define HEADER_SEED(h)                                                                         \
    ((uint64_t)(h)->length | (uint64_t)(h)->type << 32 | (uint64_t)(h)->flags << 40 |          \
     (uint64_t)(h)->group << 48)

/* ---- reading --------------------------------------------------------------------------------- */

static struct peer_frame_header decode_header(const unsigned char *raw)
{
    struct reader r = reader_of((struct cor_bytes){raw, PEER_FRAME_HEADER});
    struct peer_frame_header h;
    h.length = reader_u32(&r);
    h.type = reader_u8(&r);
    h.flags = reader_u8(&r);
    h.group = reader_u16(&r);
    h.checksum = reader_u64(&r);
    COR_ASSERT(reader_done(&r));
    return h;
}

/* May this header come now? Everything is checked before a byte of payload is taken. */
static enum peer_frame_result check_header(const struct peer_frame_reader *f,
                                           const struct peer_frame_rules *rules,
                                           const struct peer_frame_header *h)
{
    if (h->type >= PEER_N_FRAMES || !rules->of[h->type].allowed ||
        (f->message_type != 0 && f->message_type != h->type)) {
        return PEER_FRAME_BAD_TYPE;
    }
    if ((h->flags & ~FLAG_MORE) != 0) {
        return PEER_FRAME_BAD_FLAGS;
    }
    if (h->group != 0) {
        return PEER_FRAME_BAD_GROUP;
    }
    bool more = (h->flags & FLAG_MORE) != 0;
    if (h->length > PEER_CHUNK || (more && h->length == 0) ||
        h->length > (f->message_type != 0 ? f->message_max : rules->of[h->type].message_max) -
                        f->used) {
        return PEER_FRAME_BAD_SIZE;
    }
    return PEER_FRAME_DONE;
}

/* Take bytes until the header is complete. False: the input ended before that. */
static bool take_header(struct peer_frame_reader *f, struct cor_bytes *in)
{
    size_t n = PEER_FRAME_HEADER - f->n_raw;
    n = n < in->len ? n : in->len;
    if (n > 0) {
        memcpy(f->raw + f->n_raw, in->ptr, n);
        *in = (struct cor_bytes){in->ptr + n, in->len - n};
    }
    f->n_raw = (uint8_t)(f->n_raw + n);
    return f->n_raw == PEER_FRAME_HEADER;
}

/* Room for @n more bytes, which have arrived: so memory stays within twice of what was received. */
static bool make_room(struct peer_frame_reader *f, uint32_t n)
{
    uint32_t need = f->used + n;
    COR_ASSERT(need <= f->message_max && f->message_max <= UINT32_MAX / 2);
    if (need <= f->room) {
        return true;
    }
    uint32_t room = 2 * need;
    room = room > f->message_max ? f->message_max : room;
    room = room < GATHER_MIN ? GATHER_MIN : room;
    unsigned char *grown = realloc(f->gathered, room);
    if (grown == NULL) {
        return false;
    }
    f->gathered = grown;
    f->room = room;
    return true;
}

static bool is_intact(const struct peer_frame_header *h, const unsigned char *payload)
{
    return hash64_seed((struct cor_bytes){payload, h->length}, HEADER_SEED(h)) == h->checksum;
}

/* The payload of the current frame, or a part of it, is in *in. */
static enum peer_frame_result gather(struct peer_frame_reader *f, struct cor_bytes *in)
{
    uint32_t missing = f->header.length - (f->used - f->frame_at);
    uint32_t n = in->len < missing ? (uint32_t)in->len : missing;
    if (!make_room(f, n)) {
        return PEER_FRAME_NO_MEMORY;
    }
    if (n > 0) {
        memcpy(f->gathered + f->used, in->ptr, n);
        *in = (struct cor_bytes){in->ptr + n, in->len - n};
    }
    f->used += n;
    if (n < missing) {
        return PEER_FRAME_MORE;
    }
    return is_intact(&f->header, f->gathered + f->frame_at) ? PEER_FRAME_DONE
                                                            : PEER_FRAME_BAD_CHECKSUM;
}

/* The current frame is complete at @payload, which is where the message so far is if it was gathered. */
static enum peer_frame_result finish_frame(struct peer_frame_reader *f,
                                           struct cor_bytes message,
                                           struct peer_frame_message *out)
{
    f->in_frame = false;
    f->n_raw = 0;
    f->frame_at = f->used;
    if ((f->header.flags & FLAG_MORE) != 0) {
        return PEER_FRAME_MORE;
    }
    *out = (struct peer_frame_message){.type = f->message_type, .payload = message};
    f->message_type = 0;
    f->used = f->frame_at = 0;
    return PEER_FRAME_DONE;
}

/* One frame, or what there is of it. MORE: the input ended, or more frames of the message follow. */
static enum peer_frame_result take_frame(struct peer_frame_reader *f,
                                         const struct peer_frame_rules *rules,
                                         struct cor_bytes *in, struct peer_frame_message *out)
{
    if (!f->in_frame) {
        if (!take_header(f, in)) {
            return PEER_FRAME_MORE;
        }
        f->header = decode_header(f->raw);
        enum peer_frame_result ok = check_header(f, rules, &f->header);
        if (ok != PEER_FRAME_DONE) {
            return ok;
        }
        if (f->message_type == 0) {
            f->message_max = rules->of[f->header.type].message_max;
        }
        f->in_frame = true;
        f->message_type = f->header.type;
    }
    bool more = (f->header.flags & FLAG_MORE) != 0;
    if (f->used == 0 && !more && in->len >= f->header.length) {
        struct cor_bytes view = {in->ptr, f->header.length};
        *in = (struct cor_bytes){in->ptr + view.len, in->len - view.len};
        return is_intact(&f->header, view.ptr) ? finish_frame(f, view, out)
                                               : PEER_FRAME_BAD_CHECKSUM;
    }
    enum peer_frame_result ok = gather(f, in);
    if (ok != PEER_FRAME_DONE) {
        return ok;
    }
    return finish_frame(f, (struct cor_bytes){f->gathered, f->used}, out);
}

static void release(struct peer_frame_reader *f)
{
    COR_ASSERT(f->used == 0);
    free(f->gathered);
    f->gathered = NULL;
    f->room = 0;
}

enum peer_frame_result peer_frame_next(struct peer_frame_reader *f,
                                       const struct peer_frame_rules *rules,
                                       struct cor_bytes *in, struct peer_frame_message *out)
{
    if (f->message_type == 0) {
        release(f); /* the last message was borrowed until now */
    }
    enum peer_frame_result result;
    do {
        result = take_frame(f, rules, in, out);
    } while (result == PEER_FRAME_MORE && in->len > 0);
    return result;
}

void peer_frame_deinit(struct peer_frame_reader *f)
{
    free(f->gathered);
    *f = (struct peer_frame_reader){0};
}

const char *peer_frame_result_text(enum peer_frame_result result)
{
    switch (result) {
    case PEER_FRAME_MORE:
    case PEER_FRAME_DONE:
        return "in order";
    case PEER_FRAME_BAD_TYPE:
        return "a frame of a type that is unknown or not expected";
    case PEER_FRAME_BAD_SIZE:
        return "a frame longer than allowed";
    case PEER_FRAME_BAD_FLAGS:
        return "a frame with unknown flags";
    case PEER_FRAME_BAD_GROUP:
        return "a frame of a group that is not served here";
    case PEER_FRAME_BAD_CHECKSUM:
        return "a frame that fails its checksum";
    case PEER_FRAME_NO_MEMORY:
        return "no memory for a message";
    }
    return "unknown";
}

/* ---- writing --------------------------------------------------------------------------------- */

struct peer_frame_writer peer_frame_begin(struct io_stream *s, struct peer_frame_stage *stage,
                                          enum peer_frame_type type)
{
    return (struct peer_frame_writer){.stream = s, .stage = stage, .type = (uint8_t)type};
}

static void send_frame(struct peer_frame_writer *f, bool more)
{
    unsigned char *raw = f->stage->bytes;
    struct peer_frame_header h = {
        .length = f->used, .type = f->type, .flags = more ? FLAG_MORE : 0};
    struct writer w = writer_of(raw, PEER_FRAME_HEADER);
    writer_u32(&w, h.length);
    writer_u8(&w, h.type);
    writer_u8(&w, h.flags);
    writer_u16(&w, h.group);
    writer_u64(&w, hash64_seed((struct cor_bytes){raw + PEER_FRAME_HEADER, h.length},
                               HEADER_SEED(&h)));
    COR_ASSERT(writer_ok(&w) && w.used == PEER_FRAME_HEADER);

    size_t size = PEER_FRAME_HEADER + f->used;
    if (f->st == COR_OK) {
        f->st = io_stream_send(f->stream, (struct cor_bytes){raw, size});
        f->sent += size;
    }
    f->used = 0;
}

void peer_frame_put(struct peer_frame_writer *f, struct cor_bytes data)
{
    while (data.len > 0) {
        if (f->used == PEER_CHUNK) {
            send_frame(f, true);
        }
        size_t n = PEER_CHUNK - f->used;
        n = n < data.len ? n : data.len;
        memcpy(f->stage->bytes + PEER_FRAME_HEADER + f->used, data.ptr, n);
        f->used += (uint32_t)n;
        data = (struct cor_bytes){data.ptr + n, data.len - n};
    }
}

void peer_frame_end(struct peer_frame_writer *f)
{
    send_frame(f, false);
}
