/*
 * host.h - one machine of the simulated world: the io/ of one node.
 *
 * Place in the system: node/ (and clients in byte mode) get host->io and cannot tell it from os/.
 * Below are world.h (time) and the disk's io_fs. The streams are net.c's.
 *
 * Work off the loop runs at a random later moment, in the order its queue promises, and completes
 * at another. A crash drops everything in flight: works that had not run never do; one that was at
 * it is cut in the middle by the disk (host_options.cut).
 *
 * The clock: world time times (1 + drift), plus an offset. It goes on while the host is paused.
 */
#ifndef SIM_HOST_H
#define SIM_HOST_H

#include "sim/world.h"

struct net;
struct sim_end;
struct host_job;

enum host_death {
    HOST_KILLED = 1, /* the process dies; its kernel closes its connections */
    HOST_POWER_LOST, /* silence: peers hear of it when they speak to the rebooted machine */
};

struct host {
    struct io io; /* first: what the node sees */
    struct world *world;
    struct net *net;
    unsigned number; /* n1 is 1; clients come after the nodes */
    bool up;         /* false: crashed or not started; nothing happens on it */
    bool paused;

    uint64_t clock_offset;
    int64_t drift_ppm;
    uint64_t clock_now; /* never goes back */

    struct prng random;
    struct agenda timers; /* in this host's time */
    struct sim_event timer_event;
    struct io_task *tasks, **tasks_end;

    /* The loop is free again at busy_until; what is due before waits in held. */
    uint64_t busy_until;
    struct sim_event wake;
    struct sim_event *held, **held_end;
    bool in_turn, turn_open; /* turn_open: interrupted before its tasks ran */
    bool pause_in_turn;      /* the next turn is interrupted there */
    uint64_t resumed_at;     /* the last time */

    struct host_job *jobs[IO_N_QUEUES]; /* in order of submission */
    uint64_t done_at[IO_N_QUEUES];      /* of the latest completion: they keep their order */
    struct sim_delay work_delay;
    uint64_t disk_stall_until;
    uint64_t turn_cost, event_cost;

    /* net.c: */
    bool powered;
    struct sim_end *to_flush;
};

/* A machine that is switched off. @fs: its disk, NULL for clients. */
void host_init(struct host *h, struct world *w, struct net *net, unsigned number,
               struct io_fs *fs);
void host_deinit(struct host *h);
void host_boot(struct host *h);
/* Everything in flight is gone; no callback is made. The owners of timers, tasks and streams may
 * still call io_*_clear, _cancel and _close afterwards, to no effect. */
void host_halt(struct host *h, enum host_death death);
/* Pause and go on. @in_turn: the pause begins inside the next turn, between reading what came in and
 * acting on it. What arrives meanwhile waits. */
void host_pause(struct host *h, bool in_turn);
void host_resume(struct host *h);
/* No work of the two disk queues runs before @until; 0: the stall is over. */
void host_stall_disk(struct host *h, uint64_t until);

/* A work of a disk queue is queued or running: a crash now would hit it. */
bool host_is_writing(const struct host *h);
/* Run the work that a disk queue would run next, for its effect on the disk alone: it is about to be
 * cut by a crash. Its done is never called. False: there is none. */
bool host_run_cut(struct host *h, enum io_queue queue);

/* For world.c: let @e happen in a turn of @h; false: it is held until the host is free. */
bool host_take(struct host *h, struct sim_event *e);
void host_release(struct host *h, struct sim_event *e);
/* Something was asked for outside of a turn: see that there will be one. */
void host_poke(struct host *h);

static inline struct host *host_of(struct io *io)
{
    return (struct host *)(void *)io;
}

#endif
