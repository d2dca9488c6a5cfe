/*
 * random_test.c - clusters of 1 to 8 cores under loss, doubling, reordering, partitions, slow
 * disks and crashes that lose what was not synced. The judges of cluster.h look at every step;
 * at the end, with all faults over, the cluster must elect, commit, and have equal logs
 * (scenario 105).
 *
 * Scenarios of the catalogue that this covers at random: 1, 2, 5, 10, 24, 25, 32, 35, 36, 39,
 * 42, 44, 45, 47, 49 to 52, 69 to 71, 76, 105, 106.
 */
#include "tests/raft/cluster.h"

#include "tests/support/test.h"

static void random_fault(struct cluster *c)
{
    cor_node_id id = 1 + prng_below(&c->rng, c->n);
    cor_node_id other = 1 + prng_below(&c->rng, c->n);
    struct cluster_node *n = cluster_node(c, id);
    switch (prng_below(&c->rng, 12)) {
    case 0:
        if (n->up) {
            cluster_crash(c, id, (uint32_t)prng_below(&c->rng, n->n_writes + 1));
        }
        break;
    case 1:
    case 2:
    case 3:
        for (cor_node_id i = 1; i <= c->n; i++) {
            if (!cluster_node(c, i)->up) {
                cluster_start(c, i);
                break;
            }
        }
        break;
    case 4:
        c->blocked[id][other] = id != other; /* one way only */
        break;
    case 5:
        for (cor_node_id i = 1; i <= c->n; i++) {
            c->blocked[id][i] = c->blocked[i][id] = i != id;
        }
        break;
    case 6:
    case 7:
        memset(c->blocked, 0, sizeof c->blocked);
        break;
    case 8:
        if (n->up && id != other) {
            cluster_peer_lost(c, id, other);
        }
        break;
    case 9:
        c->write_ns_max = prng_below(&c->rng, 60) * CLUSTER_MS;
        break;
    case 10:
        if (n->up) {
            bool full = prng_below(&c->rng, 2) == 0;
            struct cor_raft_event ev = {.type = COR_RAFT_EV_DISK, .disk = {.full = full}};
            cluster_step(c, id, &ev, NULL);
        }
        break;
    default:
        c->delay_ns_max = prng_below(&c->rng, 30) * CLUSTER_MS;
        break;
    }
}

static void random_request(struct cluster *c)
{
    cor_node_id id = 1 + prng_below(&c->rng, c->n);
    cor_node_id leader = cluster_leader(c);
    if (leader != 0 && prng_below(&c->rng, 2) == 0) {
        id = leader;
    }
    struct cluster_node *n = cluster_node(c, id);
    if (!n->up) {
        return;
    }
    if (prng_below(&c->rng, 3) == 0) {
        cluster_read(c, id, prng_below(&c->rng, 2) == 0);
    } else if (n->last + 200 < CLUSTER_LOG_MAX) {
        enum cor_status st = cluster_propose(c, id, 1 + (uint32_t)prng_below(&c->rng, 8),
                                             (uint32_t)prng_below(&c->rng, 500));
        bool accepted = c->update.proposed_first != 0;
        CLUSTER_CHECK(c, accepted == (st == COR_OK)); /* exactly one outcome */
    }
}

static void heal(struct cluster *c)
{
    memset(c->blocked, 0, sizeof c->blocked);
    c->loss_permille = 0;
    c->cut_permille = 0;
    c->write_ns_max = CLUSTER_MS;
    c->delay_ns_max = CLUSTER_MS;
    for (cor_node_id i = 1; i <= c->n; i++) {
        if (!cluster_node(c, i)->up) {
            cluster_start(c, i);
        }
        struct cor_raft_event ev = {.type = COR_RAFT_EV_DISK, .disk = {.full = false}};
        cluster_step(c, i, &ev, NULL);
    }
}

/* Scenario 105. */
static void check_recovery(struct cluster *c)
{
    heal(c);
    cluster_run(c, 3000 * CLUSTER_MS);
    CLUSTER_CHECK(c, cluster_leader(c) != 0);
    CLUSTER_CHECK(c, cluster_propose(c, cluster_leader(c), 1, 1) == COR_OK);
    cluster_run(c, 1000 * CLUSTER_MS);
    uint64_t last = cluster_node(c, cluster_leader(c))->last;
    for (cor_node_id i = 1; i <= c->n; i++) {
        const struct cluster_node *n = cluster_node(c, i);
        CLUSTER_CHECK(c, n->last == last && n->applied == last && n->disk_last == last);
    }
    for (uint64_t i = 0; i < CLUSTER_READS; i++) {
        if (c->reads[i].open) {
            c->reads[i].open = false; /* of a node that crashed */
        }
    }
}

static void run_seed(uint64_t seed, uint32_t n, uint64_t *reads_ok)
{
    struct prng rng = {seed * 77 + n};
    struct cor_raft_options options = {
        .runs_max = prng_below(&rng, 2) ? 0 : 2 + (uint32_t)prng_below(&rng, 3),
        .inflight_messages_max = 1 + (uint32_t)prng_below(&rng, 8),
        .inflight_bytes_max = 1 + prng_below(&rng, 4000),
        .uncommitted_bytes_max = 1 + prng_below(&rng, 20000),
        .writes_max = 1 + (uint32_t)prng_below(&rng, 4),
        .message_entries_max = 1 + (uint32_t)prng_below(&rng, 40),
        .reads_max = 1 + (uint32_t)prng_below(&rng, 20),
    };
    struct cluster *c = cluster_new(seed, n, &options);
    c->loss_permille = prng_below(&rng, 2) ? 0 : (uint32_t)prng_below(&rng, 200);
    c->duplicate_permille = (uint32_t)prng_below(&rng, 200);
    c->cut_permille = (uint32_t)prng_below(&rng, 400);
    c->write_ns_max = prng_below(&rng, 10) * CLUSTER_MS;
    c->delay_ns_max = prng_below(&rng, 10) * CLUSTER_MS;
    for (cor_node_id i = 1; i <= n; i++) {
        cluster_start(c, i);
    }
    uint64_t fault_at = 1000 * CLUSTER_MS;
    while (c->now < 8000 * CLUSTER_MS) {
        cluster_run(c, prng_below(&c->rng, 12) * CLUSTER_MS);
        random_request(c);
        if (c->now > fault_at) {
            random_fault(c);
            fault_at = c->now + prng_below(&c->rng, 400) * CLUSTER_MS;
        }
    }
    check_recovery(c);
    *reads_ok += c->reads_ok;
    cluster_free(c);
}

static void no_seed_breaks_a_rule_and_each_recovers(void)
{
    const uint32_t sizes[] = {1, 2, 3, 3, 3, 4, 5, 8};
    uint64_t reads_ok = 0;
    for (uint64_t seed = 1; seed <= 64; seed++) {
        run_seed(seed, sizes[seed % ARRAY_LEN(sizes)], &reads_ok);
    }
    CHECK(reads_ok > 1000);
}

/* Scenario 22: same seed, same trace. */
static void the_same_seed_gives_the_same_states(void)
{
    uint64_t hash[2] = {0, 0};
    for (int run = 0; run < 2; run++) {
        struct cor_raft_options options = {0};
        struct cluster *c = cluster_new(7, 3, &options);
        c->delay_ns_max = 3 * CLUSTER_MS;
        for (cor_node_id i = 1; i <= 3; i++) {
            cluster_start(c, i);
        }
        cluster_run(c, 2000 * CLUSTER_MS);
        CHECK(cluster_leader(c) != 0);
        for (cor_node_id i = 1; i <= 3; i++) {
            hash[run] = hash[run] * 31 + cor_raft_hash(cluster_node(c, i)->raft);
        }
        cluster_free(c);
    }
    CHECK_EQ(hash[0], hash[1]);
}

TEST_MAIN(TEST(no_seed_breaks_a_rule_and_each_recovers),
          TEST(the_same_seed_gives_the_same_states))
