/*
 * socket.h - a TCP connection for clients: blocking calls that end at a deadline.
 *
 * Deadlines are of CLOCK_MONOTONIC, in ns.
 */
#ifndef CLI_SOCKET_H
#define CLI_SOCKET_H

#include "base/attr.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stddef.h>
#include <stdint.h>

/* COR_OK: *fd is open; COR_EINVAL: @address is not HOST:PORT; COR_EIO, COR_ETIMEDOUT: @err says why not. */
MUST_USE enum cor_status socket_dial(const char *address, uint64_t deadline, int *fd,
                                     struct cor_error *err);
/* All of @data. Any other status: an unknown part of it may have left. */
MUST_USE enum cor_status socket_send(int fd, struct cor_bytes data, uint64_t deadline,
                                     struct cor_error *err);
/* *got 0: the other side has closed. */
MUST_USE enum cor_status socket_receive(int fd, void *out, size_t size, uint64_t deadline,
                                        size_t *got, struct cor_error *err);

#endif
