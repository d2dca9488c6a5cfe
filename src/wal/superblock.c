/*
 * superblock.c - the state file: who this directory is, and whom it knows.
 *
 * Both copies are written, the second when the first is durable: a crash leaves one of them, and once
 * a write has returned, either copy alone tells the whole of it. They are written where they are,
 * because that needs no space: a node must start on a full disk, too.
 */
#include "wal/wal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/reader.h"
#include "base/writer.h"

#include <string.h>

#define MAGIC    0x45544154532d524fu /* "OR-STATE" */
#define FORMAT   1u
#define SUM_SIZE 8u

static const char *const names[2] = {"state-a", "state-b"};

/* ---- bytes ------------------------------------------------------------------------------------ */

static struct cor_bytes text_of(const char *s)
{
    return (struct cor_bytes){(const unsigned char *)s, strlen(s)};
}

size_t superblock_encode(const struct superblock *sb, unsigned char *out)
{
    COR_ASSERT(sb->n_members <= COR_RAFT_MEMBERS_MAX);
    struct writer w = writer_of(out, SUPERBLOCK_SIZE_MAX - SUM_SIZE);
    writer_u64(&w, MAGIC);
    writer_u32(&w, FORMAT);
    writer_u32(&w, sb->level);
    writer_u64(&w, sb->version);
    writer_bytes(&w, (struct cor_bytes){sb->disk_id, sizeof sb->disk_id});
    writer_bytes(&w, (struct cor_bytes){sb->cluster_id, sizeof sb->cluster_id});
    writer_u64(&w, sb->incarnation);
    writer_u64(&w, sb->commit_hint);
    writer_blob(&w, text_of(sb->name));
    writer_u32(&w, sb->n_members);
    for (uint32_t i = 0; i < sb->n_members; i++) {
        const struct superblock_member *m = &sb->members[i];
        writer_u64(&w, m->id);
        writer_bytes(&w, (struct cor_bytes){m->disk_id, sizeof m->disk_id});
        writer_u8(&w, m->kind);
        writer_blob(&w, text_of(m->name));
        writer_blob(&w, text_of(m->address));
    }
    COR_ASSERT(writer_ok(&w));
    uint64_t sum = hash64((struct cor_bytes){out, w.used});
    w.size = SUPERBLOCK_SIZE_MAX;
    writer_u64(&w, sum);
    return w.used;
}

_Static_assert(128 + WAL_NAME_MAX +
                       COR_RAFT_MEMBERS_MAX * (32 + WAL_NAME_MAX + WAL_ADDRESS_MAX) <=
                   SUPERBLOCK_SIZE_MAX,
               "the largest superblock fits");

/* A text of at most @max bytes without NULs. */
static void read_text(struct reader *r, char *out, size_t max)
{
    struct cor_bytes b = reader_blob(r);
    if (!reader_ok(r) || b.len > max || (b.len > 0 && memchr(b.ptr, 0, b.len) != NULL)) {
        r->failed = true;
        return;
    }
    if (b.len > 0) {
        memcpy(out, b.ptr, b.len);
    }
    out[b.len] = '\0';
}

static void read_id(struct reader *r, unsigned char *out)
{
    struct cor_bytes b = reader_bytes(r, 16);
    if (b.ptr != NULL) {
        memcpy(out, b.ptr, 16);
    }
}

static void read_member(struct reader *r, struct superblock_member *m)
{
    m->id = reader_u64(r);
    read_id(r, m->disk_id);
    m->kind = reader_u8(r);
    read_text(r, m->name, WAL_NAME_MAX);
    read_text(r, m->address, WAL_ADDRESS_MAX);
    r->failed = r->failed || (m->kind != COR_MEMBER_VOTER && m->kind != COR_MEMBER_LEARNER);
}

static void read_body(struct reader *r, struct superblock *sb)
{
    sb->level = reader_u32(r);
    sb->version = reader_u64(r);
    read_id(r, sb->disk_id);
    read_id(r, sb->cluster_id);
    sb->incarnation = reader_u64(r);
    sb->commit_hint = reader_u64(r);
    read_text(r, sb->name, WAL_NAME_MAX);
    sb->n_members = reader_u32(r);
    if (sb->n_members > COR_RAFT_MEMBERS_MAX) {
        r->failed = true;
        return;
    }
    for (uint32_t i = 0; i < sb->n_members; i++) {
        read_member(r, &sb->members[i]);
    }
}

enum cor_status superblock_decode(struct cor_bytes in, struct superblock *out)
{
    if (in.len < SUM_SIZE || in.len > SUPERBLOCK_SIZE_MAX) {
        return COR_ECORRUPT;
    }
    size_t len = in.len - SUM_SIZE;
    struct reader sum = reader_of((struct cor_bytes){in.ptr + len, SUM_SIZE});
    struct reader r = reader_of((struct cor_bytes){in.ptr, len});
    if (reader_u64(&sum) != hash64((struct cor_bytes){in.ptr, len}) ||
        reader_u64(&r) != MAGIC) {
        return COR_ECORRUPT;
    }
    if (reader_u32(&r) != FORMAT) {
        return reader_ok(&r) ? COR_EFOREIGN : COR_ECORRUPT;
    }
    struct superblock sb = {.version = 0};
    read_body(&r, &sb);
    if (!reader_done(&r)) {
        return COR_ECORRUPT;
    }
    *out = sb;
    return COR_OK;
}

/* ---- files ------------------------------------------------------------------------------------ */

static enum cor_status read_copy(struct io_fs *fs, const char *name, struct superblock *out,
                                 struct cor_error *err)
{
    unsigned char bytes[SUPERBLOCK_SIZE_MAX];
    size_t got = 0;
    enum cor_status st = io_read_whole(fs, name, bytes, sizeof bytes, &got, err);
    if (st == COR_ETOOBIG) {
        return COR_ECORRUPT;
    }
    return st == COR_OK ? superblock_decode((struct cor_bytes){bytes, got}, out) : st;
}

/* The status of both copies together. */
static enum cor_status join(enum cor_status a, enum cor_status b, struct cor_error *err)
{
    if (a == COR_EFOREIGN || b == COR_EFOREIGN) {
        return error_set(err, COR_EFOREIGN, "%s: written by a newer version of this program",
                         names[a == COR_EFOREIGN ? 0 : 1]);
    }
    if (a == COR_ENOTFOUND && b == COR_ENOTFOUND) {
        return error_set(err, COR_ENOTFOUND, "%s: no such file", names[0]);
    }
    bool others =
        (a != COR_ECORRUPT && a != COR_ENOTFOUND) || (b != COR_ECORRUPT && b != COR_ENOTFOUND);
    if (others) { /* the text is there */
        return a != COR_ECORRUPT && a != COR_ENOTFOUND ? a : b;
    }
    return error_set(err, COR_ECORRUPT,
                     "%s and %s: neither is readable, so this directory does not know whose it "
                     "is; restore one of them or replace this member",
                     names[0], names[1]);
}

enum cor_status superblock_read(struct io_fs *fs, struct superblock *out, struct cor_error *err)
{
    struct superblock copies[2];
    enum cor_status st[2];
    for (int i = 0; i < 2; i++) {
        st[i] = read_copy(fs, names[i], &copies[i], err);
    }
    bool newer = st[0] == COR_EFOREIGN || st[1] == COR_EFOREIGN;
    if (newer || (st[0] != COR_OK && st[1] != COR_OK)) {
        return join(st[0], st[1], err);
    }
    int best = st[0] == COR_OK ? 0 : 1;
    if (st[0] == COR_OK && st[1] == COR_OK && copies[1].version > copies[0].version) {
        best = 1;
    }
    *out = copies[best];
    return COR_OK;
}

/* The first time as a whole or not at all: half a file and no second one would look like rot. */
static enum cor_status write_copy(struct io_fs *fs, const char *name, struct cor_bytes data,
                                  struct cor_error *err)
{
    struct io_file *file;
    enum cor_status st = fs->ops->open(fs, name, 0, &file, err);
    if (st == COR_ENOTFOUND) {
        return io_publish(fs, name, data, err);
    }
    if (st != COR_OK) {
        return st;
    }
    st = fs->ops->write(file, 0, data, err);
    if (st == COR_OK) {
        st = fs->ops->truncate(file, data.len, err);
    }
    if (st == COR_OK) {
        st = fs->ops->sync(file, err);
    }
    fs->ops->close(file);
    return st;
}

enum cor_status superblock_write(struct io_fs *fs, struct superblock *sb, struct cor_error *err)
{
    unsigned char bytes[SUPERBLOCK_SIZE_MAX];
    struct superblock next = *sb;
    next.version++;
    struct cor_bytes data = {bytes, superblock_encode(&next, bytes)};
    for (int i = 0; i < 2; i++) {
        enum cor_status st = write_copy(fs, names[i], data, err);
        if (st != COR_OK) {
            return st;
        }
    }
    sb->version = next.version;
    return COR_OK;
}
