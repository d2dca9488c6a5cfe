/*
 * state.c - the state file is written off the loop, one copy at a time, the newest content last.
 */
#include "node/internal.h"

static void start(struct node *n);

static void run(struct io_work *work)
{
    struct state_work *w = CONTAINER_OF(work, struct state_work, work);
    w->status = superblock_write(w->node->io->fs, &w->sb, &w->err);
}

static void done(struct io_work *work)
{
    struct state_work *w = CONTAINER_OF(work, struct state_work, work);
    struct node *n = w->node;
    w->running = false;
    n->sb.version = w->sb.version;
    if (w->status != COR_OK) {
        event_emit(n->events, EVENT_WARN, "node", "state_file_not_written",
                   event_text("reason", w->err.text));
    }
    if (w->again && w->status == COR_OK) {
        start(n);
        return;
    }
    void (*then)(struct node *, enum cor_status, const struct cor_error *) = w->then;
    w->then = NULL;
    if (then != NULL) {
        then(n, w->status, &w->err);
    }
    node_wake(n);
}

static void start(struct node *n)
{
    struct state_work *w = &n->state;
    w->again = false;
    w->running = true;
    w->node = n;
    w->sb = n->sb;
    w->work.run = run;
    w->work.done = done;
    io_submit(n->io, IO_QUEUE_DISK, &w->work);
}

void state_write(struct node *n,
                 void (*then)(struct node *n, enum cor_status st, const struct cor_error *err))
{
    COR_ASSERT(then == NULL || n->state.then == NULL);
    if (then != NULL) {
        n->state.then = then;
    }
    if (n->state.running) {
        n->state.again = true;
    } else {
        start(n);
    }
}
