/*
 * bench_floor.c - what this machine can do at best: the floors under every figure of the bench.
 *
 * A write cannot be answered before one durable append and one round trip; an idle member cannot cost less
 * than a loop that sends and receives its heartbeats. Both are measured here with nothing of ours in the way:
 * the log's own kind of write (whole 4 KiB pages into a file filled with zeros before, O_DIRECT with O_DSYNC),
 * blocking TCP on loopback, and three threads with an epoll loop each.
 */
#include "cli/bench_floor.h"

#include "base/error.h"
#include "base/format.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define APPEND_NS        UINT64_C(1500000000)
#define ROUND_TRIPS      2000u
#define ROUND_TRIP_PAIRS 10u /* fresh sockets and threads: the scheduler places each anew */
#define HEARTBEAT_NS     50000000
#define HEARTBEAT_BYTES  96u /* a frame with a heartbeat, and its answer */
#define HEARTBEAT_ROUNDS 60u /* 3 s */
#define FOLLOWERS        2u

uint64_t bench_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static enum cor_status io_failed(struct cor_error *err, const char *what)
{
    return error_set(err, COR_EIO, "%s: %s", what, strerror(errno));
}

/* ---- durable append ------------------------------------------------------------------------------ */

int floor_open(const char *dir, const char *suffix, char *path, size_t size,
               unsigned char *page, bool *direct)
{
    format_to(path, size, "%s/coracle-bench.%ld%s", dir, (long)getpid(), suffix);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -1;
    }
    memset(page, 0, FLOOR_PAGE);
    bool ok = true;
    for (unsigned i = 0; i < FLOOR_PAGES && ok; i++) {
        ok = pwrite(fd, page, FLOOR_PAGE, (off_t)i * FLOOR_PAGE) == FLOOR_PAGE;
    }
    if (!ok || fsync(fd) != 0) {
        (void)close(fd);
        (void)unlink(path);
        return -1;
    }
    int with = open(path, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
    *direct = with >= 0 && pwrite(with, page, FLOOR_PAGE, 0) == FLOOR_PAGE;
    if (!*direct) {
        if (with >= 0) {
            (void)close(with);
        }
        with = open(path, O_RDWR | O_DSYNC | O_CLOEXEC);
    }
    (void)close(fd);
    return with;
}

static enum cor_status measure_append(const char *dir, struct bench_floors *f,
                                      struct cor_error *err)
{
    char path[4096];
    unsigned char *page = aligned_alloc(FLOOR_PAGE, FLOOR_PAGE);
    if (page == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    enum cor_status st = COR_OK;
    int fd = floor_open(dir, "", path, sizeof path, page, &f->direct);
    if (fd < 0) {
        st = io_failed(err, path);
    }
    memset(page, 0x5a, FLOOR_PAGE);
    uint64_t begin = bench_now(), at = begin;
    for (unsigned i = 0; st == COR_OK && at - begin < APPEND_NS; i++) {
        if (pwrite(fd, page, FLOOR_PAGE, (off_t)(i % FLOOR_PAGES) * FLOOR_PAGE) != FLOOR_PAGE) {
            st = io_failed(err, path);
            break;
        }
        uint64_t now = bench_now();
        histogram_add(&f->append, now - at);
        at = now;
    }
    f->append_ns = at - begin;
    f->has_append = st == COR_OK;
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(path);
    }
    free(page);
    return st;
}

/* ---- round trip ---------------------------------------------------------------------------------- */

bool floor_pair(int out[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = listener >= 0 && bind(listener, (struct sockaddr *)&a, sizeof a) == 0 &&
              listen(listener, 1) == 0 &&
              getsockname(listener, (struct sockaddr *)&a, &len) == 0;
    out[0] = ok ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    ok = ok && out[0] >= 0 && connect(out[0], (struct sockaddr *)&a, sizeof a) == 0;
    out[1] = ok ? accept(listener, NULL, NULL) : -1;
    ok = ok && out[1] >= 0;
    for (int i = 0; ok && i < 2; i++) {
        ok = setsockopt(out[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0;
    }
    if (listener >= 0) {
        (void)close(listener);
    }
    return ok;
}

bool floor_read(int fd, unsigned char *out, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, out, len);
        if (n <= 0) {
            return false;
        }
        out += n;
        len -= (size_t)n;
    }
    return true;
}

bool floor_send(int fd, const unsigned char *data, size_t len)
{
    return send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

struct echo {
    int fd;
    size_t bytes;
};

static void *echo_thread(void *arg)
{
    const struct echo *e = arg;
    unsigned char data[512];
    while (floor_read(e->fd, data, e->bytes) && floor_send(e->fd, data, e->bytes)) {
    }
    return NULL;
}

static enum cor_status ping_pong(size_t bytes, struct histogram *h, struct cor_error *err)
{
    int fds[2];
    if (!floor_pair(fds)) {
        return io_failed(err, "loopback");
    }
    struct echo echo = {fds[1], bytes};
    pthread_t thread;
    if (pthread_create(&thread, NULL, echo_thread, &echo) != 0) {
        return error_set(err, COR_ENOMEM, "no thread");
    }
    unsigned char data[512] = {0};
    bool ok = true;
    uint64_t at = bench_now();
    for (unsigned i = 0; i < ROUND_TRIPS && ok; i++) {
        ok = floor_send(fds[0], data, bytes) && floor_read(fds[0], data, bytes);
        uint64_t now = bench_now();
        histogram_add(h, now - at);
        at = now;
    }
    (void)shutdown(fds[0], SHUT_RDWR);
    (void)pthread_join(thread, NULL);
    (void)close(fds[0]);
    (void)close(fds[1]);
    return ok ? COR_OK : io_failed(err, "loopback");
}

static enum cor_status measure_round_trips(struct bench_floors *f, struct cor_error *err)
{
    enum cor_status st = COR_OK;
    for (unsigned i = 0; i < ROUND_TRIP_PAIRS && st == COR_OK; i++) {
        st = ping_pong(1, &f->round_trip_1, err);
        st = st == COR_OK ? ping_pong(300, &f->round_trip_300, err) : st;
    }
    return st;
}

/* ---- the bare loop ------------------------------------------------------------------------------- */

struct loop {
    int fds[FOLLOWERS]; /* leader: to each follower; follower: one */
    unsigned n;
    bool leads;
    uint64_t cpu_ns;
};

static uint64_t thread_cpu(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void watch_fd(int epoll, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

/* What a member does when idle: the leader sends on a timer, followers answer, both wait. */
static void *loop_thread(void *arg)
{
    struct loop *l = arg;
    unsigned char frame[HEARTBEAT_BYTES] = {0};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    const struct itimerspec every = {{0, HEARTBEAT_NS}, {0, HEARTBEAT_NS}};
    if (l->leads) {
        (void)timerfd_settime(timer, 0, &every, NULL);
        watch_fd(epoll, timer);
    }
    for (unsigned i = 0; i < l->n; i++) {
        watch_fd(epoll, l->fds[i]);
    }
    unsigned rounds = 0;
    bool open = true;
    while (open && rounds < HEARTBEAT_ROUNDS) {
        struct epoll_event events[8];
        int n = epoll_wait(epoll, events, 8, -1);
        for (int i = 0; i < n; i++) {
            uint64_t expired;
            if (events[i].data.fd == timer) {
                open = read(timer, &expired, sizeof expired) == sizeof expired;
                for (unsigned k = 0; k < l->n; k++) {
                    open = send(l->fds[k], frame, sizeof frame, MSG_NOSIGNAL) > 0 && open;
                }
                rounds++;
            } else {
                open = read(events[i].data.fd, frame, sizeof frame) > 0 && open;
                open = (l->leads ||
                        send(events[i].data.fd, frame, sizeof frame, MSG_NOSIGNAL) > 0) &&
                       open;
            }
        }
    }
    l->cpu_ns = thread_cpu();
    for (unsigned i = 0; i < l->n; i++) {
        (void)shutdown(l->fds[i], SHUT_RDWR);
    }
    (void)close(timer);
    (void)close(epoll);
    return NULL;
}

static enum cor_status measure_loop(struct bench_floors *f, struct cor_error *err)
{
    struct loop loops[1 + FOLLOWERS] = {{.leads = true, .n = FOLLOWERS}};
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        int fds[2];
        if (!floor_pair(fds)) {
            return io_failed(err, "loopback");
        }
        loops[0].fds[i] = fds[0];
        loops[1 + i] = (struct loop){.fds = {fds[1]}, .n = 1};
    }
    pthread_t threads[1 + FOLLOWERS];
    uint64_t begin = bench_now();
    for (unsigned i = 0; i < 1 + FOLLOWERS; i++) {
        if (pthread_create(&threads[i], NULL, loop_thread, &loops[i]) != 0) {
            return error_set(err, COR_ENOMEM, "no thread");
        }
    }
    for (unsigned i = 0; i < 1 + FOLLOWERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    f->loop_ns = bench_now() - begin;
    f->loop_leader_cpu_ns = loops[0].cpu_ns;
    f->loop_follower_cpu_ns = loops[1].cpu_ns;
    for (unsigned i = 0; i < FOLLOWERS; i++) {
        (void)close(loops[0].fds[i]);
        (void)close(loops[1 + i].fds[0]);
    }
    return COR_OK;
}

enum cor_status bench_floors(const char *dir, struct bench_floors *f, struct cor_error *err)
{
    enum cor_status st = measure_append(dir, f, err);
    st = st == COR_OK ? measure_round_trips(f, err) : st;
    st = st == COR_OK ? floor_measure_write(dir, f, err) : st;
    return st == COR_OK ? measure_loop(f, err) : st;
}
