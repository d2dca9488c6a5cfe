/* store_test.c - the store at size: full leaves, memory given back, frozen roots, hard limits. */
#include "base/format.h"
#include "base/prng.h"
#include "kv/internal.h"
#include "kv/tree_internal.h"
#include "tests/kv/build.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_MANY 30000u

/* ---- many keys ------------------------------------------------------------------------------------ */

static void key_name(uint64_t i, char *out)
{
    format_to(out, 32, "/registry/%08llu", (unsigned long long)i);
}

static void put_number(struct world *w, uint64_t i, const char *value)
{
    char key[32];
    key_name(i, key);
    put(w, key, value);
}

static void erase_number(struct world *w, uint64_t i)
{
    char key[32];
    key_name(i, key);
    erase(w, key, "");
}

/* A permutation of [0, n). */
static uint64_t shuffled(uint64_t i, uint64_t n)
{
    return i * 2654435761u % n;
}

static void tidy(struct world *w)
{
    compact(w, info_of(w).revision);
    while (kv_tend(w->kv, 1000)) {
    }
}

/* Records per hundred places in the leaves of the table of keys. */
static uint32_t fill_percent(const struct kv *kv)
{
    const struct tree_memory *m = &kv->memory;
    struct tree_path path;
    uint64_t records = 0;
    uint64_t leaves = 0;
    (void)tree_find(m, kv->tables[0].root, (struct cor_bytes){NULL, 0}, &path);
    while (tree_settle(m, &path, false)) {
        uint8_t n = tree_head_at(m, path.node[path.depth - 1])->n;
        records += n;
        leaves++;
        path.at[path.depth - 1] = n;
    }
    return leaves == 0 ? 0 : (uint32_t)(records * 100 / (leaves * TREE_LEAF_MAX));
}

static void leaves_are_at_least_seventy_percent_full(void)
{
    static const struct {
        const char *name;
        uint32_t percent;
    } rows[] = {{"ascending", 95}, {"descending", 95}, {"random", 70}, {"eight runs", 70}};
    for (uint32_t order = 0; order < ARRAY_LEN(rows); order++) {
        ROW("%s", rows[order].name);
        struct world w;
        world_open(&w);
        for (uint64_t i = 0; i < N_MANY; i++) {
            uint64_t key = order == 0   ? i
                           : order == 1 ? N_MANY - i
                           : order == 2 ? shuffled(i, N_MANY)
                                        : i % 8 * N_MANY + i / 8;
            put_number(&w, key, "");
        }
        kv_check(w.kv);
        CHECK_EQ(info_of(&w).keys[0], N_MANY);
        CHECK(fill_percent(w.kv) >= rows[order].percent);
        world_close(&w);
    }
}

static void deleting_most_keys_gives_their_memory_back(void)
{
    struct world w;
    world_open(&w);
    char value[200];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (uint64_t i = 0; i < N_MANY; i++) {
        value[i % 3 * 32 + 50] = 0; /* records of three sizes */
        put_number(&w, shuffled(i, N_MANY), value);
        value[i % 3 * 32 + 50] = 'v';
    }
    uint64_t full = info_of(&w).memory_bytes;
    for (uint64_t i = 0; i < N_MANY; i++) {
        if (i % 10 != 0) {
            erase_number(&w, i);
        }
    }
    tidy(&w);
    kv_check(w.kv);
    CHECK_EQ(info_of(&w).keys[0], N_MANY / 10);
    CHECK(info_of(&w).history_bytes <=
          32); /* the last deletion, of the compacted revision itself */
    /* A tenth is left, and in each size class up to one slab that is not full. */
    CHECK(info_of(&w).memory_bytes < full / 10 + 6 * SLAB_BYTES_MAX);
    for (uint64_t i = 0; i < N_MANY; i += 10) {
        erase_number(&w, i);
    }
    tidy(&w);
    kv_check(w.kv);
    CHECK_EQ(info_of(&w).keys[0], 0);
    CHECK_EQ(info_of(&w).live_bytes, 0);
    CHECK(info_of(&w).memory_bytes < 400000);
    struct kv_range all = {.to_end = true};
    CHECK_EQ(kv_range_revision(w.kv, &all), info_of(&w).revision); /* no grave forgets */
    put_number(&w, 1, "again");
    struct kv_range some = {.key = text("/a"), .to_end = true};
    CHECK_EQ(kv_range_revision(w.kv, &some), info_of(&w).revision);
    world_close(&w);
}

static void counting_and_walking_agree_in_a_deep_tree(void)
{
    struct world w;
    world_open(&w);
    for (uint64_t i = 0; i < N_MANY; i++) {
        put_number(&w, shuffled(i, N_MANY), "");
    }
    struct prng prng = {.state = 1};
    for (uint32_t round = 0; round < 300; round++) {
        uint64_t from = prng_below(&prng, N_MANY);
        uint64_t to = from + prng_below(&prng, 200);
        char keys[2][32];
        key_name(from, keys[0]);
        key_name(to, keys[1]);
        struct kv_range range = {.key = text(keys[0]), .end = text(keys[1])};
        uint64_t n = 0;
        CHECK_EQ(kv_count(w.kv, &range, 0, &n), COR_OK);
        uint64_t walked = 0;
        struct kv_cursor c;
        struct kv_item item;
        CHECK_EQ(kv_cursor_open(w.kv, &range, 0, &c), COR_OK);
        while (kv_cursor_next(&c, &item)) {
            walked++;
        }
        CHECK_EQ(n, walked);
        uint64_t revision = info_of(&w).revision;
        erase(&w, keys[0], keys[1]);
        CHECK_EQ(w.result.ops[0].count, n);
        CHECK_EQ(kv_range_revision(w.kv, &range),
                 n == 0 ? kv_range_revision(w.kv, &range) : revision + 1);
    }
    kv_check(w.kv);
    tidy(&w);
    kv_check(w.kv);
    world_close(&w);
}

static void values_of_every_size_come_back(void)
{
    struct world w;
    world_open(&w);
    static unsigned char bytes[KV_VALUE_MAX];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 31 >> 3);
    }
    uint32_t n = 0;
    for (size_t size = 0; size <= KV_VALUE_MAX; size = size * 5 / 4 + 7, n++) {
        char key[32];
        key_name(n, key);
        struct kv_op op = put_of(key, "");
        op.value = (struct cor_bytes){bytes, size};
        CHECK_EQ(apply_one(&w, &op), COR_OK);
    }
    kv_check(w.kv);
    uint32_t i = 0;
    for (size_t size = 0; size <= KV_VALUE_MAX; size = size * 5 / 4 + 7, i++) {
        char key[32];
        key_name(i, key);
        CHECK_BYTES(value_at(&w, key, 0), ((struct cor_bytes){bytes, size}));
        erase(&w, key, "");
    }
    tidy(&w);
    CHECK(info_of(&w).memory_bytes < 400000);
    world_close(&w);
}

/* ---- system tables ----------------------------------------------------------------------------------- */

static void other_tables_keep_no_history_but_their_revision(void)
{
    struct world w;
    world_open(&w);
    struct kv_op op = put_of("s1", "1");
    op.range.table = KV_TABLE_SESSIONS;
    (void)apply_one(&w, &op);
    (void)apply_one(&w, &op);
    CHECK_EQ(info_of(&w).history_bytes, 0);
    struct kv_item item;
    CHECK_EQ(kv_get(w.kv, KV_TABLE_SESSIONS, text("s1"), 3, &item), COR_OK);
    CHECK_EQ(item.version, 2);
    CHECK_EQ(kv_get(w.kv, KV_TABLE_SESSIONS, text("s1"), 2, &item), COR_ECOMPACTED);
    CHECK_EQ(kv_get(w.kv, KV_TABLE_SESSIONS, text("s1"), 4, &item), COR_EFUTURE);
    CHECK_EQ(kv_get(w.kv, KV_TABLE_KEYS, text("s1"), 0, &item), COR_ENOTFOUND);
    op = delete_of("s", "t");
    op.range.table = KV_TABLE_SESSIONS;
    (void)apply_one(&w, &op);
    CHECK_EQ(w.result.ops[0].count, 1);
    CHECK_EQ(info_of(&w).history_bytes, 0);
    struct kv_range gone = {.table = KV_TABLE_SESSIONS, .key = text("s1")};
    CHECK_EQ(kv_range_revision(w.kv, &gone), 4);
    struct kv_range events = {.table = KV_TABLE_SESSIONS, .to_end = true};
    CHECK_EQ(kv_events(w.kv, &events, 1, NULL, NULL), COR_EINVAL);
    kv_check(w.kv);
    world_close(&w);
}

/* ---- held roots --------------------------------------------------------------------------------------- */

struct reader_job {
    const struct kv_root *root;
    uint64_t sum, n; /* of the first bytes of all values, for each of several walks */
    bool equal;
};

static void *walk_root(void *arg)
{
    struct reader_job *job = arg;
    job->equal = true;
    for (uint32_t round = 0; round < 5; round++) {
        struct kv_range all = {.to_end = true};
        struct kv_cursor c;
        struct kv_item item;
        uint64_t sum = 0;
        uint64_t n = 0;
        enum cor_status st = kv_root_cursor(job->root, &all, &c);
        while (st == COR_OK && kv_cursor_next(&c, &item)) {
            sum += item.value.ptr[0] + item.mod_revision;
            n++;
        }
        job->equal = job->equal && (round == 0 || (sum == job->sum && n == job->n));
        job->sum = sum;
        job->n = n;
    }
    return NULL;
}

static void a_held_root_is_read_by_another_thread_while_entries_are_applied(void)
{
    struct world w;
    world_open(&w);
    for (uint64_t i = 0; i < 5000; i++) {
        put_number(&w, shuffled(i, 5000), "before");
    }
    struct kv_root *root = kv_root_hold(w.kv);
    REQUIRE(root != NULL);
    struct reader_job job = {.root = root};
    struct reader_job want = {.root = root};
    (void)walk_root(&want);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, walk_root, &job) == 0);
    for (uint64_t i = 0; i < 5000; i++) {
        put_number(&w, i, "after, and longer than it was");
        if (i % 3 == 0) {
            erase_number(&w, shuffled(i, 5000));
        }
        if (i % 1000 == 0) {
            compact(&w, info_of(&w).revision);
        }
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(job.equal);
    CHECK_EQ(job.n, 5000);
    CHECK_EQ(job.sum, want.sum);
    kv_root_release(w.kv, root);
    tidy(&w);
    kv_check(w.kv);
    world_close(&w);
}

static void roots_are_bounded_and_released_in_any_order(void)
{
    struct kv_options options = {.roots_max = 3};
    struct prng prng = {.state = 5};
    for (uint32_t round = 0; round < 20; round++) {
        struct world w;
        struct kv_root *roots[3];
        world_open_with(&w, &options);
        for (uint32_t i = 0; i < 3; i++) {
            for (uint64_t k = 0; k < 300; k++) {
                put_number(&w, prng_below(&prng, 300), "v");
                erase_number(&w, prng_below(&prng, 300));
            }
            roots[i] = kv_root_hold(w.kv);
            REQUIRE(roots[i] != NULL);
        }
        CHECK(kv_root_hold(w.kv) == NULL);
        tidy(&w);
        uint32_t first = (uint32_t)prng_below(&prng, 3);
        for (uint32_t i = 0; i < 3; i++) {
            struct reader_job job = {.root = roots[(first + i) % 3]};
            struct kv_info info;
            (void)walk_root(&job);
            kv_root_get_info(job.root, &info);
            CHECK_EQ(job.n, info.keys[0]);
            kv_root_release(w.kv, roots[(first + i) % 3]);
            put_number(&w, i, "w");
        }
        tidy(&w);
        kv_check(w.kv); /* nothing is left in limbo: see the end of tree.c's accounts */
        uint64_t nodes = w.kv->memory.heap.used_bytes - info_of(&w).live_bytes;
        CHECK(nodes < 20000);
        world_close(&w);
    }
}

/* ---- watchers ------------------------------------------------------------------------------------------- */

static void count_calls(void *arg, const struct kv_event *e, struct kv_watcher *w)
{
    uint32_t *n = arg;
    (void)e;
    n[w != NULL]++;
}

static void ten_thousand_watchers_hear_only_what_is_theirs(void)
{
    enum {
        N = 10000
    };
    struct world w;
    world_open(&w);
    struct kv_watcher *watchers = calloc(N, sizeof *watchers);
    char(*keys)[32] = calloc(N, sizeof *keys);
    REQUIRE(watchers != NULL && keys != NULL);
    uint32_t calls[2] = {0, 0};
    kv_on_change(w.kv, count_calls, calls);
    for (uint32_t i = 0; i < N; i++) {
        key_name(i % 5000, keys[i]);
        watchers[i].range.key = text(i < 5000 ? keys[i] : "/registry/");
        watchers[i].range.end = text(i < 5000 ? "" : "/registry0");
        kv_watch_add(w.kv, &watchers[i]);
    }
    put(&w, "elsewhere", "");
    CHECK_EQ(calls[0], 0);
    put_number(&w, 17, "");
    CHECK_EQ(calls[0], 1);
    CHECK_EQ(calls[1], 5001);
    kv_check(w.kv);
    for (uint32_t i = 0; i < N; i++) {
        kv_watch_remove(w.kv, &watchers[shuffled(i, N)]);
        if (i % 1000 == 0) {
            kv_check(w.kv);
        }
    }
    put_number(&w, 17, "");
    CHECK_EQ(calls[1], 5001);
    free(watchers);
    free(keys);
    world_close(&w);
}

/* ---- limits ------------------------------------------------------------------------------------------------ */

static void there_is_room_until_the_limit_and_again_after_deletion(void)
{
    struct kv_options options = {.memory_max = 8u << 20};
    struct world w;
    world_open_with(&w, &options);
    char value[1000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    uint64_t n = 0;
    while (kv_has_room(w.kv, 1100) && n < 100000) {
        put_number(&w, n++, value);
    }
    CHECK(n > 5000 && n < 8500);
    CHECK(info_of(&w).memory_bytes <= options.memory_max);
    for (uint64_t i = 0; i < n; i += 2) {
        erase_number(&w, i);
    }
    tidy(&w);
    CHECK(kv_has_room(w.kv, 1100));
    world_close(&w);
}

static void compaction_falls_due_by_age_and_by_size_but_keeps_the_last(void)
{
    struct kv_options options = {.history_revisions_min = 10};
    struct world w;
    world_open_with(&w, &options);
    CHECK_EQ(kv_compaction_due(w.kv, 0, 0), 0);
    const uint64_t second = 1000000000u;
    for (uint64_t i = 0; i < 1000; i++) {
        w.now = i * second;
        put(&w, "k", "a value");
    }
    uint64_t newest = info_of(&w).revision;
    CHECK_EQ(kv_compaction_due(w.kv, UINT64_MAX, UINT64_MAX), 0);
    uint64_t due = kv_compaction_due(w.kv, 600 * second, UINT64_MAX);
    CHECK(due <= newest - 600 && due > newest - 640); /* samples are some seconds apart */
    CHECK_EQ(kv_compaction_due(w.kv, 0, UINT64_MAX), newest - 10);
    CHECK_EQ(kv_compaction_due(w.kv, UINT64_MAX, 0), newest - 10);
    due = kv_compaction_due(w.kv, UINT64_MAX, info_of(&w).history_bytes / 2);
    CHECK(due > newest / 2 - 5 && due < newest / 2 + 5);
    compact(&w, due);
    CHECK(info_of(&w).history_bytes <= 32 * 510);
    CHECK_EQ(kv_compaction_due(w.kv, UINT64_MAX, 32 * 510), 0);
    compact(&w, newest - 10);
    CHECK_EQ(kv_compaction_due(w.kv, 0, 0), 0);
    for (uint64_t i = 0; i < 100; i++) { /* tombstones count as history, too */
        put_number(&w, i, "x");
        erase_number(&w, i);
    }
    CHECK(kv_compaction_due(w.kv, UINT64_MAX, 1000) > newest);
    world_close(&w);
}

/* A compaction of much history is spread over the entries after it, and reads are right meanwhile. */
static void a_large_compaction_is_done_in_steps(void)
{
    struct world w;
    world_open(&w);
    struct kv_root *root =
        kv_root_hold(w.kv); /* so that nothing is moved: only trimming counts */
    for (uint64_t i = 0; i < 20000; i++) {
        put_number(&w, i % 10, "v");
    }
    uint64_t before = info_of(&w).history_bytes;
    compact(&w, info_of(&w).revision);
    uint64_t after = info_of(&w).history_bytes;
    CHECK(after < before && after > 0);
    char key[32];
    key_name(3, key);
    CHECK_BYTES(value_at(&w, key, 0), text("v"));
    CHECK_BYTES(value_at(&w, key, info_of(&w).compacted), text("v"));
    CHECK_EQ(kv_compaction_due(w.kv, UINT64_MAX, 0), 0); /* not before the last one is done */
    kv_skip(w.kv, ++w.index);
    CHECK(info_of(&w).history_bytes < after);
    kv_root_release(w.kv, root);
    while (kv_tend(w.kv, 100)) {
    }
    CHECK_EQ(info_of(&w).history_bytes, 0);
    kv_check(w.kv);
    world_close(&w);
}

/* ---- starvation ---------------------------------------------------------------------------------------------- */

struct purse {
    uint64_t left;
    int64_t bytes;
};

static void *take(void *arg, size_t size)
{
    struct purse *purse = arg;
    if (purse->left == 0) {
        return NULL;
    }
    purse->left--;
    purse->bytes += (int64_t)size;
    return malloc(size);
}

static void give(void *arg, void *memory, size_t size)
{
    struct purse *purse = arg;
    purse->bytes -= (int64_t)size;
    free(memory);
}

static void live_with(struct purse *purse)
{
    struct kv_options options = {.allocate = take, .release = give, .memory_arg = purse};
    struct world w;
    world_open_with(&w, &options);
    for (uint64_t i = 0; i < 500; i++) {
        put_number(&w, i % 200, i % 3 == 0 ? "short" : "a longer value, in another class");
    }
    tidy(&w);
    world_close(&w);
}

static void every_byte_taken_is_given_back(void)
{
    struct purse purse = {.left = UINT64_MAX};
    live_with(&purse);
    CHECK_EQ(purse.bytes, 0);
}

static void a_store_without_memory_is_not_made(void)
{
    struct purse purse = {.left = 0};
    struct kv_options options = {.allocate = take, .release = give, .memory_arg = &purse};
    CHECK(kv_new(&options) == NULL);
}

/* A committed entry cannot be refused: whichever allocation fails, the process stops at once. */
static void a_member_without_memory_for_a_committed_entry_stops(void)
{
    for (uint64_t k = 1;; k++) {
        ROW("allocation %u fails", (unsigned)k);
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            struct purse purse = {.left = k};
            (void)close(STDERR_FILENO);
            live_with(&purse);
            _exit(0);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
            CHECK(k > 10);
            return;
        }
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        REQUIRE(k < 1000);
    }
}

TEST_MAIN(TEST(leaves_are_at_least_seventy_percent_full),
          TEST(deleting_most_keys_gives_their_memory_back),
          TEST(counting_and_walking_agree_in_a_deep_tree), TEST(values_of_every_size_come_back),
          TEST(other_tables_keep_no_history_but_their_revision),
          TEST(a_held_root_is_read_by_another_thread_while_entries_are_applied),
          TEST(roots_are_bounded_and_released_in_any_order),
          TEST(ten_thousand_watchers_hear_only_what_is_theirs),
          TEST(there_is_room_until_the_limit_and_again_after_deletion),
          TEST(compaction_falls_due_by_age_and_by_size_but_keeps_the_last),
          TEST(a_large_compaction_is_done_in_steps), TEST(every_byte_taken_is_given_back),
          TEST(a_store_without_memory_is_not_made),
          TEST(a_member_without_memory_for_a_committed_entry_stops))
