/*
 * export.c - entries of our log become a goraft directory.
 *
 * A log that was imported gives back its records as they were; what was written to it since follows under the next
 * indexes. A log of our own begins with the raft:join that raftd would have written, because goraft learns from the log
 * who its members are. Terms are one lower than ours, as import.c makes them one higher.
 */
#include "goraft/goraft.h"

#include "base/assert.h"
#include "base/error.h"
#include "goraft/express.h"

#include <stdlib.h>
#include <string.h>

static struct cor_bytes text_of(const char *s)
{
    return (struct cor_bytes){(const unsigned char *)s, strlen(s)};
}

/* ---- records ---------------------------------------------------------------------------------------- */

static enum cor_status write_record(struct goraft_export *x, const struct goraft_record *r)
{
    struct writer size = writer_counting();
    goraft_record_write(&size, r);
    unsigned char *memory = malloc(size.used);
    if (memory == NULL) {
        return COR_ENOMEM;
    }
    struct writer w = writer_of(memory, size.used);
    goraft_record_write(&w, r);
    COR_ASSERT(writer_ok(&w));
    enum cor_status st = x->log(x->arg, (struct cor_bytes){memory, w.used});
    free(memory);
    x->last = r->index;
    x->last_term = r->term;
    return st;
}

/* A write of @key, as entry @index of @term. */
static enum cor_status write_put(struct goraft_export *x, uint64_t index, uint64_t term,
                                 const struct goraft_expressed *put)
{
    size_t len;
    unsigned char *command = goraft_write_new(put->key, put->value, &len);
    if (command == NULL) {
        return COR_ENOMEM;
    }
    enum cor_status st =
        write_record(x, &(struct goraft_record){.index = index,
                                                .term = term,
                                                .name = COR_BYTES_INIT("write"),
                                                .has_command = true,
                                                .command = {command, len}});
    free(command);
    return st;
}

static enum cor_status write_join(struct goraft_export *x, uint64_t term)
{
    unsigned char memory[1024];
    struct writer w = writer_of(memory, sizeof memory);
    goraft_join_encode(&w, text_of(x->name), text_of(x->address));
    if (!writer_ok(&w)) {
        return COR_ETOOBIG;
    }
    return write_record(x, &(struct goraft_record){.index = x->last + 1,
                                                   .term = term,
                                                   .name = COR_BYTES_INIT("raft:join"),
                                                   .has_command = true,
                                                   .command = {memory, w.used}});
}

/* ---- entries ------------------------------------------------------------------------------------------- */

static enum cor_status give_back(struct goraft_export *x, const struct goraft_expressed *what)
{
    const struct goraft_note *note = &what->note;
    struct goraft_record r;
    size_t size;
    switch ((enum goraft_note_kind)note->kind) {
    case GORAFT_NOTE_AS_PUT:
        return write_put(x, note->index, note->term, what);
    case GORAFT_NOTE_FILE:
        return x->file(x->arg, note);
    case GORAFT_NOTE_STATE:
        return COR_OK;
    case GORAFT_NOTE_RECORD:
        break;
    }
    if (goraft_record_read(note->bytes, &r, &size, NULL) != COR_OK) {
        return COR_ECORRUPT;
    }
    x->last = r.index;
    x->last_term = r.term;
    return x->log(x->arg, note->bytes);
}

static enum cor_status write_own(struct goraft_export *x, const struct goraft_entry *e,
                                 const struct goraft_expressed *what)
{
    uint64_t term = e->term > 0 ? e->term - 1 : 0;
    enum cor_status st = COR_OK;
    if (!x->begun) {
        st = write_join(x, term);
        x->begun = true;
    }
    if (st != COR_OK) {
        return st;
    }
    if (what->word == GORAFT_WRITE) {
        return write_put(x, x->last + 1, term, what);
    }
    return write_record(x, &(struct goraft_record){.index = x->last + 1,
                                                   .term = term,
                                                   .name = COR_BYTES_INIT("raft:nop")});
}

enum cor_status goraft_export_entry(struct goraft_export *x, const struct goraft_entry *e,
                                    struct cor_error *err)
{
    struct goraft_expressed what;
    goraft_express(e, &what);
    enum cor_status st;
    if (what.word == GORAFT_NO_WORD && x->lossy) {
        x->skipped++;
        return COR_OK;
    }
    if (what.word == GORAFT_NO_WORD) {
        return error_set(
            err, COR_EINVAL,
            "entry %llu cannot be expressed in goraft: %s. Give --lossy to skip such "
            "entries",
            (unsigned long long)e->index, what.why);
    }
    if (what.word == GORAFT_NOTED) {
        x->imported = x->begun = true;
        st = give_back(x, &what);
    } else {
        st = write_own(x, e, &what);
    }
    return st == COR_OK || (err != NULL && err->status == st && err->text[0] != '\0')
               ? st
               : error_set(err, st, "entry %llu: %s", (unsigned long long)e->index,
                           cor_status_text(st));
}

/* ---- the other files -------------------------------------------------------------------------------------- */

static enum cor_status write_file(struct goraft_export *x, const char *name, const char *text)
{
    struct cor_bytes bytes = text_of(text);
    return x->file(x->arg, &(struct goraft_note){.kind = GORAFT_NOTE_FILE,
                                                 .name = text_of(name),
                                                 .size = bytes.len,
                                                 .bytes = bytes});
}

/* raftd writes conf when a join is applied and at no other time, so it says 1 in a cluster of one. */
enum cor_status goraft_export_end(struct goraft_export *x)
{
    if (x->imported || !x->begun) {
        return COR_OK;
    }
    enum cor_status st = write_file(x, "conf", "{\"commitIndex\":1,\"peers\":[]}");
    return st == COR_OK ? write_file(x, "name", x->name) : st;
}
