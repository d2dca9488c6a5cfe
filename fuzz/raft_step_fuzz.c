/* room: raft
 *
 * raft_step_fuzz.c - any sequence of events, well-formed or not, into one core.
 *
 * Beyond "does not crash": cor_raft_check holds after every step against a clone from before it;
 * a step that reports an error of the peer or the host leaves the state as it was, by hash;
 * writes are numbered without gaps; a clone that is given the same event makes the same update.
 */
#include "base/assert.h"
#include "coracle/raft.h"

#include <string.h>

#define LOG_MAX     400u
#define ENTRIES_MAX 6u
#define BLOCK_MAX   (256u * 1024u)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static struct input {
    const unsigned char *at, *end;
} in;

static unsigned char block[3][BLOCK_MAX] __attribute__((aligned(16)));
static uint64_t terms[LOG_MAX + 2]; /* the host's log */
static uint64_t n_terms, next_seq, now;
static size_t block_size;
static struct cor_raft_run runs[LOG_MAX];
static struct cor_raft_entry entries[ENTRIES_MAX];

static unsigned take(void)
{
    return in.at < in.end ? *in.at++ : 0;
}

/* Mostly small, at times absurd. */
static uint64_t take_number(void)
{
    unsigned b = take();
    if (b < 200) {
        return b % 12;
    }
    return b < 250 ? b : UINT64_MAX >> (b - 250);
}

static uint32_t list_runs(void)
{
    uint32_t n = 0;
    for (uint64_t i = 1; i <= n_terms; i++) {
        if (i == 1 || terms[i] != terms[i - 1]) {
            runs[n++] = (struct cor_raft_run){i, terms[i]};
        }
    }
    return n;
}

static uint32_t take_entries(uint64_t base)
{
    uint32_t n = take() % (ENTRIES_MAX + 1);
    for (uint32_t i = 0; i < n; i++) {
        unsigned b = take();
        base += b % 4 == 0;
        entries[i] = (struct cor_raft_entry){base, b < 250 ? 1 + b % 2 : b % 9, b};
    }
    return n;
}

static struct cor_raft_message take_message(const struct cor_raft_info *info)
{
    struct cor_raft_message m;
    memset(&m, 0, sizeof m);
    unsigned shape = take();
    m.type = (uint8_t)(shape % 15);
    m.from = shape < 240 ? 2 + take() % 4 : take_number();
    m.to = shape < 250 ? 1 : take_number();
    m.term = shape < 200 ? info->term + take() % 3 : take_number();
    unsigned flags = take();
    m.reject = flags & 1;
    m.force = flags & 2;
    m.lease = flags & 4;
    m.prev.index = flags & 8 ? info->last - (info->last > 3 ? take() % 3 : 0) : take_number();
    m.prev.term =
        m.prev.index <= n_terms && !(flags & 16) ? terms[m.prev.index] : take_number();
    m.commit = take_number() + (flags & 32 ? info->commit : 0);
    m.match = flags & 64 ? info->last : take_number();
    m.received = flags & 128 ? m.match : take_number();
    m.sent_at = take() < 200 ? now : take_number();
    m.context = take_number();
    m.index = take_number();
    m.first = m.prev.index + 1 + (take() > 250);
    m.n_entries = take_entries(m.prev.term > 0 ? m.prev.term : 1);
    m.entries = take() > 252 ? NULL : entries;
    return m;
}

static struct cor_raft_event take_event(const struct cor_raft *r, struct cor_raft_message *m)
{
    struct cor_raft_info info;
    cor_raft_get_info(r, &info);
    struct cor_raft_event ev;
    memset(&ev, 0, sizeof ev);
    unsigned b = take();
    ev.type = (uint8_t)(b < 100 ? COR_RAFT_EV_RECEIVE : b % 12);
    ev.now = now + (uint64_t)take() * 1000000u;
    switch (ev.type) {
    case COR_RAFT_EV_RECEIVE:
        *m = take_message(&info);
        ev.message = m;
        break;
    case COR_RAFT_EV_PROPOSE:
        ev.propose.n = take_entries(1);
        ev.propose.entries = entries;
        break;
    case COR_RAFT_EV_READ:
        ev.read.id = take();
        ev.read.lease = take() & 1;
        break;
    case COR_RAFT_EV_PERSISTED:
        ev.persisted.seq = take() < 200 ? next_seq : take_number();
        break;
    case COR_RAFT_EV_APPLIED:
        ev.applied.index = take() < 200 ? info.commit : take_number();
        break;
    case COR_RAFT_EV_PEER_LOST:
        ev.lost.peer = take() % 6;
        break;
    case COR_RAFT_EV_DISK:
        ev.disk.full = take() & 1;
        break;
    case COR_RAFT_EV_SENT:
        ev.sent.peer = 2 + take() % 4;
        ev.sent.first = info.last + 1 - (info.last > 8 ? take() % 8 : 0);
        ev.sent.n = take() % 8;
        ev.sent.bytes = take_number();
        break;
    default:
        break;
    }
    return ev;
}

static void take_write(const struct cor_raft_event *ev, const struct cor_raft_update *u)
{
    if (u->write.seq == 0) {
        return;
    }
    COR_ASSERT(u->write.seq == ++next_seq);
    if (u->write.truncate_from != 0) {
        COR_ASSERT(u->write.truncate_from <= n_terms);
        n_terms = u->write.truncate_from - 1;
    }
    for (uint32_t i = 0; i < u->write.n_entries; i++) {
        COR_ASSERT(u->write.first + i == n_terms + 1);
        terms[++n_terms] =
            u->write.term != 0
                ? u->write.term
                : ev->message->entries[u->write.first + i - ev->message->first].term;
    }
}

static void step(struct cor_raft *r, struct cor_raft_event *ev)
{
    struct cor_raft *before = (struct cor_raft *)(void *)block[1];
    struct cor_raft *twin = (struct cor_raft *)(void *)block[2];
    struct cor_raft_update u;
    struct cor_raft_update u2;
    memcpy(block[1], block[0], block_size);
    memcpy(block[2], block[0], block_size);
    enum cor_status st = cor_raft_step(r, ev, &u);
    COR_ASSERT(cor_raft_step(twin, ev, &u2) == st);
    COR_ASSERT(cor_raft_hash(twin) == cor_raft_hash(r));
    COR_ASSERT(u2.n_messages == u.n_messages && u2.deadline == u.deadline);
    cor_raft_check(r, before);
    if (st == COR_EINVAL || st == COR_EPROTO || st == COR_ENEEDTERM) {
        COR_ASSERT(cor_raft_hash(r) == cor_raft_hash(before));
        COR_ASSERT(u.write.seq == 0 && u.n_messages == 0 && u.n_reads == 0);
    } else {
        now = ev->now;
    }
    take_write(ev, &u);
    if (st == COR_ENEEDTERM) {
        COR_ASSERT(u.need_first >= 1 && u.need_first <= u.need_last && u.need_last <= n_terms);
        ev->runs = runs;
        ev->n_runs = list_runs();
        st = cor_raft_step(r, ev, &u);
        COR_ASSERT(st != COR_ENEEDTERM && st != COR_EINVAL);
        cor_raft_check(r, before);
        now = st == COR_OK ? ev->now : now;
        take_write(ev, &u);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    in = (struct input){data, data + size};
    now = 1;
    n_terms = 0;
    next_seq = 0;
    memset(terms, 0, sizeof terms);
    unsigned shape = take();
    struct cor_raft_options options = {.self = 1,
                                       .seed = take(),
                                       .runs_max = 2 + shape % 4,
                                       .writes_max = 1 + shape % 3,
                                       .inflight_messages_max = 1 + shape % 5,
                                       .inflight_bytes_max = 1 + take(),
                                       .uncommitted_bytes_max = 1 + take(),
                                       .message_entries_max = 1 + take() % 5,
                                       .reads_max = 1 + take() % 4};
    struct cor_raft_config config = {.n = 1 + shape % 5};
    for (uint32_t i = 0; i < config.n; i++) {
        unsigned b = i == 0 ? 0 : take();
        config.members[i] =
            (struct cor_raft_member){.id = i + 1,
                                     .kind = b > 240 ? COR_MEMBER_LEARNER : COR_MEMBER_VOTER,
                                     .in_old = b > 200,
                                     .in_new = b < 220};
    }
    struct cor_raft_recovered found = {.first = 1, .config = &config};
    block_size = cor_raft_size(&options);
    COR_ASSERT(block_size > 0 && block_size <= BLOCK_MAX);
    memset(block[0], 0xaa, block_size);
    struct cor_raft *r;
    if (cor_raft_init(block[0], block_size, &options, &found, now, &r) != COR_OK) {
        return 0;
    }
    while (in.at < in.end && n_terms + ENTRIES_MAX + 2 < LOG_MAX) {
        struct cor_raft_message m;
        struct cor_raft_event ev = take_event(r, &m);
        step(r, &ev);
    }
    return 0;
}
