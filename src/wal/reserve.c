/* reserve.c - the file of last resort for terms and votes; see reserve.h. */
#include "wal/reserve.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/writer.h"

#include <string.h>

#define MAGIC 0x534d5245542d524fu /* "OR-TERMS" */

void reserve_encode(const struct reserve *r, const struct wal_identity *identity,
                    unsigned char *out)
{
    memset(out, 0, RESERVE_SIZE);
    struct writer w = writer_of(out, WAL_SECTOR_DATA);
    writer_u64(&w, MAGIC);
    writer_u32(&w, WAL_FORMAT);
    writer_u32(&w, 0); /* group */
    writer_bytes(&w, (struct cor_bytes){identity->cluster_id, 16});
    writer_u64(&w, identity->node_id);
    writer_u64(&w, r->version);
    writer_u64(&w, r->hard_state.term);
    writer_u64(&w, r->hard_state.vote);
    COR_ASSERT(writer_ok(&w));
    memcpy(out + WAL_PAGE, out, WAL_SECTOR_DATA);
    wal_sector_stamp(out, 0, 0, WAL_SECTOR_TERMS);
    wal_sector_stamp(out + WAL_PAGE, 0, WAL_PAGE_SECTORS, WAL_SECTOR_TERMS);
}

static enum cor_status decode_copy(const unsigned char *page, uint64_t number,
                                   const struct wal_identity *identity, struct reserve *out)
{
    if (wal_sector_look(page, 0, number) != WAL_SECTOR_TERMS) {
        return COR_ECORRUPT;
    }
    struct reader r = reader_of((struct cor_bytes){page, WAL_SECTOR_DATA});
    uint64_t magic = reader_u64(&r);
    uint32_t format = reader_u32(&r);
    uint32_t group = reader_u32(&r);
    struct cor_bytes cluster = reader_bytes(&r, 16);
    uint64_t node = reader_u64(&r);
    out->version = reader_u64(&r);
    out->hard_state.term = reader_u64(&r);
    out->hard_state.vote = reader_u64(&r);
    if (magic != MAGIC) {
        return COR_ECORRUPT;
    }
    bool is_ours = identity == NULL || (node == identity->node_id &&
                                        memcmp(cluster.ptr, identity->cluster_id, 16) == 0);
    return format == WAL_FORMAT && group == 0 && is_ours ? COR_OK : COR_EFOREIGN;
}

enum cor_status reserve_decode(const unsigned char *in, const struct wal_identity *identity,
                               struct reserve *out, bool *whole)
{
    struct reserve copies[2];
    enum cor_status a = decode_copy(in, 0, identity, &copies[0]);
    enum cor_status b = decode_copy(in + WAL_PAGE, WAL_PAGE_SECTORS, identity, &copies[1]);
    if (a == COR_EFOREIGN || b == COR_EFOREIGN) {
        return COR_EFOREIGN;
    }
    if (a != COR_OK && b != COR_OK) {
        return COR_ECORRUPT;
    }
    bool second = a != COR_OK || (b == COR_OK && copies[1].version > copies[0].version);
    *whole = a == COR_OK && b == COR_OK && copies[0].version == copies[1].version;
    *out = copies[second ? 1 : 0];
    return COR_OK;
}

enum cor_status reserve_read(struct io_fs *fs, const struct wal_identity *identity,
                             struct reserve *out, bool *whole, struct cor_error *err)
{
    unsigned char bytes[RESERVE_SIZE];
    size_t got = 0;
    enum cor_status st = io_read_whole(fs, WAL_RESERVE_NAME, bytes, sizeof bytes, &got, err);
    if (st == COR_OK && got == sizeof bytes) {
        st = reserve_decode(bytes, identity, out, whole);
    } else if (st == COR_OK || st == COR_ETOOBIG) {
        st = COR_ECORRUPT;
    }
    if (st == COR_ECORRUPT) {
        return error_set(err, st, "%s: offset 0: neither copy of the term and vote is readable",
                         WAL_RESERVE_NAME);
    }
    if (st == COR_EFOREIGN) {
        return error_set(err, st,
                         "%s: belongs to another cluster or node, or to a newer version of "
                         "this program",
                         WAL_RESERVE_NAME);
    }
    return st;
}

enum cor_status reserve_write(struct io_fs *fs, struct io_file *file,
                              const unsigned char *pages, struct cor_error *err)
{
    for (size_t i = 0; i < RESERVE_SIZE / WAL_PAGE; i++) {
        struct cor_bytes page = {pages + i * WAL_PAGE, WAL_PAGE};
        enum cor_status st = fs->ops->write(file, i * WAL_PAGE, page, err);
        if (st == COR_OK) {
            st = fs->ops->sync(file, err);
        }
        if (st != COR_OK) {
            return st;
        }
    }
    return COR_OK;
}

bool hard_state_is_later(const struct cor_raft_hard_state *a,
                         const struct cor_raft_hard_state *b)
{
    return a->term > b->term || (a->term == b->term && a->vote != 0 && b->vote == 0);
}
