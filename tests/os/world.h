/*
 * world.h - a real loop for one test: opened, run until the test says so, freed.
 *
 * Tests wait for events, never for time; a deadline on the loop's own clock ends those that would wait
 * for ever, and fails them.
 */
#ifndef TESTS_OS_WORLD_H
#define TESTS_OS_WORLD_H

#include "os/os.h"

#include "base/attr.h"
#include "tests/support/test.h"

#define WORLD_MS       UINT64_C(1000000)
#define WORLD_PATIENCE (60000 * WORLD_MS)

struct world {
    struct os_loop *loop;
    struct io *io;
    struct io_timer deadline;
};

static void world_on_deadline(struct io_timer *t)
{
    struct world *w = CONTAINER_OF(t, struct world, deadline);
    test_check(false, __FILE__, __LINE__, "what the test waits for happens");
    os_loop_stop(w->loop);
}

/* False: and then the test has failed. */
static bool world_open(struct world *w, struct event_sink *events)
{
    struct cor_error err = {0};
    *w = (struct world){.deadline.fire = world_on_deadline};
    enum cor_status st =
        os_loop_open(&(struct os_loop_options){.events = events}, &err, &w->loop);
    CHECK_EQ(st, COR_OK);
    if (st != COR_OK) {
        return false;
    }
    w->io = os_loop_io(w->loop);
    return true;
}

/* Run until something stops the loop. */
static void world_run(struct world *w)
{
    io_timer_set(w->io, &w->deadline, io_now(w->io) + WORLD_PATIENCE);
    os_loop_run(w->loop);
    io_timer_clear(w->io, &w->deadline);
}

static void world_close(struct world *w)
{
    os_loop_free(w->loop);
}

#endif
