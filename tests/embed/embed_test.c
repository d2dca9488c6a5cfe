/*
 * Three nodes in one process, through coracle.h alone; also run under ThreadSanitizer.
 *
 * Real sockets on loopback and real files in a temporary directory: this is the library as its users have it. Nothing
 * here waits for time to pass, only for answers, each with a limit.
 */
#include "coracle/coracle.h"

#include "tests/support/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define N          3u
#define READY_MS   30000u
#define GRACE_MS   2000u
#define KEYS       300u /* more than a page of cor_range() */
#define WRITERS    4u
#define PER_WRITER 25u

struct bytes_log {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    size_t n, n_json;
    bool ended;
    enum cor_status end;
    uint64_t last_revision;
    bool in_order;
    char keys[1024];
};

static void log_init(struct bytes_log *l)
{
    memset(l, 0, sizeof *l);
    (void)pthread_mutex_init(&l->mutex, NULL);
    (void)pthread_cond_init(&l->changed, NULL);
    l->in_order = true;
}

struct cluster {
    char root[64], names[N][8], addresses[N][32], dirs[N][96];
    struct cor_member_address members[N];
    struct cor *nodes[N];
    struct bytes_log log;
};

static struct cor_bytes bytes_of(const char *text)
{
    return (struct cor_bytes){(const unsigned char *)text, strlen(text)};
}

/* A loopback port that was free a moment ago. */
static unsigned free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)bind(fd, (struct sockaddr *)&a, sizeof a);
    (void)getsockname(fd, (struct sockaddr *)&a, &len);
    (void)close(fd);
    return ntohs(a.sin_port);
}

static void on_log(void *arg, enum cor_log_level level, const char *room, const char *event,
                   const char *fields_logfmt, const char *fields_json)
{
    struct bytes_log *l = arg;
    bool good = level >= COR_LOG_DEBUG && room[0] != '\0' && event[0] != '\0' &&
                strncmp(fields_logfmt, "event=", 6) == 0;
    (void)pthread_mutex_lock(&l->mutex);
    l->n += good;
    l->n_json += good && strncmp(fields_json, "\"event\":\"", 9) == 0;
    (void)pthread_mutex_unlock(&l->mutex);
}

static struct cor_options options_of(struct cluster *c, size_t i)
{
    return (struct cor_options){.data_dir = c->dirs[i],
                                .name = c->names[i],
                                .members = c->members,
                                .n_members = N,
                                .log_level = COR_LOG_DEBUG,
                                .log = on_log,
                                .arg = &c->log};
}

static bool prepare(struct cluster *c)
{
    memset(c, 0, sizeof *c);
    log_init(&c->log);
    (void)snprintf(c->root, sizeof c->root, "/tmp/coracle-embed.XXXXXX");
    if (mkdtemp(c->root) == NULL) {
        return false;
    }
    for (size_t i = 0; i < N; i++) {
        (void)snprintf(c->names[i], sizeof c->names[i], "n%zu", i + 1);
        (void)snprintf(c->addresses[i], sizeof c->addresses[i], "127.0.0.1:%u", free_port());
        (void)snprintf(c->dirs[i], sizeof c->dirs[i], "%s/n%zu", c->root, i + 1);
        c->members[i] = (struct cor_member_address){c->names[i], c->addresses[i]};
    }
    return true;
}

static bool start(struct cluster *c, size_t i)
{
    struct cor_options o = options_of(c, i);
    struct cor_error err = {0};
    enum cor_status st = cor_open(&o, &err, &c->nodes[i]);
    if (st != COR_OK) {
        (void)fprintf(stderr, "cor_open: %s\n", err.text);
    }
    return st == COR_OK;
}

static bool start_all(struct cluster *c)
{
    bool ok = prepare(c);
    for (size_t i = 0; i < N && ok; i++) {
        ok = start(c, i);
    }
    for (size_t i = 0; i < N && ok; i++) {
        ok = cor_wait_ready(c->nodes[i], READY_MS) == COR_OK;
    }
    return ok;
}

static void remove_directory(const char *path)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    CHECK(system(command) == 0);
}

static void stop_all(struct cluster *c)
{
    for (size_t i = 0; i < N; i++) {
        if (c->nodes[i] != NULL) {
            cor_close(c->nodes[i], GRACE_MS);
            c->nodes[i] = NULL;
        }
    }
    remove_directory(c->root);
}

static bool has_value(struct cor *c, const char *key, enum cor_read_mode mode,
                      const char *value)
{
    struct cor_item *item = NULL;
    if (cor_get(c, bytes_of(key), mode, &item) != COR_OK) {
        return false;
    }
    bool ok = item->value.len == strlen(value) &&
              memcmp(item->value.ptr, value, item->value.len) == 0 &&
              item->key.len == strlen(key) && memcmp(item->key.ptr, key, item->key.len) == 0;
    cor_item_free(item);
    return ok;
}

/* ---- reads and writes ------------------------------------------------------------------------------ */

static void a_write_through_any_node_is_read_through_every_other(void)
{
    struct cluster c;
    REQUIRE(start_all(&c));
    uint64_t revision = 0, before = 0;
    for (size_t i = 0; i < N; i++) {
        ROW("written through n%zu", i + 1);
        char value[16];
        (void)snprintf(value, sizeof value, "v%zu", i);
        REQUIRE(cor_put(c.nodes[i], bytes_of("k"), bytes_of(value), &revision) == COR_OK);
        CHECK(revision > before);
        before = revision;
        for (size_t k = 0; k < N; k++) {
            CHECK(has_value(c.nodes[k], "k", COR_READ_DEFAULT, value));
            CHECK(has_value(c.nodes[k], "k", COR_READ_CONSISTENT, value));
        }
    }
    /* After a consistent read a node's own copy is as new. */
    CHECK(has_value(c.nodes[0], "k", COR_READ_STALE, "v2"));

    struct cor_item *item;
    uint64_t deleted = 7;
    CHECK_EQ(cor_compare_and_put(c.nodes[1], bytes_of("k"), 1, bytes_of("x"), NULL),
             COR_ECONFLICT);
    CHECK_EQ(cor_compare_and_put(c.nodes[1], bytes_of("k"), revision, bytes_of("x"), &revision),
             COR_OK);
    CHECK_EQ(cor_compare_and_put(c.nodes[1], bytes_of("new"), 0, bytes_of(""), NULL), COR_OK);
    CHECK(has_value(c.nodes[2], "new", COR_READ_DEFAULT, ""));
    CHECK_EQ(cor_delete(c.nodes[2], bytes_of("k"), &deleted, &revision), COR_OK);
    CHECK_EQ(deleted, 1);
    CHECK_EQ(cor_delete(c.nodes[2], bytes_of("k"), &deleted, NULL), COR_OK);
    CHECK_EQ(deleted, 0);
    CHECK_EQ(cor_get(c.nodes[0], bytes_of("k"), COR_READ_CONSISTENT, &item), COR_ENOTFOUND);

    CHECK_EQ(cor_put(c.nodes[0], bytes_of(""), bytes_of("v"), NULL), COR_EINVAL);
    static unsigned char large[COR_VALUE_MAX + 1];
    CHECK_EQ(cor_put(c.nodes[0], bytes_of("l"), (struct cor_bytes){large, sizeof large}, NULL),
             COR_ETOOBIG);
    CHECK_EQ(cor_put(c.nodes[0], bytes_of("l"), (struct cor_bytes){large, COR_VALUE_MAX}, NULL),
             COR_OK);
    stop_all(&c);
    CHECK(c.log.n > 0 && c.log.n == c.log.n_json);
}

static void a_put_under_a_number_is_done_once_through_whatever_node(void)
{
    struct cluster c;
    REQUIRE(start_all(&c));
    uint64_t session = 0, first = 0, again = 0;
    CHECK_EQ(cor_session_open(c.nodes[0], 999, &session), COR_EINVAL);
    CHECK_EQ(cor_session_open(c.nodes[0], 86400001, &session), COR_EINVAL);
    REQUIRE(cor_session_open(c.nodes[0], 0, &session) == COR_OK);
    struct cor_bytes k = bytes_of("k");
    CHECK_EQ(cor_put_once(c.nodes[0], session, 1, k, bytes_of("once"), &first), COR_OK);
    CHECK_EQ(cor_put(c.nodes[1], k, bytes_of("later"), NULL), COR_OK);
    for (size_t i = 0; i < N; i++) {
        ROW("through n%zu", i + 1);
        CHECK_EQ(cor_put_once(c.nodes[i], session, 1, k, bytes_of("once"), &again), COR_OK);
        CHECK_EQ(again, first);
        CHECK(has_value(c.nodes[i], "k", COR_READ_CONSISTENT, "later"));
    }
    CHECK_EQ(cor_put_once(c.nodes[2], session, 1, k, bytes_of("other"), NULL), COR_EREUSED);
    CHECK_EQ(cor_put_once(c.nodes[2], session, 0, k, bytes_of("other"), NULL), COR_EINVAL);
    CHECK_EQ(cor_put_once(c.nodes[2], 0, 1, k, bytes_of("other"), NULL), COR_EINVAL);
    CHECK_EQ(cor_session_close(c.nodes[1], session), COR_OK);
    CHECK_EQ(cor_session_close(c.nodes[1], session), COR_ENOSESSION);
    CHECK_EQ(cor_put_once(c.nodes[2], session, 2, k, bytes_of("other"), NULL), COR_ENOSESSION);
    stop_all(&c);
}

struct seen {
    size_t n, stop_at;
    bool in_order;
    char last[16];
};

static bool on_item(void *arg, const struct cor_item *item)
{
    struct seen *s = arg;
    char key[16] = {0};
    memcpy(key, item->key.ptr, item->key.len < 15 ? item->key.len : 15);
    s->in_order = s->in_order && strcmp(s->last, key) < 0;
    memcpy(s->last, key, sizeof key);
    return ++s->n != s->stop_at;
}

static void a_range_has_every_key_once_in_order(void)
{
    struct cluster c;
    REQUIRE(start_all(&c));
    REQUIRE(cor_put(c.nodes[0], bytes_of("p"), bytes_of("outside"), NULL) == COR_OK);
    REQUIRE(cor_put(c.nodes[0], bytes_of("p0"), bytes_of("outside"), NULL) == COR_OK);
    for (size_t i = 0; i < KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "p/%04zu", i);
        REQUIRE(cor_put(c.nodes[i % N], bytes_of(key), bytes_of("v"), NULL) == COR_OK);
    }
    for (size_t i = 0; i < N; i++) {
        ROW("through n%zu", i + 1);
        struct seen s = {.in_order = true};
        CHECK_EQ(cor_range(c.nodes[i], bytes_of("p/"), COR_READ_CONSISTENT, on_item, &s),
                 COR_OK);
        CHECK_EQ(s.n, KEYS);
        CHECK(s.in_order);
        s = (struct seen){.in_order = true};
        CHECK_EQ(cor_range(c.nodes[i], bytes_of(""), COR_READ_DEFAULT, on_item, &s), COR_OK);
        CHECK_EQ(s.n, KEYS + 2);
        s = (struct seen){.in_order = true, .stop_at = 3};
        CHECK_EQ(cor_range(c.nodes[i], bytes_of("p/"), COR_READ_STALE, on_item, &s), COR_OK);
        CHECK_EQ(s.n, 3);
        s = (struct seen){.in_order = true};
        CHECK_EQ(cor_range(c.nodes[i], bytes_of("q"), COR_READ_DEFAULT, on_item, &s), COR_OK);
        CHECK_EQ(s.n, 0);
    }
    stop_all(&c);
}

/* ---- threads --------------------------------------------------------------------------------------- */

struct writer_thread {
    struct cluster *c;
    size_t number, ok;
};

static void *write_some(void *arg)
{
    struct writer_thread *w = arg;
    for (size_t i = 0; i < PER_WRITER; i++) {
        struct cor *node = w->c->nodes[(w->number + i) % N];
        char key[32];
        (void)snprintf(key, sizeof key, "w%zu/%zu", w->number, i);
        w->ok += cor_put(node, bytes_of(key), bytes_of(key), NULL) == COR_OK &&
                 has_value(node, key, COR_READ_DEFAULT, key);
        struct cor_node_info info;
        cor_info(node, &info);
    }
    return NULL;
}

static void calls_come_from_any_thread(void)
{
    struct cluster c;
    REQUIRE(start_all(&c));
    pthread_t threads[WRITERS];
    struct writer_thread writers[WRITERS];
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer_thread){&c, i, 0};
        REQUIRE(pthread_create(&threads[i], NULL, write_some, &writers[i]) == 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        (void)pthread_join(threads[i], NULL);
        CHECK_EQ(writers[i].ok, PER_WRITER);
    }
    struct seen s = {.in_order = true};
    CHECK_EQ(cor_range(c.nodes[1], bytes_of("w"), COR_READ_CONSISTENT, on_item, &s), COR_OK);
    CHECK_EQ(s.n, WRITERS * PER_WRITER);
    stop_all(&c);
}

/* ---- watches --------------------------------------------------------------------------------------- */

static void on_event(void *arg, const struct cor_event *e)
{
    struct bytes_log *l = arg;
    (void)pthread_mutex_lock(&l->mutex);
    l->in_order = l->in_order && e->revision > l->last_revision;
    l->last_revision = e->revision;
    size_t used = strlen(l->keys);
    (void)snprintf(l->keys + used, sizeof l->keys - used, "%s%.*s=%.*s;", e->deleted ? "-" : "",
                   (int)e->item.key.len, (const char *)e->item.key.ptr, (int)e->item.value.len,
                   (const char *)e->item.value.ptr);
    l->n++;
    (void)pthread_cond_signal(&l->changed);
    (void)pthread_mutex_unlock(&l->mutex);
}

static void on_end(void *arg, enum cor_status st, uint64_t revision)
{
    struct bytes_log *l = arg;
    (void)revision;
    (void)pthread_mutex_lock(&l->mutex);
    l->ended = true;
    l->end = st;
    (void)pthread_cond_signal(&l->changed);
    (void)pthread_mutex_unlock(&l->mutex);
}

static void wait_for_events(struct bytes_log *l, size_t n)
{
    (void)pthread_mutex_lock(&l->mutex);
    while (l->n < n && !l->ended) {
        (void)pthread_cond_wait(&l->changed, &l->mutex);
    }
    (void)pthread_mutex_unlock(&l->mutex);
}

static void a_watch_hears_every_change_once_also_past_ones(void)
{
    struct cluster c;
    REQUIRE(start_all(&c));
    uint64_t first;
    REQUIRE(cor_put(c.nodes[0], bytes_of("w/a"), bytes_of("1"), &first) == COR_OK);
    REQUIRE(cor_put(c.nodes[0], bytes_of("other"), bytes_of("1"), NULL) == COR_OK);
    REQUIRE(cor_delete(c.nodes[0], bytes_of("w/a"), NULL, NULL) == COR_OK);
    struct bytes_log l;
    log_init(&l);
    struct cor_watch *w;
    const struct cor_watch_options o = {.prefix = bytes_of("w/"),
                                        .start_revision = first,
                                        .on_event = on_event,
                                        .on_end = on_end,
                                        .arg = &l};
    REQUIRE(cor_watch(c.nodes[1], &o, &w) == COR_OK);
    REQUIRE(cor_put(c.nodes[2], bytes_of("w/b"), bytes_of("2"), NULL) == COR_OK);
    REQUIRE(cor_put(c.nodes[0], bytes_of("x"), bytes_of("2"), NULL) == COR_OK);
    REQUIRE(cor_put(c.nodes[1], bytes_of("w/c"), bytes_of("3"), NULL) == COR_OK);
    wait_for_events(&l, 4);
    cor_watch_stop(w);
    CHECK(strcmp(l.keys, "w/a=1;-w/a=;w/b=2;w/c=3;") == 0);
    CHECK(l.in_order);
    CHECK(!l.ended);
    stop_all(&c);
}

static void a_watch_ends_with_its_node_and_is_stopped_after_it(void)
{
    struct cluster c;
    REQUIRE(start_all(&c));
    struct bytes_log l;
    log_init(&l);
    struct cor_watch *w;
    const struct cor_watch_options o = {
        .prefix = bytes_of(""), .on_event = on_event, .on_end = on_end, .arg = &l};
    REQUIRE(cor_watch(c.nodes[2], &o, &w) == COR_OK);
    cor_close(c.nodes[2], GRACE_MS);
    c.nodes[2] = NULL;
    wait_for_events(&l, SIZE_MAX);
    CHECK_EQ(l.end, COR_ESTOPPED);
    cor_watch_stop(w);
    stop_all(&c);
}

/* ---- members come and go --------------------------------------------------------------------------- */

static size_t find_leader(struct cluster *c)
{
    for (size_t i = 0; i < N; i++) {
        struct cor_node_info info;
        cor_info(c->nodes[i], &info);
        if (strcmp(info.role, "Leader") == 0) {
            return i;
        }
    }
    return N;
}

static void two_of_three_go_on_without_their_leader_and_the_third_catches_up(void)
{
    struct cluster c;
    REQUIRE(start_all(&c));
    REQUIRE(cor_put(c.nodes[0], bytes_of("k"), bytes_of("before"), NULL) == COR_OK);
    size_t leader = find_leader(&c);
    REQUIRE(leader < N);
    cor_close(c.nodes[leader], GRACE_MS);
    c.nodes[leader] = NULL;
    struct cor *left = c.nodes[(leader + 1) % N];
    enum cor_status st;
    unsigned tries = 0;
    do {
        st = cor_put(left, bytes_of("k"), bytes_of("after"), NULL);
    } while (st != COR_OK && st != COR_EUNKNOWN && ++tries < 1000);
    CHECK_EQ(st, COR_OK);
    REQUIRE(start(&c, leader));
    REQUIRE(cor_wait_ready(c.nodes[leader], READY_MS) == COR_OK);
    CHECK(has_value(c.nodes[leader], "k", COR_READ_CONSISTENT, "after"));
    struct cor_node_info a, b;
    CHECK(has_value(left, "k", COR_READ_CONSISTENT, "after"));
    cor_info(left, &a);
    cor_info(c.nodes[leader], &b);
    CHECK(a.applied_index != b.applied_index || a.state_hash == b.state_hash);
    CHECK_EQ(b.revision, a.revision);
    stop_all(&c);
}

static void on_fatal(void *arg, const struct cor_error *err)
{
    struct bytes_log *l = arg;
    (void)pthread_mutex_lock(&l->mutex);
    l->ended = err->text[0] != '\0';
    l->end = err->status;
    (void)pthread_cond_signal(&l->changed);
    (void)pthread_mutex_unlock(&l->mutex);
}

static void a_member_whose_directory_was_wiped_is_told_and_ends(void)
{
    struct cluster c;
    REQUIRE(start_all(&c));
    cor_close(c.nodes[0], GRACE_MS);
    c.nodes[0] = NULL;
    remove_directory(c.dirs[0]);
    struct bytes_log told;
    log_init(&told);
    struct cor_options o = options_of(&c, 0);
    o.log = NULL;
    o.on_fatal = on_fatal;
    o.arg = &told;
    struct cor_error err = {0};
    REQUIRE(cor_open(&o, &err, &c.nodes[0]) == COR_OK);
    wait_for_events(&told, SIZE_MAX);
    CHECK_EQ(told.end, COR_EREFUSED);
    CHECK_EQ(cor_wait_ready(c.nodes[0], READY_MS), COR_ESTOPPED);
    CHECK_EQ(cor_put(c.nodes[0], bytes_of("k"), bytes_of("v"), NULL), COR_ESTOPPED);
    CHECK_EQ(cor_put(c.nodes[1], bytes_of("k"), bytes_of("v"), NULL), COR_OK);
    stop_all(&c);
}

static void a_single_node_needs_no_cluster_and_keeps_what_it_was_given(void)
{
    struct cluster c;
    REQUIRE(prepare(&c));
    for (unsigned round = 0; round < 3; round++) {
        struct cor_options o = {.data_dir = c.dirs[0]};
        struct cor_error err = {0};
        REQUIRE(cor_open(&o, &err, &c.nodes[0]) == COR_OK);
        REQUIRE(cor_wait_ready(c.nodes[0], READY_MS) == COR_OK);
        CHECK(strcmp(cor_listen_address(c.nodes[0], 0), "") == 0);
        struct seen s = {.in_order = true};
        CHECK_EQ(cor_range(c.nodes[0], bytes_of(""), COR_READ_STALE, on_item, &s), COR_OK);
        CHECK_EQ(s.n, round);
        char key[2] = {(char)('a' + round), '\0'};
        CHECK_EQ(cor_put(c.nodes[0], bytes_of(key), bytes_of("v"), NULL), COR_OK);
        cor_close(c.nodes[0], GRACE_MS);
        c.nodes[0] = NULL;
    }
    stop_all(&c);
}

/* ---- refusals -------------------------------------------------------------------------------------- */

static bool exists(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0;
}

static void what_cannot_work_is_refused_and_leaves_no_trace(void)
{
    struct cluster c;
    REQUIRE(prepare(&c));
    struct cor_options plain = {
        .data_dir = c.dirs[0], .listen = (const char *const[]){"127.0.0.1:0"}, .n_listen = 1};
    struct cor_error err = {0};
    struct cor *other = NULL;
    REQUIRE(cor_open(&plain, &err, &c.nodes[0]) == COR_OK);
    const char *bound = cor_listen_address(c.nodes[0], 0);
    CHECK(strncmp(bound, "127.0.0.1:", 10) == 0 && strcmp(bound, "127.0.0.1:0") != 0);

    struct cor_options taken = {
        .data_dir = c.dirs[1], .listen = (const char *const[]){bound}, .n_listen = 1};
    CHECK_EQ(cor_open(&taken, &err, &other), COR_EEXIST);
    CHECK(strstr(err.text, "--listen") != NULL);
    CHECK(!exists(c.dirs[1]));

    struct cor_options second = {.data_dir = c.dirs[0]};
    CHECK_EQ(cor_open(&second, &err, &other), COR_ELOCKED);
    CHECK(err.text[0] != '\0');

    REQUIRE(mkdir(c.dirs[1], 0700) == 0);
    char file[128];
    (void)snprintf(file, sizeof file, "%s/diary.txt", c.dirs[1]);
    FILE *f = fopen(file, "w");
    REQUIRE(f != NULL && fclose(f) == 0);
    struct cor_options foreign = {.data_dir = c.dirs[1]};
    CHECK_EQ(cor_open(&foreign, &err, &other), COR_EFOREIGN);
    CHECK(strstr(err.text, "diary.txt") != NULL);

    struct cor_options beyond = {
        .data_dir = c.dirs[2], .listen = (const char *const[]){"0.0.0.0:0"}, .n_listen = 1};
    CHECK_EQ(cor_open(&beyond, &err, &other), COR_EINVAL);
    CHECK(strstr(err.text, "--insecure") != NULL);
    CHECK(!exists(c.dirs[2]));
    stop_all(&c);
}

TEST_MAIN(TEST(a_write_through_any_node_is_read_through_every_other),
          TEST(a_put_under_a_number_is_done_once_through_whatever_node),
          TEST(a_range_has_every_key_once_in_order), TEST(calls_come_from_any_thread),
          TEST(a_watch_hears_every_change_once_also_past_ones),
          TEST(a_watch_ends_with_its_node_and_is_stopped_after_it),
          TEST(two_of_three_go_on_without_their_leader_and_the_third_catches_up),
          TEST(a_member_whose_directory_was_wiped_is_told_and_ends),
          TEST(a_single_node_needs_no_cluster_and_keeps_what_it_was_given),
          TEST(what_cannot_work_is_refused_and_leaves_no_trace))
