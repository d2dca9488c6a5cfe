/*
 * wire.h - a stream that only remembers what was sent: frames as bytes, for the tests of frame.c and codec.c.
 */
#ifndef TESTS_PEER_WIRE_H
#define TESTS_PEER_WIRE_H

#include "base/assert.h"
#include "peer/codec.h"
#include "peer/frame.h"

#include <stdlib.h>
#include <string.h>

struct wire {
    struct io io;
    struct io_stream stream; /* what a writer writes into */
    unsigned char *bytes;
    size_t used, room;
    struct peer_frame_stage stage;
};

static inline enum cor_status wire_send(struct io_stream *s, struct cor_bytes data)
{
    struct wire *w = CONTAINER_OF(s, struct wire, stream);
    if (w->used + data.len > w->room) {
        w->room = 2 * (w->used + data.len);
        w->bytes = realloc(w->bytes, w->room);
        COR_ASSERT(w->bytes != NULL);
    }
    memcpy(w->bytes + w->used, data.ptr, data.len);
    w->used += data.len;
    return COR_OK;
}

static const struct io_ops wire_ops = {.stream_send = wire_send};

static inline struct wire *wire_new(void)
{
    struct wire *w = calloc(1, sizeof *w);
    COR_ASSERT(w != NULL);
    w->io.ops = &wire_ops;
    w->stream.io = &w->io;
    return w;
}

static inline void wire_free(struct wire *w)
{
    free(w->bytes);
    free(w);
}

/* One message. */
static inline void wire_put(struct wire *w, enum peer_frame_type type, struct cor_bytes payload)
{
    struct peer_frame_writer f = peer_frame_begin(&w->stream, &w->stage, type);
    peer_frame_put(&f, payload);
    peer_frame_end(&f);
}

static inline struct cor_bytes wire_bytes(const struct wire *w)
{
    return (struct cor_bytes){w->bytes, w->used};
}

#endif
