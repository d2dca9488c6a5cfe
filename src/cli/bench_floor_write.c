/*
 * bench_floor_write.c - the least that a durable write on a majority of three can take on this machine.
 *
 * The same steps as a write of ours, with nothing of ours in the way: a client sends 300 bytes; the leader sends
 * them to two followers, and its writer makes a page durable at the same time; a follower makes a page durable and
 * answers; when two of the three are durable the leader answers the client. One thread each, blocking calls,
 * three files of one directory: where the members share a disk, as in this bench, it is shared here, too.
 */
#include "cli/bench_floor.h"

#include "base/error.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLICAS      3u /* the leader's own disk is the last */
#define QUORUM        2u
#define REQUEST_BYTES 300u
#define WRITE_NS      UINT64_C(1500000000)

/* One that makes a page durable for each request it gets, and answers with the request's number. */
struct replica {
    int near, far; /* the leader's end and its own */
    int file;
    char path[4096];
    unsigned char *page;
    pthread_t thread;
    bool runs;
};

struct trial {
    struct replica replicas[REPLICAS];
    int client, leader; /* both ends of the client's connection */
    pthread_t thread;
    bool runs;
};

static uint32_t number_of(const unsigned char *message)
{
    uint32_t number;
    memcpy(&number, message, sizeof number);
    return number;
}

static void *replica_thread(void *arg)
{
    struct replica *r = arg;
    unsigned char message[REQUEST_BYTES];
    while (floor_read(r->far, message, sizeof message)) {
        off_t at = (off_t)(number_of(message) % FLOOR_PAGES) * FLOOR_PAGE;
        memcpy(r->page, message, sizeof message);
        if (pwrite(r->file, r->page, FLOOR_PAGE, at) != FLOOR_PAGE ||
            !floor_send(r->far, message, sizeof(uint32_t))) {
            break;
        }
    }
    return NULL;
}

/* Wait until QUORUM have answered for @number; what comes late of others is read and forgotten. */
static bool wait_for_quorum(struct trial *t, uint32_t number)
{
    struct pollfd fds[REPLICAS];
    unsigned durable = 0;
    for (unsigned i = 0; i < REPLICAS; i++) {
        fds[i] = (struct pollfd){.fd = t->replicas[i].near, .events = POLLIN};
    }
    while (durable < QUORUM) {
        if (poll(fds, REPLICAS, -1) < 0) {
            return false;
        }
        for (unsigned i = 0; i < REPLICAS; i++) {
            unsigned char answer[sizeof(uint32_t)];
            if (fds[i].revents == 0) {
                continue;
            }
            if (!floor_read(fds[i].fd, answer, sizeof answer)) {
                return false;
            }
            durable += number_of(answer) == number;
        }
    }
    return true;
}

static void *leader_thread(void *arg)
{
    struct trial *t = arg;
    unsigned char message[REQUEST_BYTES];
    bool ok = true;
    while (ok && floor_read(t->leader, message, sizeof message)) {
        for (unsigned i = 0; i < REPLICAS && ok; i++) {
            ok = floor_send(t->replicas[i].near, message, sizeof message);
        }
        ok = ok && wait_for_quorum(t, number_of(message)) &&
             floor_send(t->leader, message, sizeof(uint32_t));
    }
    (void)shutdown(t->leader, SHUT_RDWR);
    return NULL;
}

static bool start_replica(struct replica *r, const char *dir, unsigned number)
{
    char suffix[] = {'.', (char)('1' + (int)number), '\0'};
    int fds[2];
    bool direct;
    r->page = aligned_alloc(FLOOR_PAGE, FLOOR_PAGE);
    if (r->page == NULL || !floor_pair(fds)) {
        return false;
    }
    r->near = fds[0];
    r->far = fds[1];
    r->file = floor_open(dir, suffix, r->path, sizeof r->path, r->page, &direct);
    r->runs = r->file >= 0 && pthread_create(&r->thread, NULL, replica_thread, r) == 0;
    return r->runs;
}

static bool start(struct trial *t, const char *dir)
{
    int fds[2];
    for (unsigned i = 0; i < REPLICAS; i++) {
        if (!start_replica(&t->replicas[i], dir, i)) {
            return false;
        }
    }
    if (!floor_pair(fds)) {
        return false;
    }
    t->client = fds[0];
    t->leader = fds[1];
    t->runs = pthread_create(&t->thread, NULL, leader_thread, t) == 0;
    return t->runs;
}

static bool measure(struct trial *t, struct histogram *h)
{
    unsigned char message[REQUEST_BYTES] = {0};
    uint64_t begin = bench_now(), at = begin;
    for (uint32_t i = 1; at - begin < WRITE_NS; i++) {
        memcpy(message, &i, sizeof i);
        if (!floor_send(t->client, message, sizeof message) ||
            !floor_read(t->client, message, sizeof i)) {
            return false;
        }
        uint64_t now = bench_now();
        histogram_add(h, now - at);
        at = now;
    }
    return true;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        (void)shutdown(fd, SHUT_RDWR);
        (void)close(fd);
    }
}

static void stop(struct trial *t)
{
    if (t->client >= 0) {
        (void)shutdown(t->client, SHUT_RDWR);
    }
    if (t->runs) {
        (void)pthread_join(t->thread, NULL);
    }
    close_fd(t->client);
    close_fd(t->leader);
    for (unsigned i = 0; i < REPLICAS; i++) {
        struct replica *r = &t->replicas[i];
        if (r->near >= 0) {
            (void)shutdown(r->near, SHUT_RDWR);
        }
        if (r->runs) {
            (void)pthread_join(r->thread, NULL);
        }
        close_fd(r->near);
        close_fd(r->far);
        if (r->file >= 0) {
            (void)close(r->file);
            (void)unlink(r->path);
        }
        free(r->page);
    }
}

enum cor_status floor_measure_write(const char *dir, struct bench_floors *f,
                                    struct cor_error *err)
{
    struct trial *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return error_set(err, COR_ENOMEM, "out of memory");
    }
    t->client = t->leader = -1;
    for (unsigned i = 0; i < REPLICAS; i++) {
        t->replicas[i].near = t->replicas[i].far = t->replicas[i].file = -1;
    }
    bool ok = start(t, dir) && measure(t, &f->write);
    int why = errno;
    stop(t);
    free(t);
    return ok ? COR_OK : error_set(err, COR_EIO, "%s: bare write: %s", dir, strerror(why));
}
