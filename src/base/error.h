/*
 * error.h - fill a struct cor_error: the text a person reads, made where the cause is known.
 *
 * All functions accept @err == NULL and then only return @st, so an out-parameter nobody asked
 * for costs nothing at the call.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/attr.h"
#include "coracle/status.h"

/* Set @err to @st and the formatted text (cut at its end if too long). Returns @st. */
enum cor_status error_set(struct cor_error *err, enum cor_status st, const char *format, ...)
    PRINTF_LIKE(3);

/* Put "PREFIX: " before the text of @err: what the caller was doing. Returns err's status. */
enum cor_status error_prefix(struct cor_error *err, const char *format, ...) PRINTF_LIKE(2);

#endif
