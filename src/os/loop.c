/*
 * loop.c - the life of a loop, and its turns.
 *
 * libuv waits and tells which sockets are ready; the rest of a turn is ours, in the order that io/io.h
 * promises:
 *
 *     uv_run       sockets: data, connections; other threads: posts, completed work; signals
 *     timers       that are due
 *     on_close     of streams that have ended
 *     tasks        until there are none
 *     flush        one send per stream that was written to
 *
 * Data comes before timers, so that after a pause of the whole process (SIGSTOP, a virtual machine) a
 * heartbeat that has arrived meanwhile is seen before the election timer that has run out.
 */
#include "os/internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

struct os_signal {
    struct os_signal *next;
    uv_signal_t handle;
    void (*on_signal)(void *arg, int signo);
    void *arg;
};

/* ---- tasks --------------------------------------------------------------------------------- */

static void defer(struct io *io, struct io_task *task)
{
    struct os_loop *loop = os_loop_of(io);
    COR_ASSERT(task->run != NULL);
    if (task->queued) {
        return;
    }
    task->queued = true;
    task->next = NULL;
    *loop->tasks_end = task;
    loop->tasks_end = &task->next;
}

static void cancel(struct io *io, struct io_task *task)
{
    struct os_loop *loop = os_loop_of(io);
    if (!task->queued) {
        return;
    }
    struct io_task **link = &loop->tasks;
    while (*link != task) {
        COR_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = task->next;
    if (loop->tasks_end == &task->next) {
        loop->tasks_end = link;
    }
    task->queued = false;
}

static void run_tasks(struct os_loop *loop)
{
    while (loop->tasks != NULL) {
        struct io_task *task = loop->tasks;
        loop->tasks = task->next;
        if (loop->tasks == NULL) {
            loop->tasks_end = &loop->tasks;
        }
        task->queued = false;
        task->run(task);
    }
}

/* ---- from other threads -------------------------------------------------------------------- */

static void on_wake(uv_async_t *wake)
{
    struct os_loop *loop = CONTAINER_OF(wake, struct os_loop, wake);
    pthread_mutex_lock(&loop->shared.lock);
    struct os_post *post = loop->shared.posts;
    struct io_work *work = loop->shared.done;
    loop->shared.posts = NULL;
    loop->shared.posts_end = &loop->shared.posts;
    loop->shared.done = NULL;
    loop->shared.done_end = &loop->shared.done;
    pthread_mutex_unlock(&loop->shared.lock);
    while (work != NULL) {
        struct io_work *next = work->next;
        work->done(work);
        work = next;
    }
    while (post != NULL) {
        struct os_post *next = post->next;
        post->run(post);
        post = next;
    }
}

void os_loop_post(struct os_loop *loop, struct os_post *post)
{
    COR_ASSERT(post->run != NULL);
    post->next = NULL;
    pthread_mutex_lock(&loop->shared.lock);
    bool is_first = loop->shared.posts == NULL;
    *loop->shared.posts_end = post;
    loop->shared.posts_end = &post->next;
    if (is_first) {
        /* With the lock held: once the loop has taken the post, its owner may free the loop. */
        uv_async_send(&loop->wake);
    }
    pthread_mutex_unlock(&loop->shared.lock);
}

void os_loop_stop(struct os_loop *loop)
{
    atomic_store(&loop->stop, true);
    uv_async_send(&loop->wake);
}

/* ---- turns --------------------------------------------------------------------------------- */

static void turn(struct os_loop *loop)
{
    bool must_not_sleep = loop->tasks != NULL || loop->touched != NULL || loop->closed != NULL;
    uint64_t order = loop->timers.order;
    uv_run(&loop->uv, must_not_sleep ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    os_timers_fire(loop, order);
    os_streams_report_closed(loop);
    run_tasks(loop);
    os_streams_flush(loop);
    os_timers_arm(loop);
}

void os_loop_run(struct os_loop *loop)
{
    os_work_resume(loop);
    os_timers_arm(loop);
    do {
        turn(loop);
    } while (!atomic_load(&loop->stop));
    atomic_store(&loop->stop, false);
    os_work_hold(loop);
}

/* ---- signals ------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *handle, int signo)
{
    struct os_signal *s = CONTAINER_OF(handle, struct os_signal, handle);
    s->on_signal(s->arg, signo);
}

enum cor_status os_loop_signal(struct os_loop *loop, int signo,
                               void (*callback)(void *arg, int signo), void *arg,
                               struct cor_error *err)
{
    struct os_signal *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    s->on_signal = callback;
    s->arg = arg;
    int failed = uv_signal_init(&loop->uv, &s->handle);
    COR_ASSERT(failed == 0);
    s->next = loop->signals; /* freed with the loop, also when starting fails */
    loop->signals = s;
    failed = uv_signal_start(&s->handle, on_signal, signo);
    return failed == 0 ? COR_OK : os_error(err, -failed, "cannot catch a signal");
}

/* ---- life ---------------------------------------------------------------------------------- */

static const struct io_ops ops = {
    .now = os_now,
    .wall_ms = os_wall_ms,
    .random = os_random,
    .timer_set = os_timers_set,
    .timer_clear = os_timers_clear,
    .defer = defer,
    .cancel = cancel,
    .submit = os_work_submit,
    .listen = os_listen,
    .listener_close = os_listener_close,
    .dial = os_dial,
    .stream_take = os_stream_take,
    .stream_send = os_stream_send,
    .stream_queued = os_stream_queued,
    .stream_pause = os_stream_pause,
    .stream_close = os_stream_close,
    .stream_peer = os_stream_peer,
};

static void init_lists(struct os_loop *loop)
{
    loop->tasks_end = &loop->tasks;
    loop->closed_end = &loop->closed;
    loop->shared.posts_end = &loop->shared.posts;
    loop->shared.done_end = &loop->shared.done;
    atomic_init(&loop->stop, false);
    pthread_mutex_init(&loop->shared.lock, NULL);
    pthread_cond_init(&loop->shared.quiet, NULL);
    os_work_init(loop);
}

static void close_uv(struct os_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* until every handle and lookup has let go */
    int failed = uv_loop_close(&loop->uv);
    COR_ASSERT(failed == 0);
}

/* The libuv side: loop, wake-up, timer. */
static enum cor_status open_uv(struct os_loop *loop, struct cor_error *err)
{
    int failed = uv_loop_init(&loop->uv);
    if (failed != 0) {
        return os_error(err, -failed, "cannot make an event loop");
    }
    enum cor_status st = os_timers_open(loop, err);
    if (st != COR_OK) {
        close_uv(loop);
        return st;
    }
    failed = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (failed != 0) {
        st = os_error(err, -failed, "cannot make a wake-up");
        os_timers_close(loop);
        close_uv(loop);
    }
    return st;
}

enum cor_status os_loop_open(const struct os_loop_options *options, struct cor_error *err,
                             struct os_loop **out)
{
    struct os_loop *loop = calloc(1, sizeof *loop);
    unsigned char *buffer = malloc(OS_READ_SIZE);
    enum cor_status st = COR_ENOMEM;
    if (loop == NULL || buffer == NULL) {
        (void)error_set(err, st, "out of memory");
    } else {
        st = open_uv(loop, err);
    }
    if (st != COR_OK) {
        free(buffer);
        free(loop);
        return st;
    }
    loop->io = (struct io){.ops = &ops, .fs = options->fs};
    loop->events = options->events;
    loop->read_buffer = buffer;
    init_lists(loop);
    *out = loop;
    return COR_OK;
}

struct io *os_loop_io(struct os_loop *loop)
{
    return &loop->io;
}

static void on_signal_closed(uv_handle_t *handle)
{
    uv_signal_t *signal = (uv_signal_t *)handle;
    free(CONTAINER_OF(signal, struct os_signal, handle));
}

void os_loop_free(struct os_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    os_work_end(loop); /* before the wake-up that the threads use */
    os_streams_free(loop);
    os_listeners_free(loop);
    while (loop->signals != NULL) {
        struct os_signal *s = loop->signals;
        loop->signals = s->next;
        uv_close((uv_handle_t *)&s->handle, on_signal_closed);
    }
    uv_close((uv_handle_t *)&loop->wake, NULL);
    os_timers_close(loop);
    close_uv(loop);
    os_timers_free(loop);
    pthread_cond_destroy(&loop->shared.quiet);
    pthread_mutex_destroy(&loop->shared.lock);
    free(loop->read_buffer);
    free(loop);
}
