/* note.c - see note.h. */
#include "goraft/note.h"

#include "base/reader.h"

#include <string.h>

#define VERSION 1u

static const struct cor_bytes magic = COR_BYTES_INIT("goraft");

void goraft_note_write(struct writer *w, const struct goraft_note *note)
{
    writer_bytes(w, magic);
    writer_u8(w, VERSION);
    writer_u8(w, note->kind);
    if (note->kind == GORAFT_NOTE_AS_PUT) {
        writer_varint(w, note->index);
        writer_varint(w, note->term);
    }
    if (note->kind == GORAFT_NOTE_FILE) {
        writer_blob(w, note->name);
        writer_varint(w, note->offset);
        writer_varint(w, note->size);
    }
    writer_bytes(w, note->bytes);
}

static bool is_sound(const struct goraft_note *n)
{
    switch ((enum goraft_note_kind)n->kind) {
    case GORAFT_NOTE_AS_PUT:
    case GORAFT_NOTE_STATE:
        return n->bytes.len == 0;
    case GORAFT_NOTE_RECORD:
        return n->bytes.len > 0;
    case GORAFT_NOTE_FILE:
        return n->name.len > 0 && n->name.len <= GORAFT_NAME_MAX && n->offset <= n->size &&
               n->bytes.len <= n->size - n->offset;
    }
    return false;
}

bool goraft_note_read(struct cor_bytes in, struct goraft_note *out)
{
    struct reader r = reader_of(in);
    struct cor_bytes begin = reader_bytes(&r, magic.len);
    bool ours = begin.ptr != NULL && memcmp(begin.ptr, magic.ptr, magic.len) == 0;
    if (!ours || reader_u8(&r) != VERSION) {
        return false;
    }
    *out = (struct goraft_note){.kind = reader_u8(&r)};
    if (out->kind == GORAFT_NOTE_AS_PUT) {
        out->index = reader_varint(&r);
        out->term = reader_varint(&r);
    }
    if (out->kind == GORAFT_NOTE_FILE) {
        out->name = reader_blob(&r);
        out->offset = reader_varint(&r);
        out->size = reader_varint(&r);
    }
    if (!reader_ok(&r)) {
        return false;
    }
    out->bytes = (struct cor_bytes){r.at, (size_t)(r.end - r.at)};
    return is_sound(out);
}
