/*
 * open.c - from options and a data directory to a node that runs, and the way back to nothing.
 *
 * The order is: look at everything that could be wrong (options, state file, whether the address can be
 * listened on), then recover the log, and only then change something on disk. Nothing here waits for
 * anybody: a cluster that has not formed yet forms later (form.c), and what the log holds is applied
 * by the loop (apply.c), beginning with what the state file says is committed.
 */
#include "node/internal.h"

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/writer.h"

#include <stdlib.h>
#include <string.h>

/* ---- options -------------------------------------------------------------------------------------- */

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static void complete_options(struct node_options *o)
{
    o->heartbeat = or_default(o->heartbeat, 50 * NODE_MS);
    o->election_min = or_default(o->election_min, 250 * NODE_MS);
    o->election_max = or_default(o->election_max, 500 * NODE_MS);
    o->request_timeout = or_default(o->request_timeout, 5 * NODE_S);
    o->memory_max = or_default(o->memory_max, UINT64_C(4) << 30);
    o->history_ns = or_default(o->history_ns, 600 * NODE_S);
    o->history_bytes = or_default(o->history_bytes, o->memory_max / 4);
    o->pending_bytes_max = or_default(o->pending_bytes_max, UINT64_C(64) << 20);
    o->cache_bytes_max = or_default(o->cache_bytes_max, UINT64_C(16) << 20);
    o->watchers_max = o->watchers_max != 0 ? o->watchers_max : 1000000;
}

static struct cor_raft_options raft_options(const struct node *n)
{
    return (struct cor_raft_options){.self = node_self_id(n),
                                     .heartbeat = n->options.heartbeat,
                                     .election_min = n->options.election_min,
                                     .election_max = n->options.election_max,
                                     .no_lease = n->options.no_lease,
                                     .message_bytes_max = NODE_APPEND_BYTES_MAX,
                                     .message_entries_max = NODE_BATCH_MAX,
                                     .reads_max = NODE_GROUPS_MAX * COR_RAFT_MEMBERS_MAX,
                                     .writes_max = 256};
}

static bool is_name(const char *name)
{
    size_t len = 0;
    for (; name[len] != '\0'; len++) {
        char c = name[len];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
        if (!ok || len >= WAL_NAME_MAX) {
            return false;
        }
    }
    return len > 0;
}

static enum cor_status add_member(struct node *n, const char *name, const char *address,
                                  struct cor_error *err)
{
    if (!is_name(name)) {
        return error_set(err, COR_EINVAL,
                         "\"%.80s\" is no name for a member: 1 to %u letters, digits, '.', '_' "
                         "or '-'",
                         name, WAL_NAME_MAX);
    }
    if (strlen(address) > WAL_ADDRESS_MAX) {
        return error_set(err, COR_EINVAL, "the address of %s is too long", name);
    }
    if (n->n_members == COR_RAFT_MEMBERS_MAX) {
        return error_set(err, COR_EINVAL, "a cluster has at most %u members",
                         COR_RAFT_MEMBERS_MAX);
    }
    size_t at = n->n_members++;
    while (at > 0 && strcmp(n->members[at - 1].name, name) > 0) {
        n->members[at] = n->members[at - 1];
        at--;
    }
    if (at > 0 && strcmp(n->members[at - 1].name, name) == 0) {
        return error_set(err, COR_EINVAL, "%s is twice in the list of members", name);
    }
    struct member *m = &n->members[at];
    *m = (struct member){.heard = false};
    format_to(m->name, sizeof m->name, "%s", name);
    format_to(m->address, sizeof m->address, "%s", address);
    return COR_OK;
}

static enum cor_status take_members(struct node *n, const struct node_options *o,
                                    struct cor_error *err)
{
    enum cor_status st = COR_OK;
    for (size_t i = 0; i < o->n_members && st == COR_OK; i++) {
        st = add_member(n, o->members[i].name, o->members[i].address, err);
    }
    if (o->n_members == 0) {
        st = add_member(n, o->name, "", err);
    }
    if (st != COR_OK) {
        return st;
    }
    unsigned char names[COR_RAFT_MEMBERS_MAX * (WAL_NAME_MAX + 1)];
    struct writer w = writer_of(names, sizeof names);
    n->self = n->n_members;
    for (size_t i = 0; i < n->n_members; i++) {
        const char *name = n->members[i].name;
        n->self = strcmp(name, o->name) == 0 ? i : n->self;
        writer_blob(&w, (struct cor_bytes){(const unsigned char *)name, strlen(name)});
    }
    COR_ASSERT(writer_ok(&w));
    n->members_hash = hash64((struct cor_bytes){names, w.used});
    if (n->self == n->n_members) {
        return error_set(err, COR_EINVAL,
                         "%.63s is not in the list of members: add it, or give the right name",
                         o->name);
    }
    return COR_OK;
}

static enum cor_status take_options(struct node *n, const struct node_options *o,
                                    struct cor_error *err)
{
    enum cor_status st = take_members(n, o, err);
    if (st != COR_OK) {
        return st;
    }
    const char *listen = o->peer_listen != NULL ? o->peer_listen : n->members[n->self].address;
    const char *client = o->client_address != NULL ? o->client_address : "";
    if (strlen(listen) >= sizeof n->peer_listen || strlen(client) >= sizeof n->client_address) {
        return error_set(err, COR_EINVAL, "an address is too long");
    }
    n->events = o->events;
    format_to(n->name, sizeof n->name, "%s", o->name);
    format_to(n->peer_listen, sizeof n->peer_listen, "%s", listen);
    format_to(n->client_address, sizeof n->client_address, "%s", client);
    n->options = *o;
    complete_options(&n->options);
    n->options.name = n->name;
    n->options.members = NULL; /* borrowed until now */
    n->options.peer_listen = n->peer_listen;
    n->options.client_address = n->client_address;
    struct cor_raft_options raft = raft_options(n);
    if (cor_raft_size(&raft) == 0) {
        return error_set(err, COR_EINVAL,
                         "the heartbeat must be shorter than the election timeout, and its "
                         "minimum shorter than its maximum");
    }
    return COR_OK;
}

/* ---- the data directory ------------------------------------------------------------------------------ */

static void note_log_file(void *arg, const char *name)
{
    bool *found = arg;
    size_t len = strlen(name);
    *found = *found || (len > 4 && strcmp(name + len - 4, ".wal") == 0);
}

static enum cor_status has_log(struct io_fs *fs, bool *out, struct cor_error *err)
{
    *out = false;
    return fs->ops->list(fs, note_log_file, out, err);
}

static enum cor_status begin_directory(struct node *n, bool has_files, struct cor_error *err)
{
    if (has_files) {
        return error_set(err, COR_ECORRUPT,
                         "the data directory has a log but no state file (state-a, state-b): "
                         "put it back, or use another directory");
    }
    n->sb = (struct superblock){.version = 0};
    io_random(n->io, n->sb.disk_id, sizeof n->sb.disk_id);
    format_to(n->sb.name, sizeof n->sb.name, "%s", n->name);
    return COR_OK;
}

static size_t list_names(char *out, size_t size, const struct superblock *sb)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < sb->n_members; i++) {
        used +=
            format_to(out + used, size - used, "%s%s", i > 0 ? ", " : "", sb->members[i].name);
    }
    return used;
}

/* The list of members must be the one that the cluster formed with; addresses may have changed. */
static enum cor_status check_members(struct node *n, struct cor_error *err)
{
    struct superblock *sb = &n->sb;
    bool same = sb->n_members == n->n_members;
    for (size_t i = 0; i < n->n_members && same; i++) {
        same = strcmp(sb->members[i].name, n->members[i].name) == 0;
    }
    if (!same) {
        char names[160];
        (void)list_names(names, sizeof names, sb);
        return error_set(err, COR_EFOREIGN,
                         "the cluster of this data directory is %s: start with this list of "
                         "members, or use another directory",
                         names);
    }
    for (size_t i = 0; i < n->n_members; i++) {
        struct member *m = &n->members[i];
        m->heard = true;
        memcpy(m->disk_id, sb->members[i].disk_id, sizeof m->disk_id);
        memcpy(m->cluster_id, sb->cluster_id, sizeof m->cluster_id);
        format_to(sb->members[i].address, sizeof sb->members[i].address, "%s", m->address);
    }
    if (memcmp(sb->disk_id, sb->members[n->self].disk_id, sizeof sb->disk_id) != 0) {
        return error_set(err, COR_ECORRUPT,
                         "the state file contradicts itself about the id of this disk: restore "
                         "it from the same moment as the log");
    }
    return COR_OK;
}

static enum cor_status check_directory(struct node *n, struct cor_error *err)
{
    bool has_files;
    enum cor_status st = has_log(n->io->fs, &has_files, err);
    if (st != COR_OK) {
        return st;
    }
    struct cor_error why;
    st = superblock_read(n->io->fs, &n->sb, &why);
    if (st == COR_ENOTFOUND) {
        return begin_directory(n, has_files, err);
    }
    if (st != COR_OK) {
        return error_set(err, st, "%s", why.text);
    }
    if (strcmp(n->sb.name, n->name) != 0) {
        return error_set(
            err, COR_EFOREIGN,
            "this is the data directory of %s, not of %s: use that name, or another "
            "directory",
            n->sb.name, n->name);
    }
    if (n->sb.level > NODE_LEVEL) {
        return error_set(
            err, COR_EFOREIGN,
            "this data directory was used by a newer version of coracle: run that");
    }
    if (!node_is_formed(n)) {
        return COR_OK;
    }
    if (n->sb.level > 0 && !has_files) {
        return error_set(err, COR_ECORRUPT,
                         "the log files are gone from the data directory: put them back; "
                         "without them this member cannot vote again");
    }
    return check_members(n, err);
}

/* Whether the peer address can be listened on, before anything is changed. */
static enum cor_status check_listen(struct node *n, struct cor_error *err)
{
    struct io_listener *l;
    if (n->n_members == 1) {
        return COR_OK;
    }
    enum cor_status st = io_listen(n->io, n->peer_listen, NULL, NULL, NULL, &l, err);
    if (st == COR_OK) {
        io_listener_close(l);
    } else {
        (void)error_prefix(err, "peer address %.80s", n->peer_listen);
    }
    return st;
}

/* ---- memory ------------------------------------------------------------------------------------------- */

static enum cor_status allocate(struct node *n, struct cor_error *err)
{
    struct kv_options kv = {.memory_max = n->options.memory_max};
    struct cor_raft_options raft = raft_options(n);
    n->raft_memory = aligned_alloc(16, (cor_raft_size(&raft) + 15) & ~(size_t)15);
    n->heads = calloc(NODE_BATCH_MAX, sizeof *n->heads);
    n->batch = calloc(NODE_BATCH_MAX, sizeof(struct request *));
    n->wal_entries = calloc(NODE_BATCH_MAX, sizeof *n->wal_entries);
    n->peer_entries = calloc(NODE_BATCH_MAX, sizeof *n->peer_entries);
    n->runs = calloc(NODE_BATCH_MAX + 1, sizeof *n->runs);
    n->arena_memory = malloc(NODE_ANSWER_MAX);
    n->answer_memory = malloc(NODE_ANSWER_MAX);
    n->kv = kv_new(&kv);
    bool ok = n->raft_memory != NULL && n->heads != NULL && n->batch != NULL &&
              n->wal_entries != NULL && n->peer_entries != NULL && n->runs != NULL &&
              n->arena_memory != NULL && n->answer_memory != NULL && n->kv != NULL &&
              hub_open(n->kv, n->io, n->options.watchers_max, &n->hub) == COR_OK;
    if (!ok) {
        return error_set(err, COR_ENOMEM, "not enough memory to start");
    }
    arena_init(&n->arena, n->arena_memory, NODE_ANSWER_MAX);
    return COR_OK;
}

static void set_callbacks(struct node *n)
{
    n->turn.run = node_run_turn;
    n->next_turn.fire = node_on_next_turn;
    n->retry_timer.fire = node_on_retry;
    n->core_timer.fire = core_on_timer;
    n->requests.timer.fire = request_on_timer;
    n->idle_timer.fire = idle_on_timer;
    n->session_timer.fire = session_on_timer;
    n->stop_timer.fire = stop_on_timer;
    io_random(n->io, &n->requests.serial, sizeof n->requests.serial);
    n->requests.serial >>= 8; /* room to count up */
    /* A leader may still hold a question of our earlier life, and its answer is from then. */
    io_random(n->io, &n->read_serial, sizeof n->read_serial);
    n->read_serial >>= 16;
}

/* ---- log and core ---------------------------------------------------------------------------------------- */

/* The newest runs of terms, as many as fit: the core asks when it needs older ones. */
static size_t newest_runs(struct node *n, uint64_t last)
{
    uint64_t first = 1;
    size_t count = last == 0 ? 0 : wal_runs(n->wal, first, last, n->runs, NODE_BATCH_MAX);
    while (count == NODE_BATCH_MAX && n->runs[count - 1].first > first) {
        first = n->runs[count - 1].first;
        count = wal_runs(n->wal, first, last, n->runs, NODE_BATCH_MAX);
    }
    return count;
}

static enum cor_status open_log(struct node *n, struct wal_recovered *found,
                                struct cor_error *err)
{
    struct wal_options o = {.io = n->io,
                            .events = n->events,
                            .node_id = node_self_id(n),
                            .no_direct = n->options.no_direct,
                            .arg = n,
                            .on_durable = core_on_durable,
                            .on_failed = core_on_wal_failed,
                            .on_room = log_on_room};
    memcpy(o.cluster_id, n->sb.cluster_id, sizeof o.cluster_id);
    enum cor_status st = wal_open(&o, found, err, &n->wal);
    if (st != COR_OK) {
        n->wal = NULL;
        return st;
    }
    if ((n->sb.level > 0 && found->empty) || n->sb.commit_hint > found->last) {
        return error_set(
            err, COR_ECORRUPT,
            "the log ends at entry %llu, but %llu entries were durable when this node "
            "stopped: log files are missing, put them back",
            (unsigned long long)found->last, (unsigned long long)n->sb.commit_hint);
    }
    return COR_OK;
}

static enum cor_status start_raft(struct node *n, const struct wal_recovered *found,
                                  struct cor_error *err)
{
    struct cor_raft_options options = raft_options(n);
    struct cor_raft_config config = {.n = (uint32_t)n->n_members};
    for (uint32_t i = 0; i < config.n; i++) {
        config.members[i] =
            (struct cor_raft_member){.id = i + 1, .kind = COR_MEMBER_VOTER, .in_new = true};
    }
    io_random(n->io, &options.seed, sizeof options.seed);
    /* What was committed when this node stopped stays committed: it need not wait for a leader. */
    struct cor_raft_recovered recovered = {.hard_state = found->hard_state,
                                           .runs = n->runs,
                                           .n_runs = newest_runs(n, found->last),
                                           .last = found->last,
                                           .first = 1,
                                           .config = &config,
                                           .applied = n->sb.commit_hint};
    enum cor_status st = cor_raft_init(n->raft_memory, cor_raft_size(&options), &options,
                                       &recovered, io_now(n->io), &n->raft);
    if (st != COR_OK || found->first > 1) {
        n->raft = NULL;
        return error_set(err, COR_ECORRUPT, "the log contradicts itself: run coracle verify");
    }
    cor_raft_get_info(n->raft, &n->info);
    return COR_OK;
}

enum cor_status node_start_core(struct node *n, struct cor_error *err)
{
    struct wal_recovered found;
    COR_ASSERT(node_is_formed(n));
    enum cor_status st = open_log(n, &found, err);
    if (st == COR_OK) {
        st = start_raft(n, &found, err);
    }
    if (st != COR_OK) {
        return st;
    }
    cache_init(&n->cache, found.last + 1);
    if (!cache_reserve(&n->cache, 0)) {
        return error_set(err, COR_ENOMEM, "not enough memory to start");
    }
    n->recovered_last = found.last;
    n->durable_seen = found.last;
    n->phase = NODE_RUNNING;
    event_emit(n->events, EVENT_INFO, "node", "log_recovered", event_u64("last", found.last),
               event_u64("term", found.hard_state.term),
               event_u64("commit_hint", n->sb.commit_hint),
               event_u64("torn_bytes", found.torn_bytes));
    n->core_deadline = 0;
    n->core_timer_at = 1;
    io_timer_set(n->io, &n->core_timer, 1); /* the first step, in a turn of its own */
    n->retry = true;
    node_wake(n);
    return COR_OK;
}

/* ---- the node ---------------------------------------------------------------------------------------------- */

void node_fill_hello(const struct node *n, struct peer_hello *out)
{
    *out = (struct peer_hello){.level_min = NODE_LEVEL,
                               .level_max = NODE_LEVEL,
                               .incarnation = n->sb.incarnation,
                               .members_hash = n->members_hash};
    memcpy(out->cluster_id, n->sb.cluster_id, sizeof out->cluster_id);
    memcpy(out->disk_id, n->sb.disk_id, sizeof out->disk_id);
    format_to(out->name, sizeof out->name, "%s", n->name);
    format_to(out->client_address, sizeof out->client_address, "%s", n->client_address);
}

static enum cor_status open_peers(struct node *n, struct cor_error *err)
{
    struct peer_member members[COR_RAFT_MEMBERS_MAX];
    struct peers_options o = {.io = n->io,
                              .events = n->events,
                              .members = members,
                              .listen = n->peer_listen,
                              .callbacks = &node_peer_events,
                              .arg = n};
    for (size_t i = 0; i < n->n_members; i++) {
        if (i != n->self) {
            members[o.n_members++] =
                (struct peer_member){n->members[i].name, n->members[i].address};
        }
    }
    node_fill_hello(n, &o.hello);
    return o.n_members == 0 ? COR_OK : peers_open(&o, err, &n->peers);
}

/* Nothing is wrong with the options and the directory. */
static enum cor_status start(struct node *n, struct cor_error *err)
{
    struct member *self = &n->members[n->self];
    self->heard = true;
    memcpy(self->disk_id, n->sb.disk_id, sizeof self->disk_id);
    bool was_formed = node_is_formed(n);
    enum cor_status st = COR_OK;
    n->sb.incarnation++;
    if (!was_formed && n->n_members == 1) {
        unsigned char id[16];
        form_cluster_id(n, id);
        form_fill_superblock(n, id);
    }
    /* An existing log is recovered before anything is changed; a new one is made under a
     * cluster's id that is durable. */
    if (was_formed) {
        st = node_start_core(n, err);
    }
    if (st == COR_OK) {
        st = superblock_write(n->io->fs, &n->sb, err);
    }
    if (st == COR_OK && !was_formed && node_is_formed(n)) {
        st = node_start_core(n, err);
    }
    if (st == COR_OK) {
        st = open_peers(n, err);
    }
    if (st == COR_OK && !node_is_formed(n)) {
        form_start(n);
    }
    return st;
}

enum cor_status node_open(const struct node_options *options, struct cor_error *err,
                          struct node **out)
{
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL) {
        return error_set(err, COR_ENOMEM, "not enough memory to start");
    }
    n->io = options->io;
    n->phase = NODE_FORMING;
    set_callbacks(n);
    enum cor_status st = take_options(n, options, err);
    if (st == COR_OK) {
        st = check_directory(n, err);
    }
    if (st == COR_OK) {
        st = check_listen(n, err);
    }
    if (st == COR_OK) {
        st = allocate(n, err);
    }
    if (st == COR_OK) {
        st = start(n, err);
    }
    if (st != COR_OK) {
        node_free(n);
        return st;
    }
    idle_refresh_disk_free(n);
    event_emit(n->events, EVENT_INFO, "node", "started", event_text("name", n->name),
               event_u64("incarnation", n->sb.incarnation), event_u64("members", n->n_members));
    *out = n;
    return COR_OK;
}

void node_free(struct node *n)
{
    peers_free(n->peers);
    struct io_timer *const timers[] = {&n->core_timer, &n->next_turn,     &n->retry_timer,
                                       &n->idle_timer, &n->session_timer, &n->stop_timer,
                                       &n->form.timer};
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) {
        io_timer_clear(n->io, timers[i]);
    }
    io_cancel(n->io, &n->turn);
    requests_deinit(n);
    for (size_t i = 0; i < n->n_members; i++) {
        feed_reset(&n->members[i].feed);
    }
    if (n->wal != NULL) {
        wal_close(n->wal);
    }
    cache_deinit(&n->cache);
    if (n->hub != NULL) {
        hub_free(n->hub);
    }
    if (n->kv != NULL) {
        kv_free(n->kv);
    }
    void *const memory[] = {n->raft_memory,  n->heads, n->batch,        n->wal_entries,
                            n->peer_entries, n->runs,  n->arena_memory, n->answer_memory};
    for (size_t i = 0; i < ARRAY_LEN(memory); i++) {
        free(memory[i]);
    }
    free(n);
}
