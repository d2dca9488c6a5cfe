/*
 * Nodes that run answer: writes and reads in three modes, on any of them.
 */
#include "tests/node/cluster.h"

static void a_single_node_forms_at_once_and_answers(void)
{
    struct cluster *c = cluster_formed(1, 1);
    const struct node_status *s = cluster_status(c, 1);
    CHECK_EQ(s->phase, NODE_RUNNING);
    CHECK_TEXT(s->role, "Leader");
    CHECK_TEXT(s->leader_name, "n1");
    CHECK_EQ(c->nodes[1].n_ready, 1u);
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_DEFAULT, "a"), "-");
    CHECK_EQ(cluster_put(c, 1, "a", "1"), COR_OK);
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_DEFAULT, "a"), "1");
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_CONSISTENT, "a"), "1");
    CHECK_TEXT(cluster_get(c, 1, NODE_READ_STALE, "a"), "1");
    cluster_free(c);
}

static void any_node_takes_writes_and_answers_reads_in_every_mode(void)
{
    for (unsigned n = 2; n <= 5; n++) {
        struct cluster *c = cluster_formed(n, n);
        for (unsigned i = 1; i <= n; i++) {
            ROW("node %u of %u", i, n);
            char key[8], value[8];
            format_to(key, sizeof key, "k%u", i);
            format_to(value, sizeof value, "v%u", i);
            CHECK_EQ(cluster_put(c, i, key, value), COR_OK);
            for (unsigned j = 1; j <= n; j++) {
                CHECK_TEXT(cluster_get(c, j, NODE_READ_DEFAULT, key), value);
                CHECK_TEXT(cluster_get(c, j, NODE_READ_CONSISTENT, key), value);
            }
            CHECK_TEXT(cluster_get(c, cluster_leader(c), NODE_READ_STALE, key), value);
        }
        CHECK(cluster_until(c, cluster_converged));
        cluster_free(c);
    }
}

TEST_MAIN(TEST(a_single_node_forms_at_once_and_answers),
          TEST(any_node_takes_writes_and_answers_reads_in_every_mode))
