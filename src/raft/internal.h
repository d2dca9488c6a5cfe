/*
 * internal.h - the core's one block of memory, and what the files of raft/ share.
 *
 * Place in the system: step.c takes an event, checks it (message.c, append.c) without touching
 * anything, hands it to the file of its kind, and closes the step (output.c, replicate.c). All
 * files work on struct cor_raft below; nobody outside raft/ sees it.
 *
 * The block is relocatable: arrays lie behind the struct at offsets that follow from the
 * options, and are reached through the accessors at the end. Structures that cor_raft_hash()
 * reads have no padding.
 */
#ifndef RAFT_INTERNAL_H
#define RAFT_INTERNAL_H

#include "base/assert.h"
#include "base/attr.h"
#include "base/prng.h"
#include "coracle/raft.h"

/* Sane ranges: no sum of two of these wraps. Anything above is not from a correct peer or host. */
#define RAFT_TERM_MAX  (UINT64_MAX / 4)
#define RAFT_INDEX_MAX (UINT64_MAX / 4)
#define RAFT_TIME_MAX  (UINT64_MAX / 4)

/* Election after a closed connection: at most this much jitter, this many quick attempts. */
#define RAFT_LOST_JITTER 30000000u
#define RAFT_HASTY_MAX   5u

/* Messages of one step: per member at most a heartbeat, an append, news of a commit and a reply;
 * and answers to forwarded reads, of which the rest follows with update.more. */
#define RAFT_READ_REPLIES_MAX 64u
#define RAFT_MESSAGES_MAX     (4u * COR_RAFT_MEMBERS_MAX + RAFT_READ_REPLIES_MAX)

#define RAFT_NO_SLOT UINT32_MAX

enum raft_vote {
    RAFT_VOTE_NONE = 0,
    RAFT_VOTE_GRANTED = 1,
    RAFT_VOTE_REFUSED = 2
};

/* One append on its way to a peer. */
struct raft_inflight {
    uint64_t first, last;
    uint64_t bytes; /* as the host reported */
};

/* One member; this node has a slot, too. Fields below the line are the leader's. */
struct raft_peer {
    cor_node_id id;
    uint8_t kind;   /* enum cor_member_kind */
    uint8_t in_old; /* boolean */
    uint8_t in_new; /* boolean */
    uint8_t lost;   /* its connection closed, and it was not heard since */
    uint8_t vote;   /* enum raft_vote, of the running campaign */
    /* ---- */
    uint8_t progress; /* enum cor_raft_progress */
    uint8_t paused;   /* no entries to this peer until it is heard */
    uint8_t zero;
    uint64_t match;       /* highest index known durable there, and equal to ours */
    uint64_t next;        /* index of the next entry to send; > match */
    uint64_t received;    /* what it said it has, durable or not */
    uint64_t progress_at; /* when match or received last moved, or the window began to fill */
    uint64_t probe_at; /* when the last probe left; 0: repeat it as soon as the peer is heard */
    uint64_t probe_goal;  /* the probe met its match once the peer holds this much */
    uint64_t heard_at;    /* 0: not since this node became leader */
    uint64_t lease_from;  /* our clock when we sent the newest message it acknowledged */
    uint64_t round;       /* newest read round it acknowledged */
    uint64_t commit_sent; /* commit index it knows, if no message was lost */
    uint64_t inflight_bytes;
    uint32_t inflight_head, n_inflight; /* ring of options.inflight_messages_max slots */
};

/* A write of entries that is not durable: once @seq is, the log is durable up to @last. */
struct raft_write {
    uint64_t seq, last;
};

/* A batch of proposals that is not committed. */
struct raft_batch {
    uint64_t last, bytes;
};

enum raft_read_state {
    RAFT_READ_WAITING = 1,
    RAFT_READ_FAILED = 2, /* answer: not the leader */
    RAFT_READ_DONE = 3,   /* already answered, still in line */
};

/* A read that waits: on the leader for its round, on a follower for the leader's answer. */
struct raft_read {
    uint64_t id;
    cor_node_id from; /* own id: asked here */
    uint64_t index;   /* commit when it arrived; 0: no entry of this term was committed yet */
    uint64_t round;   /* answered once a quorum acknowledged this round */
    uint64_t since;
    uint64_t state; /* enum raft_read_state */
};

/* Answers that must not leave before the term is durable. At most one of each. */
enum raft_parked {
    RAFT_PARKED_NONE = 0,
    RAFT_PARKED_ACK = 1,    /* of entries: cumulative */
    RAFT_PARKED_REJECT = 2, /* of an append whose place we do not have */
};

struct cor_raft {
    /* Fixed at init. */
    uint64_t size;
    uint64_t runs_offset, inflight_offset, writes_offset, batches_offset, reads_offset,
        messages_offset, results_offset;
    struct cor_raft_options options; /* all defaults filled in */

    /* State: what cor_raft_hash() reads begins here. */
    uint64_t now;
    struct prng prng;

    uint64_t term;
    cor_node_id vote, leader;

    uint64_t first, last; /* of the log; the log is empty when last < first */
    uint64_t durable;     /* the log is durable up to here; <= last */
    uint64_t commit, applied;
    uint64_t verified; /* follower: up to here the log is known to equal this term's leader's */
    uint64_t acked;    /* follower: the match we last told that leader */

    uint64_t seq, durable_seq; /* writes handed out, and completed */
    uint64_t hard_seq;         /* the write that has the current term and vote */

    uint64_t heard_at;    /* when a leader was last heard, or start-up; 0: no refusal window */
    uint64_t timeout;     /* this stint's, drawn from [election_min, election_max) */
    uint64_t election_at; /* not the leader: next campaign */
    uint64_t sent_at;     /* follower: newest clock value of this leader, to be echoed */

    uint64_t heartbeat_at; /* leader: next heartbeats */
    uint64_t leader_since;
    uint64_t term_start; /* leader: index of its no-op */
    uint64_t round;      /* newest read round that was sent; never reset */
    uint64_t uncommitted_bytes;

    cor_node_id vote_to;         /* parked vote reply; 0: none */
    struct cor_logid reject_at;  /* parked rejection: place to probe */
    uint64_t heartbeat_contexts; /* parked heartbeat reply: newest round asked for */

    uint64_t config_index;

    uint32_t role; /* enum cor_raft_role */
    uint32_t n_runs;
    uint32_t writes_head, n_writes;
    uint32_t batches_head, n_batches;
    uint32_t reads_head, n_reads;
    uint32_t n_peers;
    uint32_t self_slot; /* in peers, or RAFT_NO_SLOT */
    uint8_t vote_granted, parked, heartbeat_parked, disk_full;
    uint8_t requests_sent; /* candidate: its term is durable and the vote requests left */
    uint8_t hasty;         /* quick campaigns left after the leader's connection closed */
    uint8_t zero[2];
    struct raft_peer peers[COR_RAFT_MEMBERS_MAX];
    /* State ends here. What follows is the output of one step. */

    uint32_t n_messages, n_results, n_read_replies;
    cor_node_id only_peer; /* this step may send entries to no other peer; 0: to all */
    bool more;
    uint64_t proposed_first;
    uint64_t write_seq, write_truncate, write_first, write_term;
    uint32_t write_n;
    bool write_hard;
};

/* ---- arrays in the block -------------------------------------------------------------------- */

#define RAFT_ARRAY(name, type, field)                                                          \
    static inline type *raft_##name(struct cor_raft *r)                                        \
    {                                                                                          \
        return (type *)(void *)((unsigned char *)r + r->field##_offset);                       \
    }                                                                                          \
    static inline const type *raft_##name##_view(const struct cor_raft *r)                     \
    {                                                                                          \
        return (const type *)(const void *)((const unsigned char *)r + r->field##_offset);     \
    }

RAFT_ARRAY(runs, struct cor_raft_run, runs)
RAFT_ARRAY(inflights, struct raft_inflight, inflight)
RAFT_ARRAY(writes, struct raft_write, writes)
RAFT_ARRAY(batches, struct raft_batch, batches)
RAFT_ARRAY(reads, struct raft_read, reads)
RAFT_ARRAY(messages, struct cor_raft_message, messages)
RAFT_ARRAY(results, struct cor_raft_read_result, results)

static inline uint64_t raft_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t raft_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- options.c ------------------------------------------------------------------------------ */

struct raft_layout {
    uint64_t runs, inflight, writes, batches, reads, messages, results, size;
};

/* Fill in the defaults; false when an option is out of range. */
MUST_USE bool raft_options_complete(const struct cor_raft_options *in,
                                    struct cor_raft_options *out);
struct raft_layout raft_layout_of(const struct cor_raft_options *o);

/* ---- log.c: the log as runs of terms
 * ---------------------------------------------------------- */

/* The term at @index <= last; false when the core does not hold it. 0 has term 0. */
MUST_USE bool raft_log_term(const struct cor_raft *r, uint64_t index, uint64_t *term);
struct cor_logid raft_log_last(const struct cor_raft *r);
/* First index whose term the table holds; last + 1 when it is empty. */
uint64_t raft_log_known_from(const struct cor_raft *r);
/* Entries [first, last] of @term follow the log. */
void raft_log_extend(struct cor_raft *r, uint64_t term, uint64_t n);
/* Forget entries from @index on. */
void raft_log_truncate(struct cor_raft *r, uint64_t index);
/* The highest place at or below @limit whose term is at most @term. Beyond the table it is the
 * place just before it, with term 0 for "unknown". */
struct cor_logid raft_log_floor(const struct cor_raft *r, uint64_t limit, uint64_t term);

/* ---- quorum.c ------------------------------------------------------------------------------- */

/* The highest value that a quorum has reached: @values is parallel to r->peers. In a joint
 * configuration both majorities must have reached it. */
uint64_t raft_quorum_value(const struct cor_raft *r, const uint64_t *values);
bool raft_votes_won(const struct cor_raft *r);
/* No answer that is still missing can win this campaign. */
bool raft_votes_lost(const struct cor_raft *r);
bool raft_is_voter(const struct raft_peer *p);
/* This node may campaign. */
bool raft_can_campaign(const struct cor_raft *r);
/* This node is a quorum on its own. */
bool raft_is_alone(const struct cor_raft *r);
uint64_t raft_quorum_match(const struct cor_raft *r);
uint64_t raft_quorum_round(const struct cor_raft *r);
uint64_t raft_quorum_heard_at(const struct cor_raft *r);
/* Leader: reads may be answered from memory before this time; 0: no lease. */
uint64_t raft_lease_until(const struct cor_raft *r);

/* ---- progress.c: what the leader knows of each peer
 * --------------------------------------------- */

struct raft_peer *raft_peer_find(struct cor_raft *r, cor_node_id id);
void raft_peer_reset(struct cor_raft *r, struct raft_peer *p, uint64_t next);
/* Go back to probing, from @next on or from match + 1 if that is higher. */
void raft_peer_probe(struct raft_peer *p, uint64_t next);
/* The peer says what it holds. */
void raft_peer_report(struct cor_raft *r, struct raft_peer *p, uint64_t match,
                      uint64_t received);
bool raft_peer_has_window(const struct cor_raft *r, const struct raft_peer *p);
void raft_inflight_push(struct cor_raft *r, struct raft_peer *p, uint64_t first, uint64_t n);
struct raft_inflight *raft_inflight_newest(struct cor_raft *r, const struct raft_peer *p);
void raft_inflight_drop_newest(struct cor_raft *r, struct raft_peer *p);

/* ---- writes.c: what is handed to the disk, and what came back
 * ------------------------------------ */

/* The step's write; numbers it when it is the first thing in it. */
void raft_write_hard_state(struct cor_raft *r);
void raft_write_truncate(struct cor_raft *r, uint64_t from);
void raft_write_entries(struct cor_raft *r, uint64_t first, uint32_t n, uint64_t term);
/* Remember the step's write until it is durable. */
void raft_write_close(struct cor_raft *r);
void raft_on_persisted(struct cor_raft *r, uint64_t seq);
bool raft_is_hard_state_durable(const struct cor_raft *r);

/* ---- election.c ----------------------------------------------------------------------------- */

/* Follow @leader (0: unknown) in @term, which is adopted if it is higher. */
void raft_become_follower(struct cor_raft *r, uint64_t term, cor_node_id leader);
/* The leader of this term was heard. */
void raft_heard_leader(struct cor_raft *r, cor_node_id leader, uint64_t sent_at);
void raft_reset_election_timer(struct cor_raft *r);
/* Campaign as soon as the refusal window allows, with a little jitter. */
void raft_hasten_election(struct cor_raft *r);
void raft_on_election_timeout(struct cor_raft *r);
/* When this campaign cannot be won any more and the last leader is known to be gone, do not wait
 * for the timeout. */
void raft_campaign_again(struct cor_raft *r);
/* Send the vote requests that waited for the term to be durable. */
void raft_send_vote_requests(struct cor_raft *r);
void raft_start_election(struct cor_raft *r);
void raft_become_leader(struct cor_raft *r);
/* True while this node has heard a leader, or leads, too recently to help another (4.2.3, 6.4). */
bool raft_in_refusal_window(const struct cor_raft *r);
/* The place of @candidate's last entry is at least ours (3.6.1). */
bool raft_is_up_to_date(const struct cor_raft *r, struct cor_logid candidate);

/* ---- one file per message -------------------------------------------------------------------- */

void raft_on_vote(struct cor_raft *r, const struct cor_raft_message *m);
void raft_on_vote_reply(struct cor_raft *r, const struct cor_raft_message *m);
void raft_on_pre_vote(struct cor_raft *r, const struct cor_raft_message *m);
void raft_on_pre_vote_reply(struct cor_raft *r, const struct cor_raft_message *m);
void raft_on_heartbeat(struct cor_raft *r, const struct cor_raft_message *m);
void raft_on_heartbeat_reply(struct cor_raft *r, const struct cor_raft_message *m);
void raft_on_append_reply(struct cor_raft *r, const struct cor_raft_message *m);
void raft_on_read(struct cor_raft *r, const struct cor_raft_message *m);
void raft_on_read_reply(struct cor_raft *r, const struct cor_raft_message *m);

/* What an append means for our log, found without touching it. */
enum raft_fit {
    RAFT_FIT_OK = 1,
    RAFT_FIT_GAP,      /* its place is not in our log: reject */
    RAFT_FIT_UNKNOWN,  /* our table of terms does not reach back far enough */
    RAFT_FIT_CONFLICT, /* contradicts what is committed */
    RAFT_FIT_BAD_RUNS, /* the host's terms do not cover what was asked for */
};
struct raft_append_fit {
    enum raft_fit fit;
    uint32_t n_known;               /* leading entries that we hold already */
    uint64_t need_first, need_last; /* RAFT_FIT_UNKNOWN */
};
struct raft_append_fit raft_append_inspect(const struct cor_raft *r,
                                           const struct cor_raft_message *m,
                                           const struct cor_raft_event *ev);
void raft_on_append(struct cor_raft *r, const struct cor_raft_message *m,
                    const struct raft_append_fit *fit);

/* ---- message.c
 * --------------------------------------------------------------------------------- */

/* Could a correct peer have sent this to a node in this state? Touches nothing. */
MUST_USE bool raft_message_is_sane(const struct cor_raft *r, const struct cor_raft_message *m);

/* ---- output.c: messages and answers of the step --------------------------------------------- */

/* A message to @to in the current term, to be filled in. */
struct cor_raft_message *raft_send(struct cor_raft *r, uint8_t type, cor_node_id to);
/* Tell the sender of an outdated message our term. */
void raft_send_refusal(struct cor_raft *r, const struct cor_raft_message *m);
/* Send the parked answers that may leave now. */
void raft_send_parked(struct cor_raft *r);
void raft_add_result(struct cor_raft *r, uint64_t id, uint64_t index, enum cor_status status);

/* ---- the leader's other work
 * ------------------------------------------------------------------ */

/* propose.c */
MUST_USE enum cor_status raft_on_propose(struct cor_raft *r, const struct cor_raft_event *ev);
void raft_batches_clear(struct cor_raft *r);
void raft_batches_committed(struct cor_raft *r);
/* replicate.c */
void raft_advance_commit(struct cor_raft *r);
void raft_send_appends(struct cor_raft *r);
void raft_send_commit_news(struct cor_raft *r);
void raft_on_sent(struct cor_raft *r, const struct cor_raft_event *ev);
/* heartbeat.c */
void raft_send_heartbeats(struct cor_raft *r);
/* read.c */
void raft_on_read_event(struct cor_raft *r, const struct cor_raft_event *ev);
void raft_fail_reads(struct cor_raft *r);
void raft_expire_reads(struct cor_raft *r);
/* When the oldest read of a follower is given up; COR_RAFT_NEVER when none waits. */
uint64_t raft_reads_expire_at(const struct cor_raft *r);
/* A read waits that no round was sent for. */
bool raft_wants_read_round(const struct cor_raft *r);
void raft_start_read_round(struct cor_raft *r);
void raft_answer_reads(struct cor_raft *r);

static inline bool raft_is_leader(const struct cor_raft *r)
{
    return r->role == COR_RAFT_LEADER;
}

/* An entry of the leader's own term is committed: before, it does not know what is (6.4). */
static inline bool raft_own_term_committed(const struct cor_raft *r)
{
    return raft_is_leader(r) && r->commit >= r->term_start;
}

static inline struct raft_read *raft_read_at(struct cor_raft *r, uint32_t i)
{
    return &raft_reads(r)[(r->reads_head + i) % r->options.reads_max];
}

static inline bool raft_is_self(const struct cor_raft *r, const struct raft_peer *p)
{
    return p->id == r->options.self;
}

#endif
