/*
 * model.h - three cores, their disks and the messages between them, as one value that can be copied and hashed.
 *
 * Place in the system: search.c walks through the states of a model; main.c chooses its scope. The cores are the real
 * ones, driven through coracle/raft.h; the model looks inside (raft/internal.h) only to name a state: to give nodes
 * other numbers, and to say that two moments make no difference.
 *
 * What may happen is an *action*. Each action is one event for one node and what its host does in the same turn: take
 * over the write, put messages on their way, apply.
 *
 * Time comes in two kinds. *Untimed*: any amount of it may pass before any event, on each node by itself; no lease is
 * given. Safety must not depend on time, so this finds what does. *Timed*: all nodes share one exact clock, which jumps
 * to the next moment at which anything changes for anybody; nodes may be late by any amount, but are never early.
 * Leases rest on that, and only here are they given.
 */
#ifndef TESTS_EXPLORE_MODEL_H
#define TESTS_EXPLORE_MODEL_H

#include "raft/internal.h"

#include <stdio.h>

#define MODEL_NODES        3u
#define MODEL_TERMS_MAX    4u
#define MODEL_ENTRIES_MAX  6u
#define MODEL_MESSAGES_MAX 12u
#define MODEL_WRITES_MAX   12u
#define MODEL_READS_MAX    2u
#define MODEL_CORE_MAX     3840u

/* How far the search goes. What leads beyond is checked, but not followed. */
struct model_scope {
    uint32_t terms, entries,
        messages;       /* messages: on their way at once; what finds no room is lost */
    uint32_t elections; /* time-outs; 0: any number */
    uint32_t crashes, duplicates, heartbeats, resignations, reads;
    bool timed; /* one clock for all, and leases */
    bool led;   /* begin with a leader of term 1 whose first entry is committed everywhere */
};

/* What one write of a core puts on its disk. */
struct model_write {
    uint64_t seq;
    uint64_t has_state, term, vote;
    uint64_t truncate, first, n;
    uint64_t terms[MODEL_ENTRIES_MAX];
};

struct model_node {
    _Alignas(16) unsigned char core
        [MODEL_CORE_MAX];                     /* its block, up to the output of the last step */
    uint64_t disk_term, disk_vote, disk_last; /* what is durable */
    uint64_t disk[MODEL_ENTRIES_MAX + 1];     /* terms, by index */
    uint64_t n_writes;                        /* handed over, not durable; the oldest first */
    struct model_write writes[MODEL_WRITES_MAX];
};

struct model_message {
    struct cor_raft_message m; /* m.entries: NULL */
    uint64_t terms[MODEL_ENTRIES_MAX];
};

struct model {
    struct model_node nodes[MODEL_NODES];
    uint64_t n_messages;
    struct model_message messages[MODEL_MESSAGES_MAX];
    /* What happened so far, as far as the sentences need it. */
    uint64_t leaders[MODEL_TERMS_MAX + 2]; /* by term; 0: none */
    uint64_t n_committed;
    uint64_t committed[MODEL_ENTRIES_MAX + 1]; /* terms, by index */
    uint64_t
        committed_in[MODEL_ENTRIES_MAX + 1]; /* lowest term of a node that knew it committed */
    uint64_t elections, crashes, duplicates, heartbeats, resignations, reads;
    uint64_t floors[MODEL_READS_MAX +
                    1]; /* by read: what was committed when it was asked, plus 1; 0: not open */
};

enum action_kind {
    ACTION_DELIVER = 1, /* message a; b: 0 at once, 1 when the refusal window is over */
    ACTION_DOUBLE,      /* likewise, and it stays on its way */
    ACTION_DROP,        /* message a */
    ACTION_TIMEOUT,     /* of node a's election */
    ACTION_HEARTBEAT,   /* node a */
    ACTION_RESIGN,      /* node a heard no quorum for too long */
    ACTION_PERSIST,     /* the oldest write of node a */
    ACTION_PROPOSE,     /* to node a */
    ACTION_READ,        /* at node a, by a quorum round */
    ACTION_CRASH,       /* node a, with b atoms of its writes kept; it starts again */
    ACTION_CLOCK,       /* timed: on to the next moment */
};

struct action {
    uint8_t kind, a, b;
};

#define MODEL_ACTIONS_MAX 96u

struct model_result {
    bool beyond;        /* the scope ends here */
    const char *broken; /* the sentence that does not hold; NULL: all do */
};

/* ---- name.c: what makes two states the same ---------------------------------------------------------------- */

#define MODEL_NOW       UINT64_C(4000) /* the clock of every node between two actions */
#define MODEL_HEARTBEAT UINT64_C(500)
#define MODEL_MIN       UINT64_C(1000) /* refusal window and election timeout */
#define MODEL_MAX       (MODEL_MIN + 1)

/* After a step: rings begin at their heads, writes are counted from the oldest that is not durable, random draws make
 * no difference; untimed: all moments are now. @node's writes follow. */
void model_settle(struct model_node *node, bool timed);
/* Timed: @ns pass for all. What is old enough not to matter any more does not get older. */
void model_pass(struct model *m, uint64_t ns);
/* Equal for states that differ in nothing but the numbers of nodes. */
uint64_t model_hash(const struct model *m);

/* ---- model.c ----------------------------------------------------------------------------------------------- */

static inline struct cor_raft *model_core(struct model_node *n)
{
    return (struct cor_raft *)(void *)n->core;
}

static inline const struct cor_raft *model_core_view(const struct model_node *n)
{
    return (const struct cor_raft *)(const void *)n->core;
}

void model_init(struct model *m, const struct model_scope *scope);
/* Everything that might happen next; returns how many. */
uint32_t model_actions(const struct model *m, const struct model_scope *scope,
                       struct action *out);
struct model_result model_act(struct model *m, const struct model_scope *scope,
                              struct action a);
void model_print_action(const struct model *m, struct action a, FILE *out);

#endif
