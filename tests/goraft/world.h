/*
 * world.h - a goraft directory in memory, imported into a log and a store, and exported again. For the tests of
 * src/goraft/.
 */
#ifndef TESTS_GORAFT_WORLD_H
#define TESTS_GORAFT_WORLD_H

#include "base/assert.h"
#include "base/format.h"
#include "coracle/raft.h"
#include "goraft/goraft.h"
#include "kv/kv.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORLD_FILES   8u
#define WORLD_ENTRIES 512u
#define WORLD_SAID    16u
#define WORLD_BYTES   (4u << 20)

struct bytes_out {
    unsigned char *base;
    size_t len;
};

struct world {
    struct goraft_file files[WORLD_FILES];
    size_t n_files;
    bool truncate;
    struct goraft_imported imported;
    struct cor_error err;
    struct kv *kv;

    struct goraft_entry entries[WORLD_ENTRIES];
    unsigned char *payloads[WORLD_ENTRIES]; /* of these */
    size_t n_entries;
    struct {
        enum goraft_verdict verdict;
        uint64_t index, offset;
        char text[COR_ERROR_TEXT_MAX];
    } said[WORLD_SAID];
    size_t n_said;

    /* What was exported. */
    struct bytes_out log, file[WORLD_FILES];
    char names[WORLD_FILES][GORAFT_NAME_MAX + 1];
    size_t n_out;
};

static inline struct cor_bytes text(const char *s)
{
    return (struct cor_bytes){(const unsigned char *)s, strlen(s)};
}

static inline void append(struct bytes_out *to, struct cor_bytes b)
{
    unsigned char *grown = realloc(to->base, to->len + b.len + 1);
    COR_ASSERT(grown != NULL);
    to->base = grown;
    if (b.len > 0) {
        memcpy(to->base + to->len, b.ptr, b.len);
    }
    to->len += b.len;
}

static inline struct cor_bytes bytes_of(const struct bytes_out *b)
{
    return (struct cor_bytes){b->base, b->len};
}

static inline void world_open(struct world *w)
{
    *w = (struct world){.n_files = 0};
}

static inline void world_forget(struct world *w)
{
    for (size_t i = 0; i < w->n_entries; i++) {
        free(w->payloads[i]);
    }
    free(w->log.base);
    for (size_t i = 0; i < WORLD_FILES; i++) {
        free(w->file[i].base);
        w->file[i] = (struct bytes_out){NULL, 0};
    }
    if (w->kv != NULL) {
        kv_free(w->kv);
    }
    w->kv = NULL;
    w->log = (struct bytes_out){NULL, 0};
    w->n_entries = w->n_said = w->n_out = 0;
}

static inline void add_file(struct world *w, const char *name, struct cor_bytes bytes)
{
    COR_ASSERT(w->n_files < WORLD_FILES);
    struct goraft_file *f = &w->files[w->n_files++];
    format_to(f->name, sizeof f->name, "%s", name);
    f->bytes = bytes;
}

/* ---- records ---------------------------------------------------------------------------------------- */

static inline void add_record(struct bytes_out *log, uint64_t index, uint64_t term,
                              const char *name, const char *command)
{
    unsigned char memory[1024];
    struct writer w = writer_of(memory, sizeof memory);
    goraft_record_write(&w, &(struct goraft_record){.index = index,
                                                    .term = term,
                                                    .name = text(name),
                                                    .has_command = command != NULL,
                                                    .command = text(command ? command : "")});
    COR_ASSERT(writer_ok(&w));
    append(log, (struct cor_bytes){memory, w.used});
}

/* n writes k1=v1, k2=v2... as entries 1 to n of term 0. */
static inline void add_writes(struct bytes_out *log, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        char command[80];
        format_to(command, sizeof command, "{\"key\":\"k%llu\",\"value\":\"v%llu\"}\n",
                  (unsigned long long)i, (unsigned long long)i);
        add_record(log, i, 0, "write", command);
    }
}

/* ---- import ------------------------------------------------------------------------------------------- */

static inline void world_say(void *arg, const struct goraft_finding *f)
{
    struct world *w = arg;
    COR_ASSERT(w->n_said < WORLD_SAID);
    w->said[w->n_said].verdict = f->verdict;
    w->said[w->n_said].index = f->index;
    w->said[w->n_said].offset = f->offset;
    format_to(w->said[w->n_said++].text, COR_ERROR_TEXT_MAX, "%s", f->text);
}

static inline void world_add(struct world *w, uint64_t term, uint32_t type,
                             struct cor_bytes payload)
{
    COR_ASSERT(w->n_entries < WORLD_ENTRIES);
    struct bytes_out copy = {NULL, 0};
    append(&copy, payload);
    w->payloads[w->n_entries] = copy.base;
    w->entries[w->n_entries] =
        (struct goraft_entry){w->n_entries + 1, term, type, {copy.base, copy.len}};
    w->n_entries++;
}

static inline enum cor_status world_entry(void *arg, uint64_t term, struct cor_bytes payload)
{
    world_add(arg, term, COR_ENTRY_COMMAND, payload);
    return COR_OK;
}

/* Import what was added, and apply it to a new store. */
static inline enum cor_status import(struct world *w)
{
    world_forget(w);
    const struct goraft_import i = {.files = w->files,
                                    .n_files = w->n_files,
                                    .truncate = w->truncate,
                                    .arg = w,
                                    .say = world_say,
                                    .entry = world_entry};
    enum cor_status st = goraft_import(&i, &w->imported, &w->err);
    w->kv = kv_new(&(struct kv_options){.memory_max = 0});
    for (size_t k = 0; k < w->n_entries && st == COR_OK; k++) {
        CHECK(k == 0 || w->entries[k].term >= w->entries[k - 1].term);
        CHECK_EQ(kv_apply(w->kv, k + 1, w->entries[k].payload, NULL, NULL), COR_OK);
    }
    return st;
}

static inline struct cor_bytes value_of(const struct world *w, const char *key)
{
    struct kv_item item;
    return kv_get(w->kv, KV_TABLE_KEYS, text(key), 0, &item) == COR_OK ? item.value : text("-");
}

static inline uint64_t keys_of(const struct world *w)
{
    struct kv_info info;
    kv_get_info(w->kv, &info);
    return info.keys[KV_TABLE_KEYS];
}

/* ---- export --------------------------------------------------------------------------------------------- */

static inline enum cor_status world_log(void *arg, struct cor_bytes bytes)
{
    append(&((struct world *)arg)->log, bytes);
    return COR_OK;
}

static inline enum cor_status world_file(void *arg, const struct goraft_note *piece)
{
    struct world *w = arg;
    if (piece->offset == 0) {
        COR_ASSERT(w->n_out < WORLD_FILES);
        format_to(w->names[w->n_out++], sizeof w->names[0], "%.*s", (int)piece->name.len,
                  (const char *)piece->name.ptr);
    }
    append(&w->file[w->n_out - 1], piece->bytes);
    return COR_OK;
}

static inline struct goraft_export export_to(struct world *w, bool lossy)
{
    return (struct goraft_export){.name = "28fd70a",
                                  .address = "http://localhost:4001",
                                  .lossy = lossy,
                                  .arg = w,
                                  .log = world_log,
                                  .file = world_file};
}

static inline enum cor_status export_all(struct world *w, struct goraft_export *x)
{
    enum cor_status st = COR_OK;
    for (size_t i = 0; i < w->n_entries && st == COR_OK; i++) {
        st = goraft_export_entry(x, &w->entries[i], &w->err);
    }
    return st == COR_OK ? goraft_export_end(x) : st;
}

/* The exported file @name. */
static inline struct cor_bytes exported(const struct world *w, const char *name)
{
    for (size_t i = 0; i < w->n_out; i++) {
        if (strcmp(w->names[i], name) == 0) {
            return bytes_of(&w->file[i]);
        }
    }
    return text("(not there)");
}

/* A file of the tree, whole; the caller frees out->base. */
static inline bool read_file(const char *path, struct bytes_out *out)
{
    unsigned char part[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    *out = (struct bytes_out){NULL, 0};
    while (f != NULL && (n = fread(part, 1, sizeof part, f)) > 0) {
        append(out, (struct cor_bytes){part, n});
    }
    return f != NULL && fclose(f) == 0;
}

#endif
