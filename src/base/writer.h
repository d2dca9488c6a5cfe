/*
 * writer.h - write little-endian fields and varints into a fixed buffer.
 *
 * The counterpart of reader.h: the writer remembers that it ran out of room and writes nothing
 * from then on, so an encoder is a straight list of fields with one question at the end. With
 * @at == NULL it only counts, which is how an encoder learns its own size.
 */
#ifndef BASE_WRITER_H
#define BASE_WRITER_H

#include "coracle/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define VARINT_SIZE_MAX 10u

struct writer {
    unsigned char *base; /* NULL: count only */
    size_t used, size;   /* bytes */
    bool failed;
};

struct writer writer_of(void *base, size_t size);
struct writer writer_counting(void);
void writer_u8(struct writer *w, uint8_t v);
void writer_u16(struct writer *w, uint16_t v);
void writer_u32(struct writer *w, uint32_t v);
void writer_u64(struct writer *w, uint64_t v);
/* Base-128, least significant group first; at most VARINT_SIZE_MAX bytes. */
void writer_varint(struct writer *w, uint64_t v);
void writer_bytes(struct writer *w, struct cor_bytes b);
/* A varint length, then the bytes: reader_blob() reads it back. */
void writer_blob(struct writer *w, struct cor_bytes b);
bool writer_ok(const struct writer *w);
size_t varint_size(uint64_t v);

#endif
