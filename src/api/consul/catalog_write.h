/*
 * catalog_write.h - bodies of /v1/catalog/register and deregister as operations; apart from the calls, for
 * the fuzzer.
 */
#ifndef API_CONSUL_CATALOG_WRITE_H
#define API_CONSUL_CATALOG_WRITE_H

#include "base/writer.h"
#include "json/reader.h"

struct catalog_body {
    unsigned status; /* of the refusal; 0: @ops are what is asked for */
    char text[192];
    struct writer ops;
    struct writer rows;    /* private from here on: lists and rows, while the body is read */
    struct cor_bytes node; /* a view into it */
    unsigned char *memory;
};

/* Make the operations of @body, which came in @len bytes. COR_OK: *b is to be freed with
 * catalog_body_free(). COR_ENOMEM; COR_ETOOBIG. */
MUST_USE enum cor_status catalog_register_ops(const struct json_value *body, size_t len,
                                              struct catalog_body *b);
MUST_USE enum cor_status catalog_deregister_ops(const struct json_value *body, size_t len,
                                                struct catalog_body *b);
void catalog_body_free(struct catalog_body *b);

#endif
