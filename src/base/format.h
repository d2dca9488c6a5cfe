/*
 * format.h - printf into a fixed buffer, for the rooms that may not include <stdio.h>.
 *
 * Always NUL-terminates; returns the length of what is in the buffer (at most @size - 1), so
 * calls can be chained without a check: text that does not fit is cut.
 */
#ifndef BASE_FORMAT_H
#define BASE_FORMAT_H

#include "base/attr.h"

#include <stddef.h>

size_t format_to(char *out, size_t size, const char *format, ...) PRINTF_LIKE(3);

#endif
