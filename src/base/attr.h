/* attr.h - the only place that spells compiler attributes. */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#include <stddef.h>

#define MUST_USE       __attribute__((warn_unused_result))
#define NO_RETURN      __attribute__((noreturn))
#define PRINTF_LIKE(f) __attribute__((format(printf, f, f + 1)))
#define ARRAY_LEN(a)   (sizeof(a) / sizeof((a)[0]))

/* The struct of type @type whose member @member is at @ptr. */
#define CONTAINER_OF(ptr, type, member)                                                        \
    ((type *)(void *)((unsigned char *)(ptr)-offsetof(type, member)))

#if defined(__has_feature) /* clang */
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__) /* gcc */
#define HAVE_ASAN 1
#endif
#ifndef HAVE_ASAN
#define HAVE_ASAN 0
#endif

#endif
