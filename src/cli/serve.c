/*
 * serve.c - `coracle serve`: options into cor_options, a log, signals; the node itself is coracle/coracle.h.
 *
 * The main thread sleeps until a signal or the node's end. The first SIGTERM or SIGINT stops in order; the second
 * one ends the process as signals do, at once.
 */
#include "cli/command.h"
#include "cli/log.h"
#include "coracle/coracle.h"

#include "base/error.h"
#include "base/format.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define MS       UINT64_C(1000000) /* ns */
#define GRACE_MS 5000u             /* for requests in progress when told to stop */

struct serve_values {
    const char *name, *data_dir, *peer_listen, *advertise, *config;
    struct option_list cluster, listen, host_names;
    bool insecure, no_direct_io;
    uint64_t heartbeat, request_timeout, memory, default_reads, log_level, log_format;
    struct option_span election;
    struct option_history history;
};

#define AT(field) offsetof(struct serve_values, field)

static const struct option own[] = {
    {"name", "NAME", "default", "this node's name among the members", OPTION_TEXT, true,
     AT(name), 0, 0, NULL},
    {"data-dir", "DIR", "coracle.data", "where everything is kept; made if it is not there",
     OPTION_TEXT, true, AT(data_dir), 0, 0, NULL},
    {"cluster", "NAME=HOST:PORT,...", NULL,
     "all members and their peer addresses, this node among them;\nnone: a single node",
     OPTION_LIST, true, AT(cluster), 0, 0, NULL},
    {"listen", "HOST:PORT,...", "127.0.0.1:2379,127.0.0.1:8500",
     "where clients are served, the same on each", OPTION_LIST, true, AT(listen), 0, 0, NULL},
    {"peer-listen", "HOST:PORT", NULL,
     "where peers are heard, if not at its address in --cluster", OPTION_TEXT, true,
     AT(peer_listen), 0, 0, NULL},
    {"advertise", "HOST:PORT", NULL,
     "client address told to the other members;\nnone: the first of --listen that is not "
     "0.0.0.0",
     OPTION_TEXT, true, AT(advertise), 0, 0, NULL},
    {"host-name", "NAME,...", NULL,
     "names, besides addresses, by which browsers may call this node\n(header Host); '*': any",
     OPTION_LIST, true, AT(host_names), 0, 0, NULL},
    {"insecure", NULL, NULL, "listen beyond loopback although there is no authentication",
     OPTION_SWITCH, true, AT(insecure), 0, 0, NULL},
    {"default-reads", "MODE", "default",
     "default: under the leader's lease; consistent: a quorum\nround for every read, no clock "
     "involved",
     OPTION_CHOICE, true, AT(default_reads), 0, 0, "default|consistent"},
    {"heartbeat", "DURATION", "50ms", "the leader's, to its followers", OPTION_DURATION, true,
     AT(heartbeat), 1 * MS, 60000 * MS, NULL},
    {"election", "MIN-MAX", "250ms-500ms",
     "without a heartbeat for so long, chosen at random between\nthe two, a follower wants an "
     "election",
     OPTION_SPAN, true, AT(election), 0, 0, NULL},
    {"request-timeout", "DURATION", "5s", "a request without an answer by then gets one",
     OPTION_DURATION, true, AT(request_timeout), 1 * MS, 3600000 * MS, NULL},
    {"memory", "SIZE", "4GiB", "of the store; past it writes are refused, deletions taken",
     OPTION_SIZE, true, AT(memory), UINT64_C(8) << 20, 0, NULL},
    {"history", "TIME[,BYTES]", "10m",
     "old versions kept for watches and reads of the past; without\nBYTES a quarter of "
     "--memory; off: nothing is ever forgotten",
     OPTION_HISTORY, true, AT(history), 0, 0, NULL},
    {"no-direct-io", NULL, NULL, "write the log through the page cache", OPTION_SWITCH, true,
     AT(no_direct_io), 0, 0, NULL},
    {"log-level", "LEVEL", "info", "debug, info, warn, error or off", OPTION_CHOICE, true,
     AT(log_level), 0, 0, "debug|info|warn|error|off"},
    {"log-format", "FORM", "auto",
     "logfmt, json, or auto: logfmt on a terminal, json elsewhere", OPTION_CHOICE, true,
     AT(log_format), 0, 0, "auto|logfmt|json"},
    {"config", "FILE", NULL,
     "lines NAME = VALUE with the names of these flags, # for\ncomments (or CORACLE_CONFIG)",
     OPTION_TEXT, false, AT(config), 0, 0, NULL},
};

/* Longer than a name may be, so that what is cut is refused as too long. */
#define NAME_ROOM 80u

/* "n1=host:port": the name is copied, the address stays where it is. */
static enum cor_status take_members(const struct option_list *list,
                                    char names[OPTIONS_LIST_MAX][NAME_ROOM],
                                    struct cor_member_address *out, struct cor_error *err)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *item = list->items[i];
        const char *equals = strchr(item, '=');
        if (equals == NULL) {
            return error_set(err, COR_EINVAL, "--cluster: '%.60s' is not NAME=HOST:PORT", item);
        }
        format_to(names[i], NAME_ROOM, "%.*s", (int)(equals - item), item);
        out[i] = (struct cor_member_address){names[i], equals + 1};
    }
    return COR_OK;
}

static void fill_options(const struct serve_values *v, struct cor_options *o)
{
    o->data_dir = v->data_dir;
    o->name = v->name;
    o->peer_listen = v->peer_listen;
    o->listen = v->listen.items;
    o->n_listen = v->listen.n;
    o->advertise = v->advertise;
    o->host_names = v->host_names.items;
    o->n_host_names = v->host_names.n;
    o->insecure = v->insecure;
    o->heartbeat_ms = v->heartbeat / MS;
    o->election_min_ms = v->election.min / MS;
    o->election_max_ms = v->election.max / MS;
    o->request_timeout_ms = v->request_timeout / MS;
    o->default_reads_consistent = v->default_reads == 1;
    o->memory_max_bytes = v->memory;
    o->history_ms = v->history.ns == UINT64_MAX ? UINT64_MAX : v->history.ns / MS;
    o->history_bytes = v->history.bytes;
    o->no_direct_io = v->no_direct_io;
    o->log_level = (enum cor_log_level)(COR_LOG_DEBUG + v->log_level);
    o->log = log_event;
}

/* ---- running --------------------------------------------------------------------------------------- */

struct server {
    struct log log; /* the log's argument is the server's */
    int fatal;      /* eventfd */
};

static void on_fatal(void *arg, const struct cor_error *err)
{
    const struct server *s = arg;
    (void)err; /* is in the log already */
    uint64_t one = 1;
    while (write(s->fatal, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

/* Sleep until told to stop. False: the node itself had to. */
static bool wait_for_end(int signals, int fatal)
{
    struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = fatal, .events = POLLIN}};
    while (poll(fds, 2, -1) <= 0) {
    }
    struct signalfd_siginfo taken; /* or it would be delivered again when unblocked */
    return (fds[0].revents & POLLIN) != 0 && read(signals, &taken, sizeof taken) > 0 &&
           (fds[1].revents & POLLIN) == 0;
}

/* Signals count from here on: before, while a long log is read, one of them simply ends the process. */
static bool run_node(struct cor *c, int signals, int fatal, const sigset_t *stops)
{
    (void)sigprocmask(SIG_BLOCK, stops, NULL);
    bool told = wait_for_end(signals, fatal);
    (void)sigprocmask(SIG_UNBLOCK, stops, NULL);
    cor_close(c, GRACE_MS);
    return told;
}

static enum exit_code serve(const struct invocation *i, struct cor_options *o, struct server *s)
{
    sigset_t stops;
    (void)sigemptyset(&stops);
    (void)sigaddset(&stops, SIGTERM);
    (void)sigaddset(&stops, SIGINT);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    int signals = signalfd(-1, &stops, SFD_CLOEXEC);
    s->fatal = eventfd(0, EFD_CLOEXEC);
    if (signals < 0 || s->fatal < 0) {
        return command_fail(i, EXIT_FAILED, "no more file descriptors: %s", strerror(errno));
    }
    struct cor *c = NULL;
    struct cor_error err = {0};
    enum exit_code code;
    enum cor_status st = cor_open(o, &err, &c);
    if (st != COR_OK) {
        code = command_fail(i, st == COR_EINVAL ? EXIT_USAGE : EXIT_FAILED, "%s", err.text);
    } else {
        code = run_node(c, signals, s->fatal, &stops) ? EXIT_OK : EXIT_STOPPED;
    }
    (void)close(signals);
    (void)close(s->fatal);
    return code;
}

static enum exit_code run(const struct invocation *i)
{
    struct serve_values *v = i->values;
    struct server s = {.log = {.fd = STDERR_FILENO}};
    s.log.json = v->log_format == 2 || (v->log_format == 0 && isatty(STDERR_FILENO) == 0);
    struct cor_member_address members[OPTIONS_LIST_MAX] = {{0}};
    char names[OPTIONS_LIST_MAX][NAME_ROOM];
    struct cor_options o = {.members = members, .n_members = v->cluster.n};
    struct cor_error err;
    fill_options(v, &o);
    o.on_fatal = on_fatal;
    o.arg = &s;
    if (take_members(&v->cluster, names, members, &err) != COR_OK) {
        return command_fail(i, EXIT_USAGE, "%s", err.text);
    }
    return serve(i, &o, &s);
}

const struct command command_serve = {
    .name = "serve",
    .arguments = "",
    .arguments_max = 0,
    .summary = "run a node: a single one, or a member of a cluster",
    .details =
        "  coracle serve\n"
        "  C=n1=127.0.0.1:4101,n2=127.0.0.1:4102,n3=127.0.0.1:4103\n"
        "  coracle serve --name n1 --data-dir d1 --cluster $C --listen 127.0.0.1:4001\n"
        "\n"
        "Stops in order on SIGTERM or SIGINT; a second one ends it at once. Log lines go to\n"
        "stderr.\n",
    .options = {.own = own, .n_own = ARRAY_LEN(own)},
    .values_size = sizeof(struct serve_values),
    .run = run,
};
