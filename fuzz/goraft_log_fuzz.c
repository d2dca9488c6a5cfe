/* room: goraft
 *
 * goraft_log_fuzz.c - bytes nobody vouches for, as the log of a goraft directory.
 *
 * The first byte says whether damage may be cut off. What is imported is applied to a store, which must take every
 * entry, and exported again. Beyond "does not crash": of a log about which nothing was said the export is the same bytes;
 * and an export is a log that can be imported, about which nothing is said but what an entry means, and
 * whose export is itself.
 */
#include "base/assert.h"
#include "coracle/raft.h"
#include "goraft/goraft.h"
#include "kv/kv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

struct run {
    struct kv *kv;
    struct goraft_export export;
    uint64_t index;
    unsigned damaged; /* findings about bytes, not about what they mean */
    unsigned char *log;
    size_t len, size;
};

static void say(void *arg, const struct goraft_finding *f)
{
    struct run *r = arg;
    COR_ASSERT(f->text[0] != '\0');
    r->damaged += f->verdict == GORAFT_CUT || f->verdict == GORAFT_REPAIRED;
}

static enum cor_status append(void *arg, struct cor_bytes bytes)
{
    struct run *r = arg;
    COR_ASSERT(bytes.len <= r->size - r->len);
    memcpy(r->log + r->len, bytes.ptr, bytes.len);
    r->len += bytes.len;
    return COR_OK;
}

static enum cor_status file(void *arg, const struct goraft_note *piece)
{
    (void)arg;
    COR_ASSERT(piece->name.len > 0);
    return COR_OK;
}

static enum cor_status entry(void *arg, uint64_t term, struct cor_bytes payload)
{
    struct run *r = arg;
    const struct goraft_entry e = {++r->index, term, COR_ENTRY_COMMAND, payload};
    COR_ASSERT(kv_apply(r->kv, r->index, payload, NULL, NULL) == COR_OK);
    COR_ASSERT(goraft_export_entry(&r->export, &e, NULL) == COR_OK);
    struct json_writer w = json_writer_growing(1 << 24);
    json_begin_object(&w);
    goraft_json_entry(&w, &e);
    json_end_object(&w);
    COR_ASSERT(json_ok(&w));
    json_writer_free(&w);
    return COR_OK;
}

static enum cor_status run(struct run *r, struct cor_bytes log, bool truncate)
{
    struct goraft_file files[] = {{.name = "log", .bytes = log},
                                  {.name = "conf", .bytes = log},
                                  {.name = "snapshot/1_1.ss", .bytes = log}};
    struct goraft_import i = {.files = files,
                              .n_files = 3,
                              .truncate = truncate,
                              .arg = r,
                              .say = say,
                              .entry = entry};
    struct goraft_imported out;
    *r = (struct run){.kv = kv_new(&(struct kv_options){.memory_max = 0}),
                      .log = malloc(log.len + 64),
                      .size = log.len + 64};
    COR_ASSERT(r->kv != NULL && r->log != NULL);
    r->export = (struct goraft_export){
        .name = "0000000", .address = "", .arg = r, .log = append, .file = file};
    return goraft_import(&i, &out, NULL);
}

static void end(struct run *r)
{
    kv_free(r->kv);
    free(r->log);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct run first, second;
    if (size == 0) {
        return 0;
    }
    struct cor_bytes log = {data + 1, size - 1};
    if (run(&first, log, (data[0] & 1) != 0) == COR_OK) {
        struct cor_bytes once = {first.log, first.len};
        COR_ASSERT(first.damaged > 0 ||
                   (once.len == log.len && memcmp(once.ptr, log.ptr, log.len) == 0));
        COR_ASSERT(run(&second, once, false) == COR_OK);
        COR_ASSERT(second.damaged == 0);
        COR_ASSERT(second.len == once.len && memcmp(second.log, once.ptr, once.len) == 0);
        end(&second);
    }
    end(&first);
    return 0;
}
