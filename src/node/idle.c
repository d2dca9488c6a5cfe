/*
 * idle.c - what can wait until nothing else is to be done: housekeeping of the store, proof that the log
 * is synced, a look at the free space of the disk.
 *
 * A timer that writes set when it is not set, and that ends when everything is tidy: an idle single node
 * has none, and is not woken at all.
 */
#include "node/internal.h"

#define TEND_STEPS    500u /* of about a microsecond */
#define TEND_INTERVAL (2 * NODE_MS)

static void arm(struct node *n, uint64_t at)
{
    n->idle_armed = true;
    io_timer_set(n->io, &n->idle_timer, at);
}

void idle_touch(struct node *n, uint64_t now)
{
    n->active_at = now;
    n->idle_marked = false;
    if (!n->idle_armed) {
        arm(n, now + NODE_IDLE_AFTER);
    }
}

void idle_on_timer(struct io_timer *timer)
{
    struct node *n = CONTAINER_OF(timer, struct node, idle_timer);
    uint64_t now = io_now(n->io);
    n->idle_armed = false;
    if (!node_is_live(n)) {
        return;
    }
    idle_refresh_disk_free(n);
    if (now < n->active_at + NODE_IDLE_AFTER) {
        arm(n, n->active_at + NODE_IDLE_AFTER);
    } else if (kv_tend(n->kv, TEND_STEPS)) {
        arm(n, now + TEND_INTERVAL);
    } else if (!n->idle_marked && now < n->active_at + NODE_IDLE_MARK_AFTER) {
        arm(n, n->active_at + NODE_IDLE_MARK_AFTER);
    } else if (!n->idle_marked && wal_is_idle(n->wal)) {
        n->idle_marked = true;
        wal_mark_idle(n->wal);
    }
}

/* ---- free space ------------------------------------------------------------------------------------ */

static void look(struct io_work *work)
{
    struct disk_free_work *w = CONTAINER_OF(work, struct disk_free_work, work);
    struct io_fs *fs = w->node->io->fs;
    if (fs->ops->free_bytes(fs, &w->bytes, NULL) != COR_OK) {
        w->bytes = 0;
    }
}

static void looked(struct io_work *work)
{
    struct disk_free_work *w = CONTAINER_OF(work, struct disk_free_work, work);
    struct node *n = w->node;
    w->running = false;
    n->disk_free_bytes = w->bytes;
    node_wake(n);
}

void idle_refresh_disk_free(struct node *n)
{
    uint64_t now = io_now(n->io);
    if (n->disk_free.running ||
        (n->disk_free_at != 0 && now < n->disk_free_at + NODE_DISK_FREE_REFRESH)) {
        return;
    }
    n->disk_free_at = now;
    n->disk_free.node = n;
    n->disk_free.running = true;
    n->disk_free.work.run = look;
    n->disk_free.work.done = looked;
    io_submit(n->io, IO_QUEUE_DISK, &n->disk_free.work);
}
