/*
 * frame.h - messages cut into frames, and frames put together again.
 *
 * Place in the system: conn.c feeds what a stream delivered to a frame_reader and gets whole messages;
 * peers.c and conn.c write messages through a frame_writer. Neither knows what a message means.
 *
 * A frame, little-endian:
 *
 *     offset size field
 *          0    4 length    of the payload, <= PEER_CHUNK
 *          4    1 type      enum peer_frame_type
 *          5    1 flags     bit 0: more frames of this message follow, of the same type
 *          6    2 group     0 (D17)
 *          8    8 checksum  hash64 of the payload, seeded with bytes 0 to 7 as a number
 *         16    n payload
 *
 * A reader takes what a stream delivers without copying where a message lies in it in one piece. Otherwise
 * it gathers: never more memory than twice what was received, whatever was announced, and none between
 * messages.
 */
#ifndef PEER_FRAME_H
#define PEER_FRAME_H

#include "base/attr.h"
#include "coracle/bytes.h"
#include "io/io.h"

#include <stdbool.h>
#include <stdint.h>

#define PEER_FRAME_HEADER 16u
#define PEER_CHUNK        (64u << 10) /* bytes of payload in one frame, at most */

enum peer_frame_type {
    PEER_FRAME_HELLO = 1,
    PEER_FRAME_REFUSED = 2,
    PEER_FRAME_WELCOME = 3, /* your hello is accepted */
    PEER_FRAME_PING = 4,
    PEER_FRAME_MESSAGE = 5, /* of the core, but APPEND */
    PEER_FRAME_APPEND = 6,
    PEER_FRAME_REQUEST = 7,
    PEER_FRAME_ANSWER = 8,
    PEER_N_FRAMES
};

/* What a connection takes, by type. */
struct peer_frame_rules {
    struct {
        bool allowed;
        uint32_t message_max; /* bytes of payload, all frames of a message together */
    } of[PEER_N_FRAMES];
};

/* ---- reading --------------------------------------------------------------------------------- */

enum peer_frame_result {
    PEER_FRAME_MORE = 0, /* all input is used up */
    PEER_FRAME_DONE,     /* a message is complete */
    PEER_FRAME_BAD_TYPE, /* unknown, or not allowed here */
    PEER_FRAME_BAD_SIZE, /* longer than allowed, or empty where more follows */
    PEER_FRAME_BAD_FLAGS,
    PEER_FRAME_BAD_GROUP,
    PEER_FRAME_BAD_CHECKSUM,
    PEER_FRAME_NO_MEMORY,
};

struct peer_frame_header {
    uint32_t length;
    uint8_t type, flags;
    uint16_t group;
    uint64_t checksum;
};

/* Zeroed before the first use. After a result from BAD_TYPE on, it takes nothing more. */
struct peer_frame_reader {
    unsigned char raw[PEER_FRAME_HEADER]; /* a header that arrived in pieces */
    uint8_t n_raw;
    bool in_frame;                   /* the header is complete, the payload is not */
    uint8_t message_type;            /* 0: between messages */
    uint32_t message_max;            /* of this message: the rules may change amid it */
    struct peer_frame_header header; /* if in_frame */
    unsigned char *gathered;         /* payload of the message so far; NULL: nothing */
    uint32_t used, room, frame_at;   /* frame_at: where the current frame's payload begins */
};

struct peer_frame_message {
    uint8_t type;
    struct cor_bytes payload; /* borrowed until the next call on the reader, or of the input */
};

/* Take the next message from *in, which is advanced past what was used. Call it until it says MORE: by
 * then memory that no unfinished message needs has been given back. */
enum peer_frame_result peer_frame_next(struct peer_frame_reader *f,
                                       const struct peer_frame_rules *rules,
                                       struct cor_bytes *in, struct peer_frame_message *out);
void peer_frame_deinit(struct peer_frame_reader *f);
const char *peer_frame_result_text(enum peer_frame_result result);

/* ---- writing --------------------------------------------------------------------------------- */

/* Header and payload of the frame in the making: one for all connections of a node. */
struct peer_frame_stage {
    unsigned char bytes[PEER_FRAME_HEADER + PEER_CHUNK];
};

/* A message on its way into a stream, cut into frames as it grows. */
struct peer_frame_writer {
    struct io_stream *stream;
    struct peer_frame_stage *stage;
    uint32_t used; /* bytes of payload in the stage */
    uint8_t type;
    enum cor_status st; /* of the first io_stream_send() that failed: the stream is lost */
    uint64_t sent;      /* bytes handed to the stream */
};

struct peer_frame_writer peer_frame_begin(struct io_stream *s, struct peer_frame_stage *stage,
                                          enum peer_frame_type type);
void peer_frame_put(struct peer_frame_writer *f, struct cor_bytes data);
/* Send what is left. */
void peer_frame_end(struct peer_frame_writer *f);

#endif
