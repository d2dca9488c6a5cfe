/* internal.h - the inside of the store, for the files of this folder. */
#ifndef KV_INTERNAL_H
#define KV_INTERNAL_H

#include "kv/kv.h"
#include "kv/record.h"
#include "kv/slab.h"
#include "kv/tree.h"
#include "kv/watch.h"

#define HISTORY_CHUNK   4096u /* references; a chunk is 16 KiB */
#define HISTORY_SAMPLES 128u  /* of (cluster time, revision) */

/* What one entry changed: one element per change, in order. */
struct change {
    uint8_t table;
    slab_ref now;    /* the record made */
    slab_ref before; /* the record it stands in front of; 0: none */
};

struct change_list {
    struct change *items;
    uint32_t n, size;
};

/* The changes of table 0 by (revision, sub-revision), oldest first: references to records, in
 * chunks. Positions count from the beginning of time. */
struct history {
    slab_ref **chunks; /* chunks[(position / HISTORY_CHUNK) - first] */
    uint64_t first;    /* number of the first chunk */
    uint32_t n_chunks, size;
    uint64_t head, tail; /* positions: [head, tail) is there */
    uint64_t thinned;    /* head..thinned are of the compacted revision, and done with */
    struct history_sample {
        uint64_t time, revision;
    } samples[HISTORY_SAMPLES];
    uint32_t n_samples;
    uint64_t sample_gap; /* ns between samples; doubles when the table is full */
};

struct kv_root {
    const struct kv *kv; /* NULL: free */
    uint32_t epoch;
    slab_ref trees[KV_N_TABLES];
    slab_ref limbo; /* freed while this root was the newest */
    struct kv_root *older, *newer;
    struct kv_info info;
};

struct kv {
    struct kv_options options;
    struct tree_memory memory;
    struct tree tables[KV_N_TABLES];
    struct history history;
    struct change_list changes;
    struct kv_root roots[KV_ROOTS_MAX];
    struct kv_root *newest_root;
    uint32_t n_roots;
    struct watch_index watches[KV_N_TABLES];
    void (*on_change)(void *arg, const struct kv_event *e, struct kv_watcher *w);
    void *on_change_arg;
    uint64_t applied, revision, system_revision, compacted, cluster_time;
    uint64_t history_bytes, live_bytes, side_bytes;
    uint64_t content;        /* sum of the hashes of all live records */
    uint32_t drain_slot;     /* how far the sparse slab has been emptied */
    uint64_t session_expiry; /* no session expires before; UINT64_MAX: there is none */
    struct session_scratch *session_scratch; /* session.c; NULL: not needed yet */
};

static inline const unsigned char *kv_at(const struct kv *kv, slab_ref ref)
{
    return slab_at(&kv->memory.heap, ref);
}

static inline uint64_t kv_table_revision(const struct kv *kv, uint8_t table)
{
    return table == KV_TABLE_KEYS ? kv->revision : kv->system_revision;
}

/* Memory outside the slabs, accounted. */
void *kv_allocate(struct kv *kv, size_t size);
void kv_release(struct kv *kv, void *memory, size_t size);

/* May @table be read at @revision? COR_OK; COR_ECOMPACTED; COR_EFUTURE. */
enum cor_status kv_check_revision(const struct kv *kv, uint8_t table, uint64_t revision);
/* The newest record of @record's key whose mod revision is at most @revision; 0: none. */
slab_ref kv_version_at(const struct kv *kv, slab_ref record, uint64_t revision);
/* Make the event of @change; its bytes are borrowed from the store. */
void kv_event_of(const struct kv *kv, slab_ref record, struct kv_event *e);
bool kv_range_has(const struct kv_range *range, struct cor_bytes key);

/* ---- history.c ---- */
void history_deinit(struct kv *kv);
void history_push(struct kv *kv, slab_ref record);
slab_ref history_get(const struct kv *kv, uint64_t position);
/* The first position whose mod revision is at least @revision. */
uint64_t history_find(const struct kv *kv, uint64_t revision);
void history_sample(struct kv *kv);
/* A step towards what kv->compacted asks for. False: there is nothing left to drop. */
bool history_trim(struct kv *kv);
/* Another place for @from (slab compaction), wherever it is named. */
void history_move_record(struct kv *kv, slab_ref from);

/* ---- exec.c ---- */

/* One entry being applied. */
struct exec {
    struct kv *kv;
    struct arena *arena; /* NULL: nobody wants the answer */
    bool answer_failed;  /* the arena was too small */
    bool stepwise;
    uint64_t index;
    uint64_t decided[KV_OPS_MAX / 64]; /* pre-state: per transaction, did its compares hold */
    uint32_t n_txns;
    uint32_t subs; /* changes of table 0 so far */
};

bool exec_compare(const struct exec *x, const struct kv_compare *c);
/* What a put or range asks for, against the present state. */
enum cor_status exec_precondition(const struct exec *x, const struct kv_op *op);
void exec_put(struct exec *x, const struct kv_op *op, struct kv_op_result *result);
void exec_delete(struct exec *x, const struct kv_op *op, struct kv_op_result *result);
void exec_range(struct exec *x, const struct kv_op *op, struct kv_op_result *result);
void exec_undo(struct exec *x);

/* For what follows from an operation (catalog.c); these are changes like any other, without an answer. */
bool exec_find(const struct exec *x, uint8_t table, struct cor_bytes key, struct kv_item *item);
/* The first row of @range behind @after, NULL: of all. Rows may change between two calls. */
bool exec_next(const struct exec *x, const struct kv_range *range,
               const struct cor_bytes *after, struct kv_item *item);
/* A new version of the row, whatever it was before; but one in an entry is enough for equal values. */
void exec_set(struct exec *x, uint8_t table, struct cor_bytes key, struct cor_bytes value);
void exec_erase(struct exec *x, uint8_t table, struct cor_bytes key);

/* ---- apply.c ---- */

/* Execute the entry whatever its session says, unless its deadline is over. */
void apply_once(struct exec *x, const struct entry_header *h, struct cor_bytes ops,
                struct kv_result *out);

/* ---- session.c ---- */

/* An entry with a session: execute it when its number is seen first, later answer from the table. */
void session_apply(struct exec *x, const struct entry_header *h, struct cor_bytes ops,
                   struct kv_result *out);
enum cor_status session_precondition(const struct kv *kv, const struct kv_op *op);
void session_exec(struct exec *x, const struct kv_op *op, struct kv_op_result *result);
void session_check(const struct kv *kv);
void session_deinit(struct kv *kv);

/* ---- catalog.c ---- */

/* May the put @op happen now? COR_OK; COR_ENOTFOUND; COR_ECONFLICT. */
enum cor_status catalog_precondition(const struct exec *x, const struct kv_op *op);
/* The row of @key was @before and is @now (NULL: there is none). */
void catalog_follow(struct exec *x, uint8_t table, struct cor_bytes key,
                    const struct cor_bytes *before, const struct cor_bytes *now);
void catalog_check(const struct kv *kv);

#endif
