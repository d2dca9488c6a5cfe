/*
 * import.c - a goraft directory becomes entries of our log.
 *
 * The entries that are handed over are, in this order: the state of the snapshot, if the log does not begin at 1;
 * one for each record; the other files. So where the log begins at 1, which is every directory of raftd, an entry
 * has the index that it had. Terms are one higher: goraft's first leader works in term 0.
 *
 * What a record says is applied when it is applied, like any entry: a write is a put, everything else a note. Nothing
 * is decided by what conf says is committed: goraft writes that at changes of membership only.
 */
#include "goraft/goraft.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"
#include "json/reader.h"
#include "kv/entry.h"

#include <stdlib.h>
#include <string.h>

#define TERM_MAX        (UINT64_MAX >> 1)
#define PIECE_MAX       ((size_t)1 << 20) /* bytes of a file in one note */
#define CONF_MEMORY_MAX (16u << 20)

/* Memory that grows to what is needed. */
struct room {
    unsigned char *base;
    size_t size;
};

struct importer {
    const struct goraft_import *o;
    struct goraft_imported *out;
    struct cor_error *err;
    struct cor_bytes log;
    size_t at;
    uint64_t term;     /* of the newest record */
    uint64_t state_to; /* the snapshot holds what entries up to here did; 0: none is used */
    struct room entry, scratch;
};

static void say(struct importer *m, enum goraft_verdict verdict, uint64_t index, size_t offset,
                const char *file, const char *text)
{
    m->o->say(m->o->arg, &(struct goraft_finding){verdict, index, offset, file, text});
}

static const struct goraft_file *find(const struct goraft_import *o, const char *name)
{
    for (size_t i = 0; i < o->n_files; i++) {
        if (strcmp(o->files[i].name, name) == 0) {
            return &o->files[i];
        }
    }
    return NULL;
}

static bool is_snapshot(const char *name)
{
    size_t len = strlen(name);
    return strncmp(name, "snapshot/", 9) == 0 && len > 12 && strcmp(name + len - 3, ".ss") == 0;
}

/* ---- handing over ---------------------------------------------------------------------------------- */

/* A writer of @size bytes in @room. False: out of memory. */
static bool begin(struct importer *m, struct room *room, size_t size, struct writer *w)
{
    if (size > room->size) {
        unsigned char *grown = realloc(room->base, size);
        if (grown == NULL) {
            (void)error_set(m->err, COR_ENOMEM, "not enough memory");
            return false;
        }
        *room = (struct room){grown, size};
    }
    *w = writer_of(room->base, size);
    return true;
}

/* An entry of @note and, if there is one, @put. */
static enum cor_status emit(struct importer *m, const struct goraft_note *note,
                            const struct kv_op *put)
{
    const struct entry_header header = {.dialect = ENTRY_DIALECT_RAFTD};
    struct writer n, w;
    size_t note_size = note->bytes.len + note->name.len + 64;
    size_t put_size = put == NULL ? 0 : put->range.key.len + put->value.len + 64;
    if (note_size + put_size > ENTRY_OPS_MAX) {
        return error_set(m->err, COR_ETOOBIG,
                         "entry %llu: a record of %zu bytes is more than one entry can hold",
                         (unsigned long long)m->out->last, note->bytes.len);
    }
    if (!begin(m, &m->scratch, note_size, &n) ||
        !begin(m, &m->entry, ENTRY_HEADER_SIZE_MAX + note_size + put_size, &w)) {
        return COR_ENOMEM;
    }
    goraft_note_write(&n, note);
    w.used = entry_header_encode(&header, w.base);
    kv_encode_txn_begin(&w, 0, put == NULL ? 1 : 2, 0);
    kv_encode_op(&w, &(struct kv_op){.kind = KV_OP_NOTE, .value = {n.base, n.used}});
    if (put != NULL) {
        kv_encode_op(&w, put);
    }
    COR_ASSERT(writer_ok(&n));
    COR_ASSERT(writer_ok(&w));
    m->out->entries++;
    return m->o->entry == NULL
               ? COR_OK
               : m->o->entry(m->o->arg, m->term + 1, (struct cor_bytes){w.base, w.used});
}

/* ---- records ------------------------------------------------------------------------------------------ */

static bool is_same(const struct writer *w, struct cor_bytes bytes)
{
    return writer_ok(w) && w->used == bytes.len && memcmp(w->base, bytes.ptr, bytes.len) == 0;
}

/* Whether goraft would have written these bytes for @r, which is @write. */
static bool is_plain(struct importer *m, const struct goraft_record *r, struct cor_bytes bytes,
                     const struct goraft_write *write)
{
    struct writer w;
    if (!begin(m, &m->scratch, bytes.len, &w)) {
        return false; /* then they are kept as they are */
    }
    goraft_record_write(&w, r);
    if (!is_same(&w, bytes)) {
        return false;
    }
    w = writer_of(w.base, r->command.len);
    goraft_write_encode(&w, write->key, write->value);
    return is_same(&w, r->command);
}

static enum cor_status keep(struct importer *m, const struct goraft_record *r,
                            struct cor_bytes bytes, size_t offset, const char *why)
{
    if (why != NULL) {
        say(m, GORAFT_KEPT, r->index, offset, "log", why);
    }
    m->out->others++;
    return emit(m, &(struct goraft_note){.kind = GORAFT_NOTE_RECORD, .bytes = bytes}, NULL);
}

static enum cor_status put(struct importer *m, const struct goraft_record *r,
                           struct cor_bytes bytes, const struct goraft_write *write)
{
    struct goraft_note note = {.kind = GORAFT_NOTE_RECORD, .bytes = bytes};
    if (is_plain(m, r, bytes, write)) {
        note = (struct goraft_note){
            .kind = GORAFT_NOTE_AS_PUT, .index = r->index, .term = r->term};
    }
    const struct kv_op op = {
        .kind = KV_OP_PUT, .range = {.key = write->key}, .value = write->value};
    if (op.value.len > KV_VALUE_MAX || op.range.key.len > KV_KEY_MAX) {
        return error_set(m->err, COR_ETOOBIG,
                         "entry %llu: a key of %zu and a value of %zu bytes; %u and %u are the "
                         "limits here",
                         (unsigned long long)r->index, op.range.key.len, op.value.len,
                         KV_KEY_MAX, KV_VALUE_MAX);
    }
    m->out->writes++;
    return emit(m, &note, &op);
}

static enum cor_status take_write(struct importer *m, const struct goraft_record *r,
                                  struct cor_bytes bytes, size_t offset)
{
    struct goraft_write write;
    struct cor_error why;
    enum cor_status st = goraft_write_decode(r->command, &write, &why);
    if (st == COR_ENOMEM || st == COR_ETOOBIG) {
        return error_set(m->err, st, "entry %llu: %s", (unsigned long long)r->index, why.text);
    }
    if (st != COR_OK) {
        (void)error_prefix(&why, "a write that cannot be read changes nothing, as in goraft");
        return keep(m, r, bytes, offset, why.text);
    }
    st = write.key.len == 0
             ? keep(m, r, bytes, offset, "a write without a key changes nothing here")
             : put(m, r, bytes, &write);
    json_free(write.document);
    return st;
}

static enum cor_status take_record(struct importer *m, const struct goraft_record *r,
                                   struct cor_bytes bytes, size_t offset)
{
    m->out->first = m->out->last == 0 ? r->index : m->out->first;
    m->out->last = r->index;
    m->out->last_term = m->term = r->term;
    if (r->index <= m->state_to) {
        return keep(m, r, bytes, offset, NULL);
    }
    if (goraft_name_is(r->name, "write")) {
        return take_write(m, r, bytes, offset);
    }
    bool known = goraft_name_is(r->name, "raft:join") ||
                 goraft_name_is(r->name, "raft:leave") || goraft_name_is(r->name, "raft:nop");
    return keep(m, r, bytes, offset,
                known ? NULL : "an unknown command changes nothing, as in goraft");
}

/* ---- damage --------------------------------------------------------------------------------------------- */

/* The record that may come next: no index is left out, no term goes back. */
static bool follows(const struct importer *m, const struct goraft_record *r)
{
    uint64_t before = m->out->last == 0 ? m->state_to : m->out->last;
    bool in_order =
        m->out->last == 0 ? r->index >= 1 && r->index <= before + 1 : r->index == before + 1;
    return in_order && r->term >= m->term && r->term < TERM_MAX;
}

/* The first record behind the damage at m->at that comes after the last one; false: there is none. */
static bool find_next(const struct importer *m, size_t *at, struct goraft_record *r)
{
    for (size_t i = m->at + 1; i < m->log.len; i++) {
        size_t size;
        struct cor_bytes rest = {m->log.ptr + i, m->log.len - i};
        bool may_begin = rest.ptr[0] == ' '; /* no record is so long that its header has none */
        if (may_begin && goraft_record_read(rest, r, &size, NULL) == COR_OK &&
            r->index > m->out->last && r->term >= m->term && r->term < TERM_MAX) {
            *at = i;
            return true;
        }
    }
    return false;
}

static enum cor_status cut(struct importer *m, const char *why)
{
    char text[COR_ERROR_TEXT_MAX];
    format_to(text, sizeof text, "%s: %zu bytes are left out", why, m->log.len - m->at);
    say(m, GORAFT_CUT, m->out->last + 1, m->at, "log", text);
    m->at = m->log.len;
    return COR_OK;
}

/* Entries before @next are not there, although later ones are. */
static enum cor_status missing(struct importer *m, uint64_t next)
{
    if (m->o->truncate) {
        return cut(m, "entries are missing here");
    }
    return error_set(
        m->err, COR_ECORRUPT,
        "log: offset %zu: entry %llu comes after entry %llu: what stood between them "
        "was acknowledged and is lost here. Import the directory of another member, "
        "or give --truncate to take what stands before",
        m->at, (unsigned long long)next, (unsigned long long)m->out->last);
}

/*
 * What stands at m->at is no record. goraft leaves three things that are harmless: a torn end; a header without its
 * record (D2); a hole of zeros, because it cut a torn end and then wrote on behind it (D1). In all three the entry
 * that follows, if one does, is the next one.
 */
static enum cor_status pass_damage(struct importer *m, const struct cor_error *why)
{
    struct goraft_record next;
    size_t at;
    char text[COR_ERROR_TEXT_MAX];
    if (!find_next(m, &at, &next)) {
        return cut(m, why->text);
    }
    if (!follows(m, &next)) {
        return missing(m, next.index);
    }
    format_to(text, sizeof text, "%.150s: %zu bytes that belong to no entry are left out",
              why->text, at - m->at);
    say(m, GORAFT_REPAIRED, next.index, m->at, "log", text);
    m->at = at;
    return COR_OK;
}

static enum cor_status take_log(struct importer *m)
{
    while (m->at < m->log.len) {
        struct cor_bytes rest = {m->log.ptr + m->at, m->log.len - m->at};
        struct goraft_record r;
        struct cor_error why;
        size_t size;
        enum cor_status st = goraft_record_read(rest, &r, &size, &why);
        if (st != COR_OK) {
            st = pass_damage(m, &why);
        } else if (!follows(m, &r)) {
            st = missing(m, r.index);
        } else {
            st = take_record(m, &r, (struct cor_bytes){rest.ptr, size}, m->at);
            m->at += size;
        }
        if (st != COR_OK) {
            return st;
        }
    }
    return COR_OK;
}

/* ---- the state of a snapshot ------------------------------------------------------------------------------ */

struct state_puts {
    struct importer *m;
    enum cor_status st;
};

static bool put_state(void *arg, struct cor_bytes name, const struct json_value *v)
{
    struct state_puts *s = arg;
    const struct kv_op op = {
        .kind = KV_OP_PUT, .range = {.key = name}, .value = json_string_of(v)};
    if (json_kind_of(v) != JSON_STRING || name.len == 0) {
        s->st = error_set(s->m->err, COR_EFOREIGN,
                          "the snapshot's state is not an object of strings: it belongs to a "
                          "program that coracle does not know");
    } else if (op.value.len > KV_VALUE_MAX || name.len > KV_KEY_MAX) {
        s->st = error_set(s->m->err, COR_ETOOBIG, "the snapshot has a value of %zu bytes",
                          op.value.len);
    } else {
        s->st = emit(s->m, &(struct goraft_note){.kind = GORAFT_NOTE_STATE}, &op);
    }
    return s->st == COR_OK;
}

static enum cor_status apply_state(struct importer *m, const struct goraft_snapshot *snapshot)
{
    struct json_value *document = NULL;
    struct cor_error why;
    struct state_puts puts = {m, COR_OK};
    if (snapshot->state == NULL) {
        return COR_OK;
    }
    enum cor_status st = json_read((struct cor_bytes){snapshot->state, snapshot->state_len},
                                   JSON_READ_MEMORY_MAX, &document, &why);
    if (st != COR_OK || json_kind_of(document) != JSON_OBJECT) {
        json_free(document);
        return error_set(m->err, COR_EFOREIGN,
                         "the snapshot's state is not a JSON object: it belongs to a program "
                         "that coracle does not know");
    }
    (void)json_each(document, put_state, &puts);
    json_free(document);
    return puts.st;
}

/* By index, then term, as numbers: as text, which is how goraft compares them, 9_100 comes after 10_200. */
static bool is_newer(const struct goraft_snapshot *a, const struct goraft_snapshot *b)
{
    return a->last_index != b->last_index ? a->last_index > b->last_index
                                          : a->last_term > b->last_term;
}

/* The newest that is whole, and that reaches to the log. */
static enum cor_status choose_snapshot(struct importer *m, struct goraft_snapshot *best)
{
    *best = (struct goraft_snapshot){.last_index = 0};
    for (size_t i = 0; i < m->o->n_files; i++) {
        const struct goraft_file *f = &m->o->files[i];
        struct goraft_snapshot s = {.state = NULL};
        struct cor_error why;
        if (!is_snapshot(f->name)) {
            continue;
        }
        enum cor_status st = goraft_snapshot_read(f->bytes, &s, &why);
        if (st == COR_ENOMEM) {
            free(best->state);
            best->state = NULL;
            return error_set(m->err, st, "%s", why.text);
        }
        if (st != COR_OK) {
            say(m, GORAFT_IGNORED, 0, 0, f->name, why.text);
        } else if (is_newer(&s, best)) {
            free(best->state);
            *best = s;
        } else {
            free(s.state);
        }
    }
    return COR_OK;
}

/* The log does not begin at 1 (@first; 0: it is empty): what came before is in a snapshot. */
static enum cor_status take_snapshot(struct importer *m, uint64_t first, uint64_t first_term)
{
    struct goraft_snapshot s;
    enum cor_status st = choose_snapshot(m, &s);
    if (st != COR_OK) {
        return st;
    }
    if (s.last_index >= TERM_MAX || s.last_term >= TERM_MAX || s.last_index + 1 < first) {
        free(s.state);
        return error_set(
            m->err, COR_ECORRUPT,
            "the log begins at entry %llu, and no snapshot holds what came before: "
            "import the directory of another member",
            (unsigned long long)first);
    }
    m->state_to = s.last_index;
    m->term = first != 0 && first_term < s.last_term ? first_term : s.last_term;
    if (first == 0 && s.last_index > 0) {
        m->out->last_term = s.last_term;
    }
    st = apply_state(m, &s);
    free(s.state);
    return st;
}

static enum cor_status take_beginning(struct importer *m)
{
    struct goraft_record r = {.index = 0};
    size_t size;
    if (m->log.len > 0 && goraft_record_read(m->log, &r, &size, NULL) != COR_OK) {
        r = (struct goraft_record){.index = 0};
    }
    return r.index == 1 ? COR_OK : take_snapshot(m, r.index, r.term);
}

/* ---- the other files -------------------------------------------------------------------------------------- */

static bool is_kept(const char *name)
{
    return strcmp(name, "conf") == 0 || strcmp(name, "name") == 0 || is_snapshot(name);
}

static enum cor_status keep_file(struct importer *m, const struct goraft_file *f)
{
    size_t at = 0;
    enum cor_status st = COR_OK;
    do {
        size_t left = f->bytes.len - at;
        size_t len = left < PIECE_MAX ? left : PIECE_MAX;
        struct goraft_note note = {.kind = GORAFT_NOTE_FILE,
                                   .name = {(const unsigned char *)f->name, strlen(f->name)},
                                   .offset = at,
                                   .size = f->bytes.len,
                                   .bytes = {f->bytes.ptr + at, len}};
        st = emit(m, &note, NULL);
        at += len;
    } while (st == COR_OK && at < f->bytes.len);
    return st;
}

static void look_at_conf(struct importer *m)
{
    const struct goraft_file *f = find(m->o, "conf");
    struct json_value *document = NULL;
    struct cor_error why;
    uint64_t commit = 0;
    if (f == NULL) {
        say(m, GORAFT_IGNORED, 0, 0, "conf", "it is not there; nothing here depends on it");
        return;
    }
    if (json_read(f->bytes, CONF_MEMORY_MAX, &document, &why) != COR_OK) {
        (void)error_prefix(&why, "goraft would not start with it");
        say(m, GORAFT_IGNORED, 0, 0, "conf", why.text);
        return;
    }
    uint64_t last = m->out->last > m->state_to ? m->out->last : m->state_to;
    if (json_u64_of(json_member(document, "commitIndex"), &commit) && commit > last) {
        say(m, GORAFT_IGNORED, commit, 0, "conf",
            "it says that more is committed than the log has: entries that were acknowledged "
            "may be missing at the end");
    }
    json_free(document);
}

static enum cor_status take_files(struct importer *m)
{
    look_at_conf(m);
    for (size_t i = 0; i < m->o->n_files; i++) {
        const struct goraft_file *f = &m->o->files[i];
        if (is_kept(f->name)) {
            enum cor_status st = keep_file(m, f);
            if (st != COR_OK) {
                return st;
            }
        } else if (strcmp(f->name, "log") != 0) {
            say(m, GORAFT_IGNORED, 0, 0, f->name, "not part of goraft's data, or left over");
        }
    }
    return COR_OK;
}

enum cor_status goraft_import(const struct goraft_import *import, struct goraft_imported *out,
                              struct cor_error *err)
{
    const struct goraft_file *log = find(import, "log");
    *out = (struct goraft_imported){.first = 0};
    if (log == NULL) {
        return error_set(err, COR_EINVAL, "there is no file \"log\": not a goraft directory");
    }
    struct importer m = {.o = import, .out = out, .err = err, .log = log->bytes};
    enum cor_status st = take_beginning(&m);
    st = st == COR_OK ? take_log(&m) : st;
    if (st == COR_OK && out->last == 0 && m.state_to == 0) {
        st = error_set(err, COR_EINVAL,
                       "the log has no entry: this node never became a member of its cluster; "
                       "import the directory of one that did");
    }
    st = st == COR_OK ? take_files(&m) : st;
    free(m.entry.base);
    free(m.scratch.base);
    return st;
}
