/*
 * host.c - io_ops of the simulated world: clock, timers, tasks, works; streams are net.c's.
 *
 * The idea: whatever is due while the host is busy or paused is *held*, and all that is held is handled in
 * one turn when the host is free. So load makes batches, and a pause makes one big batch that
 * meets a clock that has moved on: exactly what a stopped process meets when it is continued.
 */
#include "sim/host.h"

#include "base/assert.h"
#include "sim/net.h"

#include <stdlib.h>
#include <string.h>

#define WALL_MS_AT_START UINT64_C(1700000000000)
#define TIMER_SLEEP_MAX                                                                        \
    (3600 * SIM_S) /* longer sleeps are cut, so that drift cannot overflow */

struct host_job {
    struct sim_event run, done;
    struct io_work *work;
    struct host *host;
    struct host_job *next;
    bool started, ran, parked; /* parked: due to run while the host was paused */
};

/* ---- clock and timers ---------------------------------------------------------------------- */

/* As in the real world no two looks show the same, not even inside a turn: whoever mixes an old reading
 * with a new one hands time that goes back to the core. */
static uint64_t now(struct io *io)
{
    struct host *h = host_of(io);
    uint64_t t = h->world->now;
    uint64_t local = t + h->clock_offset + (uint64_t)((int64_t)(t / 1000000) * h->drift_ppm);
    h->clock_now = local > h->clock_now ? local : h->clock_now + 1;
    return h->clock_now;
}

static uint64_t wall_ms(struct io *io)
{
    const struct host *h = host_of(io);
    return WALL_MS_AT_START + h->world->now / SIM_MS;
}

static void random_bytes(struct io *io, void *out, size_t len)
{
    struct host *h = host_of(io);
    unsigned char *at = out;
    while (len > 0) {
        uint64_t r = prng_next(&h->random);
        size_t n = len < sizeof r ? len : sizeof r;
        memcpy(at, &r, n);
        at += n;
        len -= n;
    }
}

static void arm(struct host *h)
{
    const struct io_timer *next = agenda_next(&h->timers);
    if (h->timer_event.held) {
        return; /* it looks for itself when it comes to its turn */
    }
    if (next == NULL || next->at == IO_NEVER) {
        event_clear(&h->timer_event);
        return;
    }
    uint64_t local = now(&h->io);
    uint64_t left = next->at > local ? next->at - local : 0;
    left = left < TIMER_SLEEP_MAX ? left : TIMER_SLEEP_MAX;
    if (h->drift_ppm != 0 && left > 0) {
        left = left * 1000000 / (uint64_t)(1000000 + h->drift_ppm) + 1;
    }
    uint64_t at = h->world->now + left;
    if (h->in_turn && at <= h->busy_until) {
        at = h->busy_until + 1; /* in the past: next turn, not this one */
    }
    event_at(&h->timer_event, at);
}

static void on_timers(struct sim_event *e)
{
    struct host *h = e->host;
    uint64_t local = now(&h->io);
    uint64_t last = h->timers.order; /* one that is set again belongs to the next turn */
    for (;;) {
        struct io_timer *t = agenda_next(&h->timers);
        if (t == NULL || t->at > local || t->order > last) {
            break;
        }
        agenda_clear(&h->timers, t);
        t->fire(t);
    }
    arm(h);
}

static void timer_set(struct io *io, struct io_timer *t, uint64_t at)
{
    struct host *h = host_of(io);
    if (h->up) {
        agenda_set(&h->timers, t, at);
        arm(h);
    }
}

static void timer_clear(struct io *io, struct io_timer *t)
{
    struct host *h = host_of(io);
    agenda_clear(&h->timers, t);
    if (h->up) {
        arm(h);
    }
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void defer(struct io *io, struct io_task *task)
{
    struct host *h = host_of(io);
    if (task->queued || !h->up) {
        return;
    }
    task->queued = true;
    task->next = NULL;
    *h->tasks_end = task;
    h->tasks_end = &task->next;
    host_poke(h);
}

static void cancel(struct io *io, struct io_task *task)
{
    struct host *h = host_of(io);
    if (!task->queued) {
        return;
    }
    struct io_task **link = &h->tasks;
    while (*link != task) {
        COR_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = task->next;
    if (h->tasks_end == &task->next) {
        h->tasks_end = link;
    }
    task->queued = false;
}

static void finish_turn(struct host *h)
{
    h->turn_open = false;
    while (h->tasks != NULL) {
        struct io_task *task = h->tasks;
        h->tasks = task->next;
        if (h->tasks == NULL) {
            h->tasks_end = &h->tasks;
        }
        task->queued = false;
        task->run(task);
    }
    net_flush(h);
}

static void fire(struct host *h, struct sim_event *e)
{
    world_note(h->world, (enum sim_note)e->kind, h->number, e->timer.order, 0);
    h->busy_until += h->event_cost;
    e->fire(e);
}

static void fire_held(struct host *h)
{
    while (h->held != NULL) {
        struct sim_event *e = h->held;
        host_release(h, e);
        fire(h, e);
    }
}

static void run_turn(struct host *h, struct sim_event *e)
{
    struct world *w = h->world;
    h->in_turn = true;
    h->busy_until = w->now + h->turn_cost;
    if (h->turn_open) { /* a pause had cut it in two */
        finish_turn(h);
        if (h->timer_event.held && world_chance(w, SIM_RANDOM_NET, 500)) {
            host_release(h, &h->timer_event); /* a loop may look at its timers first */
            fire(h, &h->timer_event);
        }
    }
    if (e != &h->wake) {
        fire(h, e);
    }
    fire_held(h);
    for (struct sim_event *more = world_take_same_moment(w, h); more != NULL;
         more = world_take_same_moment(w, h)) {
        if (more != &h->wake) {
            fire(h, more);
        }
    }
    if (h->pause_in_turn) {
        h->pause_in_turn = false;
        h->paused = true;
        h->turn_open = true;
    } else {
        finish_turn(h);
    }
    h->in_turn = false;
}

bool host_take(struct host *h, struct sim_event *e)
{
    struct world *w = h->world;
    COR_ASSERT(h->up);
    if (!h->paused && w->now >= h->busy_until) {
        run_turn(h, e);
        return true;
    }
    if (e != &h->wake) {
        e->held = true;
        e->next_held = NULL;
        *h->held_end = e;
        h->held_end = &e->next_held;
    }
    if (!h->paused) {
        event_at(&h->wake, h->busy_until);
    }
    return false;
}

void host_release(struct host *h, struct sim_event *e)
{
    struct sim_event **link = &h->held;
    while (*link != e) {
        COR_ASSERT(*link != NULL);
        link = &(*link)->next_held;
    }
    *link = e->next_held;
    if (h->held_end == &e->next_held) {
        h->held_end = link;
    }
    e->held = false;
}

void host_poke(struct host *h)
{
    if (!h->in_turn && h->up && !h->paused && !event_is_set(&h->wake)) {
        event_at(&h->wake, h->busy_until);
    }
}

static void on_wake(struct sim_event *e)
{
    (void)e; /* the turn itself is what it is for */
}

/* ---- works ----------------------------------------------------------------------------------- */

static void job_start(struct host_job *job)
{
    struct host *h = job->host;
    struct world *w = h->world;
    uint64_t from = w->now;
    if (job->work->queue != IO_QUEUE_JOB && h->disk_stall_until > from) {
        from = h->disk_stall_until;
    }
    job->started = true;
    event_at(&job->run, from + world_delay(w, SIM_RANDOM_DISK, h->work_delay) / 2);
}

static void on_job_run(struct sim_event *e)
{
    struct host_job *job = CONTAINER_OF(e, struct host_job, run);
    struct host *h = job->host;
    struct world *w = h->world;
    if (h->paused) {
        job->parked = true;
        return;
    }
    enum io_queue queue = job->work->queue;
    job->ran = true;
    job->work->run(job->work);
    uint64_t at = w->now + world_delay(w, SIM_RANDOM_DISK, h->work_delay) / 2;
    if (queue != IO_QUEUE_JOB) {
        at = at > h->done_at[queue] ? at : h->done_at[queue];
        h->done_at[queue] = at;
        if (job->next != NULL) {
            job_start(job->next);
        }
    }
    event_at(&job->done, at);
}

static void unlink_job(struct host_job *job)
{
    struct host_job **link = &job->host->jobs[job->work->queue];
    while (*link != job) {
        link = &(*link)->next;
    }
    *link = job->next;
}

static void on_job_done(struct sim_event *e)
{
    struct host_job *job = CONTAINER_OF(e, struct host_job, done);
    struct io_work *work = job->work;
    unlink_job(job);
    free(job);
    work->done(work);
}

static void submit(struct io *io, enum io_queue queue, struct io_work *work)
{
    struct host *h = host_of(io);
    if (!h->up) {
        return;
    }
    struct host_job *job = calloc(1, sizeof *job);
    COR_ASSERT(job != NULL);
    work->queue = queue;
    job->work = work;
    job->host = h;
    event_init(&job->run, h->world, NULL, SIM_NOTE_WORK_RUN, on_job_run);
    event_init(&job->done, h->world, h, SIM_NOTE_WORK_DONE, on_job_done);
    struct host_job **link = &h->jobs[queue];
    bool first = true; /* of those that have not run */
    while (*link != NULL) {
        first = first && (*link)->ran;
        link = &(*link)->next;
    }
    *link = job;
    if (first || queue == IO_QUEUE_JOB) {
        job_start(job);
    }
}

static void unpark_jobs(struct host *h)
{
    for (int q = 0; q < IO_N_QUEUES; q++) {
        for (struct host_job *job = h->jobs[q]; job != NULL; job = job->next) {
            if (job->parked) {
                job->parked = false;
                event_at(&job->run, h->world->now);
            }
        }
    }
}

static void drop_jobs(struct host *h)
{
    for (int q = 0; q < IO_N_QUEUES; q++) {
        while (h->jobs[q] != NULL) {
            struct host_job *job = h->jobs[q];
            h->jobs[q] = job->next;
            event_clear(&job->run);
            event_clear(&job->done);
            free(job);
        }
        h->done_at[q] = 0;
    }
}

static struct host_job *first_to_run(const struct host *h, enum io_queue queue)
{
    struct host_job *job = h->jobs[queue];
    while (job != NULL && job->ran) {
        job = job->next;
    }
    return job;
}

bool host_is_writing(const struct host *h)
{
    return h->jobs[IO_QUEUE_LOG] != NULL || h->jobs[IO_QUEUE_DISK] != NULL;
}

bool host_run_cut(struct host *h, enum io_queue queue)
{
    COR_ASSERT(queue != IO_QUEUE_JOB);
    struct host_job *job = first_to_run(h, queue);
    if (job == NULL || job->parked) {
        return false;
    }
    job->ran = true;
    event_clear(&job->run);
    job->work->run(job->work);
    return true;
}

void host_stall_disk(struct host *h, uint64_t until)
{
    h->disk_stall_until = until;
    for (int q = IO_QUEUE_LOG; q <= IO_QUEUE_DISK; q++) {
        struct host_job *job = first_to_run(h, (enum io_queue)q);
        if (until == 0 && job != NULL && !job->parked) {
            job_start(job);
        }
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static const struct io_ops ops = {
    .now = now,
    .wall_ms = wall_ms,
    .random = random_bytes,
    .timer_set = timer_set,
    .timer_clear = timer_clear,
    .defer = defer,
    .cancel = cancel,
    .submit = submit,
    .listen = net_listen,
    .listener_close = net_listener_close,
    .dial = net_dial,
    .stream_take = net_stream_take,
    .stream_send = net_stream_send,
    .stream_queued = net_stream_queued,
    .stream_pause = net_stream_pause,
    .stream_close = net_stream_close,
    .stream_peer = net_stream_peer,
};

void host_init(struct host *h, struct world *w, struct net *net, unsigned number,
               struct io_fs *fs)
{
    *h = (struct host){.io = {.ops = &ops, .fs = fs},
                       .world = w,
                       .net = net,
                       .number = number,
                       .powered = true,
                       .work_delay = {50 * SIM_US, 200 * SIM_US},
                       .turn_cost = 5 * SIM_US,
                       .event_cost = 2 * SIM_US};
    h->random.state = world_random(w, SIM_RANDOM_NODE);
    agenda_init(&h->timers);
    event_init(&h->timer_event, w, h, SIM_NOTE_TIMER, on_timers);
    event_init(&h->wake, w, h, SIM_NOTE_WAKE, on_wake);
    h->tasks_end = &h->tasks;
    h->held_end = &h->held;
}

void host_deinit(struct host *h)
{
    COR_ASSERT(!h->up);
    agenda_deinit(&h->timers);
}

void host_boot(struct host *h)
{
    COR_ASSERT(!h->up);
    h->up = true;
    h->powered = true;
    h->busy_until = h->world->now;
    net_host_changed(h);
}

void host_halt(struct host *h, enum host_death death)
{
    COR_ASSERT(h->up && !h->in_turn);
    h->up = false;
    h->powered = death != HOST_POWER_LOST;
    h->paused = h->turn_open = h->pause_in_turn = false;
    net_host_down(h, death);
    drop_jobs(h);
    event_clear(&h->timer_event);
    event_clear(&h->wake);
    agenda_empty(&h->timers);
    while (h->tasks != NULL) {
        h->tasks->queued = false;
        h->tasks = h->tasks->next;
    }
    h->tasks_end = &h->tasks;
    while (h->held != NULL) {
        host_release(h, h->held);
    }
    net_host_changed(h);
}

void host_pause(struct host *h, bool in_turn)
{
    if (h->up && !h->paused) {
        h->pause_in_turn = in_turn;
        h->paused = !in_turn;
    }
}

void host_resume(struct host *h)
{
    h->pause_in_turn = false;
    if (h->paused) {
        h->paused = false;
        h->busy_until = h->resumed_at = h->world->now;
        unpark_jobs(h);
        event_at(&h->wake, h->world->now);
    }
}
