/* handler.c - see handler.h. */
#include "cli/handler.h"

#include "base/error.h"
#include "base/format.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A socket and not a pipe: of a program that does not read we must not die. */
static void feed(int fd, struct cor_bytes input)
{
    while (input.len > 0) {
        ssize_t n = send(fd, input.ptr, input.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) {
            return;
        }
        input.ptr += n > 0 ? n : 0;
        input.len -= n > 0 ? (size_t)n : 0;
    }
}

/* Our @fd becomes its standard input. */
static int spawn(const char *const *program, int fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    union {
        const char *const *given;
        char *const *wanted; /* it changes nothing, but is declared as if it did */
    } arguments = {.given = program};
    int error = posix_spawn_file_actions_init(&actions);
    if (error != 0) {
        return error;
    }
    error = posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
    if (error == 0) {
        error = posix_spawnp(pid, program[0], &actions, NULL, arguments.wanted, environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return error;
}

static enum cor_status outcome(const char *name, pid_t pid, struct cor_error *err)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return error_set(err, COR_EIO, "%.100s: %s", name, strerror(errno));
        }
    }
    if (WIFSIGNALED(status)) {
        return error_set(err, COR_EREFUSED, "%.100s was ended by signal %d", name,
                         WTERMSIG(status));
    }
    return WEXITSTATUS(status) == 0 ? COR_OK
                                    : error_set(err, COR_EREFUSED, "%.100s ended with %d", name,
                                                WEXITSTATUS(status));
}

enum cor_status handler_run(const char *const *program, uint64_t index, struct cor_bytes input,
                            struct cor_error *err)
{
    char number[24];
    int ends[2];
    pid_t pid;
    format_to(number, sizeof number, "%llu", (unsigned long long)index);
    if (setenv("CONSUL_INDEX", number, 1) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        return error_set(err, COR_EIO, "%.100s: %s", program[0], strerror(errno));
    }
    int error = spawn(program, ends[1], &pid);
    (void)close(ends[1]);
    if (error == 0) {
        feed(ends[0], input);
    }
    (void)close(ends[0]);
    return error == 0 ? outcome(program[0], pid, err)
                      : error_set(err, COR_EIO, "%.100s: %s", program[0], strerror(error));
}
