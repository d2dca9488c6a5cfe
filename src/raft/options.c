/*
 * options.c - defaults and limits of a core, and how its block is laid out.
 *
 * Called by init.c and by hosts that want to know how much memory a core takes.
 */
#include "raft/internal.h"

#include <string.h>

#define MS UINT64_C(1000000)

#define DURATION_MAX       (3600u * UINT64_C(1000) * MS) /* an hour */
#define LEASE_PERMILLE_MAX 950u
#define TABLE_MAX          (1u << 20) /* elements of any table */
#define BYTES_MAX          (1ull << 40)

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static uint32_t or_default32(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static bool tables_are_in_range(const struct cor_raft_options *o)
{
    const uint32_t tables[] = {o->runs_max, o->inflight_messages_max, o->reads_max,
                               o->writes_max, o->message_entries_max};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        if (tables[i] > TABLE_MAX) {
            return false;
        }
    }
    /* Two runs: the last entry's, and the one that the next term begins. */
    return o->runs_max >= 2 && o->inflight_bytes_max <= BYTES_MAX &&
           o->message_bytes_max <= BYTES_MAX && o->uncommitted_bytes_max <= BYTES_MAX;
}

bool raft_options_complete(const struct cor_raft_options *in, struct cor_raft_options *out)
{
    struct cor_raft_options o;
    memset(&o, 0, sizeof o); /* the padding, too: clones are compared byte by byte */
    o.self = in->self;
    o.seed = in->seed;
    o.heartbeat = or_default(in->heartbeat, 50u * MS);
    o.election_min = or_default(in->election_min, 250u * MS);
    o.election_max = or_default(in->election_max, 500u * MS);
    o.lease_permille = or_default32(in->lease_permille, 800);
    o.no_lease = in->no_lease;
    o.runs_max = or_default32(in->runs_max, 256);
    o.inflight_messages_max = or_default32(in->inflight_messages_max, 64);
    o.inflight_bytes_max = or_default(in->inflight_bytes_max, 16u << 20);
    o.message_bytes_max = or_default(in->message_bytes_max, 1u << 20);
    o.uncommitted_bytes_max = or_default(in->uncommitted_bytes_max, 64u << 20);
    o.reads_max = or_default32(in->reads_max, 1024);
    o.writes_max = or_default32(in->writes_max, 64);
    o.message_entries_max = or_default32(in->message_entries_max, 4096);
    if (o.self == 0 || o.election_max > DURATION_MAX || o.election_min >= o.election_max ||
        o.heartbeat >= o.election_min || o.lease_permille > LEASE_PERMILLE_MAX ||
        !tables_are_in_range(&o)) {
        return false;
    }
    memcpy(out, &o, sizeof o);
    return true;
}

static uint64_t take(uint64_t *at, uint64_t count, uint64_t size)
{
    uint64_t begin = *at;
    *at = (begin + count * size + 15) & ~UINT64_C(15);
    return begin;
}

struct raft_layout raft_layout_of(const struct cor_raft_options *o)
{
    COR_ASSERT(o->runs_max >= 2 && o->runs_max <= TABLE_MAX);
    COR_ASSERT(o->reads_max >= 1 && o->reads_max <= TABLE_MAX);
    struct raft_layout l;
    uint64_t at = 0;
    (void)take(&at, 1, sizeof(struct cor_raft));
    l.runs = take(&at, o->runs_max, sizeof(struct cor_raft_run));
    l.inflight = take(&at, (uint64_t)COR_RAFT_MEMBERS_MAX * o->inflight_messages_max,
                      sizeof(struct raft_inflight));
    l.writes = take(&at, o->writes_max, sizeof(struct raft_write));
    l.batches = take(&at, o->writes_max, sizeof(struct raft_batch));
    l.reads = take(&at, o->reads_max, sizeof(struct raft_read));
    l.messages = take(&at, RAFT_MESSAGES_MAX, sizeof(struct cor_raft_message));
    l.results = take(&at, (uint64_t)o->reads_max + 1, sizeof(struct cor_raft_read_result));
    l.size = at;
    return l;
}

size_t cor_raft_size(const struct cor_raft_options *options)
{
    struct cor_raft_options o;
    if (options == NULL || !raft_options_complete(options, &o)) {
        return 0;
    }
    return (size_t)raft_layout_of(&o).size;
}
