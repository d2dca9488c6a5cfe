/*
 * session.c - client sessions (D12): what a numbered request did, so that it is done once.
 *
 * Place in the system: apply.c hands over every entry whose header names a session. The sessions are records of a
 * table of their own, so that held roots, snapshots and the hash of the state have them without further ado; but they
 * change no revision, and nobody can name that table from outside.
 *
 *     key   := u64 id, most significant byte first, so that they stand in the order of opening
 *     value := varint idle_max, active, forgotten, n | n answers by ascending number
 *     answer := varint number | u64 hash of the operations | blob of the encoded result
 *
 * One record per session, rewritten with each request: some 30 bytes per kept answer of a put.
 *
 * What is kept must be the same on every node, whether or not somebody waits for the answer there. So a numbered
 * entry is always executed into an arena of our own, and that arena is so large that whether an answer
 * is too big is decided by its encoded size alone, never by the size of a struct on this machine.
 */
#include "kv/internal.h"

#include "base/assert.h"
#include "base/hash.h"

#include <stdalign.h>
#include <stddef.h>

#define ID_SIZE    8u
#define EXPANSION  ((size_t)32) /* bytes of structs for one that is encoded */
#define ARENA_SIZE (EXPANSION * KV_SESSION_ANSWER_MAX)
#define VALUE_MAX                                                                              \
    (4u * VARINT_SIZE_MAX + KV_SESSION_WINDOW * (2u * VARINT_SIZE_MAX + 8u) +                  \
     KV_SESSION_BYTES_MAX)

/* Memory that a store has once a numbered entry came: for an answer, as structs and as bytes, and a record. */
struct session_scratch {
    alignas(max_align_t) unsigned char arena[ARENA_SIZE];
    unsigned char answer[KV_SESSION_ANSWER_MAX], value[VALUE_MAX];
};

/* An encoded operation takes 6 bytes or more, an item 8, a nested result 5: in the arena, with what alignment
 * takes, below EXPANSION times as much. */
_Static_assert(sizeof(struct kv_op_result) + 16 <= 6 * EXPANSION &&
                   sizeof(struct kv_item) <= 8 * EXPANSION &&
                   sizeof(struct kv_result) + 16 <= 5 * EXPANSION,
               "what fits an answer fits the arena");

struct answer {
    uint64_t number, hash;
    struct cor_bytes result;
};

/* A session unfolded. Bytes are borrowed from its record. */
struct session {
    struct kv_session head;
    struct answer answers[KV_SESSION_WINDOW + 1];
};

/* ---- records -------------------------------------------------------------------------------------- */

static struct tree *table_of(struct kv *kv)
{
    return &kv->tables[KV_TABLE_CLIENTS];
}

static struct cor_bytes key_of(uint64_t id, unsigned char out[ID_SIZE])
{
    for (unsigned i = 0; i < ID_SIZE; i++) {
        out[i] = (unsigned char)(id >> (8 * (ID_SIZE - 1 - i)));
    }
    return (struct cor_bytes){out, ID_SIZE};
}

static void read_head(struct reader *r, struct kv_session *out)
{
    out->idle_max = reader_varint(r);
    out->active = reader_varint(r);
    out->forgotten = reader_varint(r);
    out->n_answers = (uint32_t)reader_varint(r);
}

static void unfold(struct cor_bytes value, struct session *out)
{
    struct reader r = reader_of(value);
    read_head(&r, &out->head);
    COR_ASSERT(out->head.n_answers <= KV_SESSION_WINDOW);
    for (uint32_t i = 0; i < out->head.n_answers; i++) {
        out->answers[i].number = reader_varint(&r);
        out->answers[i].hash = reader_u64(&r);
        out->answers[i].result = reader_blob(&r);
    }
    COR_ASSERT(reader_done(&r));
}

static bool find(const struct kv *kv, uint64_t id, struct session *out)
{
    unsigned char key[ID_SIZE];
    struct kv_item item;
    if (kv_get(kv, KV_TABLE_CLIENTS, key_of(id, key), 0, &item) != COR_OK) {
        return false;
    }
    unfold(item.value, out);
    return true;
}

static struct session_scratch *scratch_of(struct kv *kv)
{
    if (kv->session_scratch == NULL) {
        kv->session_scratch = kv_allocate(kv, sizeof *kv->session_scratch);
    }
    return kv->session_scratch;
}

static struct cor_bytes fold(struct kv *kv, const struct session *s)
{
    struct session_scratch *scratch = scratch_of(kv);
    struct writer w = writer_of(scratch->value, sizeof scratch->value);
    writer_varint(&w, s->head.idle_max);
    writer_varint(&w, s->head.active);
    writer_varint(&w, s->head.forgotten);
    writer_varint(&w, s->head.n_answers);
    for (uint32_t i = 0; i < s->head.n_answers; i++) {
        writer_varint(&w, s->answers[i].number);
        writer_u64(&w, s->answers[i].hash);
        writer_blob(&w, s->answers[i].result);
    }
    COR_ASSERT(writer_ok(&w));
    return (struct cor_bytes){scratch->value, w.used};
}

/* Count @record, which joins the live ones or leaves them. */
static void account(struct kv *kv, slab_ref record, bool joins)
{
    uint64_t hash = record_hash(kv_at(kv, record));
    uint64_t size = slab_size(&kv->memory.heap, record);
    kv->content += joins ? hash : 0 - hash;
    kv->live_bytes += joins ? size : 0 - size;
}

static void store(struct exec *x, uint64_t id, const struct session *s)
{
    struct kv *kv = x->kv;
    unsigned char key[ID_SIZE];
    struct kv_item item = {.key = key_of(id, key),
                           .value = fold(kv, s),
                           .create_revision = kv->system_revision,
                           .mod_revision = kv->system_revision,
                           .version = 1,
                           .mod_index = x->index};
    struct record_meta meta = {.table = KV_TABLE_CLIENTS};
    slab_ref now = tree_must_alloc(&kv->memory, SLAB_MOVABLE, record_size(&item, &meta));
    slab_set_link(&kv->memory.heap, now, 0);
    record_write(slab_at(&kv->memory.heap, now), &item, &meta);
    struct tree_path path;
    if (tree_find(&kv->memory, table_of(kv)->root, item.key, &path)) {
        slab_ref before = tree_record(&kv->memory, &path);
        account(kv, before, false);
        tree_replace(&kv->memory, table_of(kv), &path, now);
        tree_discard(&kv->memory, before);
    } else {
        tree_insert(&kv->memory, table_of(kv), &path, now);
    }
    account(kv, now, true);
}

static void drop(struct kv *kv, struct tree_path *path)
{
    slab_ref record = tree_record(&kv->memory, path);
    account(kv, record, false);
    tree_remove(&kv->memory, table_of(kv), path, 0);
    tree_discard(&kv->memory, record);
}

/* ---- expiry --------------------------------------------------------------------------------------------- */

static uint64_t expiry_of(const struct kv_session *s)
{
    return s->active < UINT64_MAX - s->idle_max ? s->active + s->idle_max : UINT64_MAX - 1;
}

/* The session at or after @path's place. */
static bool head_at(const struct kv *kv, struct tree_path *path, struct kv_session *out)
{
    struct kv_item item;
    struct record_meta meta;
    if (!tree_settle(&kv->memory, path, false)) {
        return false;
    }
    record_read(kv_at(kv, tree_record(&kv->memory, path)), &item, &meta);
    struct reader r = reader_of(item.value);
    read_head(&r, out);
    return true;
}

static uint64_t earliest_expiry(const struct kv *kv)
{
    uint64_t earliest = UINT64_MAX;
    struct tree_path path = {.depth = 0};
    struct kv_session s;
    (void)tree_find(&kv->memory, kv->tables[KV_TABLE_CLIENTS].root, (struct cor_bytes){NULL, 0},
                    &path);
    for (; head_at(kv, &path, &s); path.at[path.depth - 1]++) {
        earliest = expiry_of(&s) < earliest ? expiry_of(&s) : earliest;
    }
    return earliest;
}

bool kv_session_due(struct kv *kv, uint64_t now, uint64_t *next)
{
    if (kv->session_expiry <= now) { /* or it was once, and requests came since */
        kv->session_expiry = earliest_expiry(kv);
    }
    *next = kv->session_expiry;
    return kv->session_expiry <= now;
}

static uint64_t id_at(const struct kv *kv, const struct tree_path *path)
{
    struct cor_bytes key = record_key(kv_at(kv, tree_record(&kv->memory, path)));
    COR_ASSERT(key.len == ID_SIZE);
    uint64_t id = 0;
    for (unsigned i = 0; i < ID_SIZE; i++) {
        id = id << 8 | key.ptr[i];
    }
    return id;
}

static bool find_from(const struct kv *kv, uint64_t id, struct tree_path *path,
                      struct kv_session *out)
{
    unsigned char key[ID_SIZE];
    (void)tree_find(&kv->memory, kv->tables[KV_TABLE_CLIENTS].root, key_of(id, key), path);
    return head_at(kv, path, out);
}

/* Renewals that are in the log before this entry have moved the expiry of theirs. */
static uint64_t expire(struct kv *kv, uint64_t at)
{
    at = at < kv->cluster_time ? at : kv->cluster_time;
    uint64_t n = 0;
    uint64_t id = 0;
    struct tree_path path;
    struct kv_session s;
    while (find_from(kv, id, &path, &s)) {
        id = id_at(kv, &path) + 1;
        if (expiry_of(&s) <= at) {
            drop(kv, &path);
            n++;
        }
    }
    return n;
}

/* ---- operations ------------------------------------------------------------------------------------------ */

enum cor_status session_precondition(const struct kv *kv, const struct kv_op *op)
{
    struct session s;
    switch ((enum kv_session_do)op->session_do) {
    case KV_SESSION_OPEN:
        return kv->tables[KV_TABLE_CLIENTS].live < KV_SESSIONS_MAX ? COR_OK : COR_ENOSPACE;
    case KV_SESSION_CLOSE:
        return find(kv, op->number, &s) ? COR_OK : COR_ENOSESSION;
    case KV_SESSION_EXPIRE:
        break;
    }
    return COR_OK;
}

static void open_session(struct exec *x, uint64_t idle_max)
{
    struct session s = {.head = {.idle_max = idle_max, .active = x->kv->cluster_time}};
    uint64_t expiry = expiry_of(&s.head);
    x->kv->session_expiry = expiry < x->kv->session_expiry ? expiry : x->kv->session_expiry;
    store(x, x->index, &s);
}

static void close_session(struct kv *kv, uint64_t id)
{
    struct tree_path path;
    struct kv_session s;
    bool found = find_from(kv, id, &path, &s);
    COR_ASSERT(found && id_at(kv, &path) == id);
    drop(kv, &path);
}

void session_exec(struct exec *x, const struct kv_op *op, struct kv_op_result *result)
{
    switch ((enum kv_session_do)op->session_do) {
    case KV_SESSION_OPEN:
        open_session(x, op->number);
        result->count = x->index;
        return;
    case KV_SESSION_CLOSE:
        close_session(x->kv, op->number);
        result->count = 1;
        return;
    case KV_SESSION_EXPIRE:
        result->count = expire(x->kv, op->number);
        return;
    }
}

/* ---- numbered entries -------------------------------------------------------------------------------------- */

/* The first answer whose number is @number or above. */
static uint32_t place_of(const struct session *s, uint64_t number)
{
    uint32_t i = s->head.n_answers; /* mostly the newest */
    while (i > 0 && s->answers[i - 1].number >= number) {
        i--;
    }
    return i;
}

/* The lowest number is forgotten: what comes under it or below is not answered any more. */
static void forget_one(struct session *s)
{
    s->head.forgotten = s->answers[0].number;
    s->head.n_answers--;
    for (uint32_t i = 0; i < s->head.n_answers; i++) {
        s->answers[i] = s->answers[i + 1];
    }
}

static size_t bytes_of(const struct session *s)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < s->head.n_answers; i++) {
        bytes += s->answers[i].result.len;
    }
    return bytes;
}

static void keep(struct exec *x, uint64_t id, const struct answer *answer)
{
    struct session s;
    if (!find(x->kv, id, &s)) {
        return; /* the entry has closed it */
    }
    uint32_t at = place_of(&s, answer->number);
    for (uint32_t i = s.head.n_answers; i > at; i--) {
        s.answers[i] = s.answers[i - 1];
    }
    s.answers[at] = *answer;
    s.head.n_answers++;
    s.head.active = x->kv->cluster_time;
    while (s.head.n_answers > KV_SESSION_WINDOW || bytes_of(&s) > KV_SESSION_BYTES_MAX) {
        forget_one(&s);
    }
    store(x, id, &s);
}

/* The answer is @bytes, now as at any later time. */
static void give(struct exec *x, struct cor_bytes bytes, struct kv_result *out)
{
    if (x->arena == NULL) {
        return; /* nobody waits for it */
    }
    enum cor_status st = kv_result_decode(bytes, x->arena, out);
    COR_ASSERT(st == COR_OK || st == COR_ENOMEM);
    x->answer_failed = st == COR_ENOMEM;
}

static void execute_once(struct exec *x, const struct entry_header *h, struct cor_bytes ops,
                         struct kv_result *out)
{
    struct arena own;
    struct arena *wanted = x->arena;
    struct session_scratch *scratch = scratch_of(x->kv);
    arena_init(&own, scratch->arena, sizeof scratch->arena);
    x->arena = &own;
    apply_once(x, h, ops, out);
    x->arena = wanted;
    if (out->status == COR_EEXPIRED) {
        return; /* it was not done, and may be asked again under this number */
    }
    struct writer w = writer_of(scratch->answer, sizeof scratch->answer);
    (void)kv_result_encode(out, &w);
    if (x->answer_failed || !writer_ok(&w)) {
        out->status = COR_ETOOBIG;
        out->n_ops = 0;
        w = writer_of(scratch->answer, sizeof scratch->answer);
        (void)kv_result_encode(out, &w);
    }
    x->answer_failed = false;
    struct answer answer = {h->number, hash64(ops), {scratch->answer, w.used}};
    keep(x, h->session, &answer);
    give(x, answer.result, out);
}

void session_apply(struct exec *x, const struct entry_header *h, struct cor_bytes ops,
                   struct kv_result *out)
{
    struct session s;
    out->revision = x->kv->revision;
    out->system_revision = x->kv->system_revision;
    if (!find(x->kv, h->session, &s)) {
        out->status = COR_ENOSESSION;
        return;
    }
    uint32_t n = s.head.n_answers;
    uint32_t at = place_of(&s, h->number);
    if (at < n && s.answers[at].number == h->number) {
        if (s.answers[at].hash != hash64(ops)) {
            out->status = COR_EREUSED;
        } else {
            give(x, s.answers[at].result, out);
        }
    } else if (h->number <= s.head.forgotten || (n == KV_SESSION_WINDOW && at == 0)) {
        out->status = COR_EFORGOTTEN;
    } else {
        execute_once(x, h, ops, out);
        return;
    }
    s.head.active = x->kv->cluster_time;
    store(x, h->session, &s);
}

/* ---- views ------------------------------------------------------------------------------------------------- */

enum cor_status kv_session_get(const struct kv *kv, uint64_t id, struct kv_session *out)
{
    struct session s;
    if (!find(kv, id, &s)) {
        return COR_ENOSESSION;
    }
    *out = s.head;
    return COR_OK;
}

void session_check(const struct kv *kv)
{
    uint64_t id = 0;
    uint64_t n = 0;
    struct tree_path path;
    struct kv_session head;
    COR_ASSERT(kv->session_expiry <= earliest_expiry(kv));
    for (; find_from(kv, id, &path, &head); id++) {
        struct session s;
        id = id_at(kv, &path);
        COR_ASSERT(id <= kv->applied && head.active <= kv->cluster_time);
        bool found = find(kv, id, &s);
        COR_ASSERT(found);
        uint64_t last = s.head.forgotten;
        for (uint32_t i = 0; i < s.head.n_answers; i++) {
            COR_ASSERT(s.answers[i].number > last);
            COR_ASSERT(s.answers[i].result.len <= KV_SESSION_ANSWER_MAX);
            last = s.answers[i].number;
        }
        COR_ASSERT(bytes_of(&s) <= KV_SESSION_BYTES_MAX);
        n++;
    }
    COR_ASSERT(n == kv->tables[KV_TABLE_CLIENTS].live && n <= KV_SESSIONS_MAX);
}

void session_deinit(struct kv *kv)
{
    kv_release(kv, kv->session_scratch, sizeof *kv->session_scratch);
}
