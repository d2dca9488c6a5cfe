/*
 * reader.h - read fixed-width little-endian fields from bytes nobody vouches for.
 *
 * The reader remembers its first failure and reads zeros from then on, so a decoder is a
 * straight list of fields with one question at the end ("reader_ok?") instead of a branch
 * after every field. The bounds check lives in one function, reader_skip(), and nowhere else.
 *
 * Views returned by reader_bytes() borrow from the input: they live as long as it does.
 */
#ifndef BASE_READER_H
#define BASE_READER_H

#include "coracle/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct reader {
    const unsigned char *at, *end;
    bool failed;
};

struct reader reader_of(struct cor_bytes in);
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
/* Base-128, least significant group first. More than ten bytes, bits beyond the 64th, or a
 * needless last zero group fail: there is one way to write a number. */
uint64_t reader_varint(struct reader *r);
/* A varint length, then that many bytes. */
struct cor_bytes reader_blob(struct reader *r);
struct cor_bytes reader_bytes(struct reader *r, uint64_t len); /* @len as read off the wire */

/* True when every read so far was inside the input. */
bool reader_ok(const struct reader *r);
/* True when reader_ok() and nothing is left over: trailing garbage is an error too. */
bool reader_done(const struct reader *r);

#endif
