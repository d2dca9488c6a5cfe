/*
 * message.c - is this a message that a correct peer could have sent to us, now?
 *
 * Called by step.c before anything is touched. Stale, doubled and reordered messages pass: the
 * network may do anything. What fails here is a peer that lies or is broken, and is answered
 * COR_EPROTO; it must never reach the assertions behind.
 */
#include "raft/internal.h"

static bool is_place(struct cor_logid at)
{
    return at.index <= RAFT_INDEX_MAX && at.term <= RAFT_TERM_MAX &&
           (at.index == 0 ? at.term == 0 : at.term != 0);
}

static bool is_entry_type(uint32_t type)
{
    /* Configurations come with membership change; a log with one is not for this version. */
    return type >= COR_ENTRY_COMMAND && type <= COR_ENTRY_LEVEL && type != COR_ENTRY_CONFIG;
}

/* Terms never fall along a log, and none is from the future. */
static bool has_sane_entries(const struct cor_raft_message *m)
{
    if (m->n_entries == 0) {
        return true;
    }
    if (m->entries == NULL || m->first != m->prev.index + 1) {
        return false;
    }
    uint64_t term = raft_max(m->prev.term, 1);
    for (uint32_t i = 0; i < m->n_entries; i++) {
        const struct cor_raft_entry *e = &m->entries[i];
        if (e->term < term || e->term > m->term || !is_entry_type(e->type)) {
            return false;
        }
        term = e->term;
    }
    return true;
}

/* In a term there is one leader, and we know it by its first word. */
static bool may_lead(const struct cor_raft *r, const struct cor_raft_message *m)
{
    return m->term != r->term ||
           (!raft_is_leader(r) && (r->leader == 0 || r->leader == m->from));
}

/* An answer to us as the leader of this term cannot know more than we do. */
static bool is_sane_answer(const struct cor_raft *r, const struct cor_raft_message *m)
{
    if (m->match > m->received || m->received > RAFT_INDEX_MAX || m->sent_at > RAFT_TIME_MAX) {
        return false;
    }
    if (m->term != r->term || !raft_is_leader(r)) {
        return true;
    }
    return m->received <= r->last && m->context <= r->round && m->prev.index <= r->last &&
           m->sent_at <= raft_max(r->now, 1);
}

bool raft_message_is_sane(const struct cor_raft *r, const struct cor_raft_message *m)
{
    if (m->from == 0 || m->from == r->options.self || m->to != r->options.self ||
        m->term > RAFT_TERM_MAX || m->commit > RAFT_INDEX_MAX || m->index > RAFT_INDEX_MAX) {
        return false;
    }
    switch (m->type) {
    case COR_RAFT_MSG_APPEND:
        return m->term > 0 && is_place(m->prev) && m->prev.term <= m->term &&
               m->sent_at <= RAFT_TIME_MAX && has_sane_entries(m) && may_lead(r, m);
    case COR_RAFT_MSG_HEARTBEAT:
        return m->term > 0 && m->sent_at <= RAFT_TIME_MAX && may_lead(r, m);
    case COR_RAFT_MSG_APPEND_REPLY:
        /* The hint of a rejection may lack its term: see raft_log_floor(). */
        return m->term > 0 && m->prev.index <= RAFT_INDEX_MAX &&
               m->prev.term <= RAFT_TERM_MAX && is_sane_answer(r, m);
    case COR_RAFT_MSG_HEARTBEAT_REPLY:
        return m->term > 0 && is_sane_answer(r, m);
    case COR_RAFT_MSG_VOTE:
    case COR_RAFT_MSG_PRE_VOTE:
        return m->term > 0 && is_place(m->prev) && m->prev.term < m->term;
    case COR_RAFT_MSG_VOTE_REPLY:
        return m->term > 0;
    case COR_RAFT_MSG_PRE_VOTE_REPLY:
        return m->term > 0 || m->reject; /* a voter in term 0 may refuse */
    case COR_RAFT_MSG_READ:
        return m->term > 0;
    case COR_RAFT_MSG_READ_REPLY:
        return m->term > 0 && (m->reject || m->index > 0);
    case COR_RAFT_MSG_SNAPSHOT:
    case COR_RAFT_MSG_SNAPSHOT_REPLY:
    case COR_RAFT_MSG_TIMEOUT_NOW:
        return m->term > 0;
    default:
        return false;
    }
}
