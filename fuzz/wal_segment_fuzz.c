/* room: wal
 *
 * wal_segment_fuzz.c - any bytes as a log: as they are, and as the content of batches whose checksums
 * and stamps are right.
 *
 * The first byte chooses. Raw: the rest is the first segment. Made: the rest is a list of batches, each
 * with flags, the lengths of table and payload, and these; flags bend single fields of the header,
 * drop or damage sectors. Either way: walking and opening end, within the memory of the files' size; a
 * refusal changes nothing; and what opens replays, takes another entry, and opens again.
 */
#include "base/assert.h"
#include "base/hash.h"
#include "sim/disk.h"
#include "wal/layout.h"
#include "wal/reserve.h"
#include "wal/wal.h"

#include <stdlib.h>
#include <string.h>

#define SEGMENT_PAGES 15u
#define SALT          0x1234567890abcdefu
#define WORKS_MAX     1000u

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* ---- a loop that does everything at once ---------------------------------------------------------- */

struct loop {
    struct io io;
    struct io_work *works;
    uint64_t durable;
};

static uint64_t zero_now(struct io *io)
{
    (void)io;
    return 0;
}

static void salt(struct io *io, void *out, size_t len)
{
    (void)io;
    memset(out, 0x5a, len);
}

static void no_timer_set(struct io *io, struct io_timer *t, uint64_t at)
{
    (void)io;
    t->at = at;
}

static void no_timer_clear(struct io *io, struct io_timer *t)
{
    (void)io;
    t->at = 0;
}

static void run_task(struct io *io, struct io_task *task)
{
    (void)io;
    task->run(task);
}

static void cancel_task(struct io *io, struct io_task *task)
{
    (void)io;
    task->queued = false;
}

static void submit(struct io *io, enum io_queue queue, struct io_work *work)
{
    struct loop *l = (struct loop *)(void *)io;
    struct io_work **end = &l->works;
    (void)queue;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = work;
    work->next = NULL;
}

static const struct io_ops loop_ops = {.now = zero_now,
                                       .random = salt,
                                       .timer_set = no_timer_set,
                                       .timer_clear = no_timer_clear,
                                       .defer = run_task,
                                       .cancel = cancel_task,
                                       .submit = submit};

static void rest(struct loop *l)
{
    for (unsigned i = 0; l->works != NULL; i++) {
        struct io_work *work = l->works;
        COR_ASSERT(i < WORKS_MAX);
        l->works = work->next;
        work->run(work);
        work->done(work);
    }
}

static void on_durable(void *arg, uint64_t seq)
{
    ((struct loop *)arg)->durable = seq;
}

static void on_failed(void *arg, const struct cor_error *err)
{
    (void)arg;
    (void)err;
    COR_ASSERT(false); /* this disk does not fail */
}

/* ---- making a log out of the input ------------------------------------------------------------------ */

enum bend {
    BEND_PAGE = 1,
    BEND_SEQ = 2,
    BEND_INDEX = 4,
    BEND_LAST = 8,
    BEND_RECORDS = 16,
    DROP_SECTOR = 32,
    DAMAGE_SECTOR = 64,
    BODY_HEAD = 128
};

struct maker {
    const unsigned char *at, *end;
    unsigned char file[(SEGMENT_PAGES + 1) * 4096];
    struct batch_header h; /* of the batch before */
    uint64_t page, chain;
    unsigned char prev_table[256];
};

static unsigned char take(struct maker *m)
{
    return m->at < m->end ? *m->at++ : 0;
}

static size_t take_bytes(struct maker *m, unsigned char *out, size_t len)
{
    size_t n = (size_t)(m->end - m->at) < len ? (size_t)(m->end - m->at) : len;
    memcpy(out, m->at, n);
    m->at += n;
    return n;
}

static void put_sectors(struct maker *m, unsigned char flags, unsigned char where)
{
    unsigned char *raw = m->file + (1 + m->page) * WAL_PAGE;
    uint32_t n = m->h.n_pages * (uint32_t)WAL_PAGE_SECTORS;
    for (uint32_t i = 0; i < n; i++) {
        bool is_head = i == 0 && (flags & BODY_HEAD) == 0;
        wal_sector_stamp(raw + i * WAL_SECTOR, SALT, (1 + m->page) * WAL_PAGE_SECTORS + i,
                         is_head ? WAL_SECTOR_HEAD : WAL_SECTOR_BODY);
    }
    if ((flags & DROP_SECTOR) != 0) {
        memset(raw + where % n * WAL_SECTOR, 0, WAL_SECTOR);
    }
    if ((flags & DAMAGE_SECTOR) != 0) {
        raw[where % n * WAL_SECTOR + where] ^= 1;
    }
}

/* Payload checksums in the table are the input's business, but the fuzzer will not guess them: an entry
 * record whose checksum is all ones gets the right one. */
static void fix_checksums(unsigned char *table, size_t len, const struct batch_header *h,
                          const unsigned char *content)
{
    struct table_cursor c = table_open((struct cor_bytes){table, len}, h->next_index);
    struct record r;
    while (table_next(&c, &r)) {
        if (!r.is_truncate && r.checksum == UINT64_MAX &&
            r.offset + r.len <= (uint64_t)BATCH_HEADER_SIZE + h->payload_len) {
            uint64_t sum = hash64((struct cor_bytes){content + r.offset, r.len});
            size_t at = len - (size_t)(c.reader.end - c.reader.at) - 8;
            for (size_t i = 0; i < 8; i++) {
                table[at + i] = (unsigned char)(sum >> (8 * i));
            }
        }
    }
}

static uint64_t last_index(const unsigned char *table, size_t len, uint64_t next_index)
{
    struct table_cursor c = table_open((struct cor_bytes){table, len}, next_index);
    struct record r;
    while (table_next(&c, &r)) {
    }
    return c.index - 1;
}

static uint32_t count(const unsigned char *table, size_t len, uint64_t next_index)
{
    struct table_cursor c = table_open((struct cor_bytes){table, len}, next_index);
    struct record r;
    uint32_t n = 0;
    while (table_next(&c, &r)) {
        n++;
    }
    return n;
}

static bool make_batch(struct maker *m)
{
    unsigned char content[8192] = {0};
    unsigned char table[256];
    unsigned char flags = take(m);
    unsigned char bend = take(m);
    size_t want_table = take(m);
    size_t want_payload = (size_t)take(m) * 16;
    struct batch_header h = {.seq = m->h.seq + 1,
                             .page = m->page,
                             .prev_page = m->h.page,
                             .chain = m->chain,
                             .prev_next_index = m->h.next_index,
                             .next_index = m->h.last_index + 1,
                             .hard_state = {take(m), take(m)},
                             .last_segment = 1,
                             .prev_table_len = m->h.table_len,
                             .prev_table_sum = m->h.table_sum};
    h.table_len = (uint32_t)take_bytes(m, table, want_table);
    h.payload_len = (uint32_t)take_bytes(m, content + BATCH_HEADER_SIZE, want_payload);
    fix_checksums(table, h.table_len, &h, content);
    h.n_records = count(table, h.table_len, h.next_index);
    h.last_index = last_index(table, h.table_len, h.next_index);
    h.table_sum = hash64((struct cor_bytes){table, h.table_len});
    h.n_pages = wal_content_pages((size_t)batch_content_len(&h));
    if (h.n_pages > SEGMENT_PAGES - m->page) {
        return false;
    }
    struct batch_header bent = h;
    bent.page += (flags & BEND_PAGE) != 0 ? bend : 0;
    bent.seq += (flags & BEND_SEQ) != 0 ? bend : 0;
    bent.next_index += (flags & BEND_INDEX) != 0 ? (uint64_t)bend << (bend % 57) : 0;
    bent.last_index += (flags & BEND_LAST) != 0 ? bend : 0;
    bent.n_records += (flags & BEND_RECORDS) != 0 ? bend : 0;
    unsigned char *raw = m->file + (1 + m->page) * WAL_PAGE;
    size_t at = BATCH_HEADER_SIZE + h.payload_len;
    batch_header_encode(&bent, content);
    wal_content_put(raw, 0, (struct cor_bytes){content, at});
    wal_content_put(raw, at, (struct cor_bytes){table, h.table_len});
    wal_content_put(raw, at + h.table_len, (struct cor_bytes){m->prev_table, h.prev_table_len});
    m->h = bent;
    put_sectors(m, flags, bend);
    m->h.last_index = bent.last_index;
    m->chain = hash64((struct cor_bytes){content, BATCH_HEADER_SIZE});
    memcpy(m->prev_table, table, h.table_len);
    m->page += h.n_pages;
    return m->page < SEGMENT_PAGES && m->at < m->end;
}

static void make_log(struct sim_disk *d, const unsigned char *data, size_t size)
{
    struct maker *m = calloc(1, sizeof *m);
    COR_ASSERT(m != NULL);
    m->at = data;
    m->end = data + size;
    m->chain = SALT;
    m->h = (struct batch_header){.next_index = 1,
                                 .table_sum = hash64((struct cor_bytes){m->prev_table, 0})};
    struct segment_header h = {.node_id = 1, .seq = 1, .n_pages = SEGMENT_PAGES, .salt = SALT};
    segment_header_encode(&h, m->file);
    while (make_batch(m)) {
    }
    sim_disk_poke(d, "0000000001.wal", 0, (struct cor_bytes){m->file, sizeof m->file});
    free(m);
}

/* ---- what must hold ----------------------------------------------------------------------------------- */

struct sum {
    uint64_t next, hash;
};

static enum cor_status add_up(void *arg, const struct wal_entry *e)
{
    struct sum *s = arg;
    COR_ASSERT(e->index == s->next);
    COR_ASSERT(hash64(e->payload) == e->checksum);
    s->next++;
    s->hash = hash64_seed(e->payload, s->hash);
    return COR_OK;
}

static void look(void *arg, const struct wal_finding *f)
{
    uint64_t *hash = arg;
    COR_ASSERT(f->file != NULL);
    COR_ASSERT(f->kind != WAL_FOUND_ROT || f->text != NULL);
    *hash = hash64_seed(f->entry.payload, *hash);
}

static struct wal_options options_of(struct loop *l)
{
    return (struct wal_options){.io = &l->io,
                                .node_id = 1,
                                .segment_bytes_min = (SEGMENT_PAGES + 1) * 4096,
                                .segment_bytes_max = (SEGMENT_PAGES + 1) * 4096,
                                .arg = l,
                                .on_durable = on_durable,
                                .on_failed = on_failed};
}

static void use(struct loop *l, struct wal *w, const struct wal_recovered *recovered)
{
    struct wal_options options = options_of(l);
    struct wal_recovered again;
    struct sum sum = {.next = 1};
    struct sum sum_again = {.next = 1};
    struct cor_error err;
    COR_ASSERT(wal_replay(w, 1, add_up, &sum, &err) == COR_OK);
    COR_ASSERT(sum.next == recovered->last + 1);
    struct cor_bytes payload = COR_BYTES_LIT("one more");
    struct wal_entry e = {sum.next, UINT64_MAX / 2, 1, hash64(payload), payload};
    struct wal_unit unit = {.seq = 1, .entries = &e, .n_entries = 1};
    COR_ASSERT(wal_write(w, &unit) == COR_OK);
    wal_flush(w);
    rest(l);
    COR_ASSERT(l->durable == 1);
    COR_ASSERT(wal_is_idle(w));
    wal_close(w);
    enum cor_status st = wal_open(&options, &again, &err, &w);
    COR_ASSERT(st == COR_OK);
    COR_ASSERT(again.last == recovered->last + 1 && again.torn_bytes == 0);
    COR_ASSERT(again.hard_state.term == recovered->hard_state.term);
    (void)add_up(&sum, &e);
    COR_ASSERT(wal_replay(w, 1, add_up, &sum_again, &err) == COR_OK);
    COR_ASSERT(sum.hash == sum_again.hash);
    wal_close(w);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct sim_disk *d = sim_disk_new();
    struct loop l = {.io = {&loop_ops, &d->fs}};
    struct wal_options options = options_of(&l);
    unsigned char reserve[RESERVE_SIZE];
    reserve_encode(&(struct reserve){.version = 0},
                   &(struct wal_identity){options.cluster_id, options.node_id}, reserve);
    sim_disk_poke(d, "reserve.wal", 0, (struct cor_bytes){reserve, sizeof reserve});
    if (size > 0 && data[0] % 2 == 0) {
        sim_disk_poke(d, "0000000001.wal", 0, (struct cor_bytes){data + 1, size - 1});
    } else if (size > 0) {
        make_log(d, data + 1, size - 1);
    }
    uint64_t before = sim_disk_hash(d);
    uint64_t hash = 0;
    struct cor_error err;
    struct wal *w;
    struct wal_recovered recovered;
    enum cor_status st = wal_walk(&d->fs, look, &hash, &err);
    COR_ASSERT(st == COR_OK || st == COR_EFOREIGN);
    COR_ASSERT(sim_disk_hash(d) == before);
    st = wal_open(&options, &recovered, &err, &w);
    COR_ASSERT(st == COR_OK || st == COR_ECORRUPT || st == COR_EFOREIGN);
    if (st == COR_OK) {
        use(&l, w, &recovered);
    } else {
        COR_ASSERT(sim_disk_hash(d) == before);
    }
    COR_ASSERT(d->n_open == 0);
    sim_disk_free(d);
    return 0;
}
