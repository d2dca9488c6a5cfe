/* clock.c - time and randomness, fresh at every call. */
#include "os/internal.h"

#include "base/assert.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static struct timespec read_clock(clockid_t id)
{
    struct timespec t;
    int failed = clock_gettime(id, &t);
    COR_ASSERT(failed == 0);
    return t;
}

/* CLOCK_BOOTTIME: a lease must not survive the lid of a laptop (D5). Read by the vDSO, without a
 * system call. */
uint64_t os_now(struct io *io)
{
    (void)io;
    struct timespec t = read_clock(CLOCK_BOOTTIME);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t os_wall_ms(struct io *io)
{
    (void)io;
    struct timespec t = read_clock(CLOCK_REALTIME);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* Blocks early in the machine's boot until the kernel has entropy; fails only where it is not a
 * Linux that we can run on. */
void os_random(struct io *io, void *out, size_t len)
{
    (void)io;
    unsigned char *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        COR_ASSERT(n > 0 || errno == EINTR);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
}
