/*
 * form.c - a static cluster forms, once (D14); and who is welcome, then and afterwards.
 *
 * Each data directory has a random disk id. Before the first vote all members of the list must have been heard;
 * the cluster's id is a hash over all (name, disk id), and each member writes it down, with the others'
 * disk ids, before it starts its core. From then on a member is its name *and* its disk: one that comes
 * back with an empty directory may have voted and acknowledged before, and is refused.
 *
 * Links may be older than what the other side has become since, so nobody forms by what hellos said: each
 * asks every other member over a live link whether it agrees with the id, and a member agrees if it
 * has formed under that id or would form under it now. So no two members ever form differently, whatever
 * crashes or is wiped in the middle; and one that crashed before it had formed is accepted by those
 * that have, because they know its disk.
 *
 *     FORMING --all heard, all agree--> state file being written --durable--> RUNNING
 *
 * A refusal that heals by itself (versions while they are rolled, a wrong list somewhere else) is said
 * and no more. The node gives up when it is the one that is wrong: it is new, and a formed member knows
 * it by another disk; or more members refuse it than it could do without.
 */
#include "node/internal.h"

#include "base/error.h"
#include "base/format.h"
#include "base/hash.h"
#include "base/writer.h"

#include <string.h>

#define SEED_LOW  UINT64_C(0x636c757374657231)
#define SEED_HIGH UINT64_C(0x636c757374657232)

static const unsigned char no_id[16];

static bool is_zero(const unsigned char id[16])
{
    return memcmp(id, no_id, sizeof no_id) == 0;
}

static bool equal(const unsigned char a[16], const unsigned char b[16])
{
    return memcmp(a, b, 16) == 0;
}

bool node_is_formed(const struct node *n)
{
    return n->sb.n_members > 0;
}

/* ---- the identity --------------------------------------------------------------------------------- */

void form_cluster_id(const struct node *n, unsigned char out[16])
{
    unsigned char bytes[COR_RAFT_MEMBERS_MAX * (WAL_NAME_MAX + 16 + 2)];
    struct writer w = writer_of(bytes, sizeof bytes);
    for (size_t i = 0; i < n->n_members; i++) {
        const struct member *m = &n->members[i];
        writer_blob(&w, (struct cor_bytes){(const unsigned char *)m->name, strlen(m->name)});
        writer_bytes(&w, (struct cor_bytes){m->disk_id, sizeof m->disk_id});
    }
    COR_ASSERT(writer_ok(&w));
    struct cor_bytes all = {bytes, w.used};
    struct writer id = writer_of(out, 16);
    writer_u64(&id, hash64_seed(all, SEED_LOW));
    writer_u64(&id, hash64_seed(all, SEED_HIGH));
}

void form_fill_superblock(struct node *n, const unsigned char cluster_id[16])
{
    struct superblock *sb = &n->sb;
    memcpy(sb->cluster_id, cluster_id, sizeof sb->cluster_id);
    sb->level = 0; /* nothing is in the log yet */
    sb->n_members = (uint32_t)n->n_members;
    for (size_t i = 0; i < n->n_members; i++) {
        struct superblock_member *to = &sb->members[i];
        *to = (struct superblock_member){.id = i + 1, .kind = COR_MEMBER_VOTER};
        memcpy(to->disk_id, n->members[i].disk_id, sizeof to->disk_id);
        format_to(to->name, sizeof to->name, "%s", n->members[i].name);
        format_to(to->address, sizeof to->address, "%s", n->members[i].address);
    }
}

/* ---- who is welcome --------------------------------------------------------------------------------- */

static struct member *find(struct node *n, const char *name)
{
    for (size_t i = 0; i < n->n_members; i++) {
        if (strcmp(n->members[i].name, name) == 0) {
            return &n->members[i];
        }
    }
    return NULL;
}

static bool refuse_wiped(const struct node *n, const struct member *m, struct cor_error *err)
{
    (void)error_set(err, COR_EREFUSED,
                    "%s knows %s by another disk: its data directory was wiped or replaced. It "
                    "may have voted, so it cannot come back without what it knew: put the old "
                    "directory back, or keep it stopped",
                    n->name, m->name);
    return false;
}

bool form_on_hello(void *arg, const struct peer_hello *hello, struct cor_error *err)
{
    struct node *n = arg;
    struct member *m = find(n, hello->name);
    COR_ASSERT(m != NULL);            /* peer/ has checked that */
    bool settled = node_is_formed(n); /* or about to be: the state file is being written */
    if (settled && !is_zero(hello->cluster_id) && !equal(hello->cluster_id, n->sb.cluster_id)) {
        (void)error_set(err, COR_EFOREIGN,
                        "%s and %s belong to different clusters: one of them was started with "
                        "the data directory of another",
                        n->name, m->name);
        return false;
    }
    if (settled && !equal(hello->disk_id, m->disk_id)) {
        return refuse_wiped(n, m, err);
    }
    if (!settled) {
        m->agrees = m->agrees && equal(hello->disk_id, m->disk_id);
        m->heard = true;
        memcpy(m->disk_id, hello->disk_id, sizeof m->disk_id);
        memcpy(m->cluster_id, hello->cluster_id, sizeof m->cluster_id);
    }
    return true;
}

/* Too many refuse us to go on without them. */
static bool is_outvoted(const struct node *n)
{
    size_t refusing = 0;
    for (size_t i = 0; i < n->n_members; i++) {
        refusing += n->members[i].refuses;
    }
    return node_is_formed(n) ? refusing > n->n_members / 2 : 2 * refusing > n->n_members - 1;
}

void form_on_refused(void *arg, const char *name, const struct cor_error *err)
{
    struct node *n = arg;
    struct member *m = find(n, name);
    if (m == NULL || err->status == COR_EPROTO || n->stop_step != STOP_NOT) {
        return;
    }
    m->refuses = true;
    bool wiped = err->status == COR_EREFUSED && !node_is_formed(n);
    if (wiped || is_outvoted(n)) {
        struct cor_error why = *err;
        (void)error_prefix(&why, "refused by %s", name);
        node_fail(n, &why);
    }
}

/* ---- forming --------------------------------------------------------------------------------------- */

static bool is_there(const struct node *n, size_t i)
{
    return i == n->self ||
           (n->members[i].heard && peers_is_up(n->peers, i < n->self ? i : i - 1));
}

/* The names of those that are missing go to n->form.waiting_for; false: none is. */
static bool someone_is_missing(struct node *n)
{
    char text[sizeof n->form.waiting_for];
    size_t used = 0;
    for (size_t i = 0; i < n->n_members; i++) {
        if (!is_there(n, i)) {
            used += format_to(text + used, sizeof text - used, "%s%s at %s",
                              used > 0 ? ", " : "", n->members[i].name, n->members[i].address);
        }
    }
    if (used > 0) {
        memcpy(n->form.waiting_for, text, used + 1);
    }
    return used > 0;
}

static void say_waiting(struct node *n, const char *what)
{
    uint64_t now = io_now(n->io);
    struct cor_bytes text = {(const unsigned char *)what, strlen(what)};
    uint64_t hash = hash64(text);
    if (hash == n->form.said && now < n->form.said_at + NODE_WAITING_EVENT) {
        return;
    }
    n->form.said = hash;
    n->form.said_at = now;
    event_emit(n->events, EVENT_INFO, "node", "waiting_for", event_bytes("members", text));
}

/* A member formed with a disk that one of us does not have any more: it will refuse that one. */
static bool contradicts(const struct node *n, const unsigned char id[16])
{
    for (size_t i = 0; i < n->n_members; i++) {
        const unsigned char *theirs = n->members[i].cluster_id;
        if (i != n->self && !is_zero(theirs) && !equal(theirs, id)) {
            return true;
        }
    }
    return false;
}

/*
 * Work out what the cluster's id would be now, into form.cluster_id; false: not all are there, or they
 * contradict each other. When it changes, those who agreed with the one before are asked again: a member
 * must never form under an id after it told somebody that it would form under another.
 */
static bool would_form(struct node *n)
{
    unsigned char id[16];
    if (someone_is_missing(n)) {
        say_waiting(n, n->form.waiting_for);
        return false;
    }
    form_cluster_id(n, id);
    if (contradicts(n, id)) {
        format_to(n->form.waiting_for, sizeof n->form.waiting_for,
                  "a member with the data directory that the others know it by");
        say_waiting(n, n->form.waiting_for);
        return false;
    }
    bool changed = !equal(id, n->form.cluster_id);
    memcpy(n->form.cluster_id, id, sizeof id);
    for (size_t i = 0; i < n->n_members && changed; i++) {
        n->members[i].agrees = false;
    }
    return true;
}

static void formed(struct node *n, enum cor_status st, const struct cor_error *err)
{
    struct cor_error why;
    if (st != COR_OK) {
        why = *err;
        (void)error_prefix(&why, "writing the state file of the new cluster");
        node_fail(n, &why);
        return;
    }
    if (n->stop_step != STOP_NOT || n->phase == NODE_FAILED) {
        return;
    }
    if (node_start_core(n, &why) != COR_OK) {
        node_fail(n, &why);
        return;
    }
    struct peer_hello hello;
    node_fill_hello(n, &hello);
    peers_set_hello(n->peers, &hello);
    io_timer_clear(n->io, &n->form.timer);
    n->form.waiting_for[0] = '\0';
    event_emit(n->events, EVENT_INFO, "node", "formed", event_u64("members", n->n_members),
               event_u64("id", node_self_id(n)));
}

static void decide_if_all_agree(struct node *n)
{
    bool all = would_form(n);
    for (size_t i = 0; i < n->n_members; i++) {
        all = all && (i == n->self || n->members[i].agrees);
    }
    if (!all) {
        return;
    }
    form_fill_superblock(n, n->form.cluster_id);
    state_write(n, formed);
}

static void ask(struct node *n, size_t i)
{
    struct peer_request q = {.id = 1,
                             .kind = FORWARD_FORM,
                             .timeout = NODE_FORM_RETRY,
                             .body = {n->form.cluster_id, sizeof n->form.cluster_id}};
    (void)peers_send_request(n->peers, i < n->self ? i : i - 1, &q);
}

void form_try(struct node *n)
{
    if (n->phase != NODE_FORMING || node_is_formed(n)) {
        return;
    }
    bool ready = would_form(n);
    for (size_t i = 0; i < n->n_members && ready; i++) {
        if (i != n->self && !n->members[i].agrees) {
            ask(n, i);
        }
    }
    io_timer_set(n->io, &n->form.timer, io_now(n->io) + NODE_FORM_RETRY);
}

static void on_timer(struct io_timer *timer)
{
    form_try(CONTAINER_OF(timer, struct node, form.timer));
}

void form_start(struct node *n)
{
    n->form.timer.fire = on_timer;
    form_try(n);
}

static bool agrees(struct node *n, struct cor_bytes id)
{
    if (id.len != sizeof n->form.cluster_id || n->phase == NODE_FAILED) {
        return false;
    }
    if (node_is_formed(n)) {
        return equal(id.ptr, n->sb.cluster_id);
    }
    return n->phase == NODE_FORMING && would_form(n) && equal(id.ptr, n->form.cluster_id);
}

void form_on_request(struct node *n, size_t peer, const struct peer_request *request)
{
    struct peer_request a = {.id = request->id,
                             .kind = FORWARD_FORM,
                             .status =
                                 (uint16_t)(agrees(n, request->body) ? COR_OK : COR_ENOTDONE),
                             .body = request->body};
    a.body.len = a.body.len > sizeof no_id ? 0 : a.body.len;
    (void)peers_send_answer(n->peers, peer, &a);
}

void form_on_answer(struct node *n, size_t peer, const struct peer_request *answer)
{
    struct member *m = &n->members[node_member_of_peer(n, peer)];
    if (n->phase != NODE_FORMING || node_is_formed(n) ||
        answer->body.len != sizeof n->form.cluster_id ||
        !equal(answer->body.ptr, n->form.cluster_id)) {
        return;
    }
    m->agrees = answer->status == COR_OK;
    if (!m->agrees) { /* mostly it has not heard all yet */
        format_to(n->form.waiting_for, sizeof n->form.waiting_for,
                  "%s to agree on who the members are", m->name);
        say_waiting(n, n->form.waiting_for);
    }
    decide_if_all_agree(n);
}
