/* swarm.c - see swarm.h. */
#include "sim/swarm.h"

#include "base/assert.h"
#include "base/format.h"
#include "sim/linear.h"
#include "sim/logs.h"

#include <inttypes.h>
#include <string.h>

#define PEACE_MAX  (20 * SIM_S) /* to elect, take writes through every node, settle */
#define TELL_MAX   (60 * SIM_S) /* for watchers to be told the rest */
#define FORM_MAX   (20 * SIM_S)
#define SWARM_SALT UINT64_C(0x73776172)

/* ---- drawing options --------------------------------------------------------------------------------- */

static uint64_t pick(struct prng *p, const uint64_t *from, size_t n)
{
    return from[prng_below(p, n)];
}

#define PICK(p, ...)                                                                           \
    pick((p), (const uint64_t[]){__VA_ARGS__},                                                 \
         sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static bool chance(struct prng *p, unsigned permille)
{
    return prng_below(p, 1000) < permille;
}

static void draw_cluster(struct prng *p, struct swarm_options *o)
{
    struct cluster_options *c = &o->cluster;
    c->n_nodes = (unsigned)PICK(p, 1, 2, 3, 3, 3, 3, 4, 5, 5, 7);
    c->no_direct = chance(p, 300);
    c->reuse_handles = chance(p, 500);
    c->check_every = chance(p, 500) ? 2 * SIM_S : 0;
    c->node.no_lease = chance(p, 200);
    c->node.request_timeout = PICK(p, 1, 5, 5) * SIM_S;
    c->node.history_ns = chance(p, 700) ? UINT64_MAX : SIM_S;
    c->node.history_bytes = chance(p, 700) ? UINT64_MAX : 4096;
    c->node.cache_bytes_max = PICK(p, 0, 0, 4096, 65536);
    c->node.pending_bytes_max = PICK(p, 0, 0, 100000);
    if (chance(p, 200)) {
        c->node.heartbeat = 100 * SIM_MS;
        c->node.election_min = SIM_S;
        c->node.election_max = 2 * SIM_S;
    }
}

static void draw_net(struct prng *p, struct swarm_options *o)
{
    o->net_delay.min = PICK(p, 50, 200, 200, 1000) * SIM_US;
    o->net_delay.spread = PICK(p, 0, 100, 300, 2000) * SIM_US;
    o->work_delay.min = PICK(p, 20, 50, 200, 1000) * SIM_US;
    o->work_delay.spread = PICK(p, 0, 100, 200, 2000) * SIM_US;
    o->split_permille = (unsigned)PICK(p, 0, 50, 500);
    o->stall_permille = (unsigned)PICK(p, 0, 0, 1, 10);
    o->stall_min = PICK(p, 20, 200) * SIM_MS;
    o->reset_ppm = (unsigned)PICK(p, 0, 0, 100, 2000);
    o->window_bytes = (size_t)PICK(p, 4096, 65536, 262144);
    o->turn_cost = PICK(p, 1, 5, 50) * SIM_US;
    o->event_cost = PICK(p, 1, 2, 10) * SIM_US;
}

static void draw_clients(struct prng *p, struct swarm_options *o)
{
    struct client_options *c = &o->clients;
    c->n_message = 1 + (unsigned)prng_below(p, 8);
    c->n_http = chance(p, 300) ? 1 + (unsigned)prng_below(p, 4) : 0;
    c->n_keys = (uint32_t)PICK(p, 1, 3, 10, 100, 200);
    c->think = PICK(p, 5, 20, 50, 200) * SIM_MS;
    c->patience = 10 * SIM_S;
    c->value_max = (size_t)PICK(p, 100, 100, 5000, 100000);
    for (unsigned i = 0; i < N_WISHES; i++) {
        c->weights[i] = chance(p, 800) ? 1 + (unsigned)prng_below(p, 10) : 0;
    }
    c->weights[WISH_PUT] += 3;
    o->watchers.n = (unsigned)prng_below(p, 4);
    o->watchers.n_keys = c->n_keys;
    o->watchers.slow_permille = (unsigned)PICK(p, 0, 20, 300);
    o->watchers.queue_bytes_max = (size_t)PICK(p, 0, 2000);
}

/* A random subset of kinds; in one run of ten a single one, in one of twenty none. */
static void draw_faults(struct prng *p, struct swarm_options *o)
{
    struct faults_options *f = &o->faults;
    static const unsigned usual[N_FAULTS] = {
        [FAULT_CUT] = 8,
        [FAULT_CUT_ONE_WAY] = 8,
        [FAULT_ISOLATE] = 8,
        [FAULT_DEAF] = 5,
        [FAULT_SPLIT] = 6,
        [FAULT_RING] = 2,
        [FAULT_RESET] = 10,
        [FAULT_SLOW_LINK] = 8,
        [FAULT_PAUSE] = 8,
        [FAULT_PAUSE_IN_TURN] = 8,
        [FAULT_SLOW_HOST] = 3,
        [FAULT_KILL] = 8,
        [FAULT_STOP] = 4,
        [FAULT_POWER] = 8,
        [FAULT_POWER_IN_WRITE] = 10,
        [FAULT_POWER_IN_RECOVERY] = 4,
        [FAULT_DISK_STALL] = 6,
        [FAULT_DISK_FULL] = 4,
        [FAULT_SYNC_ERROR] = 3,
        [FAULT_WRITE_ERROR] = 2,
        [FAULT_WIPE] = 1,
    };
    uint64_t draw = prng_below(p, 20);
    for (unsigned i = 0; i < N_FAULTS; i++) {
        f->weights[i] = chance(p, 600) ? usual[i] : 0;
    }
    unsigned only = (unsigned)prng_below(p, N_FAULTS);
    if (draw < 2) {
        memset(f->weights, 0, sizeof f->weights);
    }
    f->weights[only] += usual[only];
    f->every = draw == 19 ? 0 : PICK(p, 100, 300, 1000, 3000) * SIM_MS;
    f->duration_max = PICK(p, 500, 2000, 5000, 20000) * SIM_MS;
    f->leader_permille = (unsigned)PICK(p, 0, 300, 600);
    f->strike_permille = (unsigned)PICK(p, 0, 200, 700);
    f->drift_ppm_max = (int64_t)PICK(p, 0, 100, 50000);
}

void swarm_draw(uint64_t seed, struct swarm_options *out)
{
    struct prng mixer = {seed ^ SWARM_SALT};
    struct prng p = {prng_next(&mixer)}; /* neighboring seeds have nothing in common */
    *out = (struct swarm_options){.seed = seed};
    draw_cluster(&p, out);
    draw_net(&p, out);
    draw_clients(&p, out);
    draw_faults(&p, out);
    out->safety = (5 + prng_below(&p, 15)) * SIM_S;
    out->core_only = chance(&p, 500);
    out->early = chance(&p, 150);
    out->clients.n_numbered =
        chance(&p, 400) ? 1 + (unsigned)prng_below(&p, out->clients.n_message) : 0;
}

void swarm_print(const struct swarm_options *o, FILE *out)
{
    const struct cluster_options *c = &o->cluster;
    const struct client_options *k = &o->clients;
    (void)fprintf(out,
                  "seed %" PRIu64 ": %u nodes, safety %" PRIu64 " s, core_only %d, early %d\n",
                  o->seed, c->n_nodes, o->safety / SIM_S, o->core_only, o->early);
    (void)fprintf(out,
                  "  node: heartbeat %" PRIu64 " ms, election %" PRIu64 "..%" PRIu64
                  " ms, no_lease %d, timeout %" PRIu64 " ms, history %" PRIu64 " ns %" PRIu64
                  " B, cache %" PRIu64 " B, pending %" PRIu64 " B\n",
                  c->node.heartbeat / SIM_MS, c->node.election_min / SIM_MS,
                  c->node.election_max / SIM_MS, c->node.no_lease,
                  c->node.request_timeout / SIM_MS, c->node.history_ns, c->node.history_bytes,
                  c->node.cache_bytes_max, c->node.pending_bytes_max);
    (void)fprintf(out,
                  "  net: delay %" PRIu64 "+%" PRIu64
                  " us, split %u/1000, stall %u/1000 of %" PRIu64
                  " ms, reset %u ppm, window %zu B\n",
                  o->net_delay.min / SIM_US, o->net_delay.spread / SIM_US, o->split_permille,
                  o->stall_permille, o->stall_min / SIM_MS, o->reset_ppm, o->window_bytes);
    (void)fprintf(out,
                  "  hosts: disk %" PRIu64 "+%" PRIu64
                  " us, no_direct %d, reuse_handles %d, turn %" PRIu64 " us, event %" PRIu64
                  " us, drift %" PRId64 " ppm, looks every %" PRIu64 " ms\n",
                  o->work_delay.min / SIM_US, o->work_delay.spread / SIM_US, c->no_direct,
                  c->reuse_handles, o->turn_cost / SIM_US, o->event_cost / SIM_US,
                  o->faults.drift_ppm_max, c->check_every / SIM_MS);
    (void)fprintf(out,
                  "  clients: %u by message (%u numbered), %u by HTTP, %u watchers (slow "
                  "%u/1000, queue %zu B), "
                  "%u keys, think %" PRIu64 " ms, values to %zu B, wishes",
                  k->n_message, k->n_numbered, k->n_http, o->watchers.n,
                  o->watchers.slow_permille, o->watchers.queue_bytes_max, k->n_keys,
                  k->think / SIM_MS, k->value_max);
    for (unsigned i = 0; i < N_WISHES; i++) {
        (void)fprintf(out, " %u", k->weights[i]);
    }
    (void)fprintf(out,
                  "\n  faults: every %" PRIu64 " ms, up to %" PRIu64
                  " ms, leader %u/1000, new ones %u/1000:",
                  o->faults.every / SIM_MS, o->faults.duration_max / SIM_MS,
                  o->faults.leader_permille, o->faults.strike_permille);
    for (unsigned i = 0; i < N_FAULTS; i++) {
        if (o->faults.weights[i] > 0) {
            (void)fprintf(out, " %s %u", fault_name((enum fault_kind)i), o->faults.weights[i]);
        }
    }
    (void)fprintf(out, "\n");
}

/* ---- a run -------------------------------------------------------------------------------------------- */

struct run {
    const struct swarm_options *options;
    struct cluster cluster;
    struct clients *clients;
    struct watchers *watchers;
    struct faults *faults;
};

static void set_up(struct run *r, FILE *trace)
{
    const struct swarm_options *o = r->options;
    struct cluster *c = &r->cluster;
    cluster_init(c, o->seed, &o->cluster);
    c->world.trace = trace;
    c->net.delay = o->net_delay;
    c->net.split_permille = o->split_permille;
    c->net.stall_permille = o->stall_permille;
    c->net.stall_min = o->stall_min;
    c->net.reset_permille = o->reset_ppm;
    c->net.window_bytes = o->window_bytes;
    for (unsigned i = 1; i <= c->n; i++) {
        struct host *h = &c->nodes[i].host;
        h->work_delay = o->work_delay;
        h->turn_cost = o->turn_cost;
        h->event_cost = o->event_cost;
    }
    r->clients = clients_new(c, &o->clients);
    r->watchers = watchers_new(c, &o->watchers);
    r->faults = faults_new(c, &o->faults);
}

static void tear_down(struct run *r)
{
    clients_halt(r->clients);
    watchers_halt(r->watchers);
    faults_free(r->faults);
    cluster_deinit(&r->cluster);
    watchers_free(r->watchers);
    clients_free(r->clients);
}

/* A random majority of the nodes that can vote; the rest is outside. Wiped ones are always. */
static unsigned draw_outside(struct run *r)
{
    struct cluster *c = &r->cluster;
    unsigned outside = 0, left = (c->n - 1) / 2;
    bool core_only = r->options->core_only;
    for (unsigned i = 1; i <= c->n; i++) {
        if (c->nodes[i].wiped) {
            outside |= 1u << i;
            left--;
        }
        core_only =
            core_only && c->nodes[i].formed; /* to meet for the first time, all must be there */
    }
    for (unsigned tries = 0; tries < 20 && left > 0 && core_only; tries++) {
        unsigned i = 1 + (unsigned)world_below(&c->world, SIM_RANDOM_FAULT, c->n);
        if ((outside & (1u << i)) == 0) {
            outside |= 1u << i;
            left--;
        }
    }
    return outside;
}

/* Through @node a write must succeed now. Clients ask it again while it is refused: elections take time. */
static bool takes_a_write(struct run *r, unsigned node, uint64_t until)
{
    struct cluster *c = &r->cluster;
    while (c->world.now < until && !c->judge.failed) {
        if (cluster_is_up(c, node)) {
            size_t at = clients_ask(r->clients, 0, &(struct op){.kind = OP_PUT, .node = node});
            while (!clients_are_idle(r->clients) && !c->judge.failed) {
                cluster_run(c, c->world.now + 10 * SIM_MS);
            }
            if (c->history.ops[at].status == COR_OK) {
                return true;
            }
        }
        cluster_run(c, c->world.now + 100 * SIM_MS);
    }
    return false;
}

static void demand_progress(struct run *r, unsigned outside)
{
    struct cluster *c = &r->cluster;
    uint64_t until = c->world.now + PEACE_MAX;
    char text[300];
    for (unsigned i = 1; i <= c->n && !c->judge.failed; i++) {
        if ((outside & (1u << i)) == 0 && !takes_a_write(r, i, until)) {
            cluster_describe(c, text, sizeof text);
            judge_fail(&c->judge,
                       "liveness: no write through n%u 20 s after the last fault: %s", i, text);
        }
    }
}

static bool has_settled(struct cluster *c)
{
    return cluster_has_converged(c);
}

static void demand_agreement(struct run *r)
{
    struct cluster *c = &r->cluster;
    char text[300];
    if (!cluster_run_until(c, c->world.now + PEACE_MAX, has_settled)) {
        cluster_describe(c, text, sizeof text);
        judge_fail(&c->judge,
                   "liveness: the stores are not equal 20 s after the last write: %s", text);
    }
    for (unsigned i = 1; i <= c->n && !c->judge.failed; i++) {
        if (c->nodes[i].node != NULL) {
            kv_check(node_kv(c->nodes[i].node));
        }
    }
}

static void wait_for_clients(struct run *r)
{
    struct cluster *c = &r->cluster;
    clients_stop(r->clients);
    while (!clients_are_idle(r->clients) && !c->judge.failed) {
        cluster_run(c, c->world.now + 100 * SIM_MS);
    }
}

static unsigned wiped_nodes(const struct cluster *c)
{
    unsigned mask = 0;
    for (unsigned i = 1; i <= c->n; i++) {
        mask |= c->nodes[i].wiped ? 1u << i : 0;
    }
    return mask;
}

/* Nothing was done to it: then nothing may have happened. */
static bool was_calm(const struct swarm_options *o)
{
    return o->faults.every == 0 && o->stall_permille == 0 && o->reset_ppm == 0;
}

static void judge_run(struct run *r)
{
    struct cluster *c = &r->cluster;
    logs_check(c);
    watchers_hurry(r->watchers);
    uint64_t until = c->world.now + TELL_MAX;
    do {
        cluster_run(c, c->world.now + SIM_S);
    } while (!watchers_are_told(r->watchers) && c->world.now < until && !c->judge.failed);
    if (!c->judge.failed) {
        watchers_check(r->watchers);
        history_check(&c->history, &c->judge);
        linear_judge(&c->history, &c->judge);
    }
}

static void play(struct run *r)
{
    const struct swarm_options *o = r->options;
    struct cluster *c = &r->cluster;
    if (!o->early) {
        (void)cluster_run_until(c, c->world.now + FORM_MAX, cluster_has_converged);
    }
    faults_begin(r->faults);
    cluster_run(c, c->world.now + o->safety);
    if (was_calm(o) && c->judge.leaders.n > 1) {
        judge_fail(&c->judge, "liveness: %zu elections, and nothing was done to anybody",
                   c->judge.leaders.n);
    }
    unsigned outside = draw_outside(r);
    faults_calm(r->faults, outside);
    wait_for_clients(r);
    demand_progress(r, outside);
    if (outside != wiped_nodes(c)) {
        outside = wiped_nodes(c);
        faults_calm(r->faults, outside);
        demand_progress(r, outside);
    }
    demand_agreement(r);
    judge_run(r);
}

void swarm_run(const struct swarm_options *o, FILE *trace, struct run_result *out)
{
    struct run r = {.options = o};
    set_up(&r, trace);
    play(&r);
    run_sum_up(&r.cluster, r.clients, r.watchers, r.faults, out);
    tear_down(&r);
}
