/*
 * script_test.c - transcripts: what a cluster says, for readers who know Raft and not this code.
 *
 * Runs tests/raft/scripts/NAME.txt: a command, a line "----", what came of it, an empty line. The
 * output must be exactly as written; `test-raft-script --rewrite` writes it anew, to be read in the
 * diff. Run from the root of the repository. Lines that begin with # are for the reader.
 *
 *   nodes N               N voters, not started
 *   log ID TERMS...       what is on ID's disk
 *   term ID T             the term on ID's disk
 *   start ID|all
 *   crash ID [N]          N of its unsynced writes survive
 *   timeout ID            its deadline passes
 *   wait MS               time passes, and nobody notices
 *   deliver all|FROM TO   messages arrive, in order; 0 is anybody
 *   drop all|FROM TO
 *   persist ID|all        writes become durable
 *   settle                deliver and persist until quiet
 *   propose ID N
 *   read ID [lease]
 *   lost ID PEER          a connection closed
 *   status
 */
#include "tests/raft/cluster.h"

#include "tests/support/test.h"

#include <dirent.h>
#include <stdarg.h>

#define TEXT_MAX 262144u

static char out[TEXT_MAX];
static size_t n_out;
static bool rewrite;
static struct cluster *cluster;

static void say(const char *format, ...) PRINTF_LIKE(1);
static void say(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(out + n_out, sizeof out - n_out, format, ap);
    va_end(ap);
    COR_ASSERT(n >= 0 && n_out + (size_t)n < sizeof out);
    n_out += (size_t)n;
}

typedef unsigned long long ull;

static const char *role_name(enum cor_raft_role role)
{
    const char *names[] = {"?", "follower", "pre-candidate", "candidate", "leader"};
    return names[role];
}

static void say_message(const struct cor_raft_message *m)
{
    say("n%llu -> n%llu ", (ull)m->from, (ull)m->to);
    switch (m->type) {
    case COR_RAFT_MSG_APPEND:
        say("append term=%llu prev=%llu/%llu n=%u commit=%llu", (ull)m->term, (ull)m->prev.term,
            (ull)m->prev.index, m->n_entries, (ull)m->commit);
        break;
    case COR_RAFT_MSG_APPEND_REPLY:
        if (m->reject && m->match == 0 && m->prev.index == 0) {
            say("append refused term=%llu", (ull)m->term);
        } else if (m->reject) {
            say("append refused term=%llu probe=%llu/%llu", (ull)m->term, (ull)m->prev.term,
                (ull)m->prev.index);
        } else {
            say("append taken term=%llu match=%llu", (ull)m->term, (ull)m->match);
        }
        break;
    case COR_RAFT_MSG_VOTE:
    case COR_RAFT_MSG_PRE_VOTE:
        say("%s? term=%llu last=%llu/%llu", m->type == COR_RAFT_MSG_VOTE ? "vote" : "pre-vote",
            (ull)m->term, (ull)m->prev.term, (ull)m->prev.index);
        break;
    case COR_RAFT_MSG_VOTE_REPLY:
    case COR_RAFT_MSG_PRE_VOTE_REPLY:
        say("%s %s term=%llu", m->type == COR_RAFT_MSG_VOTE_REPLY ? "vote" : "pre-vote",
            m->reject ? "refused" : "granted", (ull)m->term);
        break;
    case COR_RAFT_MSG_HEARTBEAT:
        say("%s term=%llu commit=%llu round=%llu", m->sent_at == 0 ? "news" : "heartbeat",
            (ull)m->term, (ull)m->commit, (ull)m->context);
        break;
    case COR_RAFT_MSG_HEARTBEAT_REPLY:
        say("heartbeat %s term=%llu match=%llu round=%llu", m->reject ? "refused" : "heard",
            (ull)m->term, (ull)m->match, (ull)m->context);
        break;
    case COR_RAFT_MSG_READ:
        say("read? term=%llu id=%llu", (ull)m->term, (ull)m->context);
        break;
    case COR_RAFT_MSG_READ_REPLY:
        say("read %s id=%llu index=%llu", m->reject ? "refused" : "answered", (ull)m->context,
            (ull)m->index);
        break;
    default:
        say("type %u", m->type);
        break;
    }
    say("\n");
}

static void on_step(struct cluster *c, cor_node_id id, const struct cor_raft_info *was)
{
    const struct cluster_node *n = cluster_node(c, id);
    const struct cor_raft_update *u = &c->update;
    if (n->info.role != was->role || n->info.term != was->term) {
        say("n%llu is %s of term %llu\n", (ull)id, role_name(n->info.role), (ull)n->info.term);
    }
    if (u->write.seq != 0) {
        say("n%llu writes", (ull)id);
        if (u->write.hard_state_changed) {
            say(" term=%llu vote=%llu", (ull)u->write.hard_state.term,
                (ull)u->write.hard_state.vote);
        }
        if (u->write.truncate_from != 0) {
            say(" cut from %llu", (ull)u->write.truncate_from);
        }
        if (u->write.n_entries > 0) {
            say(" entries %llu..%llu", (ull)u->write.first,
                (ull)(u->write.first + u->write.n_entries - 1));
        }
        say("\n");
    }
    for (uint32_t i = 0; i < u->n_messages; i++) {
        say_message(&u->messages[i]);
    }
    if (n->info.commit != was->commit) {
        say("n%llu commits %llu\n", (ull)id, (ull)n->info.commit);
    }
    for (uint32_t i = 0; i < u->n_reads; i++) {
        say("n%llu read %llu: %s", (ull)id, (ull)u->reads[i].id,
            cor_status_text(u->reads[i].status));
        say(u->reads[i].status == COR_OK ? ", index %llu\n" : "\n", (ull)u->reads[i].index);
    }
}

/* The oldest message on its way, of those between @from and @to (0: anybody). */
static uint32_t oldest(cor_node_id from, cor_node_id to, uint64_t number_max)
{
    uint32_t best = CLUSTER_MSGS_MAX;
    uint64_t number = number_max;
    for (uint32_t i = 0; i < cluster->n_flying; i++) {
        const struct cluster_message *m = &cluster->messages[cluster->order[i]];
        bool match = (from == 0 || m->m.from == from) && (to == 0 || m->m.to == to);
        if (match && m->number <= number) {
            best = i;
            number = m->number - 1;
        }
    }
    return best;
}

/* Those that are on their way now; not the answers to them. */
static void move_messages(cor_node_id from, cor_node_id to, bool arrive)
{
    uint64_t until = cluster->message_number;
    for (uint32_t i = oldest(from, to, until); i < CLUSTER_MSGS_MAX;
         i = oldest(from, to, until)) {
        if (arrive) {
            cluster_deliver(cluster, i);
        } else {
            say("lost: ");
            say_message(&cluster->messages[cluster->order[i]].m);
            cluster_drop(cluster, i);
        }
    }
}

static bool persist(cor_node_id id)
{
    struct cluster_node *n = cluster_node(cluster, id);
    if (!n->up || n->n_writes == 0) {
        return false;
    }
    cluster_persist(cluster, id, n->n_writes);
    return true;
}

static bool persist_all(void)
{
    bool any = false;
    for (cor_node_id id = 1; id <= cluster->n; id++) {
        any = persist(id) || any;
    }
    return any;
}

static void settle(void)
{
    for (int i = 0; i < 100; i++) {
        bool any = cluster->n_flying > 0;
        move_messages(0, 0, true);
        any = persist_all() || any;
        if (!any) {
            return;
        }
    }
    say("never quiet\n");
}

static void say_status(void)
{
    for (cor_node_id id = 1; id <= cluster->n; id++) {
        const struct cluster_node *n = cluster_node(cluster, id);
        if (!n->up) {
            say("n%llu is down\n", (ull)id);
            continue;
        }
        say("n%llu %s term=%llu commit=%llu log=[", (ull)id, role_name(n->info.role),
            (ull)n->info.term, (ull)n->info.commit);
        for (uint64_t i = 1; i <= n->last; i++) {
            say(i > 1 ? " %llu" : "%llu", (ull)n->log[i].term);
        }
        say("]\n");
    }
}

static void set_log(cor_node_id id, char *terms)
{
    struct cluster_node *n = cluster_node(cluster, id);
    for (char *t = strtok(terms, " "); t != NULL; t = strtok(NULL, " ")) {
        uint64_t term = strtoull(t, NULL, 10);
        n->disk[++n->disk_last] =
            (struct cluster_entry){term, 1000 * term + n->disk_last, COR_ENTRY_COMMAND, 1};
        n->disk_state.term = term > n->disk_state.term ? term : n->disk_state.term;
    }
}

static void start(cor_node_id id)
{
    cluster_start(cluster, id);
    cluster_node(cluster, id)->deadline = cluster->now;
    cluster_time(cluster, id);
}

static void timeout(cor_node_id id)
{
    uint64_t deadline = cluster_node(cluster, id)->deadline;
    cluster->now = deadline > cluster->now ? deadline : cluster->now;
    cluster_time(cluster, id);
}

static void new_cluster(uint32_t n)
{
    if (cluster != NULL) {
        cluster_free(cluster);
    }
    const struct cor_raft_options options = {0};
    cluster = cluster_new(1, n, &options);
    cluster->on_step = on_step;
}

static bool is_word(const char *line, const char *word)
{
    return strncmp(line, word, strlen(word)) == 0 &&
           (line[strlen(word)] == ' ' || line[strlen(word)] == '\0');
}

static void run_on_node(char *line, cor_node_id id, uint64_t number)
{
    if (is_word(line, "log")) {
        char *terms = strchr(line + 4, ' ');
        set_log(id, terms != NULL ? terms : line + strlen(line));
    } else if (is_word(line, "term")) {
        cluster_node(cluster, id)->disk_state.term = number;
    } else if (is_word(line, "crash")) {
        cluster_crash(cluster, id, (uint32_t)number);
    } else if (is_word(line, "timeout")) {
        timeout(id);
    } else if (is_word(line, "propose")) {
        enum cor_status st = cluster_propose(cluster, id, (uint32_t)number, 1);
        if (st != COR_OK) {
            say("%s\n", cor_status_text(st));
        }
    } else if (is_word(line, "read")) {
        cluster_read(cluster, id, strstr(line, "lease") != NULL);
    } else if (is_word(line, "lost")) {
        cluster_peer_lost(cluster, id, number);
    } else if (is_word(line, "persist")) {
        persist(id);
    } else if (is_word(line, "start")) {
        start(id);
    } else if (is_word(line, "deliver") || is_word(line, "drop")) {
        move_messages(id, number, is_word(line, "deliver"));
    } else {
        say("what is \"%s\"?\n", line);
    }
}

static void run_command(char *line)
{
    char *end = strchr(line, ' ');
    uint64_t first = end != NULL ? strtoull(end, &end, 10) : 0;
    uint64_t second = end != NULL ? strtoull(end, NULL, 10) : 0;
    if (is_word(line, "nodes")) {
        new_cluster((uint32_t)first);
    } else if (is_word(line, "start all")) {
        for (cor_node_id id = 1; id <= cluster->n; id++) {
            start(id);
        }
    } else if (is_word(line, "persist all")) {
        persist_all();
    } else if (is_word(line, "deliver all") || is_word(line, "drop all")) {
        move_messages(0, 0, is_word(line, "deliver all"));
    } else if (is_word(line, "settle")) {
        settle();
    } else if (is_word(line, "status")) {
        say_status();
    } else if (is_word(line, "wait")) {
        cluster->now += first * CLUSTER_MS;
    } else {
        run_on_node(line, first, second);
    }
}

static size_t read_text(const char *path, char *text, size_t size)
{
    FILE *f = fopen(path, "rb");
    COR_ASSERT(f != NULL);
    size_t n = fread(text, 1, size - 1, f);
    COR_ASSERT(n < size - 1);
    fclose(f);
    text[n] = '\0';
    return n;
}

/* Carry out the commands of @text and put the whole transcript into @out. */
static void run_script(const char *text)
{
    bool skipping = false; /* the output of the last run */
    n_out = 0;
    for (const char *at = text; *at != '\0';) {
        const char *end = strchr(at, '\n');
        COR_ASSERT(end != NULL);
        char line[256];
        size_t len = (size_t)(end - at);
        COR_ASSERT(len < sizeof line);
        memcpy(line, at, len);
        line[len] = '\0';
        at = end + 1;
        if (skipping) {
            skipping = len > 0;
        } else if (len == 0 || line[0] == '#') {
            say("%s\n", line);
        } else {
            say("%s\n----\n", line);
            run_command(line);
            say("\n");
            skipping = true;
        }
    }
}

static void first_difference(const char *want)
{
    unsigned line = 1;
    size_t i = 0;
    for (; out[i] != '\0' && out[i] == want[i]; i++) {
        line += out[i] == '\n';
    }
    while (i > 0 && out[i - 1] != '\n') {
        i--;
    }
    fprintf(stderr, "line %u: got \"%.*s\", want \"%.*s\"\n", line, (int)strcspn(out + i, "\n"),
            out + i, (int)strcspn(want + i, "\n"), want + i);
}

static void check_script(const char *name)
{
    static char want[TEXT_MAX];
    char path[300];
    snprintf(path, sizeof path, "tests/raft/scripts/%s", name);
    ROW("%s", name);
    read_text(path, want, sizeof want);
    run_script(want);
    if (rewrite) {
        FILE *f = fopen(path, "wb");
        REQUIRE(f != NULL);
        CHECK(fwrite(out, 1, n_out, f) == n_out);
        fclose(f);
        return;
    }
    bool same = strcmp(out, want) == 0;
    CHECK(same);
    if (!same) {
        first_difference(want);
    }
}

static void transcripts_are_as_written(void)
{
    DIR *dir = opendir("tests/raft/scripts");
    REQUIRE(dir != NULL);
    unsigned n = 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        size_t len = strlen(e->d_name);
        if (len > 4 && strcmp(e->d_name + len - 4, ".txt") == 0) {
            check_script(e->d_name);
            n++;
        }
    }
    closedir(dir);
    CHECK(n > 0);
    cluster_free(cluster);
    cluster = NULL;
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(transcripts_are_as_written)};
    rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    return test_main(rewrite ? 1 : argc, argv, cases, sizeof cases / sizeof cases[0]);
}
