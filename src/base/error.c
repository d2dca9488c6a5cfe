/* error.c - texts for people, in fixed memory: what does not fit is cut, never an error itself. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum cor_status error_set(struct cor_error *err, enum cor_status st, const char *format, ...)
{
    if (err != NULL) {
        va_list ap;
        va_start(ap, format);
        err->status = st;
        err->os_errno = 0;
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
    }
    return st;
}

/* Copy what fits of @from, always ended; returns the length copied. */
static size_t append(char *to, size_t room, const char *from)
{
    size_t len = strlen(from);
    size_t n = len < room ? len : room - 1;
    memcpy(to, from, n);
    to[n] = '\0';
    return n;
}

enum cor_status error_prefix(struct cor_error *err, const char *format, ...)
{
    if (err == NULL) {
        return COR_OK;
    }
    char text[COR_ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    size_t used = n < 0 ? 0 : ((size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    used += append(text + used, sizeof text - used, ": ");
    append(text + used, sizeof text - used, err->text);
    memcpy(err->text, text, sizeof text);
    return err->status;
}
