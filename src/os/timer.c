/*
 * timer.c - one-shot timers in a heap, and one timerfd for the first of them.
 *
 * libuv's own timers count in milliseconds of CLOCK_MONOTONIC; ours are in nanoseconds of a clock
 * that runs during suspend, so the loop sleeps on a timerfd of that clock.
 *
 * Deadlines move further away far more often than they pass (an election timer at every
 * heartbeat), so the timerfd is set anew only when the first deadline came nearer, or when it
 * rang. It may then ring once for a deadline that has moved; with no timer set at all it is off.
 */
#include "os/internal.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define ROOM_MIN 64u

static bool is_before(const struct io_timer *a, const struct io_timer *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void put(struct os_timers *ts, size_t slot, struct io_timer *t)
{
    ts->heap[slot] = t;
    t->slot = slot;
}

static void sift_up(struct os_timers *ts, size_t slot, struct io_timer *t)
{
    while (slot > 1 && is_before(t, ts->heap[slot / 2])) {
        put(ts, slot, ts->heap[slot / 2]);
        slot /= 2;
    }
    put(ts, slot, t);
}

static void sift_down(struct os_timers *ts, size_t slot, struct io_timer *t)
{
    for (;;) {
        size_t child = 2 * slot;
        if (child < ts->n && is_before(ts->heap[child + 1], ts->heap[child])) {
            child++;
        }
        if (child > ts->n || !is_before(ts->heap[child], t)) {
            break;
        }
        put(ts, slot, ts->heap[child]);
        slot = child;
    }
    put(ts, slot, t);
}

/* @t has a new key. */
static void resift(struct os_timers *ts, struct io_timer *t)
{
    if (t->slot > 1 && is_before(t, ts->heap[t->slot / 2])) {
        sift_up(ts, t->slot, t);
    } else {
        sift_down(ts, t->slot, t);
    }
}

static void grow(struct os_timers *ts)
{
    size_t room = ts->room == 0 ? ROOM_MIN : 2 * ts->room;
    struct io_timer **heap = realloc(ts->heap, (room + 1) * sizeof(struct io_timer *));
    COR_ASSERT(heap != NULL); /* 8 bytes per timer: its owner has long met its own limit */
    ts->heap = heap;
    ts->room = room;
}

void os_timers_set(struct io *io, struct io_timer *t, uint64_t at)
{
    struct os_timers *ts = &os_loop_of(io)->timers;
    COR_ASSERT(t->fire != NULL);
    t->at = at;
    t->order = ts->order++;
    if (t->slot != 0) {
        COR_ASSERT(t->slot <= ts->n && ts->heap[t->slot] == t);
        resift(ts, t);
        return;
    }
    if (ts->n == ts->room) {
        grow(ts);
    }
    ts->n++;
    sift_up(ts, ts->n, t);
}

void os_timers_clear(struct io *io, struct io_timer *t)
{
    struct os_timers *ts = &os_loop_of(io)->timers;
    size_t slot = t->slot;
    if (slot == 0) {
        return;
    }
    COR_ASSERT(slot <= ts->n && ts->heap[slot] == t);
    t->slot = 0;
    struct io_timer *last = ts->heap[ts->n--];
    if (last != t) {
        last->slot = slot;
        resift(ts, last);
    }
}

void os_timers_fire(struct os_loop *loop, uint64_t order_before)
{
    struct os_timers *ts = &loop->timers;
    if (ts->n == 0) {
        return;
    }
    ts->now = os_now(&loop->io);
    while (ts->n > 0 && ts->heap[1]->at <= ts->now) {
        struct io_timer *t = ts->heap[1];
        if (t->order >= order_before) {
            /* Set in this turn, so it is the next one's; and out of the way of those behind it. */
            t->at = ts->now + 1;
            resift(ts, t);
            continue;
        }
        os_timers_clear(&loop->io, t);
        t->fire(t);
    }
}

static void set_fd(struct os_timers *ts, uint64_t at)
{
    struct itimerspec when = {0};
    if (at != IO_NEVER) {
        uint64_t ns = at > 0 ? at : 1; /* 0 would switch it off */
        when.it_value.tv_sec = (time_t)(ns / 1000000000u);
        when.it_value.tv_nsec = (long)(ns % 1000000000u);
    }
    int failed = timerfd_settime(ts->fd, TFD_TIMER_ABSTIME, &when, NULL);
    COR_ASSERT(failed == 0);
    ts->armed = at;
    ts->rang = false;
}

void os_timers_arm(struct os_loop *loop)
{
    struct os_timers *ts = &loop->timers;
    uint64_t first = ts->n > 0 ? ts->heap[1]->at : IO_NEVER;
    bool is_spent = ts->rang || ts->armed <= ts->now;
    if (first < ts->armed || (is_spent && ts->armed != IO_NEVER) ||
        (ts->n == 0 && ts->armed != IO_NEVER)) {
        set_fd(ts, first);
    }
}

static void on_ring(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct os_timers *ts = CONTAINER_OF(poll, struct os_timers, poll);
    ts->rang = true; /* os_timers_fire() looks at the clock in every turn anyway */
}

enum cor_status os_timers_open(struct os_loop *loop, struct cor_error *err)
{
    struct os_timers *ts = &loop->timers;
    *ts = (struct os_timers){.armed = IO_NEVER, .fd = -1};
    int fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0) {
        return os_error(err, errno, "cannot make a timer");
    }
    int failed = uv_poll_init(&loop->uv, &ts->poll, fd);
    if (failed != 0) {
        (void)close(fd);
        return os_error(err, -failed, "cannot watch a timer");
    }
    ts->fd = fd;
    failed = uv_poll_start(&ts->poll, UV_READABLE, on_ring);
    COR_ASSERT(failed == 0);
    return COR_OK;
}

void os_timers_close(struct os_loop *loop)
{
    uv_close((uv_handle_t *)&loop->timers.poll, NULL);
    (void)close(loop->timers.fd);
}

void os_timers_free(struct os_loop *loop)
{
    free(loop->timers.heap);
}
