/*
 * socket.c - see socket.h.
 */
#include "cli/socket.h"

#include "base/error.h"
#include "base/format.h"
#include "cli/client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t client_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* Until @fd is ready for @events. */
static enum cor_status wait_for(int fd, short events, uint64_t deadline, struct cor_error *err)
{
    for (;;) {
        uint64_t now = client_now();
        if (now >= deadline) {
            return error_set(err, COR_ETIMEDOUT, "no answer in time");
        }
        uint64_t ms = (deadline - now + 999999) / 1000000;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, ms > 1000000 ? 1000000 : (int)ms);
        if (n > 0) {
            return COR_OK;
        }
        if (n < 0 && errno != EINTR) {
            return error_set(err, COR_EIO, "%s", strerror(errno));
        }
    }
}

static enum cor_status connect_to(const struct addrinfo *a, uint64_t deadline, int *out,
                                  struct cor_error *err)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return error_set(err, COR_EIO, "%s", strerror(errno));
    }
    enum cor_status st = COR_OK;
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        int why = errno;
        socklen_t len = sizeof why;
        st = why == EINPROGRESS ? wait_for(fd, POLLOUT, deadline, err) : COR_OK;
        if (st == COR_OK && why == EINPROGRESS) {
            (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len);
        }
        if (st == COR_OK && why != 0) {
            st = error_set(err, COR_EIO, "%s", strerror(why));
        }
    }
    if (st != COR_OK) {
        (void)close(fd);
        return st;
    }
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *out = fd;
    return COR_OK;
}

/* "host:port" and "[v6]:port" in two: the host is copied, the port returned. NULL: it is neither. */
static const char *split_address(const char *address, char *host, size_t size)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - address);
    bool brackets = len > 2 && address[0] == '[' && address[len - 1] == ']';
    if (len == 0 || colon[1] == '\0' || len >= size ||
        (!brackets && memchr(address, ':', len) != NULL)) {
        return NULL;
    }
    format_to(host, size, "%.*s", (int)(brackets ? len - 2 : len),
              address + (brackets ? 1 : 0));
    return colon + 1;
}

enum cor_status socket_dial(const char *address, uint64_t deadline, int *fd,
                            struct cor_error *err)
{
    char host[256];
    const char *port = split_address(address, host, sizeof host);
    if (port == NULL) {
        return error_set(err, COR_EINVAL, "an endpoint is HOST:PORT, as in 127.0.0.1:2379");
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(host, port, &hints, &found);
    if (code != 0) {
        return error_set(err, COR_EIO, "%s", gai_strerror(code));
    }
    enum cor_status st = COR_EIO;
    for (const struct addrinfo *a = found; a != NULL && st != COR_OK; a = a->ai_next) {
        st = connect_to(a, deadline, fd, err);
    }
    freeaddrinfo(found);
    return st;
}

enum cor_status socket_send(int fd, struct cor_bytes data, uint64_t deadline,
                            struct cor_error *err)
{
    while (data.len > 0) {
        ssize_t n = send(fd, data.ptr, data.len, MSG_NOSIGNAL);
        if (n > 0) {
            data.ptr += n;
            data.len -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            enum cor_status st = wait_for(fd, POLLOUT, deadline, err);
            if (st != COR_OK) {
                return st;
            }
        } else if (n < 0 && errno != EINTR) {
            return error_set(err, COR_EIO, "%s", strerror(errno));
        }
    }
    return COR_OK;
}

enum cor_status socket_receive(int fd, void *out, size_t size, uint64_t deadline, size_t *got,
                               struct cor_error *err)
{
    for (;;) {
        enum cor_status st = wait_for(fd, POLLIN, deadline, err);
        if (st != COR_OK) {
            return st;
        }
        ssize_t n = recv(fd, out, size, 0);
        if (n >= 0) {
            *got = (size_t)n;
            return COR_OK;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return error_set(err, COR_EIO, "%s", strerror(errno));
        }
    }
}
