/*
 * status.h - the one result type of the project.
 *
 * A cor_status says what the caller can do next, not where it went wrong: two failures that
 * call for the same reaction share a code. Numbers are part of the wire protocol and of the
 * ABI: add at the end, never renumber, never reuse.
 */
#ifndef CORACLE_STATUS_H
#define CORACLE_STATUS_H

#include "coracle/api.h"

#define COR_STATUS_MAP(X)                                                                      \
    X(OK, 0, "ok")                                                                             \
    X(ENOMEM, 1, "out of memory")                                                              \
    X(EINVAL, 2, "invalid argument")                                                           \
    X(ENOTLEADER, 3, "this node is not the leader")                                            \
    X(EBUSY, 4, "a bounded queue is full; retry later")                                        \
    X(ECORRUPT, 5, "stored data failed its checksum")                                          \
    X(EPROTO, 6, "malformed bytes from outside")                                               \
    X(EIO, 7, "input/output error")                                                            \
    X(ECOMPACTED, 8, "the requested revision has been compacted")                              \
    X(ENOTFOUND, 9, "not found")                                                               \
    X(EEXIST, 10, "already exists")                                                            \
    X(ENOSPACE, 11, "no space left")                                                           \
    X(ETOOBIG, 12, "larger than the limit")                                                    \
    X(ENOLEADER, 13, "no leader is known")                                                     \
    X(ENOTDONE, 14, "not done; safe to retry")                                                 \
    X(EUNKNOWN, 15, "outcome unknown; it may or may not have been done")                       \
    X(ETIMEDOUT, 16, "timed out")                                                              \
    X(ESTOPPED, 17, "the node is stopping")                                                    \
    X(EFOREIGN, 18, "belongs to another cluster, node or version")                             \
    X(EREFUSED, 19, "refused by a peer")                                                       \
    X(ELOCKED, 20, "in use by another process")                                                \
    X(EPERM, 21, "permission denied")                                                          \
    X(EFUTURE, 22, "the requested revision is in the future")                                  \
    X(EEXPIRED, 23, "past its deadline; not done")                                             \
    X(ENEEDTERM, 24, "the core needs terms of older entries from the host")                    \
    X(ECONFLICT, 25, "a condition of the transaction did not hold")                            \
    X(ENOSESSION, 26, "no such client session: closed, expired, or never opened")              \
    X(EREUSED, 27, "this request number was used for another request")                         \
    X(EFORGOTTEN, 28, "the answer to this request number is no longer kept")

enum cor_status {
#define X(name, number, text) COR_##name = number,
    COR_STATUS_MAP(X)
#undef X
};

#define COR_ERROR_TEXT_MAX 256

/*
 * What failed, for a person: made once where the cause is known, prefixed on the way up
 * ("segment 00000042: page 7: checksum"). @os_errno is 0 unless the system said why.
 */
struct cor_error {
    enum cor_status status;
    int os_errno;
    char text[COR_ERROR_TEXT_MAX];
};

/* Static text for @st, never NULL; "unknown status" for a number this build does not know
 * (a newer peer may send one). Thread-safe. */
COR_API const char *cor_status_text(enum cor_status st);

#endif
