/*
 * scan.h - the log from its beginning, batch by batch, and the verdict on what does not verify.
 *
 * Place in the system: recovery (recover.c) and the offline tools (walk.c) drive it. It changes
 * nothing.
 *
 * The verdict. Batches are written one at a time: the next is begun only when the one before has
 * been synced. So any part of a later batch proves that everything before it was durable, and
 * what is damaged there is rot. Of the last batch, a crash leaves each sector either as it was
 * (zeros: the file was filled with them and synced) or as it was written (its stamp verifies). So
 * a batch with sectors missing, all others verified and nothing behind it was torn: nobody was
 * told that it is durable. Anything else is rot.
 */
#ifndef WAL_SCAN_H
#define WAL_SCAN_H

#include "wal/space.h"

#define SCAN_NOWHERE UINT64_MAX

enum scan_kind {
    SCAN_BATCH = 1, /* the next batch is whole: header and content are set */
    SCAN_END,       /* the log ends here, and nothing follows */
    SCAN_TORN,      /* it ends here; behind are parts of a batch that a crash interrupted */
    SCAN_ROT,       /* something that was durable is not what it was */
};

struct scan_found {
    enum scan_kind kind;
    uint64_t end; /* TORN: the page behind the last one that is not all zeros */
    /* ROT: where, what, and the first entry that is known to be lost (0: not known which). */
    struct place place;
    const char *text;
    struct cor_logid lost;
};

struct scan {
    struct window window;
    const struct space *space;
    uint64_t page, seq; /* of the batch that is expected next */
    uint64_t chain, prev_page, next_index, prev_next_index;
    uint64_t prev_table_sum;
    struct cor_raft_hard_state hard_state; /* of the batch before */
    uint64_t last_segment;                 /* the highest that any batch names */
    struct batch_header header;
    unsigned char *content; /* of the batch, without stamps */
    size_t content_size;
    bool any_chain;     /* after damage: take the next batch's word for all of the above */
    uint64_t next_head; /* ROT: the page of the next batch that can be seen, or SCAN_NOWHERE */
};

void scan_open(struct scan *s, struct io_fs *fs, const struct space *space);
void scan_close(struct scan *s);
/* Look at the next batch. COR_OK: *found is set; COR_EFOREIGN; COR_EIO; COR_ENOMEM. */
MUST_USE enum cor_status scan_next(struct scan *s, struct scan_found *found,
                                   struct cor_error *err);
/* The table of the batch that scan_next() found whole, and payload of a record in it. */
struct cor_bytes scan_table(const struct scan *s);
static inline struct cor_bytes scan_payload(const struct scan *s, const struct record *r)
{
    return (struct cor_bytes){s->content + r->offset, r->len};
}
/* After SCAN_ROT with a next_head: go on there. */
void scan_resume(struct scan *s);
/* A record of the current batch does not verify although its sectors do. */
struct scan_found scan_rot_at(const struct scan *s, const struct record *r, const char *text);

/*
 * After SCAN_ROT: what can still be told of the batch at s->page. Copies its table, its own or the
 * one repeated by the next batch, to @out (BATCH_TABLE_MAX bytes). COR_OK; COR_ENOTFOUND: neither
 * is readable; COR_EIO; COR_ENOMEM.
 */
struct scan_remains {
    size_t table_len;
    uint64_t next_index;
};
MUST_USE enum cor_status scan_find_table(struct scan *s, unsigned char *out,
                                         struct scan_remains *remains, struct cor_error *err);
/* Are all sectors of that batch's content [offset, offset + len) as they were written? If so, and
 * @out is not NULL, copy the content there. Sets *ok. COR_OK; COR_EIO; COR_ENOMEM. */
MUST_USE enum cor_status scan_salvage(struct scan *s, uint64_t offset, size_t len,
                                      unsigned char *out, bool *ok, struct cor_error *err);

#endif
