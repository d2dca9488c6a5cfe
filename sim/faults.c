/* faults.c - see faults.h. */
#include "sim/faults.h"

#include "base/assert.h"
#include "base/format.h"

#include <stdlib.h>
#include <string.h>

#define ACTIVE_MAX    16u
#define STRIKE_WITHIN (10 * SIM_MS)
#define ELECTION_MIN  (250 * SIM_MS) /* a node's default */
#define SLOW_HOST     50u            /* times */

struct active {
    struct faults *all;
    struct sim_event end;
    struct fault fault;
};

struct starter {
    struct faults *all;
    struct sim_event start;
    unsigned node;
    bool again; /* lose power once more while it recovers */
};

struct faults {
    struct cluster *cluster;
    struct faults_options options;
    struct sim_event draw, strike;
    unsigned new_leader; /* whom to strike */
    bool drawing, calm;
    struct active active[ACTIVE_MAX];
    struct starter starters[CLUSTER_NODES_MAX + 1];
    unsigned n_slow[CLUSTER_NODES_MAX + 1];
    unsigned n_wiped;
    unsigned outside; /* mask: not started again */
    uint64_t counts[N_FAULTS];
};

static const char *const names[N_FAULTS] = {
    [FAULT_CUT] = "cut",
    [FAULT_CUT_ONE_WAY] = "cut_one_way",
    [FAULT_ISOLATE] = "isolate",
    [FAULT_DEAF] = "deaf",
    [FAULT_SPLIT] = "split",
    [FAULT_RING] = "ring",
    [FAULT_RESET] = "reset",
    [FAULT_SLOW_LINK] = "slow_link",
    [FAULT_PAUSE] = "pause",
    [FAULT_PAUSE_IN_TURN] = "pause_in_turn",
    [FAULT_SLOW_HOST] = "slow_host",
    [FAULT_KILL] = "kill",
    [FAULT_STOP] = "stop",
    [FAULT_POWER] = "power",
    [FAULT_POWER_IN_WRITE] = "power_in_write",
    [FAULT_POWER_IN_RECOVERY] = "power_in_recovery",
    [FAULT_DISK_STALL] = "disk_stall",
    [FAULT_DISK_FULL] = "disk_full",
    [FAULT_SYNC_ERROR] = "sync_error",
    [FAULT_WRITE_ERROR] = "write_error",
    [FAULT_WIPE] = "wipe",
};

const char *fault_name(enum fault_kind kind)
{
    return names[kind];
}

static uint64_t below(struct faults *f, uint64_t bound)
{
    return world_below(&f->cluster->world, SIM_RANDOM_FAULT, bound);
}

/* ---- machines --------------------------------------------------------------------------------------- */

static void set_clock(struct faults *f, struct host *h)
{
    struct world *w = &f->cluster->world;
    int64_t max = f->options.drift_ppm_max;
    h->clock_offset = world_below(w, SIM_RANDOM_CLOCK, 1000 * SIM_S);
    h->drift_ppm =
        max == 0 ? 0 : (int64_t)world_below(w, SIM_RANDOM_CLOCK, 2 * (uint64_t)max + 1) - max;
}

static void start_in(struct faults *f, unsigned node, uint64_t in)
{
    struct starter *s = &f->starters[node];
    if (!event_is_set(&s->start) && (f->outside & (1u << node)) == 0) {
        event_at(&s->start, f->cluster->world.now + in);
    }
}

static void on_start(struct sim_event *e)
{
    struct starter *s = CONTAINER_OF(e, struct starter, start);
    struct faults *f = s->all;
    struct cluster_node *n = &f->cluster->nodes[s->node];
    if (n->node != NULL) {
        return;
    }
    set_clock(f, &n->host);
    if (s->again) {
        s->again = false;
        n->disk->cut_at = n->disk->changes + below(f, 6);
    }
    if (!cluster_start(f->cluster, s->node)) {
        start_in(f, s->node, below(f, 2 * SIM_S));
    }
}

/* Whatever ended it, somebody starts it again. */
static void on_down(void *arg, unsigned node)
{
    struct faults *f = arg;
    start_in(f, node, 1 + below(f, f->calm ? SIM_S : f->options.duration_max + 1));
}

/* ---- carrying out and undoing ------------------------------------------------------------------------ */

static void set_cuts(struct faults *f, const struct fault *fault, bool cut)
{
    struct cluster *c = f->cluster;
    struct net *net = &c->net;
    for (unsigned i = 1; i <= c->n_hosts; i++) {
        for (unsigned k = 1; k <= c->n_hosts; k++) {
            bool nodes = i <= c->n && k <= c->n;
            unsigned gap = i > k ? i - k : k - i;
            bool sides = ((fault->number >> i) & 1) != ((fault->number >> k) & 1);
            bool hit = (fault->kind == FAULT_ISOLATE && (i == fault->a || k == fault->a)) ||
                       (fault->kind == FAULT_DEAF && k == fault->a) ||
                       (fault->kind == FAULT_SPLIT && nodes && sides) ||
                       (fault->kind == FAULT_RING && nodes && gap != 1 && gap != c->n - 1);
            if (hit && i != k) {
                net_cut(net, i, k, cut);
            }
        }
    }
}

static void cut_link(struct faults *f, const struct fault *fault, bool cut)
{
    net_cut(&f->cluster->net, fault->a, fault->b, cut);
    if (fault->kind == FAULT_CUT) {
        net_cut(&f->cluster->net, fault->b, fault->a, cut);
    }
}

/* However many of these overlap, it is slow once. */
static void set_slow_host(struct faults *f, unsigned node, bool slow)
{
    struct host *h = &f->cluster->nodes[node].host;
    f->n_slow[node] += slow ? 1 : 0;
    if (slow && f->n_slow[node] == 1) {
        h->turn_cost *= SLOW_HOST;
        h->event_cost *= SLOW_HOST;
    } else if (!slow && f->n_slow[node] == 1) {
        h->turn_cost /= SLOW_HOST;
        h->event_cost /= SLOW_HOST;
    }
    f->n_slow[node] -= slow ? 0 : 1;
}

static void lose_power(struct faults *f, const struct fault *fault)
{
    static const enum sim_fate_kind fates[] = {SIM_FATE_RANDOM, SIM_FATE_RANDOM, SIM_FATE_LOST,
                                               SIM_FATE_KEPT};
    f->starters[fault->a].again = fault->kind == FAULT_POWER_IN_RECOVERY;
    if (fault->kind == FAULT_POWER_IN_WRITE) {
        enum io_queue queue = fault->number % 4 == 0 ? IO_QUEUE_DISK : IO_QUEUE_LOG;
        if (cluster_cut_in_write(f->cluster, fault->a, queue, fault->number / 4 % 3)) {
            return;
        }
    }
    cluster_power_off(f->cluster, fault->a, fates[fault->number % ARRAY_LEN(fates)]);
}

/* Not before all have met: who has not waits for all. */
static bool all_have_met(const struct cluster *c)
{
    unsigned n = 0;
    for (unsigned i = 1; i <= c->n; i++) {
        n += c->nodes[i].formed;
    }
    return n == c->n;
}

static void wipe(struct faults *f, unsigned node)
{
    struct cluster *c = f->cluster;
    if (!all_have_met(c) || f->n_wiped + 1 > (c->n - 1) / 2 || c->nodes[node].wiped) {
        return;
    }
    f->n_wiped++;
    cluster_kill(c, node);
    cluster_wipe(c, node);
    start_in(f, node, SIM_S);
}

static void break_disk(struct cluster_node *n, const struct fault *fault, bool on)
{
    struct sim_disk *d = n->disk;
    n->broken = n->broken || on;
    if (fault->kind == FAULT_SYNC_ERROR) {
        d->fail_syncs = on;
    } else {
        d->fail_writes = on;
    }
}

static void carry_out(struct faults *f, const struct fault *fault)
{
    struct cluster *c = f->cluster;
    struct cluster_node *n = &c->nodes[fault->a];
    switch (fault->kind) {
    case FAULT_CUT:
    case FAULT_CUT_ONE_WAY:
        cut_link(f, fault, true);
        return;
    case FAULT_ISOLATE:
    case FAULT_DEAF:
    case FAULT_SPLIT:
    case FAULT_RING:
        set_cuts(f, fault, true);
        return;
    case FAULT_RESET:
        net_reset(&c->net, fault->a, fault->b);
        return;
    case FAULT_SLOW_LINK:
        c->net.slow[fault->a][fault->b] = true;
        return;
    case FAULT_PAUSE:
    case FAULT_PAUSE_IN_TURN:
        host_pause(&n->host, fault->kind == FAULT_PAUSE_IN_TURN);
        return;
    case FAULT_SLOW_HOST:
        set_slow_host(f, fault->a, true);
        return;
    case FAULT_KILL:
        cluster_kill(c, fault->a);
        return;
    case FAULT_STOP:
        cluster_stop(c, fault->a);
        return;
    case FAULT_POWER:
    case FAULT_POWER_IN_WRITE:
    case FAULT_POWER_IN_RECOVERY:
        lose_power(f, fault);
        return;
    case FAULT_DISK_STALL:
        host_stall_disk(&n->host, c->world.now + fault->duration);
        return;
    case FAULT_DISK_FULL:
        n->disk->capacity = sim_disk_used(n->disk) + fault->number % 100000;
        return;
    case FAULT_SYNC_ERROR:
    case FAULT_WRITE_ERROR:
        break_disk(n, fault, true);
        return;
    case FAULT_WIPE:
        wipe(f, fault->a);
        return;
    case N_FAULTS:
        break;
    }
    COR_ASSERT(false);
}

static void undo(struct faults *f, const struct fault *fault)
{
    struct cluster_node *n = &f->cluster->nodes[fault->a];
    switch (fault->kind) {
    case FAULT_CUT:
    case FAULT_CUT_ONE_WAY:
        cut_link(f, fault, false);
        return;
    case FAULT_ISOLATE:
    case FAULT_DEAF:
    case FAULT_SPLIT:
    case FAULT_RING:
        set_cuts(f, fault, false);
        return;
    case FAULT_SLOW_LINK:
        f->cluster->net.slow[fault->a][fault->b] = false;
        return;
    case FAULT_PAUSE:
    case FAULT_PAUSE_IN_TURN:
        host_resume(&n->host);
        return;
    case FAULT_SLOW_HOST:
        set_slow_host(f, fault->a, false);
        return;
    case FAULT_DISK_FULL:
        n->disk->capacity = UINT64_MAX;
        return;
    case FAULT_SYNC_ERROR:
    case FAULT_WRITE_ERROR:
        break_disk(n, fault, false);
        return;
    case FAULT_RESET:
    case FAULT_KILL:
    case FAULT_STOP:
    case FAULT_POWER:
    case FAULT_POWER_IN_WRITE:
    case FAULT_POWER_IN_RECOVERY:
    case FAULT_DISK_STALL:
    case FAULT_WIPE:
    case N_FAULTS:
        return; /* over at once, or with the next start */
    }
}

static void on_end(struct sim_event *e)
{
    struct active *a = CONTAINER_OF(e, struct active, end);
    undo(a->all, &a->fault);
}

void faults_do(struct faults *f, const struct fault *fault)
{
    struct world *w = &f->cluster->world;
    struct active *free_one = NULL;
    for (unsigned i = 0; i < ACTIVE_MAX && free_one == NULL; i++) {
        free_one = event_is_set(&f->active[i].end) ? NULL : &f->active[i];
    }
    if (free_one == NULL) {
        return; /* enough is enough */
    }
    char line[80];
    (void)format_to(line, sizeof line, "fault: %s n%u n%u %llu for %llu ms", names[fault->kind],
                    fault->a, fault->b, (unsigned long long)fault->number,
                    (unsigned long long)(fault->duration / SIM_MS));
    world_say(w, fault->a, line);
    world_note(w, SIM_NOTE_FAULT, fault->a, (uint64_t)fault->kind, fault->duration);
    f->counts[fault->kind]++;
    free_one->fault = *fault;
    event_at(&free_one->end, w->now + fault->duration);
    carry_out(f, fault);
}

/* ---- drawing ------------------------------------------------------------------------------------------ */

static enum fault_kind draw_kind(struct faults *f)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < N_FAULTS; i++) {
        sum += f->options.weights[i];
    }
    COR_ASSERT(sum > 0);
    uint64_t draw = below(f, sum);
    unsigned i = 0;
    while (draw >= f->options.weights[i]) {
        draw -= f->options.weights[i++];
    }
    return (enum fault_kind)i;
}

static unsigned draw_victim(struct faults *f)
{
    unsigned leader = cluster_leader(f->cluster);
    if (leader != 0 && below(f, 1000) < f->options.leader_permille) {
        return leader;
    }
    return 1 + (unsigned)below(f, f->cluster->n);
}

/* Short ones are as likely as long ones; some are about as long as an election, when the most can go wrong. */
static uint64_t draw_duration(struct faults *f)
{
    uint64_t election = f->cluster->options.node.election_min;
    election = election == 0 ? ELECTION_MIN : election;
    if (below(f, 4) == 0) {
        return election + below(f, 2 * election);
    }
    uint64_t max = f->options.duration_max >> below(f, 8);
    return 1 + below(f, max + 1);
}

static void draw_fault(struct faults *f, unsigned victim)
{
    struct cluster *c = f->cluster;
    struct fault fault = {.kind = draw_kind(f), .a = victim};
    fault.number = world_random(&c->world, SIM_RANDOM_FAULT);
    fault.b = 1 + (unsigned)below(f, c->n);
    if (fault.b == fault.a) {
        fault.b = fault.a % c->n + 1;
    }
    fault.duration = draw_duration(f);
    faults_do(f, &fault);
}

static void on_draw(struct sim_event *e)
{
    struct faults *f = CONTAINER_OF(e, struct faults, draw);
    draw_fault(f, draw_victim(f));
    event_at(&f->draw, f->cluster->world.now + below(f, 2 * f->options.every));
}

static void on_strike(struct sim_event *e)
{
    struct faults *f = CONTAINER_OF(e, struct faults, strike);
    draw_fault(f, f->new_leader);
}

/* Who has just become leader is worth a blow: its first entry is on its way. */
static void on_leader(void *arg, unsigned node)
{
    struct faults *f = arg;
    if (f->drawing && below(f, 1000) < f->options.strike_permille) {
        f->new_leader = node;
        event_clear(&f->strike);
        event_at(&f->strike, f->cluster->world.now + 1 + below(f, STRIKE_WITHIN));
    }
}

/* ---- life --------------------------------------------------------------------------------------------- */

struct faults *faults_new(struct cluster *c, const struct faults_options *options)
{
    struct faults *f = calloc(1, sizeof *f);
    COR_ASSERT(f != NULL);
    f->cluster = c;
    f->options = *options;
    event_init(&f->draw, &c->world, NULL, SIM_NOTE_FAULT, on_draw);
    event_init(&f->strike, &c->world, NULL, SIM_NOTE_FAULT, on_strike);
    for (unsigned i = 0; i < ACTIVE_MAX; i++) {
        f->active[i].all = f;
        event_init(&f->active[i].end, &c->world, NULL, SIM_NOTE_FAULT, on_end);
    }
    for (unsigned i = 1; i <= c->n; i++) {
        f->starters[i] = (struct starter){.all = f, .node = i};
        event_init(&f->starters[i].start, &c->world, NULL, SIM_NOTE_START, on_start);
        start_in(f, i, below(f, SIM_S));
    }
    cluster_listen(c, (struct cluster_listener){on_down, on_leader, f});
    return f;
}

void faults_begin(struct faults *f)
{
    if (f->options.every > 0) {
        f->drawing = true;
        event_at(&f->draw, f->cluster->world.now + below(f, 2 * f->options.every));
    }
}

/* Out of reach for good: it may go on talking, so that the others must live with that. */
static void put_outside(struct faults *f, unsigned node)
{
    struct cluster *c = f->cluster;
    uint64_t how = below(f, 4);
    if (how == 0 && c->nodes[node].node != NULL) {
        cluster_kill(c, node);
    } else if (how == 1) {
        host_pause(&c->nodes[node].host, false);
    } else {
        struct fault cut = {.kind = how == 2 ? FAULT_ISOLATE : FAULT_DEAF, .a = node};
        set_cuts(f, &cut, true);
    }
}

void faults_calm(struct faults *f, unsigned outside)
{
    struct cluster *c = f->cluster;
    event_clear(&f->draw);
    event_clear(&f->strike);
    f->drawing = false;
    f->calm = true;
    net_heal_all(&c->net);
    c->net.stall_permille = c->net.reset_permille = 0;
    for (unsigned i = 0; i < ACTIVE_MAX; i++) {
        if (event_is_set(&f->active[i].end)) {
            event_clear(&f->active[i].end);
            undo(f, &f->active[i].fault);
        }
    }
    f->outside = outside;
    for (unsigned i = 1; i <= c->n; i++) {
        struct cluster_node *n = &c->nodes[i];
        f->starters[i].again = false;
        event_clear(&f->starters[i].start);
        host_stall_disk(&n->host, 0);
        host_resume(&n->host);
        if ((outside & (1u << i)) != 0) {
            put_outside(f, i);
        } else if (n->node == NULL) {
            start_in(f, i, below(f, SIM_S));
        }
    }
}

const uint64_t *faults_counts(const struct faults *f)
{
    return f->counts;
}

void faults_free(struct faults *f)
{
    event_clear(&f->draw);
    event_clear(&f->strike);
    for (unsigned i = 0; i < ACTIVE_MAX; i++) {
        event_clear(&f->active[i].end);
    }
    for (unsigned i = 1; i <= f->cluster->n; i++) {
        event_clear(&f->starters[i].start);
    }
    free(f);
}
