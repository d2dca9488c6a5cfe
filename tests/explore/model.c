/*
 * model.c - see model.h: the hosts of the cores, what may happen, and the sentences that must hold afterwards.
 *
 * The sentences are those of the dissertation's Figure 3.2 between nodes, and what clients were promised: a committed
 * entry stands on a quorum of disks, and a read is not older than what was committed when it was asked. What one core
 * can see by itself is asserted by cor_raft_check().
 */
#include "tests/explore/model.h"

#include <inttypes.h>
#include <string.h>

#define CORE_SIZE_MAX 65536u

/* A turn of one node. */
struct turn {
    struct model *m;
    const struct model_scope *scope;
    struct model_node *node;
    struct cor_raft *core, *before; /* whole blocks, shared by all turns */
    const struct model_message *in; /* what is being received; NULL: nothing */
    struct model_result result;
};

/* An append that left, to be reported. */
struct sent_append {
    cor_node_id to;
    uint64_t first, n;
};

static _Alignas(16) unsigned char core_block[CORE_SIZE_MAX], before_block[CORE_SIZE_MAX];

static void break_rule(struct turn *t, const char *sentence)
{
    if (t->result.broken == NULL) {
        t->result.broken = sentence;
    }
}

static uint64_t term_at(const struct cor_raft *r, uint64_t index)
{
    uint64_t term = 0;
    bool known = index <= r->last && raft_log_term(r, index, &term);
    return known ? term : 0;
}

/* ---- the sentences ----------------------------------------------------------------------------------------- */

static void check_new_leader(struct turn *t)
{
    const struct cor_raft *r = t->core;
    struct model *m = t->m;
    if (!raft_is_leader(r) || (raft_is_leader(t->before) && t->before->term == r->term)) {
        return;
    }
    if (m->leaders[r->term] != 0) {
        break_rule(t, "Election Safety: a term has two leaders");
    }
    m->leaders[r->term] = r->options.self;
    for (uint64_t i = 1; i <= m->n_committed; i++) {
        if (m->committed_in[i] < r->term && term_at(r, i) != m->committed[i]) {
            break_rule(t, "Leader Completeness: a new leader lacks a committed entry");
        }
    }
}

static void check_commit(struct turn *t)
{
    const struct cor_raft *r = t->core;
    struct model *m = t->m;
    for (uint64_t i = t->before->commit + 1; i <= r->commit; i++) {
        if (i > m->n_committed) {
            m->n_committed = i;
            m->committed[i] = term_at(r, i);
            m->committed_in[i] = r->term;
        }
        if (m->committed[i] != term_at(r, i)) {
            break_rule(t, "State Machine Safety: two entries are committed at one index");
        }
        m->committed_in[i] = raft_min(m->committed_in[i], r->term);
    }
}

static bool logs_match(const struct cor_raft *a, const struct cor_raft *b)
{
    bool equal = false;
    for (uint64_t i = raft_min(a->last, b->last); i > 0; i--) {
        bool same = term_at(a, i) == term_at(b, i);
        if (equal && !same) {
            return false;
        }
        equal = equal || same;
    }
    return true;
}

static void check_logs(struct turn *t)
{
    const struct model_node *n = t->m->nodes;
    for (uint32_t i = 0; i < MODEL_NODES; i++) {
        const struct cor_raft *other = model_core_view(&n[(i + 1) % MODEL_NODES]);
        if (!logs_match(model_core_view(&n[i]), other)) {
            break_rule(t, "Log Matching: logs agree in an entry and not in all before it");
        }
    }
}

static void check_durable(struct turn *t)
{
    for (uint64_t i = 1; i <= t->m->n_committed; i++) {
        uint32_t have = 0;
        for (uint32_t k = 0; k < MODEL_NODES; k++) {
            const struct model_node *n = &t->m->nodes[k];
            have += n->disk_last >= i && n->disk[i] == t->m->committed[i];
        }
        if (have <= MODEL_NODES / 2) {
            break_rule(t, "Durability: a committed entry is not on a quorum of disks");
        }
    }
}

/* Whoever would answer a read under its lease now answers with all that is committed. Asked of a copy: an answer from
 * memory changes nothing. */
static void check_leases(struct turn *t)
{
    for (uint32_t i = 0; i < MODEL_NODES; i++) {
        const struct cor_raft *r = model_core_view(&t->m->nodes[i]);
        if (!raft_is_leader(r) || r->commit >= t->m->n_committed) {
            continue;
        }
        struct cor_raft_event ev = {.type = COR_RAFT_EV_READ, .now = MODEL_NOW};
        struct cor_raft_update u;
        ev.read.lease = true;
        memcpy(t->core, r, r->messages_offset);
        enum cor_status st = cor_raft_step(t->core, &ev, &u);
        if (st == COR_OK && u.n_reads > 0 && u.reads[0].status == COR_OK) {
            break_rule(t, "Leases: a leader would answer with less than is committed");
        }
    }
}

static void check_reads(struct turn *t, const struct cor_raft_update *u)
{
    for (uint32_t i = 0; i < u->n_reads; i++) {
        const struct cor_raft_read_result *read = &u->reads[i];
        uint64_t *floor = &t->m->floors[read->id];
        if (*floor == 0) {
            break_rule(t, "Reads: a read has two answers");
        } else if (read->status == COR_OK && read->index + 1 < *floor) {
            break_rule(t,
                       "Reads: an answer is older than what was committed when it was asked");
        }
        *floor = 0;
    }
}

static void check_scope(struct turn *t)
{
    t->result.beyond = t->result.beyond || t->core->term > t->scope->terms ||
                       t->core->last > t->scope->entries;
}

/* ---- the host ------------------------------------------------------------------------------------------------ */

static uint64_t atoms_of(const struct model_write *w)
{
    return w->has_state + (w->truncate != 0) + w->n;
}

/* The first @atoms of @w become durable: a write is whole, or a prefix in this order. */
static void write_to_disk(struct model_node *n, const struct model_write *w, uint64_t atoms)
{
    if (w->has_state && atoms > 0) {
        n->disk_term = w->term;
        n->disk_vote = w->vote;
        atoms--;
    }
    if (w->truncate != 0 && atoms > 0) {
        n->disk_last = w->truncate - 1;
        atoms--;
    }
    for (uint64_t i = 0; i < w->n && i < atoms; i++) {
        COR_ASSERT(n->disk_last + 1 == w->first + i);
        n->disk[++n->disk_last] = w->terms[i];
    }
    memset(n->disk + n->disk_last + 1, 0,
           (MODEL_ENTRIES_MAX - n->disk_last) * sizeof n->disk[0]);
}

static void take_write(struct turn *t, const struct cor_raft_update *u)
{
    if (u->write.seq == 0) {
        return;
    }
    COR_ASSERT(t->node->n_writes < MODEL_WRITES_MAX);
    struct model_write *w = &t->node->writes[t->node->n_writes++];
    *w = (struct model_write){.seq = u->write.seq,
                              .has_state = u->write.hard_state_changed,
                              .term = u->write.hard_state.term,
                              .vote = u->write.hard_state.vote,
                              .truncate = u->write.truncate_from,
                              .first = u->write.first,
                              .n = u->write.n_entries};
    for (uint64_t i = 0; i < w->n; i++) {
        w->terms[i] = term_at(t->core, w->first + i);
    }
}

/* Padding is zero throughout: raft_send() and post() clear it, and messages are copied as bytes. */
static bool is_on_its_way(const struct model *m, const struct model_message *what)
{
    for (uint64_t i = 0; i < m->n_messages; i++) {
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
        if (memcmp(&m->messages[i], what, sizeof *what) == 0) {
            return true;
        }
    }
    return false;
}

/* Of two equal messages on their way one is enough: that it arrives twice is ACTION_DOUBLE. */
static void post(struct turn *t, const struct cor_raft_message *what)
{
    struct model *m = t->m;
    struct model_message new;
    memset(&new, 0, sizeof new);
    memcpy(&new.m, what, sizeof *what); /* with its padding, which is zero */
    for (uint32_t i = 0; i < what->n_entries; i++) {
        new.terms[i] = term_at(t->core, what->first + i);
    }
    if (!t->scope->timed) {
        new.m.sent_at = new.m.sent_at != 0;
    }
    if (m->n_messages < t->scope->messages && !is_on_its_way(m, &new)) {
        memcpy(&m->messages[m->n_messages++], &new, sizeof new);
    }
}

/* One event, its update carried out; the appends that must be reported are added to @sent. */
static enum cor_status step(struct turn *t, const struct cor_raft_event *ev,
                            struct sent_append *sent, uint32_t *n_sent)
{
    struct cor_raft_update u;
    memcpy(t->before, t->core, t->core->messages_offset);
    enum cor_status st = cor_raft_step(t->core, ev, &u);
    COR_ASSERT(!u.more);
    take_write(t, &u);
    for (uint32_t i = u.n_messages; i-- > 0;) { /* appends find room before heartbeats */
        const struct cor_raft_message *m = &u.messages[i];
        post(t, m);
        if (m->n_entries > 0) {
            COR_ASSERT(*n_sent < MODEL_MESSAGES_MAX);
            sent[(*n_sent)++] = (struct sent_append){m->to, m->first, m->n_entries};
        }
    }
    cor_raft_check(t->core, t->before);
    check_new_leader(t);
    check_commit(t);
    check_reads(t, &u);
    return st;
}

static struct turn begin_turn(struct model *m, const struct model_scope *scope, uint64_t node)
{
    struct turn t = {.m = m, .scope = scope, .node = &m->nodes[node]};
    t.core = (struct cor_raft *)(void *)core_block;
    t.before = (struct cor_raft *)(void *)before_block;
    return t;
}

/* The node takes @ev and does what follows in the same turn. */
static struct model_result take_turn(struct turn *t, const struct cor_raft_event *ev)
{
    struct sent_append sent[MODEL_MESSAGES_MAX];
    uint32_t n_sent = 0;
    size_t size = model_core(t->node)->messages_offset;
    memcpy(t->core, t->node->core, size);
    enum cor_status st = step(t, ev, sent, &n_sent);
    if (st != COR_OK) {
        break_rule(t, "Contract: an event that a correct host or peer may give is refused");
    }
    for (uint32_t i = 0; i < n_sent; i++) {
        struct cor_raft_event report = {.type = COR_RAFT_EV_SENT, .now = ev->now};
        report.sent.peer = sent[i].to;
        report.sent.first = sent[i].first;
        report.sent.n = (uint32_t)sent[i].n;
        report.sent.bytes = sent[i].n;
        (void)step(t, &report, sent, &n_sent);
    }
    if (t->core->applied < t->core->commit) {
        struct cor_raft_event applied = {.type = COR_RAFT_EV_APPLIED, .now = ev->now};
        applied.applied.index = t->core->commit;
        (void)step(t, &applied, sent, &n_sent);
    }
    memcpy(t->node->core, t->core, size);
    model_settle(t->node, t->scope->timed);
    check_scope(t);
    if (!t->result.beyond) {
        check_logs(t);
        check_durable(t);
        check_leases(t);
    }
    return t->result;
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

static void start(struct model_node *n, uint64_t id, bool timed)
{
    struct cor_raft_options o = {.self = id,
                                 .heartbeat = MODEL_HEARTBEAT,
                                 .election_min = MODEL_MIN,
                                 .election_max = MODEL_MAX,
                                 .no_lease = !timed,
                                 .runs_max = MODEL_TERMS_MAX + 1,
                                 .inflight_messages_max = 2,
                                 .reads_max = MODEL_READS_MAX,
                                 .writes_max = MODEL_WRITES_MAX,
                                 .message_entries_max = MODEL_ENTRIES_MAX};
    struct cor_raft_config config = {.n = MODEL_NODES};
    for (uint32_t i = 0; i < MODEL_NODES; i++) {
        config.members[i] =
            (struct cor_raft_member){.id = i + 1, .kind = COR_MEMBER_VOTER, .in_new = true};
    }
    struct cor_raft_run runs[MODEL_ENTRIES_MAX];
    struct cor_raft_recovered found = {.hard_state = {n->disk_term, n->disk_vote},
                                       .runs = runs,
                                       .last = n->disk_last,
                                       .first = 1,
                                       .config = &config};
    for (uint64_t i = 1; i <= n->disk_last; i++) {
        if (i == 1 || n->disk[i] != n->disk[i - 1]) {
            runs[found.n_runs++] = (struct cor_raft_run){i, n->disk[i]};
        }
    }
    struct cor_raft *r;
    COR_ASSERT(cor_raft_size(&o) <= CORE_SIZE_MAX);
    enum cor_status st = cor_raft_init(core_block, CORE_SIZE_MAX, &o, &found, MODEL_NOW, &r);
    COR_ASSERT(st == COR_OK);
    COR_ASSERT(r->messages_offset <= MODEL_CORE_MAX);
    memcpy(n->core, r, r->messages_offset);
    model_settle(n, timed);
}

/* All messages arrive and all writes end, until nothing is left. */
static void run_dry(struct model *m, const struct model_scope *scope)
{
    bool busy = true;
    while (busy) {
        busy = m->n_messages > 0;
        if (busy) {
            (void)model_act(m, scope, (struct action){ACTION_DELIVER, 0, 1});
        }
        for (uint8_t i = 0; i < MODEL_NODES; i++) {
            if (m->nodes[i].n_writes > 0) {
                (void)model_act(m, scope, (struct action){ACTION_PERSIST, i, 0});
                busy = true;
            }
        }
    }
}

void model_init(struct model *m, const struct model_scope *scope)
{
    memset(m, 0, sizeof *m);
    for (uint32_t i = 0; i < MODEL_NODES; i++) {
        start(&m->nodes[i], i + 1, scope->timed);
    }
    if (scope->led) {
        struct model_scope wide = *scope;
        wide.messages = MODEL_MESSAGES_MAX;
        model_pass(m, scope->timed ? MODEL_MIN : 0);
        (void)model_act(m, &wide, (struct action){ACTION_TIMEOUT, 0, 0});
        run_dry(m, &wide);
        m->elections = 0; /* this one is not counted */
        COR_ASSERT(m->n_committed == 1 && raft_is_leader(model_core(&m->nodes[0])));
    }
}

/* ---- what may happen ------------------------------------------------------------------------------------------------ */

struct action_list {
    struct action *items;
    uint32_t n;
};

static void offer(struct action_list *l, enum action_kind kind, uint64_t a, uint64_t b)
{
    COR_ASSERT(l->n < MODEL_ACTIONS_MAX);
    l->items[l->n++] = (struct action){(uint8_t)kind, (uint8_t)a, (uint8_t)b};
}

static const struct cor_raft *receiver(const struct model *m, uint64_t message)
{
    return model_core_view(&m->nodes[m->messages[message].m.to - 1]);
}

/* When it is delivered makes a difference: inside the receiver's refusal window, or when it is over. */
static void offer_message(struct action_list *l, const struct model *m,
                          const struct model_scope *scope, enum action_kind kind, uint64_t i)
{
    uint8_t type = m->messages[i].m.type;
    const struct cor_raft *r = receiver(m, i);
    bool is_request = type == COR_RAFT_MSG_VOTE || type == COR_RAFT_MSG_PRE_VOTE;
    bool waits = is_request ? raft_in_refusal_window(r)
                            : type == COR_RAFT_MSG_HEARTBEAT_REPLY && raft_is_leader(r);
    if (scope->timed || !waits) {
        offer(l, kind, i, 0);
        return;
    }
    if (type != COR_RAFT_MSG_VOTE) { /* a vote inside the window is lost without a trace */
        offer(l, kind, i, 0);
    }
    offer(l, kind, i, 1);
}

static void offer_messages(struct action_list *l, const struct model *m,
                           const struct model_scope *scope)
{
    for (uint64_t i = 0; i < m->n_messages; i++) {
        offer_message(l, m, scope, ACTION_DELIVER, i);
        if (m->duplicates < scope->duplicates) {
            offer_message(l, m, scope, ACTION_DOUBLE, i);
        }
        if (m->n_messages == scope->messages) { /* else it may as well stay on its way */
            offer(l, ACTION_DROP, i, 0);
        }
    }
}

static void offer_time(struct action_list *l, const struct model *m,
                       const struct model_scope *scope, uint32_t i)
{
    const struct cor_raft *r = model_core_view(&m->nodes[i]);
    if (!raft_is_leader(r)) {
        bool due = !scope->timed || r->election_at <= MODEL_NOW;
        bool may = scope->elections == 0 || m->elections < scope->elections;
        if (due && may && r->term < scope->terms) {
            offer(l, ACTION_TIMEOUT, i, 0);
        }
        return;
    }
    bool due = !scope->timed || r->heartbeat_at <= MODEL_NOW;
    if (due && m->heartbeats < scope->heartbeats) {
        offer(l, ACTION_HEARTBEAT, i, 0);
    }
    due = !scope->timed || raft_quorum_heard_at(r) + MODEL_MAX <= MODEL_NOW;
    if (due && m->resignations < scope->resignations) {
        offer(l, ACTION_RESIGN, i, 0);
    }
}

static void offer_requests(struct action_list *l, const struct model *m,
                           const struct model_scope *scope, uint32_t i)
{
    const struct cor_raft *r = model_core_view(&m->nodes[i]);
    if (raft_is_leader(r) && r->last < scope->entries) {
        offer(l, ACTION_PROPOSE, i, 0);
    }
    if (m->reads < scope->reads && (raft_is_leader(r) || r->leader != 0)) {
        offer(l, ACTION_READ, i, 0);
    }
}

/* The next moment at which a node may do something it may not do now; 0: none. That a lease ends is none: nothing new
 * may be done then. */
static uint64_t next_moment(const struct model *m, const struct model_scope *scope)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < MODEL_NODES; i++) {
        const struct cor_raft *r = model_core_view(&m->nodes[i]);
        const bool leads = raft_is_leader(r);
        const bool beats = leads && m->heartbeats < scope->heartbeats;
        const bool resigns = leads && m->resignations < scope->resignations;
        const uint64_t heard_at = leads ? raft_quorum_heard_at(r) : r->heard_at;
        const uint64_t moments[] = {heard_at == 0 ? 0 : heard_at + MODEL_MIN,
                                    leads ? 0 : r->election_at, beats ? r->heartbeat_at : 0,
                                    resigns ? heard_at + MODEL_MAX : 0};
        for (uint32_t k = 0; k < ARRAY_LEN(moments); k++) {
            next = moments[k] > MODEL_NOW ? raft_min(next, moments[k]) : next;
        }
    }
    return next == UINT64_MAX ? 0 : next;
}

uint32_t model_actions(const struct model *m, const struct model_scope *scope,
                       struct action *out)
{
    struct action_list l = {out, 0};
    for (uint32_t i = 0; i < MODEL_NODES; i++) {
        const struct model_node *n = &m->nodes[i];
        if (n->n_writes > 0) {
            offer(&l, ACTION_PERSIST, i, 0);
        }
        offer_requests(&l, m, scope, i);
        offer_time(&l, m, scope, i);
        uint64_t atoms = 0;
        for (uint64_t k = 0; k < n->n_writes; k++) {
            atoms += atoms_of(&n->writes[k]);
        }
        for (uint64_t kept = 0; m->crashes < scope->crashes && kept <= atoms; kept++) {
            offer(&l, ACTION_CRASH, i, kept);
        }
    }
    offer_messages(&l, m, scope);
    if (scope->timed && next_moment(m, scope) != 0) {
        offer(&l, ACTION_CLOCK, 0, 0);
    }
    return l.n;
}

/* ---- letting it happen ------------------------------------------------------------------------------------------ */

static void remove_message(struct model *m, uint64_t i)
{
    memmove(&m->messages[i], &m->messages[--m->n_messages], sizeof m->messages[0]);
    memset(&m->messages[m->n_messages], 0, sizeof m->messages[0]);
}

/* Nothing will ever come of it, not even after a crash: answers to a campaign or an office that is over. Nobody
 * campaigns, or leads, twice in a term. */
static bool is_dead(const struct model *m, const struct cor_raft_message *x)
{
    const struct model_node *to = &m->nodes[x->to - 1];
    const struct cor_raft *r = model_core_view(to);
    switch (x->type) {
    case COR_RAFT_MSG_PRE_VOTE_REPLY:
        return !x->reject && x->term <= to->disk_term;
    case COR_RAFT_MSG_VOTE_REPLY:
        return x->term < to->disk_term ||
               (x->term == to->disk_term &&
                (r->term != x->term || r->role != COR_RAFT_CANDIDATE ||
                 r->peers[x->from - 1].vote != RAFT_VOTE_NONE));
    case COR_RAFT_MSG_APPEND_REPLY:
    case COR_RAFT_MSG_HEARTBEAT_REPLY:
        return x->term < to->disk_term ||
               (x->term == to->disk_term && (r->term != x->term || !raft_is_leader(r)));
    case COR_RAFT_MSG_READ_REPLY:
        return x->term < to->disk_term;
    default:
        return false;
    }
}

static void remove_dead_messages(struct model *m)
{
    for (uint64_t i = 0; i < m->n_messages;) {
        if (is_dead(m, &m->messages[i].m)) {
            remove_message(m, i);
        } else {
            i++;
        }
    }
}

static struct model_result deliver(struct model *m, const struct model_scope *scope,
                                   struct action a)
{
    struct model_message in = m->messages[a.a];
    struct cor_raft_entry entries[MODEL_ENTRIES_MAX];
    for (uint32_t i = 0; i < in.m.n_entries; i++) {
        entries[i] = (struct cor_raft_entry){in.terms[i], COR_ENTRY_COMMAND, 1};
    }
    in.m.entries = entries;
    if (a.kind == ACTION_DELIVER) {
        remove_message(m, a.a);
    } else {
        m->duplicates++;
    }
    struct turn t = begin_turn(m, scope, in.m.to - 1);
    struct cor_raft_event ev = {.type = COR_RAFT_EV_RECEIVE, .now = MODEL_NOW};
    ev.now += a.b != 0 && !scope->timed ? MODEL_MAX : 0;
    ev.message = &in.m;
    return take_turn(&t, &ev);
}

static struct model_result persist(struct model *m, const struct model_scope *scope,
                                   struct action a)
{
    struct turn t = begin_turn(m, scope, a.a);
    struct model_node *n = t.node;
    struct cor_raft_event ev = {.type = COR_RAFT_EV_PERSISTED, .now = MODEL_NOW};
    ev.persisted.seq = n->writes[0].seq;
    write_to_disk(n, &n->writes[0], atoms_of(&n->writes[0]));
    n->n_writes--;
    memmove(&n->writes[0], &n->writes[1], n->n_writes * sizeof n->writes[0]);
    memset(&n->writes[n->n_writes], 0, sizeof n->writes[0]);
    return take_turn(&t, &ev);
}

static struct model_result crash(struct model *m, const struct model_scope *scope,
                                 struct action a)
{
    struct turn t = begin_turn(m, scope, a.a);
    uint64_t left = a.b;
    for (uint64_t i = 0; i < t.node->n_writes && left > 0; i++) {
        uint64_t atoms = raft_min(left, atoms_of(&t.node->writes[i]));
        write_to_disk(t.node, &t.node->writes[i], atoms);
        left -= atoms;
    }
    t.node->n_writes = 0;
    memset(t.node->writes, 0, sizeof t.node->writes);
    m->crashes++;
    start(t.node, a.a + UINT64_C(1), scope->timed);
    check_logs(&t);
    check_durable(&t);
    return t.result;
}

static struct model_result read(struct model *m, const struct model_scope *scope,
                                struct action a)
{
    struct turn t = begin_turn(m, scope, a.a);
    struct cor_raft_event ev = {.type = COR_RAFT_EV_READ, .now = MODEL_NOW};
    ev.read.id = ++m->reads;
    m->floors[ev.read.id] = m->n_committed + 1;
    return take_turn(&t, &ev);
}

static struct model_result propose(struct model *m, const struct model_scope *scope,
                                   struct action a)
{
    static const struct cor_raft_entry entry = {0, COR_ENTRY_COMMAND, 1};
    struct turn t = begin_turn(m, scope, a.a);
    struct cor_raft_event ev = {.type = COR_RAFT_EV_PROPOSE, .now = MODEL_NOW};
    ev.propose.entries = &entry;
    ev.propose.n = 1;
    return take_turn(&t, &ev);
}

static struct model_result let_time_come(struct model *m, const struct model_scope *scope,
                                         struct action a)
{
    struct turn t = begin_turn(m, scope, a.a);
    struct cor_raft_event ev = {.type = COR_RAFT_EV_TIME, .now = MODEL_NOW};
    if (!scope->timed) {
        ev.now += a.kind == ACTION_HEARTBEAT ? MODEL_HEARTBEAT : MODEL_MAX;
    }
    m->elections += a.kind == ACTION_TIMEOUT && scope->elections != 0;
    m->heartbeats += a.kind == ACTION_HEARTBEAT;
    m->resignations += a.kind == ACTION_RESIGN;
    return take_turn(&t, &ev);
}

static struct model_result act(struct model *m, const struct model_scope *scope,
                               struct action a)
{
    switch ((enum action_kind)a.kind) {
    case ACTION_DELIVER:
    case ACTION_DOUBLE:
        return deliver(m, scope, a);
    case ACTION_DROP:
        remove_message(m, a.a);
        break;
    case ACTION_TIMEOUT:
    case ACTION_HEARTBEAT:
    case ACTION_RESIGN:
        return let_time_come(m, scope, a);
    case ACTION_PERSIST:
        return persist(m, scope, a);
    case ACTION_PROPOSE:
        return propose(m, scope, a);
    case ACTION_READ:
        return read(m, scope, a);
    case ACTION_CRASH:
        return crash(m, scope, a);
    case ACTION_CLOCK:
        model_pass(m, next_moment(m, scope) - MODEL_NOW);
        break;
    }
    return (struct model_result){0};
}

struct model_result model_act(struct model *m, const struct model_scope *scope, struct action a)
{
    struct model_result result = act(m, scope, a);
    remove_dead_messages(m);
    return result;
}

/* ---- for people ---------------------------------------------------------------------------------------------------- */

static void print_message(const struct model *m, uint64_t i, FILE *out)
{
    static const char *const names[] = {"?",
                                        "append",
                                        "append reply",
                                        "vote",
                                        "vote reply",
                                        "pre-vote",
                                        "pre-vote reply",
                                        "heartbeat",
                                        "heartbeat reply",
                                        "read",
                                        "read reply"};
    const struct cor_raft_message *x = &m->messages[i].m;
    (void)fprintf(out, "%s n%" PRIu64 ">n%" PRIu64 " term %" PRIu64 "%s", names[x->type],
                  x->from, x->to, x->term, x->reject ? " rejected" : "");
    if (x->type == COR_RAFT_MSG_APPEND) {
        (void)fprintf(out, " entries %" PRIu64 "+%u after term %" PRIu64 ", commit %" PRIu64,
                      x->first, x->n_entries, x->prev.term, x->commit);
    } else if (x->type == COR_RAFT_MSG_APPEND_REPLY) {
        (void)fprintf(out, " match %" PRIu64, x->match);
    }
}

void model_print_action(const struct model *m, struct action a, FILE *out)
{
    static const char *const names[] = {
        "?",      "deliver", "deliver, and keep", "lose", "time-out", "heartbeat",
        "resign", "persist", "propose",           "read", "crash",    "clock"};
    (void)fprintf(out, "%s", names[a.kind]);
    if (a.kind <= ACTION_DROP) {
        (void)fprintf(out, " ");
        print_message(m, a.a, out);
        (void)fprintf(out, "%s", a.b != 0 ? ", after the refusal window" : "");
    } else if (a.kind == ACTION_CLOCK) {
        (void)fprintf(out, " to the next moment");
    } else {
        (void)fprintf(out, " n%u", a.a + 1u);
        if (a.kind == ACTION_CRASH) {
            (void)fprintf(out, ", of its writes %u parts are kept", a.b);
        }
    }
}
