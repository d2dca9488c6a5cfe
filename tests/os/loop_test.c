/* loop_test.c - timers, tasks, posts, work and signals of the real loop. */
#include "tests/os/world.h"

#include "base/prng.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* ---- timers -------------------------------------------------------------------------------- */

#define TIMERS 300u

struct alarm {
    struct io_timer timer;
    struct alarms *all;
    bool fired;
};

struct alarms {
    struct world w;
    struct alarm list[TIMERS];
    uint64_t last_at, last_order;
    unsigned n_fired, n_wanted;
};

static void on_alarm(struct io_timer *t)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, timer);
    struct alarms *all = a->all;
    CHECK(!a->fired && t->at <= io_now(all->w.io));
    CHECK(t->at > all->last_at || (t->at == all->last_at && t->order > all->last_order));
    all->last_at = t->at;
    all->last_order = t->order;
    a->fired = true;
    if (++all->n_fired == all->n_wanted) {
        os_loop_stop(all->w.loop);
    }
}

static void timers_fire_once_in_order_and_not_before_their_time(void)
{
    static struct alarms all;
    struct prng random = {.state = 1};
    all = (struct alarms){0};
    REQUIRE(world_open(&all.w, NULL));
    uint64_t now = io_now(all.w.io);
    for (unsigned i = 0; i < TIMERS; i++) {
        struct alarm *a = &all.list[i];
        *a = (struct alarm){.timer.fire = on_alarm, .all = &all};
        io_timer_set(all.w.io, &a->timer, now + 1 + prng_below(&random, 20) * WORLD_MS);
    }
    for (unsigned i = 0; i < TIMERS; i++) { /* some are cleared, some moved, some both */
        if (i % 3 == 0) {
            io_timer_clear(all.w.io, &all.list[i].timer);
            io_timer_clear(all.w.io, &all.list[i].timer);
        }
        if (i % 5 == 0) {
            io_timer_set(all.w.io, &all.list[i].timer,
                         now + 1 + prng_below(&random, 20) * WORLD_MS);
        }
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        all.n_wanted += i % 3 != 0 || i % 5 == 0;
    }
    world_run(&all.w);
    for (unsigned i = 0; i < TIMERS; i++) {
        ROW("timer %u", i);
        CHECK(all.list[i].fired == (i % 3 != 0 || i % 5 == 0));
    }
    world_close(&all.w);
}

struct ticker {
    struct world w;
    struct io_timer past, due;
    struct io_task task;
    unsigned n_past, turns_at_due, turns;
};

static void on_past(struct io_timer *t)
{
    struct ticker *x = CONTAINER_OF(t, struct ticker, past);
    x->n_past++;
    CHECK_EQ(x->n_past, x->turns + 1); /* once per turn, however long overdue */
    io_timer_set(x->w.io, &x->past, 0);
    io_defer(x->w.io, &x->task);
}

static void on_due(struct io_timer *t)
{
    struct ticker *x = CONTAINER_OF(t, struct ticker, due);
    x->turns_at_due = x->turns + 1;
}

static void on_turn_over(struct io_task *task)
{
    struct ticker *x = CONTAINER_OF(task, struct ticker, task);
    if (++x->turns == 20) {
        os_loop_stop(x->w.loop);
    }
}

static void a_timer_set_into_the_past_waits_for_the_next_turn_and_starves_nobody(void)
{
    struct ticker x = {.past.fire = on_past, .due.fire = on_due, .task.run = on_turn_over};
    REQUIRE(world_open(&x.w, NULL));
    io_timer_set(x.w.io, &x.past, 0);
    io_timer_set(x.w.io, &x.due, 1);
    world_run(&x.w);
    CHECK_EQ(x.turns, 20u);
    CHECK_EQ(x.turns_at_due, 1u);
    world_close(&x.w);
}

/* Counted in times the process went to sleep: a tick of 10 ms would make ten. */
static void an_idle_loop_uses_no_time(void)
{
    struct alarms *all = calloc(1, sizeof *all);
    REQUIRE(all != NULL && world_open(&all->w, NULL));
    struct alarm *a = &all->list[0];
    *a = (struct alarm){.timer.fire = on_alarm, .all = all};
    all->n_wanted = 1;
    io_timer_set(all->w.io, &a->timer, io_now(all->w.io) + 100 * WORLD_MS);
    struct rusage before, after;
    (void)getrusage(RUSAGE_SELF, &before);
    world_run(&all->w);
    (void)getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_nvcsw - before.ru_nvcsw <= 3);
    world_close(&all->w);
    free(all);
}

/* ---- tasks --------------------------------------------------------------------------------- */

struct tasks {
    struct world w;
    struct io_timer timer;
    struct io_task a, b, c;
    char order[8];
};

static void note(struct tasks *x, char what)
{
    size_t n = strlen(x->order);
    CHECK(n < sizeof x->order - 1);
    x->order[n] = what;
}

static void on_c(struct io_task *t)
{
    struct tasks *x = CONTAINER_OF(t, struct tasks, c);
    note(x, 'c');
    os_loop_stop(x->w.loop);
}

static void on_b(struct io_task *t)
{
    struct tasks *x = CONTAINER_OF(t, struct tasks, b);
    note(x, 'b');
    CHECK(!x->b.queued);
}

static void on_a(struct io_task *t)
{
    struct tasks *x = CONTAINER_OF(t, struct tasks, a);
    note(x, 'a');
    io_defer(x->w.io, &x->c);
}

static void on_tasks_timer(struct io_timer *t)
{
    struct tasks *x = CONTAINER_OF(t, struct tasks, timer);
    io_defer(x->w.io, &x->c);
    io_defer(x->w.io, &x->a);
    io_defer(x->w.io, &x->b);
    io_defer(x->w.io, &x->a); /* is queued already */
    io_cancel(x->w.io, &x->c);
    io_cancel(x->w.io, &x->c);
    note(x, 't');
}

static void tasks_run_once_after_events_in_the_order_of_deferring(void)
{
    struct tasks x = {
        .timer.fire = on_tasks_timer, .a.run = on_a, .b.run = on_b, .c.run = on_c};
    REQUIRE(world_open(&x.w, NULL));
    io_timer_set(x.w.io, &x.timer, 0);
    world_run(&x.w);
    CHECK(strcmp(x.order, "tabc") == 0);
    world_close(&x.w);
}

static void cancelling_the_last_task_keeps_the_queue_whole(void)
{
    struct tasks x = {.a.run = on_b, .b.run = on_b, .c.run = on_c};
    REQUIRE(world_open(&x.w, NULL));
    io_defer(x.w.io, &x.b);
    io_defer(x.w.io, &x.a);
    io_cancel(x.w.io, &x.a);
    io_defer(x.w.io, &x.c);
    world_run(&x.w);
    CHECK(strcmp(x.order, "bc") == 0);
    world_close(&x.w);
}

/* ---- posts --------------------------------------------------------------------------------- */

#define POSTERS 4u
#define POSTS   2000u

struct poster {
    struct posts *all;
    struct posted {
        struct os_post post;
        struct poster *from;
        unsigned number;
    } list[POSTS];
    unsigned n_seen;
};

struct posts {
    struct world w;
    struct poster posters[POSTERS];
    unsigned n_seen;
};

static void on_post(struct os_post *post)
{
    struct posted *p = CONTAINER_OF(post, struct posted, post);
    struct posts *all = p->from->all;
    CHECK_EQ(p->number, p->from->n_seen);
    p->from->n_seen++;
    if (++all->n_seen == POSTERS * POSTS) {
        os_loop_stop(all->w.loop);
    }
}

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = 0; i < POSTS; i++) {
        p->list[i] = (struct posted){.post.run = on_post, .from = p, .number = i};
        os_loop_post(p->all->w.loop, &p->list[i].post);
    }
    return NULL;
}

static void posts_from_other_threads_run_on_the_loop_in_order(void)
{
    struct posts *all = calloc(1, sizeof *all);
    REQUIRE(all != NULL && world_open(&all->w, NULL));
    pthread_t threads[POSTERS];
    for (unsigned i = 0; i < POSTERS; i++) {
        all->posters[i].all = all;
        CHECK_EQ(pthread_create(&threads[i], NULL, post_all, &all->posters[i]), 0);
    }
    world_run(&all->w);
    for (unsigned i = 0; i < POSTERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(all->n_seen, POSTERS * POSTS);
    world_close(&all->w);
    free(all);
}

static void *stop_it(void *arg)
{
    os_loop_stop(arg);
    return NULL;
}

static void another_thread_may_stop_a_sleeping_loop(void)
{
    struct world w;
    pthread_t thread;
    REQUIRE(world_open(&w, NULL));
    CHECK_EQ(pthread_create(&thread, NULL, stop_it, w.loop), 0);
    world_run(&w);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    os_loop_stop(w.loop); /* before it runs: it makes one turn */
    world_run(&w);
    world_close(&w);
}

/* ---- work ---------------------------------------------------------------------------------- */

#define WORKS 200u

struct job {
    struct io_work work;
    struct jobs *all;
    unsigned number;
    unsigned ran_as; /* of its queue, from 1 */
};

struct jobs {
    struct world w;
    struct job list[IO_N_QUEUES][WORKS];
    unsigned n_ran[IO_N_QUEUES]; /* LOG and DISK: each written by one thread */
    unsigned n_done[IO_N_QUEUES];
    pthread_t loop_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned n_inside;
};

static void job_run(struct io_work *work)
{
    struct job *j = CONTAINER_OF(work, struct job, work);
    CHECK(!pthread_equal(pthread_self(), j->all->loop_thread));
    if (work->queue != IO_QUEUE_JOB) {
        j->ran_as = ++j->all->n_ran[work->queue];
    }
}

static void job_done(struct io_work *work)
{
    struct job *j = CONTAINER_OF(work, struct job, work);
    struct jobs *all = j->all;
    unsigned n = ++all->n_done[work->queue];
    CHECK(pthread_equal(pthread_self(), all->loop_thread));
    if (work->queue != IO_QUEUE_JOB) {
        ROW("queue %u work %u", (unsigned)work->queue, j->number);
        CHECK_EQ(n, j->number + 1);
        CHECK_EQ(j->ran_as, n);
    }
    if (all->n_done[0] + all->n_done[1] + all->n_done[2] == IO_N_QUEUES * WORKS) {
        os_loop_stop(all->w.loop);
    }
}

static struct jobs *jobs_new(void)
{
    struct jobs *all = calloc(1, sizeof *all);
    if (all == NULL || !world_open(&all->w, NULL)) {
        return NULL;
    }
    all->loop_thread = pthread_self();
    (void)pthread_mutex_init(&all->lock, NULL);
    (void)pthread_cond_init(&all->changed, NULL);
    return all;
}

static void jobs_free(struct jobs *all)
{
    world_close(&all->w);
    (void)pthread_mutex_destroy(&all->lock);
    (void)pthread_cond_destroy(&all->changed);
    free(all);
}

static void work_of_the_log_and_the_disk_keeps_its_order_there_and_back(void)
{
    struct jobs *all = jobs_new();
    REQUIRE(all != NULL);
    for (unsigned i = 0; i < WORKS; i++) {
        for (unsigned q = 0; q < IO_N_QUEUES; q++) {
            struct job *j = &all->list[q][i];
            *j = (struct job){
                .work = {.run = job_run, .done = job_done}, .all = all, .number = i};
            io_submit(all->w.io, (enum io_queue)q, &j->work);
        }
    }
    CHECK_EQ(all->n_done[IO_QUEUE_LOG], 0u); /* nothing from inside io_submit() */
    world_run(&all->w);
    jobs_free(all);
}

/* Goes in, and does not come out before a second one is in. */
static void meet_run(struct io_work *work)
{
    struct jobs *all = CONTAINER_OF(work, struct job, work)->all;
    pthread_mutex_lock(&all->lock);
    all->n_inside++;
    pthread_cond_broadcast(&all->changed);
    while (all->n_inside < 2) {
        pthread_cond_wait(&all->changed, &all->lock);
    }
    pthread_mutex_unlock(&all->lock);
}

static void meet_done(struct io_work *work)
{
    struct jobs *all = CONTAINER_OF(work, struct job, work)->all;
    if (++all->n_done[IO_QUEUE_JOB] == 2) {
        os_loop_stop(all->w.loop);
    }
}

static void two_of(enum io_queue first, enum io_queue second)
{
    struct jobs *all = jobs_new();
    REQUIRE(all != NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct job *j = &all->list[0][i];
        *j = (struct job){.work = {.run = meet_run, .done = meet_done}, .all = all};
        io_submit(all->w.io, i == 0 ? first : second, &j->work);
    }
    world_run(&all->w);
    jobs_free(all);
}

static void the_log_never_waits_behind_other_work(void)
{
    two_of(IO_QUEUE_DISK, IO_QUEUE_LOG);
    two_of(IO_QUEUE_JOB, IO_QUEUE_LOG);
}

static void jobs_run_in_parallel(void)
{
    two_of(IO_QUEUE_JOB, IO_QUEUE_JOB);
}

static void count_run(struct io_work *work)
{
    struct jobs *all = CONTAINER_OF(work, struct job, work)->all;
    pthread_mutex_lock(&all->lock);
    all->n_inside++;
    pthread_cond_broadcast(&all->changed);
    pthread_mutex_unlock(&all->lock);
}

static void count_done(struct io_work *work)
{
    struct jobs *all = CONTAINER_OF(work, struct job, work)->all;
    all->n_done[IO_QUEUE_LOG]++;
    os_loop_stop(all->w.loop);
}

static void after_the_loop_returned_no_work_runs(void)
{
    struct jobs *all = jobs_new();
    REQUIRE(all != NULL);
    for (unsigned i = 0; i < WORKS; i++) {
        struct job *j = &all->list[0][i];
        *j = (struct job){.work = {.run = count_run, .done = count_done}, .all = all};
    }
    os_loop_stop(all->w.loop);
    world_run(&all->w);
    io_submit(all->w.io, IO_QUEUE_LOG, &all->list[0][0].work);
    io_submit(all->w.io, IO_QUEUE_LOG, &all->list[0][1].work);
    CHECK_EQ(all->n_inside, 0u); /* read without the lock: a race, if somebody were running */
    world_run(&all->w);
    CHECK(all->n_inside >= 1 && all->n_done[IO_QUEUE_LOG] >= 1);
    jobs_free(all);
}

static void before_the_loop_runs_no_work_does(void)
{
    struct jobs *all = jobs_new();
    REQUIRE(all != NULL);
    struct job *j = &all->list[0][0];
    *j = (struct job){.work = {.run = count_run, .done = count_done}, .all = all};
    io_submit(all->w.io, IO_QUEUE_LOG, &j->work);
    struct timespec soon; /* time enough for a thread that would */
    (void)clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    pthread_mutex_lock(&all->lock);
    int code = 0;
    while (all->n_inside == 0 && code == 0) {
        code = pthread_cond_timedwait(&all->changed, &all->lock, &soon);
    }
    CHECK_EQ(all->n_inside, 0u);
    pthread_mutex_unlock(&all->lock);
    world_run(&all->w);
    CHECK_EQ(all->n_inside, 1u);
    jobs_free(all);
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void on_signal(void *arg, int signo)
{
    CHECK_EQ(signo, SIGUSR1);
    os_loop_stop(arg);
}

static void a_signal_becomes_an_event(void)
{
    struct world w;
    struct cor_error err;
    REQUIRE(world_open(&w, NULL));
    CHECK_EQ(os_loop_signal(w.loop, SIGUSR1, on_signal, w.loop, &err), COR_OK);
    CHECK_EQ(raise(SIGUSR1), 0);
    world_run(&w);
    world_close(&w);
}

static void a_signal_that_cannot_be_caught_is_an_error(void)
{
    struct world w;
    struct cor_error err = {0};
    REQUIRE(world_open(&w, NULL));
    CHECK(os_loop_signal(w.loop, SIGKILL, on_signal, w.loop, &err) != COR_OK);
    CHECK(err.text[0] != '\0');
    world_close(&w);
}

static void the_clock_runs_and_random_bytes_differ(void)
{
    struct world w;
    REQUIRE(world_open(&w, NULL));
    uint64_t a = io_now(w.io);
    uint64_t b = io_now(w.io);
    CHECK(a > 0 && b >= a);
    CHECK(io_wall_ms(w.io) > UINT64_C(1600000000000));
    unsigned char x[32] = {0}, y[32] = {0};
    io_random(w.io, x, sizeof x);
    io_random(w.io, y, sizeof y);
    CHECK(memcmp(x, y, sizeof x) != 0);
    world_close(&w);
}

TEST_MAIN(TEST(timers_fire_once_in_order_and_not_before_their_time),
          TEST(a_timer_set_into_the_past_waits_for_the_next_turn_and_starves_nobody),
          TEST(an_idle_loop_uses_no_time),
          TEST(tasks_run_once_after_events_in_the_order_of_deferring),
          TEST(cancelling_the_last_task_keeps_the_queue_whole),
          TEST(posts_from_other_threads_run_on_the_loop_in_order),
          TEST(another_thread_may_stop_a_sleeping_loop),
          TEST(work_of_the_log_and_the_disk_keeps_its_order_there_and_back),
          TEST(the_log_never_waits_behind_other_work), TEST(jobs_run_in_parallel),
          TEST(before_the_loop_runs_no_work_does), TEST(after_the_loop_returned_no_work_runs),
          TEST(a_signal_becomes_an_event), TEST(a_signal_that_cannot_be_caught_is_an_error),
          TEST(the_clock_runs_and_random_bytes_differ))
