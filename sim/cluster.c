/*
 * cluster.c - see cluster.h. A node's process: born by cluster_start(), watched by look(), ended by
 * bury(); the machine under it is host.c's.
 */
#include "sim/cluster.h"

#include "base/assert.h"
#include "base/format.h"
#include "base/hash.h"
#include "sim/logs.h"
#include "sim/words.h"

#include <inttypes.h>
#include <string.h>

/* ---- what the judge sees ----------------------------------------------------------------------- */

/* All that @n has committed since the last look. */
static void show_committed(struct cluster_node *n, const struct cor_raft *raft,
                           const struct cor_raft_info *info)
{
    struct judge *j = &n->cluster->judge;
    for (uint64_t i = n->committed + 1; i <= info->commit && !j->failed; i++) {
        uint64_t term;
        if (cor_raft_term_at(raft, i, &term) == COR_OK) {
            judge_committed(j, n->host.number, info->term, (struct cor_logid){term, i});
        } else if (i > j->n_committed) {
            judge_fail(j, "n%u committed %" PRIu64 " and does not know its term",
                       n->host.number, i);
        }
    }
    n->committed = info->commit;
}

static void show_new_leader(struct cluster_node *n, const struct cor_raft *raft,
                            const struct cor_raft_info *info)
{
    struct judge *j = &n->cluster->judge;
    uint64_t index = judge_committed_before(j, info->term);
    uint64_t term = 0;
    if (index == 0) {
        return;
    }
    enum cor_status st = cor_raft_term_at(raft, index, &term);
    if (st == COR_OK || index > info->last) {
        judge_completeness(j, n->host.number, index, st == COR_OK ? term : 0);
    }
}

/* The node on this host has just had a turn. */
static void look(struct cluster_node *n)
{
    const struct cor_raft *raft = n->node == NULL ? NULL : node_raft(n->node);
    if (raft == NULL) {
        return;
    }
    struct cluster *c = n->cluster;
    struct judge_view was = c->judge.last[n->host.number];
    struct cor_raft_info info;
    struct kv_info kv;
    n->formed = true;
    cor_raft_check(raft, NULL);
    cor_raft_get_info(raft, &info);
    kv_get_info(node_kv(n->node), &kv);
    struct judge_view v = {.node = n->host.number,
                           .life = n->life,
                           .term = info.term,
                           .leader = info.role == COR_RAFT_LEADER,
                           .last = info.last,
                           .durable = info.durable,
                           .commit = info.commit,
                           .applied = kv.applied,
                           .revision = kv.revision,
                           .hash = kv.hash};
    show_committed(n, raft, &info);
    judge_node(&c->judge, &v);
    if (v.leader && (!was.leader || was.term != v.term || was.life != v.life)) {
        show_new_leader(n, raft, &info);
        for (unsigned i = 0; i < c->n_listeners; i++) {
            if (c->listeners[i].on_leader != NULL) {
                c->listeners[i].on_leader(c->listeners[i].arg, v.node);
            }
        }
    }
    if (v.term != was.term || v.commit != was.commit || v.hash != was.hash ||
        v.leader != was.leader) {
        world_note(&c->world, SIM_NOTE_STATE, v.node, v.term * 2 + v.leader, v.hash ^ v.commit);
    }
}

static void after_event(void *arg, struct host *h)
{
    struct cluster *c = arg;
    if (h != NULL && h->number <= c->n) {
        look(&c->nodes[h->number]);
    }
}

/* ---- the scribe: what each revision did ---------------------------------------------------------- */

static bool read_change(const struct node_event *e, struct judge_change *out)
{
    *out = (struct judge_change){.deleted = e->type == KV_EVENT_DELETE};
    if (!word_read_key(e->item.key, &out->key)) {
        return false;
    }
    out->value = out->deleted ? 0 : word_read_value(e->item.value);
    return out->deleted || out->value != 0;
}

static void scribe_write(struct cluster_node *n, struct node_event *const *events, size_t count)
{
    struct judge *j = &n->cluster->judge;
    struct judge_revision r = {0};
    uint64_t revision = events[0]->revision;
    if (revision != n->scribe_next) {
        judge_fail(j, "watch: n%u told revision %" PRIu64 " after %" PRIu64, n->host.number,
                   revision, n->scribe_next - 1);
    }
    for (size_t i = 0; i < count; i++) {
        if (i >= JUDGE_EVENTS_MAX || !read_change(events[i], &r.changes[i])) {
            judge_fail(j, "watch: n%u told of something strange in revision %" PRIu64,
                       n->host.number, revision);
            return;
        }
        r.n++;
    }
    judge_revision(j, n->host.number, revision, &r);
    n->scribe_next = revision + 1;
}

static bool on_scribe_events(void *arg, struct node_event *const *events, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t end = i + 1;
        while (end < n && events[end]->revision == events[i]->revision) {
            end++;
        }
        scribe_write(arg, events + i, end - i);
        i = end;
    }
    return true;
}

static void on_scribe_cancel(void *arg, enum cor_status st, uint64_t revision)
{
    struct cluster_node *n = arg;
    if (st == COR_ESTOPPED) {
        return;
    }
    if (st == COR_ECOMPACTED && revision > n->scribe_next) {
        n->scribe_next = revision;
        event_at(&n->scribe_restart, n->cluster->world.now);
        return;
    }
    judge_fail(&n->cluster->judge, "watch: n%u cancelled a ready reader (%s, %" PRIu64 ")",
               n->host.number, cor_status_text(st), revision);
}

static void scribe_start(struct cluster_node *n)
{
    static const struct cor_bytes first_key = COR_BYTES_INIT("\0");
    n->scribe = (struct node_watch){.range = {.to_end = true, .key = first_key},
                                    .start_revision = n->scribe_next,
                                    .queue_bytes_max = 64u << 20,
                                    .arg = n,
                                    .on_events = on_scribe_events,
                                    .on_cancel = on_scribe_cancel};
    enum cor_status st = node_watch_start(n->node, &n->scribe);
    if (st != COR_OK) {
        judge_fail(&n->cluster->judge, "watch: n%u refuses the scribe: %s", n->host.number,
                   cor_status_text(st));
    }
}

static void on_scribe_restart(struct sim_event *e)
{
    struct cluster_node *n = CONTAINER_OF(e, struct cluster_node, scribe_restart);
    scribe_start(n);
}

/* ---- the end of a process ------------------------------------------------------------------------ */

/* Handles die. If the power went in the middle of an operation, that is over now too. */
static void end_of_life(struct cluster_node *n)
{
    if (n->disk->is_cut) {
        sim_disk_crash(n->disk,
                       (struct sim_fate){.kind = SIM_FATE_RANDOM,
                                         .random = &n->cluster->world.random[SIM_RANDOM_DISK]});
    } else {
        sim_disk_kill(n->disk);
    }
}

static void bury(struct cluster_node *n, enum host_death death)
{
    struct cluster *c = n->cluster;
    if (n->node == NULL) {
        return;
    }
    event_clear(&n->bury);
    event_clear(&n->stop);
    event_clear(&n->scribe_restart);
    world_note(&c->world, SIM_NOTE_FAULT, n->host.number, death, c->world.now);
    c->n_crashes++;
    for (unsigned i = 0; i < c->n_listeners; i++) {
        if (c->listeners[i].on_down != NULL) {
            c->listeners[i].on_down(c->listeners[i].arg, n->host.number);
        }
    }
    host_halt(&n->host, death);
    end_of_life(n);
    api_free(n->api);
    node_free(n->node);
    n->api = NULL;
    n->node = NULL;
    n->listener = NULL;
    COR_ASSERT(n->disk->n_open == 0);
}

static void on_bury(struct sim_event *e)
{
    struct cluster_node *n = CONTAINER_OF(e, struct cluster_node, bury);
    bury(n, HOST_KILLED);
}

static void on_fatal(void *arg, const struct cor_error *err)
{
    struct cluster_node *n = arg;
    n->gave_up = true;
    n->why = *err;
    world_say(&n->cluster->world, n->host.number, err->text);
    bool no_room = !n->formed && err->status == COR_ENOSPACE && n->disk->capacity != UINT64_MAX;
    if (!n->broken && !n->wiped && !n->disk->is_cut && !no_room) {
        judge_fail(&n->cluster->judge, "n%u gave up without need: %s", n->host.number,
                   err->text);
    }
    event_at(&n->bury, n->cluster->world.now);
}

static void on_node_stopped(void *arg)
{
    struct cluster_node *n = arg;
    n->stopped = true;
    event_at(&n->bury, n->cluster->world.now);
}

static void on_api_stopped(void *arg)
{
    struct cluster_node *n = arg;
    node_stop(n->node, SIM_S, on_node_stopped, n);
}

static void on_stop(struct sim_event *e)
{
    struct cluster_node *n = CONTAINER_OF(e, struct cluster_node, stop);
    if (n->listener != NULL) {
        io_listener_close(n->listener);
        n->listener = NULL;
    }
    api_stop(n->api, SIM_S, on_api_stopped, n);
}

void cluster_stop(struct cluster *c, unsigned node)
{
    struct cluster_node *n = &c->nodes[node];
    if (n->node != NULL && !n->gave_up && !n->stopping) {
        n->stopping = true;
        event_at(&n->stop, c->world.now);
    }
}

void cluster_kill(struct cluster *c, unsigned node)
{
    bury(&c->nodes[node], HOST_KILLED);
}

void cluster_power_off(struct cluster *c, unsigned node, enum sim_fate_kind fate)
{
    struct cluster_node *n = &c->nodes[node];
    struct sim_fate f = {.kind = fate, .random = &c->world.random[SIM_RANDOM_DISK]};
    bury(n, HOST_POWER_LOST);
    sim_disk_crash(n->disk, f);
    logs_check_node(c, node);
}

bool cluster_cut_in_write(struct cluster *c, unsigned node, enum io_queue queue,
                          uint64_t changes)
{
    struct cluster_node *n = &c->nodes[node];
    if (n->node == NULL) {
        return false;
    }
    n->disk->cut_at = n->disk->changes + changes;
    bool was_at_it = host_run_cut(&n->host, queue);
    n->disk->cut_at = SIM_DISK_NEVER;
    if (was_at_it) {
        cluster_power_off(c, node, SIM_FATE_RANDOM);
    }
    return was_at_it;
}

static struct sim_disk *new_disk(const struct cluster *c)
{
    struct sim_disk *d = sim_disk_new();
    d->no_direct = c->options.no_direct;
    d->reuse_handles = c->options.reuse_handles;
    return d;
}

void cluster_wipe(struct cluster *c, unsigned node)
{
    struct cluster_node *n = &c->nodes[node];
    COR_ASSERT(n->node == NULL);
    sim_disk_free(n->disk);
    n->disk = new_disk(c);
    n->host.io.fs = &n->disk->fs;
    n->wiped = n->wiped || n->formed;
}

/* ---- the beginning ------------------------------------------------------------------------------- */

static void on_event(struct event_sink *sink, const struct event *event)
{
    struct cluster_node *n = CONTAINER_OF(sink, struct cluster_node, sink);
    struct world *w = &n->cluster->world;
    struct cor_bytes name = {(const unsigned char *)event->name, strlen(event->name)};
    uint64_t first = event->n_fields > 0 ? event->fields[0].number : 0;
    world_note(w, SIM_NOTE_EVENT, n->host.number, hash64(name), first);
    if (w->trace == NULL) {
        return;
    }
    char line[400];
    size_t len = format_to(line, sizeof line, "%s %s", event->room, event->name);
    for (uint32_t i = 0; i < event->n_fields; i++) {
        const struct event_field *f = &event->fields[i];
        if (f->kind == EVENT_TEXT) {
            len += format_to(line + len, sizeof line - len, " %s=%.*s", f->name,
                             (int)f->text.len, (const char *)f->text.ptr);
        } else {
            len += format_to(line + len, sizeof line - len, " %s=%" PRIu64, f->name, f->number);
        }
    }
    world_say(w, n->host.number, line);
}

static void on_accept(void *arg, struct io_stream *s)
{
    struct cluster_node *n = arg;
    api_accept(n->api, s);
}

static bool has_excuse(const struct cluster_node *n)
{
    const struct sim_disk *d = n->disk;
    return d->is_cut || d->fail_reads || d->fail_writes || d->fail_syncs ||
           (n->why.status == COR_ENOSPACE && d->capacity != UINT64_MAX);
}

static enum cor_status open_node(struct cluster_node *n)
{
    struct cluster *c = n->cluster;
    struct node_options options = c->options.node;
    options.io = &n->host.io;
    options.events = &n->sink;
    options.name = n->name;
    options.members = c->members;
    options.n_members = c->n > 1 ? c->n : 0;
    options.client_address = n->client_address;
    options.arg = n;
    options.on_fatal = on_fatal;
    return node_open(&options, &n->why, &n->node);
}

static void open_api(struct cluster_node *n)
{
    struct api_options options = {.node = n->node,
                                  .io = &n->host.io,
                                  .events = &n->sink,
                                  .version = "sim",
                                  .any_host = true};
    n->api = api_new(&options);
    COR_ASSERT(n->api != NULL);
    enum cor_status st =
        io_listen(&n->host.io, n->client_address, on_accept, n, NULL, &n->listener, &n->why);
    COR_ASSERT(st == COR_OK);
}

bool cluster_start(struct cluster *c, unsigned node)
{
    struct cluster_node *n = &c->nodes[node];
    if (n->node != NULL) {
        return true;
    }
    c->n_starts++;
    n->life++;
    n->gave_up = n->stopping = n->stopped = false;
    n->committed = 0;
    n->why = (struct cor_error){0};
    n->host.clock_now = 0;
    world_note(&c->world, SIM_NOTE_START, node, n->life, 0);
    host_boot(&n->host);
    enum cor_status st = open_node(n);
    if (st != COR_OK) {
        n->node = NULL;
        world_say(&c->world, node, n->why.text);
        if (!has_excuse(n)) {
            judge_fail(&c->judge, "n%u does not start: %s: %s", node, cor_status_text(st),
                       n->why.text);
        }
        host_halt(&n->host, HOST_KILLED);
        end_of_life(n);
        COR_ASSERT(n->disk->n_open == 0);
        return false;
    }
    n->broken = false;
    open_api(n);
    n->scribe_next = 2;
    scribe_start(n);
    return true;
}

void cluster_start_all(struct cluster *c)
{
    for (unsigned i = 1; i <= c->n; i++) {
        (void)cluster_start(c, i);
    }
}

static void on_check(struct sim_event *e)
{
    struct cluster *c = CONTAINER_OF(e, struct cluster, check);
    logs_check(c);
    event_at(&c->check, c->world.now + c->options.check_every);
}

static void node_init(struct cluster *c, unsigned number)
{
    struct cluster_node *n = &c->nodes[number];
    n->cluster = c;
    n->sink.emit = on_event;
    n->disk = new_disk(c);
    host_init(&n->host, &c->world, &c->net, number, &n->disk->fs);
    event_init(&n->bury, &c->world, NULL, SIM_NOTE_FAULT, on_bury);
    event_init(&n->stop, &c->world, &n->host, SIM_NOTE_FAULT, on_stop);
    event_init(&n->scribe_restart, &c->world, &n->host, SIM_NOTE_REQUEST, on_scribe_restart);
    (void)format_to(n->name, sizeof n->name, "n%u", number);
    (void)format_to(n->peer_address, sizeof n->peer_address, "n%u:4000", number);
    (void)format_to(n->client_address, sizeof n->client_address, "n%u:2379", number);
    c->members[number - 1] = (struct node_member){n->name, n->peer_address};
}

void cluster_init(struct cluster *c, uint64_t seed, const struct cluster_options *options)
{
    COR_ASSERT(options->n_nodes >= 1 && options->n_nodes <= CLUSTER_NODES_MAX);
    *c = (struct cluster){
        .options = *options, .n = options->n_nodes, .n_hosts = options->n_nodes};
    world_init(&c->world, seed);
    c->world.after = after_event;
    c->world.after_arg = c;
    net_init(&c->net, &c->world);
    judge_init(&c->judge);
    for (unsigned i = 1; i <= c->n; i++) {
        node_init(c, i);
    }
    event_init(&c->check, &c->world, NULL, SIM_NOTE_FAULT, on_check);
    if (options->check_every > 0) {
        event_at(&c->check, c->world.now + options->check_every);
    }
}

void cluster_deinit(struct cluster *c)
{
    event_clear(&c->check);
    c->n_listeners = 0;
    for (unsigned i = 1; i <= c->n; i++) {
        bury(&c->nodes[i], HOST_POWER_LOST);
    }
    net_deinit(&c->net);
    for (unsigned i = 1; i <= c->n; i++) {
        host_deinit(&c->nodes[i].host);
        sim_disk_free(c->nodes[i].disk);
    }
    world_deinit(&c->world);
    history_clear(&c->history);
    judge_deinit(&c->judge);
}

void cluster_listen(struct cluster *c, struct cluster_listener listener)
{
    COR_ASSERT(c->n_listeners < CLUSTER_LISTENERS_MAX);
    c->listeners[c->n_listeners++] = listener;
}

/* ---- letting things happen ----------------------------------------------------------------------- */

bool cluster_run_until(struct cluster *c, uint64_t until, bool (*done)(struct cluster *c))
{
    struct world *w = &c->world;
    while (!c->judge.failed) {
        if (done != NULL && done(c)) {
            return true;
        }
        const struct io_timer *next = agenda_next(&w->agenda);
        if (next == NULL || next->at > until) {
            w->now = until > w->now ? until : w->now;
            return false;
        }
        (void)world_step(w);
    }
    return false;
}

void cluster_run(struct cluster *c, uint64_t until)
{
    (void)cluster_run_until(c, until, NULL);
}

bool cluster_is_up(const struct cluster *c, unsigned node)
{
    const struct cluster_node *n = &c->nodes[node];
    return n->node != NULL && !n->gave_up && !n->stopping;
}

unsigned cluster_leader(const struct cluster *c)
{
    unsigned leader = 0;
    for (unsigned i = 1; i <= c->n; i++) {
        const struct judge_view *v = &c->judge.last[i];
        bool leads = cluster_is_up(c, i) && v->life == c->nodes[i].life && v->leader;
        if (leads && (leader == 0 || v->term > c->judge.last[leader].term)) {
            leader = i;
        }
    }
    return leader;
}

bool cluster_has_converged(struct cluster *c)
{
    unsigned leader = cluster_leader(c);
    if (leader == 0) {
        return false;
    }
    const struct judge_view *l = &c->judge.last[leader];
    for (unsigned i = 1; i <= c->n; i++) {
        const struct judge_view *v = &c->judge.last[i];
        if (cluster_is_up(c, i) && !c->nodes[i].wiped &&
            (v->life != c->nodes[i].life || v->term != l->term || v->applied != l->last ||
             v->hash != l->hash || l->commit != l->last)) {
            return false;
        }
    }
    return true;
}

void cluster_describe(struct cluster *c, char *out, size_t size)
{
    size_t len = 0;
    for (unsigned i = 1; i <= c->n; i++) {
        const struct cluster_node *n = &c->nodes[i];
        const struct judge_view *v = &c->judge.last[i];
        const char *state = n->node == NULL      ? "off"
                            : n->gave_up         ? "gave up"
                            : n->host.paused     ? "paused"
                            : v->life != n->life ? "forming"
                            : v->leader          ? "leader"
                                                 : "follower";
        len += format_to(out + len, size - len,
                         "%sn%u %s term %" PRIu64 " last %" PRIu64 " commit %" PRIu64
                         " applied %" PRIu64,
                         i == 1 ? "" : "; ", i, state, v->term, v->last, v->commit, v->applied);
    }
}
