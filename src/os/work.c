/*
 * work.c - threads for what would block the loop: one for the log, one for the rest of the disk, a
 * few for computation.
 *
 * A thread is started when the first work for it comes. Works wait in one list per queue and go,
 * when they have run, to one list for the loop, which is woken once for all that it has not seen
 * yet. Single threads keep the log and disk queues in order, on the way in and back.
 */
#include "os/internal.h"

#include "base/assert.h"

#include <signal.h>
#include <string.h>

/* A thread costs what it touches of its stack. Sanitizers fatten every frame. */
#ifdef CORACLE_SLOW_ASSERTS
#define STACK_SIZE ((size_t)1024 * 1024)
#else
#define STACK_SIZE ((size_t)256 * 1024)
#endif
#define RETRY_AFTER (100 * OS_MS)

static struct io_work *take(struct os_work_queue *q)
{
    struct io_work *w = q->first;
    q->first = w->next;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    q->n_waiting--;
    return w;
}

/* Run @w with the lock released, and hand it to the loop. */
static void run(struct os_loop *loop, struct io_work *w)
{
    loop->shared.n_running++;
    pthread_mutex_unlock(&loop->shared.lock);
    w->run(w);
    pthread_mutex_lock(&loop->shared.lock);
    bool is_first = loop->shared.done == NULL;
    w->next = NULL;
    *loop->shared.done_end = w;
    loop->shared.done_end = &w->next;
    if (is_first) {
        /* Released meanwhile: the loop that wakes wants it at once. n_running still counts this thread, so
         * the loop cannot be freed under it. */
        pthread_mutex_unlock(&loop->shared.lock);
        uv_async_send(&loop->wake);
        pthread_mutex_lock(&loop->shared.lock);
    }
    if (--loop->shared.n_running == 0) {
        pthread_cond_broadcast(&loop->shared.quiet);
    }
}

static void *work_thread(void *arg)
{
    struct os_work_queue *q = arg;
    struct os_loop *loop = q->loop;
    static const char *const names[] = {
        [IO_QUEUE_LOG] = "cor-log", [IO_QUEUE_DISK] = "cor-disk", [IO_QUEUE_JOB] = "cor-job"};
    (void)pthread_setname_np(pthread_self(), names[q->id]);
    pthread_mutex_lock(&loop->shared.lock);
    while (!loop->shared.ending) {
        if (q->first == NULL || loop->shared.held) {
            q->n_idle++;
            pthread_cond_wait(&q->wanted, &loop->shared.lock);
            q->n_idle--;
            continue;
        }
        run(loop, take(q));
    }
    pthread_mutex_unlock(&loop->shared.lock);
    return NULL;
}

static int start_thread(struct os_work_queue *q)
{
    pthread_attr_t attr;
    int error = pthread_attr_init(&attr);
    if (error != 0) {
        return error;
    }
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE);
    /* Signals are for the thread that runs the loop. */
    sigset_t all, old;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    error = pthread_create(&q->threads[q->n_threads], &attr, work_thread, q);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    (void)pthread_attr_destroy(&attr);
    return error;
}

/* With the lock held: start a thread for @q if one is missing. False: it has none and cannot get one. */
static bool ensure_thread(struct os_work_queue *q)
{
    if (q->n_waiting <= q->n_idle || q->n_threads == q->threads_max) {
        return true;
    }
    int error = start_thread(q);
    if (error == 0) {
        q->n_threads++;
        return true;
    }
    return q->n_threads > 0;
}

static void ensure_threads(struct os_loop *loop)
{
    bool ok = true;
    pthread_mutex_lock(&loop->shared.lock);
    for (size_t i = 0; i < IO_N_QUEUES; i++) {
        ok = ensure_thread(&loop->queues[i]) && ok;
    }
    pthread_mutex_unlock(&loop->shared.lock);
    if (!ok) {
        /* The work waits; whoever waits for it sees a slow disk, which is what it looks like. */
        event_emit(loop->events, EVENT_ERROR, "os", "thread_failed",
                   event_text("action", "raise the limit of processes; trying again"));
        os_timers_set(&loop->io, &loop->thread_retry, os_now(&loop->io) + RETRY_AFTER);
    }
}

static void on_retry(struct io_timer *t)
{
    ensure_threads(CONTAINER_OF(t, struct os_loop, thread_retry));
}

void os_work_submit(struct io *io, enum io_queue queue, struct io_work *work)
{
    struct os_loop *loop = os_loop_of(io);
    COR_ASSERT(queue < IO_N_QUEUES && work->run != NULL && work->done != NULL);
    struct os_work_queue *q = &loop->queues[queue];
    work->queue = queue;
    work->next = NULL;
    pthread_mutex_lock(&loop->shared.lock);
    *q->last = work;
    q->last = &work->next;
    q->n_waiting++;
    bool is_missing = q->n_waiting > q->n_idle && q->n_threads < q->threads_max;
    pthread_mutex_unlock(&loop->shared.lock);
    pthread_cond_signal(&q->wanted);
    if (is_missing && loop->thread_retry.slot == 0) {
        ensure_threads(loop);
    }
}

void os_work_resume(struct os_loop *loop)
{
    pthread_mutex_lock(&loop->shared.lock);
    loop->shared.held = false;
    pthread_mutex_unlock(&loop->shared.lock);
    for (size_t i = 0; i < IO_N_QUEUES; i++) {
        pthread_cond_broadcast(&loop->queues[i].wanted);
    }
}

void os_work_hold(struct os_loop *loop)
{
    pthread_mutex_lock(&loop->shared.lock);
    loop->shared.held = true;
    while (loop->shared.n_running > 0) {
        pthread_cond_wait(&loop->shared.quiet, &loop->shared.lock);
    }
    pthread_mutex_unlock(&loop->shared.lock);
}

void os_work_init(struct os_loop *loop)
{
    loop->thread_retry.fire = on_retry;
    loop->shared.held =
        true; /* until the loop runs: who cannot start it frees what works look at */
    for (size_t i = 0; i < IO_N_QUEUES; i++) {
        struct os_work_queue *q = &loop->queues[i];
        *q = (struct os_work_queue){.loop = loop, .id = (enum io_queue)i, .threads_max = 1};
        q->last = &q->first;
        pthread_cond_init(&q->wanted, NULL);
    }
    loop->queues[IO_QUEUE_JOB].threads_max = OS_JOB_THREADS_MAX;
}

void os_work_end(struct os_loop *loop)
{
    pthread_mutex_lock(&loop->shared.lock);
    loop->shared.ending = true;
    pthread_mutex_unlock(&loop->shared.lock);
    for (size_t i = 0; i < IO_N_QUEUES; i++) {
        struct os_work_queue *q = &loop->queues[i];
        pthread_cond_broadcast(&q->wanted);
        for (unsigned k = 0; k < q->n_threads; k++) {
            pthread_join(q->threads[k], NULL);
        }
        pthread_cond_destroy(&q->wanted);
    }
}
