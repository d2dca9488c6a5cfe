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
    snprintf(text + used, sizeof text - used, ": %s", err->text);
    memcpy(err->text, text, sizeof text);
    return err->status;
}
