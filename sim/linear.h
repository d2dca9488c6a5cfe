/*
 * linear.h - could one correct register per key have given these answers? A second opinion on a history, which knows
 * nothing of revisions, logs or disks.
 *
 * Place in the system: swarm.c holds each run's history against it besides history.c, which takes the revisions in the
 * answers for witnesses: a store whose revisions lie consistently would pass there.
 *
 * The method is that of Wing and Gong with Lowe's just-in-time order (G. Lowe, Testing for linearizability, 2017). Each
 * key is judged by itself: a history is linearizable if and only if it is for each key (Herlihy and Wing, 1990), as long
 * as requests touch one key. A put of two keys is judged as a put to each; that they happen at once is history.c's.
 *
 *   put       writes its number, which no other put has
 *   delete    was acknowledged with "there was something", or with "there was nothing"
 *   get       default and consistent ones that succeeded; stale ones promise nothing and are left out
 *   unknown   a write whose outcome nobody knows takes effect at any time after it was asked, or never; if a get saw
 *             it, before that get ended
 *   not done  a write that was refused never takes effect
 *
 * Deciding is exponential in the number of requests that overlap on a key. Past a limit the key counts as undecided:
 * never as right, never as wrong.
 */
#ifndef SIM_LINEAR_H
#define SIM_LINEAR_H

#include "sim/history.h"

#define LINEAR_OPEN_MAX   64u    /* requests that overlap on a key */
#define LINEAR_STATES_MAX 20000u /* ways to have come so far, of one key at one moment */

struct linear_result {
    uint64_t ops;             /* that were put in order */
    uint64_t states;          /* that this took */
    uint32_t keys, undecided; /* of the keys */
    bool refused;
    char text[200]; /* what cannot be, if refused */
};

void linear_check(const struct history *h, struct linear_result *out);
/* The same, told to @j, unless it has spoken already. */
void linear_judge(const struct history *h, struct judge *j);

#endif
