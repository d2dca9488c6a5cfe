/*
 * codec.h - what members tell each other, as bytes; docs/wire.md has the tables.
 *
 * Place in the system: peers.c encodes into the frames of frame.c, conn.c decodes what arrived in
 * them. Nothing here allocates, and views in what was decoded borrow from the input.
 *
 * There is one way to write each value (fields that are 0 are absent, numbers are as short as they can
 * be, nothing may follow), so what decodes encodes to the same bytes; fuzz/peer_frame_fuzz.c holds us
 * to it. The hello is the exception: its first bytes never change, and a later version may add fields
 * at its end, so that two versions can always tell each other why they part.
 */
#ifndef PEER_CODEC_H
#define PEER_CODEC_H

#include "base/reader.h"
#include "base/writer.h"
#include "peer/peer.h"

#define PEER_HELLO_MAGIC    0x6c637263u /* "crcl" */
#define PEER_HELLO_SIZE_MAX 1024u
#define PEER_REASON_MAX     255u /* bytes of a refusal's sentence */
/* type, flags, two bytes of field mask, from, to, and at most 11 varints. */
#define PEER_MESSAGE_SIZE_MAX (4u + 2u * 8u + 11u * VARINT_SIZE_MAX)
/* term, type, length, checksum: what an entry adds to its payload, at least and at most. */
#define PEER_ENTRY_HEAD_MIN   (1u + 1u + 1u + 8u)
#define PEER_ENTRY_HEAD_MAX   (VARINT_SIZE_MAX + 5u + 5u + 8u)
#define PEER_REQUEST_HEAD_MAX (VARINT_SIZE_MAX + 2u + 3u + VARINT_SIZE_MAX)

/* What a connection carries. The dialer chooses; the other side says NONE in its hello. */
enum peer_role {
    PEER_ROLE_NONE = 0,
    PEER_ROLE_CONTROL = 1,
    PEER_ROLE_DATA = 2,
};
#define PEER_N_ROLES 2u

/* A hello, and what of it concerns the one connection it came on. */
struct peer_greeting {
    struct peer_hello hello;
    uint8_t role;     /* enum peer_role */
    uint64_t attempt; /* the dialer's, the same on the two connections of a pair */
};

enum peer_greeting_result {
    PEER_GREETING_OK = 1,
    PEER_GREETING_MALFORMED,
    PEER_GREETING_FOREIGN, /* only protocol_min and protocol_max are set: no version in common */
};

void peer_greeting_encode(struct writer *w, const struct peer_greeting *g);
enum peer_greeting_result peer_greeting_decode(struct cor_bytes in, struct peer_greeting *out);

void peer_refusal_encode(struct writer *w, const struct cor_error *reason);
MUST_USE bool peer_refusal_decode(struct cor_bytes in, struct cor_error *out);

/* @m without entries, which follow an APPEND one by one. */
void peer_message_encode(struct writer *w, const struct cor_raft_message *m);
MUST_USE bool peer_message_decode(struct reader *r, struct cor_raft_message *out);

/* Everything of @e but its payload, which follows. */
void peer_entry_encode_head(struct writer *w, const struct peer_entry *e);
/* The payload borrows from the input; its checksum has been verified. */
MUST_USE bool peer_entry_decode(struct reader *r, struct peer_entry *out);

/* Everything of @q but its body, which is the rest. */
void peer_request_encode_head(struct writer *w, const struct peer_request *q);
MUST_USE bool peer_request_decode(struct cor_bytes in, struct peer_request *out);

#endif
