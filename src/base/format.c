/* format.c - the one place where the pure rooms' text is formatted. */
#include "base/format.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>

size_t format_to(char *out, size_t size, const char *format, ...)
{
    COR_ASSERT(size > 0);
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(out, size, format, ap);
    va_end(ap);
    if (n < 0) {
        out[0] = '\0';
        return 0;
    }
    return (size_t)n < size ? (size_t)n : size - 1;
}
