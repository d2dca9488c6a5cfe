/*
 * open.c - a node in a thread of its own: make all parts, run the loop, take all parts down.
 *
 * Order of opening: client addresses are bound before the directory is touched, so that "address in use" changes nothing
 * on disk; connections that come early wait in the kernel. Order of closing: clients are answered
 * (api_stop), then the member leaves (node_stop), then the last post, behind which none can be, ends the loop.
 */
#include "server/internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/format.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define GRACE_MS_MAX     3600000u
#define CONNECTIONS_MAX  20000u
#define DESCRIPTORS_KEPT 96u

/* ---- stopping -------------------------------------------------------------------------------------- */

static void on_last(struct os_post *post)
{
    os_loop_stop(CONTAINER_OF(post, struct cor, last)->loop);
}

/* Node and clients are done. Calls that were posted before are run first, and find the node stopped. */
static void on_node_stopped(void *arg)
{
    struct cor *c = arg;
    (void)pthread_mutex_lock(&c->mutex);
    c->stopped = true;
    c->last.run = on_last;
    os_loop_post(c->loop, &c->last);
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->mutex);
}

static void on_api_stopped(void *arg)
{
    struct cor *c = arg;
    node_stop(c->node, c->grace, on_node_stopped, c);
}

/* On the loop; once. */
static void stop(struct cor *c, uint64_t grace)
{
    (void)pthread_mutex_lock(&c->mutex);
    bool again = c->stopping;
    c->stopping = true;
    (void)pthread_mutex_unlock(&c->mutex);
    if (again) {
        return;
    }
    c->grace = grace;
    for (size_t i = 0; i < c->n_listen; i++) {
        io_listener_close(c->listeners[i]);
    }
    api_stop(c->api, grace, on_api_stopped, c);
}

/* After a fatal error nobody is answered any more: end, so that callers are told. */
static void after_fatal(struct io_task *task)
{
    stop(CONTAINER_OF(task, struct cor, fatal), 0);
}

static void on_fatal(void *arg, const struct cor_error *err)
{
    struct cor *c = arg;
    if (c->on_fatal != NULL) {
        c->on_fatal(c->arg, err);
    }
    io_defer(os_loop_io(c->loop), &c->fatal);
}

static void on_ready(void *arg)
{
    struct cor *c = arg;
    (void)pthread_mutex_lock(&c->mutex);
    c->ready = true;
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->mutex);
}

/* ---- parts ----------------------------------------------------------------------------------------- */

static void on_accept(void *arg, struct io_stream *s)
{
    struct cor *c = arg;
    api_accept(c->api, s);
}

static enum cor_status open_listeners(struct cor *c, const struct cor_options *o,
                                      struct cor_error *err)
{
    for (size_t i = 0; i < o->n_listen; i++) {
        enum cor_status st = io_listen(os_loop_io(c->loop), o->listen[i], on_accept, c,
                                       c->bound[i], &c->listeners[i], err);
        if (st != COR_OK) {
            if (st == COR_EEXIST) {
                (void)error_set(err, st,
                                "%s is in use by another program; end it, or choose other "
                                "addresses with --listen",
                                o->listen[i]);
            }
            return st;
        }
        c->n_listen = i + 1;
    }
    return COR_OK;
}

/* *made: the directory was not there before. */
static enum cor_status open_directory(struct cor *c, const struct cor_options *o, bool *made,
                                      struct cor_error *err)
{
    enum cor_status st = os_fs_open(o->data_dir, 0, err, &c->fs);
    *made = st == COR_ENOTFOUND;
    if (*made) {
        st = os_fs_open(o->data_dir, OS_FS_CREATE, err, &c->fs);
    }
    if (st != COR_OK) {
        return st;
    }
    os_loop_io(c->loop)->fs = c->fs;
    return check_directory(c->fs, o->data_dir, err);
}

/* What to tell the others: as said, or the first listener that has an address. */
static const char *client_address(const struct cor *c, const struct cor_options *o)
{
    if (o->advertise != NULL) {
        return o->advertise;
    }
    for (size_t i = 0; i < c->n_listen; i++) {
        if (strncmp(c->bound[i], "0.0.0.0:", 8) != 0 && strncmp(c->bound[i], "[::]:", 5) != 0) {
            return c->bound[i];
        }
    }
    return NULL;
}

static enum cor_status open_node(struct cor *c, const struct cor_options *o,
                                 struct cor_error *err)
{
    struct node_member members[COR_RAFT_MEMBERS_MAX];
    for (size_t i = 0; i < o->n_members; i++) {
        members[i] = (struct node_member){o->members[i].name, o->members[i].address};
    }
    const struct node_options n = {
        .io = os_loop_io(c->loop),
        .events = &c->sink.base,
        .name = o->name != NULL ? o->name : "default",
        .members = members,
        .n_members = o->n_members,
        .peer_listen = o->peer_listen,
        .client_address = client_address(c, o),
        .heartbeat = o->heartbeat_ms * SERVER_NS_PER_MS,
        .election_min = o->election_min_ms * SERVER_NS_PER_MS,
        .election_max = o->election_max_ms * SERVER_NS_PER_MS,
        .no_lease = o->default_reads_consistent,
        .request_timeout = o->request_timeout_ms * SERVER_NS_PER_MS,
        .memory_max = o->memory_max_bytes,
        .history_ns = o->history_ms > UINT64_MAX / SERVER_NS_PER_MS
                          ? UINT64_MAX
                          : o->history_ms * SERVER_NS_PER_MS,
        .history_bytes = o->history_bytes,
        .no_direct = o->no_direct_io,
        .arg = c,
        .on_fatal = on_fatal,
        .on_ready = on_ready,
    };
    return node_open(&n, err, &c->node);
}

/* Each costs a descriptor. Some are for members, files, and clients that are being told that there are too
 * many of them. */
static uint32_t connections_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur >= CONNECTIONS_MAX + DESCRIPTORS_KEPT) {
        return CONNECTIONS_MAX;
    }
    uint32_t n = (uint32_t)limit.rlim_cur;
    return n >= 2 * DESCRIPTORS_KEPT ? n - DESCRIPTORS_KEPT : n / 2;
}

static enum cor_status open_api(struct cor *c, const struct cor_options *o,
                                struct cor_error *err)
{
    bool any_host = false;
    for (size_t i = 0; i < o->n_host_names; i++) {
        any_host = any_host || strcmp(o->host_names[i], "*") == 0;
    }
    const struct api_options a = {
        .node = c->node,
        .io = os_loop_io(c->loop),
        .events = &c->sink.base,
        .version = CORACLE_VERSION,
        .connections_max = connections_max(),
        .host_names = o->host_names,
        .n_host_names = o->n_host_names,
        .any_host = any_host,
    };
    c->api = api_new(&a);
    return c->api != NULL ? COR_OK : error_set(err, COR_ENOMEM, "out of memory");
}

static enum cor_status open_parts(struct cor *c, const struct cor_options *o, bool *made,
                                  struct cor_error *err)
{
    const struct os_loop_options loop = {.events = &c->sink.base};
    enum cor_status st = os_loop_open(&loop, err, &c->loop);
    st = st == COR_OK ? open_listeners(c, o, err) : st;
    st = st == COR_OK ? open_directory(c, o, made, err) : st;
    st = st == COR_OK ? open_node(c, o, err) : st;
    return st == COR_OK ? open_api(c, o, err) : st;
}

/* What is there, in reverse order. The thread does not run. */
static void free_parts(struct cor *c)
{
    if (c->api != NULL) {
        api_free(c->api);
    }
    if (c->node != NULL) {
        node_free(c->node);
    }
    os_loop_free(c->loop);
    os_fs_close(c->fs);
    c->api = NULL;
    c->node = NULL;
    c->loop = NULL;
    c->fs = NULL;
}

static void *run_thread(void *arg)
{
    struct cor *c = arg;
    os_loop_run(c->loop);
    return NULL;
}

static enum cor_status start_thread(struct cor *c, struct cor_error *err)
{
    /* It inherits the mask: signals are the business of the program's own threads. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&c->thread, NULL, run_thread, c);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code == 0 ? COR_OK : error_set(err, COR_ENOMEM, "no thread could be started");
}

static void say_opened(struct cor *c, const struct cor_options *o)
{
    event_emit(&c->sink.base, EVENT_INFO, "server", "opened",
               event_text("version", CORACLE_VERSION), event_text("data_dir", o->data_dir));
    for (size_t i = 0; i < c->n_listen; i++) {
        event_emit(&c->sink.base, EVENT_INFO, "server", "listening",
                   event_text("address", c->bound[i]));
    }
}

static struct cor *new_cor(const struct cor_options *o)
{
    struct cor *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&c->mutex, NULL);
    c->refs = 1;
    c->on_fatal = o->on_fatal;
    c->arg = o->arg;
    c->fatal.run = after_fatal;
    sink_init(&c->sink, o);
    return c;
}

void server_unref(struct cor *c)
{
    (void)pthread_mutex_lock(&c->mutex);
    bool last = --c->refs == 0;
    (void)pthread_mutex_unlock(&c->mutex);
    if (last) {
        (void)pthread_mutex_destroy(&c->mutex);
        (void)pthread_cond_destroy(&c->changed);
        free(c);
    }
}

/* ---- coracle.h ------------------------------------------------------------------------------------- */

enum cor_status cor_open(const struct cor_options *o, struct cor_error *err, struct cor **out)
{
    enum cor_status st = check_options(o, err);
    if (st != COR_OK) {
        return st;
    }
    struct cor *c = new_cor(o);
    if (c == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    bool made = false;
    st = open_parts(c, o, &made, err);
    if (st == COR_OK) {
        say_opened(c, o);
        st = start_thread(c, err);
    }
    if (st != COR_OK) {
        free_parts(c);
        if (made) {
            (void)rmdir(o->data_dir); /* only if nothing was put into it */
        }
        server_unref(c);
        return st;
    }
    *out = c;
    return COR_OK;
}

struct stop_post {
    struct os_post post;
    struct cor *c;
    uint64_t grace;
};

static void on_stop(struct os_post *post)
{
    struct stop_post *s = CONTAINER_OF(post, struct stop_post, post);
    stop(s->c, s->grace);
}

void cor_close(struct cor *c, uint64_t grace_ms)
{
    uint64_t grace = grace_ms < GRACE_MS_MAX ? grace_ms : GRACE_MS_MAX;
    struct stop_post s = {{on_stop, NULL}, c, grace * SERVER_NS_PER_MS};
    (void)pthread_mutex_lock(&c->mutex);
    if (!c->stopped) {
        os_loop_post(c->loop, &s.post);
    }
    (void)pthread_mutex_unlock(&c->mutex);
    (void)pthread_join(c->thread, NULL);
    free_parts(c);
    server_unref(c);
}

enum cor_status cor_wait_ready(struct cor *c, uint64_t timeout_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000 * SERVER_NS_PER_MS);
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int code = 0;
    (void)pthread_mutex_lock(&c->mutex);
    while (!c->ready && !c->stopped && code == 0) {
        code = pthread_cond_timedwait(&c->changed, &c->mutex, &until);
    }
    enum cor_status st = c->stopped ? COR_ESTOPPED : (c->ready ? COR_OK : COR_ETIMEDOUT);
    (void)pthread_mutex_unlock(&c->mutex);
    return st;
}

const char *cor_listen_address(const struct cor *c, size_t i)
{
    return i < c->n_listen ? c->bound[i] : "";
}
