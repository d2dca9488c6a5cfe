/*
 * scenario.c - the stories. A stage is a cluster with idle clients; stories ask, hurt, wait and expect.
 */
#include "sim/scenario.h"

#include "base/assert.h"
#include "base/format.h"
#include "sim/linear.h"
#include "sim/logs.h"

#include <string.h>

#define N_MESSAGE 12u
#define N_HTTP    2u
#define N_CLIENTS (N_MESSAGE + N_HTTP)
#define USUAL     3000u   /* bytes of a value at most */
#define BIG       700000u /* two of them fill an append */
#define PATIENCE  (20 * SIM_S)

struct stage {
    struct cluster cluster;
    struct clients *clients;
    size_t asked[N_CLIENTS]; /* each client's last question */
};

/* ---- stage machinery ---------------------------------------------------------------------------------- */

static void expect(struct stage *s, bool ok, const char *sentence)
{
    if (!ok) {
        char text[300];
        cluster_describe(&s->cluster, text, sizeof text);
        judge_fail(&s->cluster.judge, "not so: %s (%s)", sentence, text);
    }
}

static uint64_t draw(struct stage *s, uint64_t bound)
{
    return world_below(&s->cluster.world, SIM_RANDOM_FAULT, bound);
}

static void run_for(struct stage *s, uint64_t time)
{
    cluster_run(&s->cluster, s->cluster.world.now + time);
}

static bool has_leader(struct cluster *c)
{
    return cluster_leader(c) != 0;
}

static void wait_for_leader(struct stage *s)
{
    expect(s, cluster_run_until(&s->cluster, s->cluster.world.now + 30 * SIM_S, has_leader),
           "a leader is elected");
}

static void wait_for_agreement(struct stage *s)
{
    expect(s,
           cluster_run_until(&s->cluster, s->cluster.world.now + 30 * SIM_S,
                             cluster_has_converged),
           "all stores become equal");
}

/* Client @client asks and does not wait. */
static void ask(struct stage *s, unsigned client, struct op what)
{
    if (s->cluster.judge.failed) {
        return; /* time stands still: the story is told to its end, to no effect */
    }
    s->asked[client] = clients_ask(s->clients, client, &what);
}

static void wait_for_answers(struct stage *s)
{
    while (!clients_are_idle(s->clients) && !s->cluster.judge.failed) {
        run_for(s, 5 * SIM_MS);
    }
}

static void wait_for_answer(struct stage *s, unsigned client)
{
    while (clients_is_waiting(s->clients, client) && !s->cluster.judge.failed) {
        run_for(s, 5 * SIM_MS);
    }
}

static enum cor_status status_of(const struct stage *s, unsigned client)
{
    if (s->cluster.judge.failed) {
        return COR_EUNKNOWN;
    }
    return s->cluster.history.ops[s->asked[client]].status;
}

/* Client 0 asks and waits. */
static enum cor_status put(struct stage *s, unsigned node, uint32_t key)
{
    ask(s, 0, (struct op){.kind = OP_PUT, .node = node, .key = key});
    wait_for_answer(s, 0);
    return status_of(s, 0);
}

static enum cor_status get(struct stage *s, unsigned node, enum node_read_mode mode,
                           uint32_t key)
{
    ask(s, 0, (struct op){.kind = OP_GET, .mode = (uint8_t)mode, .node = node, .key = key});
    wait_for_answer(s, 0);
    return status_of(s, 0);
}

static bool put_within(struct stage *s, unsigned node, uint64_t time)
{
    uint64_t until = s->cluster.world.now + time;
    while (s->cluster.world.now < until && !s->cluster.judge.failed) {
        if (put(s, node, 1) == COR_OK) {
            return true;
        }
        run_for(s, 50 * SIM_MS);
    }
    return false;
}

static unsigned other_than(struct stage *s, unsigned node)
{
    unsigned n = s->cluster.n;
    return (node - 1 + 1 + (unsigned)draw(s, n - 1)) % n + 1;
}

static void isolate(struct stage *s, unsigned node, bool on)
{
    for (unsigned i = 1; i <= s->cluster.n; i++) {
        if (i != node) {
            net_cut(&s->cluster.net, i, node, on);
            net_cut(&s->cluster.net, node, i, on);
        }
    }
}

static bool is_refusal(enum cor_status st)
{
    return st != COR_OK && history_is_not_done(st);
}

/* ---- leaders ------------------------------------------------------------------------------------------- */

static bool has_successor(struct cluster *c)
{
    unsigned n = 0;
    for (unsigned i = 1; i <= c->n; i++) {
        n += c->judge.last[i].leader ? 1 : 0;
    }
    return n > 1;
}

/* Somebody else leads although @old still believes to: the moment when a stale answer is nearest. A write is
 * acknowledged there at once. */
static void wait_for_successor(struct stage *s, unsigned old)
{
    struct cluster *c = &s->cluster;
    (void)cluster_run_until(c, c->world.now + 300 * SIM_MS + draw(s, SIM_S), has_successor);
    for (unsigned tries = 0; tries < 100 && !c->judge.failed; tries++) {
        for (unsigned i = 1; i <= c->n; i++) {
            if (i != old && c->judge.last[i].leader) {
                expect(s, put(s, i, 1) == COR_OK, "the new leader takes a write");
                return;
            }
        }
        run_for(s, 50 * SIM_MS);
    }
    expect(s, false, "the others have a new leader");
}

/* In both modes, by message and by HTTP. */
static void ask_for_reads(struct stage *s, unsigned node)
{
    for (unsigned i = N_CLIENTS - 6; i < N_CLIENTS; i++) {
        uint8_t mode = i % 2 == 0 ? NODE_READ_DEFAULT : NODE_READ_CONSISTENT;
        ask(s, i, (struct op){.kind = OP_GET, .mode = mode, .node = node, .key = 1});
    }
}

/* Dissertation 6.4: a deposed leader, alone on its side, must not confirm writes or answer from what it remembers. */
static void isolated_leader(struct stage *s)
{
    unsigned old = cluster_leader(&s->cluster);
    expect(s, put(s, old, 1) == COR_OK, "the leader takes a write");
    isolate(s, old, true);
    ask(s, 1, (struct op){.kind = OP_PUT, .node = old, .key = 1});
    wait_for_successor(s, old);
    ask_for_reads(s, old); /* the judge of histories says whether an answer was stale */
    run_for(s, 2 * SIM_S);
    expect(s, get(s, old, NODE_READ_DEFAULT, 1) != COR_OK,
           "the old one answers no default read");
    expect(s, get(s, old, NODE_READ_CONSISTENT, 1) != COR_OK, "nor a consistent one");
    expect(s, get(s, old, NODE_READ_STALE, 1) == COR_OK, "but a stale one");
    wait_for_answers(s);
    expect(s, status_of(s, 1) != COR_OK, "what it was asked to write was not confirmed");
    isolate(s, old, false);
    wait_for_agreement(s);
    expect(s, get(s, old, NODE_READ_CONSISTENT, 1) == COR_OK, "it is one of them again");
}

/* A process that was stopped wakes up with yesterday's state and today's requests in its buffers. */
static void paused_leader(struct stage *s)
{
    struct cluster *c = &s->cluster;
    unsigned old = cluster_leader(c);
    expect(s, put(s, old, 1) == COR_OK, "the leader takes a write");
    bool in_turn = draw(s, 2) == 0;
    host_pause(&c->nodes[old].host, in_turn);
    if (in_turn) { /* read before the pause, acted on after it */
        ask(s, 1, (struct op){.kind = OP_GET, .node = old, .key = 1});
    }
    wait_for_successor(s, old);
    ask_for_reads(s, old);
    run_for(s, SIM_MS + draw(s, 2) * draw(s, 3 * SIM_S));
    host_resume(&c->nodes[old].host);
    wait_for_answers(s);
    wait_for_agreement(s);
}

static void leader_killed_mid_write(struct stage *s)
{
    struct cluster *c = &s->cluster;
    unsigned old = cluster_leader(c);
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        unsigned node = i % 2 == 0 ? old : other_than(s, old);
        ask(s, i, (struct op){.kind = OP_PUT, .node = node, .key = i});
    }
    run_for(s, draw(s, 3 * SIM_MS));
    uint64_t at = c->world.now;
    if (draw(s, 2) == 0 || !cluster_cut_in_write(c, old, IO_QUEUE_LOG, draw(s, 2))) {
        cluster_power_off(c, old, draw(s, 2) == 0 ? SIM_FATE_LOST : SIM_FATE_RANDOM);
    }
    wait_for_answers(s);
    expect(s, put_within(s, other_than(s, old), 20 * SIM_S), "the others go on");
    expect(s, c->world.now - at < 30 * SIM_S, "before long");
    (void)cluster_start(c, old);
    wait_for_agreement(s);
}

/* One follower cannot hear the leader, but everybody else can hear it: it must not depose anybody. */
static void deaf_follower(struct stage *s)
{
    struct cluster *c = &s->cluster;
    unsigned leader = cluster_leader(c), deaf = other_than(s, leader);
    run_for(s, SIM_S);
    uint64_t term = c->judge.last[leader].term;
    net_cut(&c->net, leader, deaf, true);
    run_for(
        s,
        2 * SIM_S); /* its log is as good as anybody's: only 4.2.3 stands between it and votes */
    for (unsigned i = 0; i < 20; i++) {
        expect(s, put(s, leader, i) == COR_OK, "the leader takes writes");
        run_for(s, 200 * SIM_MS);
    }
    expect(s, c->judge.last[leader].term == term, "its term is what it was");
    net_heal_all(&c->net);
    wait_for_agreement(s);
}

/* ---- losses --------------------------------------------------------------------------------------------- */

static void majority_lost(struct stage *s)
{
    struct cluster *c = &s->cluster;
    unsigned left = 1 + (unsigned)draw(s, c->n);
    expect(s, put(s, left, 1) == COR_OK, "all are there and take a write");
    wait_for_agreement(s);
    unsigned down = 0;
    for (unsigned i = 1; i <= c->n && down < c->n / 2 + 1; i++) {
        if (i != left) {
            cluster_power_off(c, i, SIM_FATE_RANDOM);
            down++;
        }
    }
    run_for(s, SIM_S);
    uint64_t at = c->world.now;
    expect(s, put(s, left, 2) != COR_OK, "a minority confirms no write");
    expect(s, get(s, left, NODE_READ_CONSISTENT, 1) != COR_OK, "and no consistent read");
    expect(s, get(s, left, NODE_READ_DEFAULT, 1) != COR_OK, "and no default read");
    expect(s, c->world.now - at < 16 * SIM_S, "and says so within the requests' time");
    expect(s, get(s, left, NODE_READ_STALE, 1) == COR_OK, "it still answers stale reads");
    cluster_start_all(c);
    wait_for_agreement(s);
    expect(s, put_within(s, left, 10 * SIM_S), "and takes writes when the others are back");
}

static void all_lose_power(struct stage *s)
{
    struct cluster *c = &s->cluster;
    for (unsigned round = 0; round < 5 && !c->judge.failed; round++) {
        for (unsigned i = 0; i < N_CLIENTS; i++) {
            ask(s, i, (struct op){.kind = OP_PUT, .node = 1 + i % c->n, .key = i});
        }
        run_for(s, draw(s, 20 * SIM_MS));
        for (unsigned i = 1; i <= c->n; i++) {
            cluster_power_off(c, i, draw(s, 2) == 0 ? SIM_FATE_LOST : SIM_FATE_RANDOM);
        }
        wait_for_answers(s);
        cluster_start_all(c);
        wait_for_leader(s);
    }
    wait_for_agreement(s);
}

/* D14: it has forgotten its votes and what it acknowledged; it must not be counted again. */
static void wiped_member(struct stage *s)
{
    struct cluster *c = &s->cluster;
    unsigned victim = 1 + (unsigned)draw(s, c->n);
    expect(s, put(s, victim, 1) == COR_OK, "all are there and take a write");
    cluster_power_off(c, victim, SIM_FATE_LOST);
    cluster_wipe(c, victim);
    (void)cluster_start(c, victim);
    run_for(s, 10 * SIM_S);
    const struct cluster_node *n = &c->nodes[victim];
    expect(s, n->node == NULL && n->why.text[0] != '\0', "it is refused and told why");
    expect(s, put_within(s, other_than(s, victim), 10 * SIM_S), "the others go on");
    wait_for_agreement(s);
}

/* Whenever they die while they meet for the first time, they find together in the end. */
static void formation_crash(struct stage *s)
{
    struct cluster *c = &s->cluster;
    cluster_start_all(c);
    for (unsigned round = 0; round < 8; round++) {
        unsigned victim = 1 + (unsigned)draw(s, c->n);
        run_for(s, draw(s, 20 * SIM_MS));
        cluster_power_off(c, victim, SIM_FATE_RANDOM);
        c->nodes[victim].disk->cut_at =
            draw(s, 2) == 0 ? SIM_DISK_NEVER : c->nodes[victim].disk->changes + draw(s, 10);
        if (!cluster_start(c, victim)) {
            expect(s, cluster_start(c, victim), "it starts after an interrupted start");
        }
    }
    for (unsigned i = 1; i <= c->n; i++) {
        c->nodes[i].disk->cut_at = SIM_DISK_NEVER; /* still to come: never mind */
        if (c->nodes[i].disk->is_cut) {
            cluster_power_off(c, i, SIM_FATE_RANDOM); /* it has only not noticed yet */
        }
    }
    cluster_start_all(c);
    wait_for_leader(s);
    expect(s, put_within(s, 1, 20 * SIM_S), "they take a write");
    wait_for_agreement(s);
}

/* Heal all cuts; what they held back is never delivered. */
static void heal_and_forget(struct stage *s)
{
    struct cluster *c = &s->cluster;
    for (unsigned i = 1; i <= c->n; i++) {
        for (unsigned k = 1; k < i; k++) {
            net_reset(&c->net, i, k);
        }
    }
    run_for(s, SIM_MS);
    net_heal_all(&c->net);
}

/* @node leads, in a term after @term. */
static bool leads_after(const struct stage *s, unsigned node, uint64_t term)
{
    const struct judge_view *v = &s->cluster.judge.last[node];
    return cluster_is_up(&s->cluster, node) && v->life == s->cluster.nodes[node].life &&
           v->leader && v->term > term;
}

/* Which node of @mask (bit i: node i) comes to lead after @term, at the very moment; 0: none. */
static unsigned catch_leader(struct stage *s, unsigned mask, uint64_t term)
{
    struct cluster *c = &s->cluster;
    uint64_t until = c->world.now + 10 * SIM_S;
    while (c->world.now < until && !c->judge.failed) {
        for (unsigned i = 1; i <= c->n; i++) {
            if ((mask & (1u << i)) != 0 && leads_after(s, i, term)) {
                return i;
            }
        }
        run_for(s, 20 * SIM_US);
    }
    expect(s, false, "one of them comes to lead");
    return 1;
}

/* Run until the log of @node is durable up to @index; false: it went past that at once. */
static bool catch_durable(struct stage *s, unsigned node, uint64_t index)
{
    struct cluster *c = &s->cluster;
    uint64_t until = c->world.now + 5 * SIM_S;
    while (c->world.now < until && c->judge.last[node].durable < index && !c->judge.failed) {
        run_for(s, 10 * SIM_US);
    }
    return c->judge.last[node].durable == index;
}

/*
 * Dissertation, Figure 3.7 (3.6.2): an entry of an older term stands on a majority and is not committed; a later leader
 * may replace it. Nodes 1 to 5 by their part: n[0] and n[1] hold the entry, n[2] gets it in the end, n[3] is cut off
 * then, n[4] has the entry that replaces it.
 */
static void entry_of_an_older_term(struct stage *s)
{
    struct cluster *c = &s->cluster;
    unsigned n[5] = {cluster_leader(c)};
    n[1] = n[0] % 5 + 1;
    unsigned rest = 0x3eu & ~(1u << n[0]) & ~(1u << n[1]);
    for (unsigned i = 1; i <= 5; i++) {
        net_cut(&c->net, n[0], i, (rest & (1u << i)) != 0);
    }
    uint64_t index = c->judge.last[n[0]].last + 1;
    clients_set_values(s->clients, BIG, BIG);
    ask(s, 0, (struct op){.kind = OP_PUT_TWO, .node = n[0], .key = 1, .key2 = 2});
    expect(s, catch_durable(s, n[1], index) && c->judge.last[n[0]].durable == index,
           "two hold the entry");
    clients_set_values(s->clients, 0, USUAL);
    cluster_power_off(c, n[0], SIM_FATE_KEPT);
    cluster_power_off(c, n[1], SIM_FATE_KEPT);

    n[4] = catch_leader(s, rest, c->judge.last[n[0]].term);
    uint64_t term = c->judge.last[n[4]].term;
    isolate(s, n[4], true);
    expect(s, catch_durable(s, n[4], index), "another leader has its own there, alone");
    cluster_power_off(c, n[4], SIM_FATE_KEPT);

    heal_and_forget(s);
    (void)cluster_start(c, n[0]);
    (void)cluster_start(c, n[1]);
    unsigned leader = catch_leader(s, 1u << n[0] | 1u << n[1], term);
    for (unsigned i = 1; i <= 5; i++) {
        if ((rest & (1u << i)) != 0 && i != n[4]) {
            n[2] = n[2] == 0 ? i : n[2];
            n[3] = i;
        }
    }
    isolate(s, n[3], true);
    if (!catch_durable(s, n[2], index)) {
        return; /* the leader's own entry came along: nothing to be seen */
    }
    cluster_power_off(c, n[2],
                      SIM_FATE_LOST); /* its word is on the way; what followed is lost */
    run_for(s, 20 * SIM_MS);
    expect(s, c->judge.last[leader].commit < index,
           "counting commits nothing of an older term");
    cluster_power_off(c, n[0], SIM_FATE_KEPT);
    cluster_power_off(c, n[1], SIM_FATE_KEPT);

    heal_and_forget(s);
    (void)cluster_start(c, n[4]);
    (void)cluster_start(c, n[2]);
    expect(s, catch_leader(s, 1u << n[4], term) == n[4], "who replaces it is elected");
    cluster_start_all(c);
    wait_for_agreement(s);
}

/* ---- disks ----------------------------------------------------------------------------------------------- */

static void full_disk(struct stage *s)
{
    struct cluster *c = &s->cluster;
    unsigned leader = cluster_leader(c);
    expect(s, put(s, leader, 1) == COR_OK, "the leader takes a write");
    for (unsigned i = 1; i <= c->n; i++) {
        struct sim_disk *d = c->nodes[i].disk;
        d->capacity = sim_disk_used(d) + draw(s, 5000);
    }
    enum cor_status st = COR_OK;
    COR_ASSERT(c->n > 0);
    for (unsigned i = 0; i < 600 && (st == COR_OK || st == COR_ENOTDONE); i++) {
        st = put(s, 1 + i % c->n, i % 8);
    }
    expect(s, is_refusal(st), "writes are refused when the disks are full");
    expect(s, st == COR_ENOSPACE, "and for that reason");
    expect(s, get(s, leader, NODE_READ_CONSISTENT, 1) == COR_OK, "reads go on");
    for (unsigned i = 1; i <= c->n; i++) {
        c->nodes[i].disk->capacity = UINT64_MAX;
    }
    expect(s, put_within(s, leader, 30 * SIM_S), "freed space is noticed");
    wait_for_agreement(s);
}

/* D6: a leader whose disk hangs keeps its office, and the others' disks are a majority. */
static void sync_stall(struct stage *s)
{
    struct cluster *c = &s->cluster;
    unsigned leader = cluster_leader(c);
    run_for(s, SIM_S);
    uint64_t term = c->judge.last[leader].term;
    host_stall_disk(&c->nodes[leader].host, c->world.now + 2 * SIM_S);
    uint64_t at = c->world.now;
    for (unsigned i = 0; i < 10; i++) {
        expect(s, put(s, 1 + i % c->n, i) == COR_OK, "writes go on");
    }
    expect(s, c->world.now - at < SIM_S, "without waiting for that disk");
    run_for(s, 3 * SIM_S);
    expect(s, c->judge.last[leader].term == term, "nobody was elected");
    wait_for_agreement(s);
}

/* A failed sync is final: the node stops, says why, and is right about what it has when it comes back. Whatever the
 * kernel shows of the unsynced bytes then may never reach the disk (and syncs say yes). */
static void failed_sync(struct stage *s)
{
    struct cluster *c = &s->cluster;
    unsigned victim = 1 + (unsigned)draw(s, c->n);
    struct cluster_node *n = &c->nodes[victim];
    n->broken = true;
    n->disk->fail_syncs = true;
    n->disk->fail_writes = !n->disk->no_direct; /* of such a disk a write is a sync, too */
    for (unsigned i = 0; i < 4; i++) {
        ask(s, i, (struct op){.kind = OP_PUT, .node = 1 + i % c->n, .key = i});
    }
    wait_for_answers(s);
    run_for(s, SIM_S);
    expect(s, n->node == NULL, "it stops");
    expect(s, n->why.text[0] != '\0', "and says why");
    expect(s, put_within(s, other_than(s, victim), 10 * SIM_S), "the others go on");
    n->disk->fail_syncs = n->disk->fail_writes = false;
    unsigned third = 1 + 2 + 3 - victim - other_than(s, victim);
    cluster_power_off(c, third, SIM_FATE_RANDOM); /* so that its word is needed */
    expect(s, cluster_start(c, victim), "it starts again");
    expect(s, put_within(s, victim, 20 * SIM_S), "and is good for a majority");
    logs_check(c);
    cluster_power_off(c, victim, SIM_FATE_LOST);
    cluster_start_all(c);
    wait_for_agreement(s);
}

/* ---- the list --------------------------------------------------------------------------------------------- */

/* clang-format off */
#define STORY(name, n_nodes, text)      {#name, text, name, n_nodes, false}
#define COLD_STORY(name, n_nodes, text) {#name, text, name, n_nodes, true}
/* clang-format on */

static const struct scenario scenarios[] = {
    STORY(isolated_leader, 5, "a leader cut off from all others confirms and answers nothing"),
    STORY(paused_leader, 3, "a stopped leader wakes up and answers nothing from the past"),
    STORY(leader_killed_mid_write, 3, "the leader loses power while it writes"),
    STORY(deaf_follower, 3, "a follower that hears nothing from the leader deposes nobody"),
    STORY(entry_of_an_older_term, 5, "on a majority, and yet not committed: Figure 3.7"),
    STORY(majority_lost, 5, "a minority refuses, in time, and answers stale reads"),
    STORY(all_lose_power, 3, "all machines lose power together, five times"),
    STORY(wiped_member, 3, "an emptied directory is refused, the others go on"),
    COLD_STORY(formation_crash, 3, "power losses while the cluster forms"),
    STORY(full_disk, 3,
          "all disks full: writes are refused, reads go on, freed space is noticed"),
    STORY(sync_stall, 3, "the leader's disk hangs for two seconds"),
    STORY(failed_sync, 3, "a disk fails to sync: its node stops and comes back"),
};

const struct scenario *scenario_at(size_t i)
{
    return i < ARRAY_LEN(scenarios) ? &scenarios[i] : NULL;
}

const struct scenario *scenario_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
        if (strcmp(scenarios[i].name, name) == 0) {
            return &scenarios[i];
        }
    }
    return NULL;
}

static void set_up(struct stage *s, const struct scenario *scenario, uint64_t seed, FILE *trace)
{
    struct cluster_options options = {.n_nodes = scenario->n_nodes,
                                      .no_direct = seed % 2 == 0,
                                      .reuse_handles = seed % 3 == 0};
    struct client_options clients = {.n_message = N_MESSAGE,
                                     .n_http = N_HTTP,
                                     .n_keys = 16,
                                     .patience = PATIENCE,
                                     .value_max = BIG};
    cluster_init(&s->cluster, seed, &options);
    s->cluster.world.trace = trace;
    s->clients = clients_new(&s->cluster, &clients);
    clients_set_values(s->clients, 0, USUAL);
    if (!scenario->cold) {
        cluster_start_all(&s->cluster);
        wait_for_leader(s);
        wait_for_agreement(s);
    }
}

void scenario_run(const struct scenario *scenario, uint64_t seed, FILE *trace,
                  struct run_result *out)
{
    struct stage s = {0};
    set_up(&s, scenario, seed, trace);
    if (!s.cluster.judge.failed) {
        scenario->play(&s);
    }
    if (!s.cluster.judge.failed) {
        logs_check(&s.cluster);
        history_check(&s.cluster.history, &s.cluster.judge);
        linear_judge(&s.cluster.history, &s.cluster.judge);
    }
    run_sum_up(&s.cluster, s.clients, NULL, NULL, out);
    clients_halt(s.clients);
    cluster_deinit(&s.cluster);
    clients_free(s.clients);
}
