/*
 * judge.h - what must be true of a cluster after every event, whatever was done to it.
 *
 * Place in the system: cluster.c shows the judge each node after each of its turns, each log as it stands on
 * a disk after a crash and at the end, and each event of each watch stream; history.c hands over what clients
 * saw. The judge keeps its own books and trusts nobody: the first broken sentence is kept, and
 * the run ends.
 *
 * The sentences (dissertation, Figure 3.2):
 *   Election Safety       one leader per term and one vote per server and term, counted over crashes;
 *   Log Matching          equal (index, term): equal bytes, and equal predecessors;
 *   Leader Completeness   who becomes leader holds every entry known to be committed;
 *   State Machine Safety  a committed index keeps its term; equal applied index, equal store;
 *   durability            what is committed stands on a quorum of *disks*, not of memories; a follower
 *                         holds what it said it holds;
 *   order in one life     term, commit, applied and revision of one incarnation never go back;
 *   watches               each revision once, in order, whole, the same on every node.
 */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "coracle/raft.h"
#include "sim/map.h"

#include <stdbool.h>
#include <stdint.h>

#define JUDGE_NODES_MAX 16u
#define JUDGE_EVENTS_MAX                                                                       \
    2u /* changes in one revision: what our clients do in one transaction */

/* One node after a turn. */
struct judge_view {
    unsigned node;
    uint64_t life; /* counts starts: a node that crashed may know less than before */
    uint64_t term;
    bool leader;
    uint64_t last, durable, commit;
    uint64_t applied, revision, hash; /* of the store */
};

struct judge_entry {
    uint64_t index, term, checksum, prev_term;
};

/* What a revision did: key and value are the numbers that clients use. */
struct judge_change {
    uint32_t key;
    bool deleted;
    uint64_t value;
};

struct judge_revision {
    uint32_t n; /* 0: not seen yet */
    struct judge_change changes[JUDGE_EVENTS_MAX];
};

struct judge {
    bool failed;
    char text[400]; /* the first broken sentence */
    struct judge_view last[JUDGE_NODES_MAX + 1];
    struct map leaders;             /* term -> node */
    struct map hashes;              /* applied index -> hash of the store */
    struct map entries;             /* (index, term) -> checksum */
    struct map prev_terms;          /* (index, term) -> term of the entry before */
    struct map votes;               /* (node, term) -> vote */
    uint64_t *terms;                /* of committed entries, by index - 1 */
    uint64_t *committed_in;         /* term of the node that first believed it, by index - 1 */
    size_t n_committed, terms_room; /* of both */
    struct judge_revision *revisions;   /* by revision */
    size_t n_revisions, revisions_room; /* highest seen, plus one */
    uint64_t n_checks;
    uint64_t n_ordered, n_undecided; /* linear.h: requests put in order; keys not judged */
};

void judge_init(struct judge *j);
void judge_deinit(struct judge *j);
/* Record a broken sentence; only the first counts. */
void judge_fail(struct judge *j, const char *format, ...) PRINTF_LIKE(2);

void judge_node(struct judge *j, const struct judge_view *view);
/* @node, which is in term @now, believes the entry @at committed. */
void judge_committed(struct judge *j, unsigned node, uint64_t now, struct cor_logid at);
/* The newest index that was committed before @term: a leader of it must hold that. 0: none. */
uint64_t judge_committed_before(const struct judge *j, uint64_t term);
/* @node has become leader; at the committed @index its log has @term (0: nothing). */
void judge_completeness(struct judge *j, unsigned node, uint64_t index, uint64_t term);
/* @node voted for @vote in @term: it stands on its disk. */
void judge_vote(struct judge *j, unsigned node, uint64_t term, uint64_t vote);
/* The leader @node of @term believes that @peer, in the same term, holds @match durably; it holds
 * @durable. */
void judge_match(struct judge *j, unsigned node, unsigned peer, uint64_t match,
                 uint64_t durable);
/* An entry stands in the log of @node. */
void judge_entry(struct judge *j, unsigned node, const struct judge_entry *e);
/* The committed entry @index stands on @n disks of which @quorum are needed. */
void judge_durable(struct judge *j, uint64_t index, unsigned n, unsigned quorum);
/* @node says that @revision did this, all of it. */
void judge_revision(struct judge *j, unsigned node, uint64_t revision,
                    const struct judge_revision *what);

#endif
