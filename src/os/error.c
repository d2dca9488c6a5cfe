/* error.c - the system's error numbers as statuses and sentences: no errno leaves os/. */
#include "os/internal.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>

enum cor_status os_status(int error)
{
    switch (error) {
    case 0:
        return COR_OK;
    case ENOMEM:
    case EMFILE: /* of handles, not of bytes: as soon over, and nothing is broken */
    case ENFILE:
        return COR_ENOMEM;
    case ENOENT:
        return COR_ENOTFOUND;
    case EEXIST:
    case EADDRINUSE:
        return COR_EEXIST;
    case ENOSPC:
    case EDQUOT:
        return COR_ENOSPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return COR_EPERM;
    case ETIMEDOUT:
        return COR_ETIMEDOUT;
    default:
        return COR_EIO;
    }
}

enum cor_status os_error(struct cor_error *err, int error, const char *what)
{
    char text[96];
    const char *reason = strerror_r(error, text, sizeof text);
    enum cor_status st = error_set(err, os_status(error), "%s: %s", what, reason);
    if (err != NULL) {
        err->os_errno = error;
    }
    return st;
}
