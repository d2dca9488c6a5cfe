/*
 * record.h - one record of a goraft log file, and the commands in it, as bytes.
 *
 * Place in the system: import.c reads them, export.c writes them. Facts: docs/goraft.md.
 *
 *     record  := length payload     length: "%8x\n", padded with spaces on the left; 9 bytes
 *     payload := a protobuf (proto2) message: 1 Index u64, 2 Term u64, 3 CommandName string,
 *                4 Command bytes (not there at all for raft:nop)
 *
 * Read with a reader of our own instead of protobuf-c: it is one flat message of four fields, its views
 * borrow from the input, and it needs no memory, so there is nothing to bound. As protobuf demands it takes
 * fields in any order, the last of several, and skips those it does not know.
 */
#ifndef GORAFT_RECORD_H
#define GORAFT_RECORD_H

#include "base/attr.h"
#include "base/writer.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stdbool.h>
#include <stdint.h>

#define GORAFT_HEADER_SIZE 9u

struct goraft_record {
    uint64_t index, term;
    struct cor_bytes
        name; /* "raft:join", "raft:leave", "raft:nop", "write"; or what a program chose */
    bool has_command;
    struct cor_bytes command;
};

/* The record at the beginning of @in; *size is how long it is. COR_OK; COR_EPROTO: @err says why it is
 * none. */
MUST_USE enum cor_status goraft_record_read(struct cor_bytes in, struct goraft_record *out,
                                            size_t *size, struct cor_error *err);
/* As goraft writes it. */
void goraft_record_write(struct writer *w, const struct goraft_record *r);

bool goraft_name_is(struct cor_bytes name, const char *what);

/* ---- commands ------------------------------------------------------------------------------------- */

/* {"key":"...","value":"..."} and a line end, as Go's encoder writes it: key and value are UTF-8. */
void goraft_write_encode(struct writer *w, struct cor_bytes key, struct cor_bytes value);
/* The same in memory that is the caller's: free(). NULL: there is none. */
MUST_USE unsigned char *goraft_write_new(struct cor_bytes key, struct cor_bytes value,
                                         size_t *len);
/* {"name":"...","connectionString":"..."} and a line end. */
void goraft_join_encode(struct writer *w, struct cor_bytes name, struct cor_bytes address);

/* A "write" command, read. The bytes live as long as @document, which is the caller's: json_free(). */
struct json_value;
struct goraft_write {
    struct json_value *document;
    struct cor_bytes key, value;
};
/* COR_OK; COR_EPROTO; COR_ENOMEM, COR_ETOOBIG. */
MUST_USE enum cor_status goraft_write_decode(struct cor_bytes command, struct goraft_write *out,
                                             struct cor_error *err);

#endif
