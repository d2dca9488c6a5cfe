/* scan.h - the pass over a text in front of json-c. See reader.h. */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include "coracle/bytes.h"

#include <stddef.h>

struct json_scan {
    size_t at;           /* of what @wrong speaks of */
    const char *wrong;   /* NULL: nothing that json-c would not find itself */
    size_t memory_bytes; /* that the values may need, at most */
};

struct json_scan json_scan(struct cor_bytes text);

#endif
