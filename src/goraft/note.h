/*
 * note.h - what an import keeps in the log so that an export can give it back: the bytes of a KV_OP_NOTE.
 *
 * Place in the system: import.c writes notes, export.c and article.c read them; kv/ never looks inside.
 *
 *     note := "goraft" u8 version (1) u8 kind, then by kind:
 *         AS_PUT   varint index, varint term: the record is what goraft writes for the put beside this note
 *         RECORD   the record as it was, header included
 *         STATE    nothing: the puts beside it come from a snapshot, not from a record
 *         FILE     blob name, varint offset, varint size of the file, the bytes from offset on
 */
#ifndef GORAFT_NOTE_H
#define GORAFT_NOTE_H

#include "base/attr.h"
#include "base/writer.h"
#include "coracle/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define GORAFT_NAME_MAX 63u /* bytes in the name of a file that is kept */

enum goraft_note_kind {
    GORAFT_NOTE_AS_PUT = 1,
    GORAFT_NOTE_RECORD = 2,
    GORAFT_NOTE_STATE = 3,
    GORAFT_NOTE_FILE = 4,
};

struct goraft_note {
    uint8_t kind;
    uint64_t index, term;   /* AS_PUT */
    struct cor_bytes bytes; /* RECORD, FILE */
    struct cor_bytes name;  /* FILE */
    uint64_t offset, size;  /* FILE */
};

void goraft_note_write(struct writer *w, const struct goraft_note *note);
/* False: not one of ours. */
MUST_USE bool goraft_note_read(struct cor_bytes in, struct goraft_note *out);

#endif
