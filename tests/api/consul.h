/*
 * consul.h - questions in Consul's dialect to a stand-in node, a row each.
 */
#ifndef TESTS_API_CONSUL_H
#define TESTS_API_CONSUL_H

#include "tests/api/site.h"

struct row {
    const char *line, *body; /* "METHOD TARGET"; NULL: no body */
    unsigned status;
    const char *has; /* somewhere in head or body; "" means: no body */
};

/* One request on a connection of its own. */
static inline struct reply *ask_row(struct site *site, struct client *c, const char *line,
                                    const char *body)
{
    static char text[(1 << 20) + 4096];
    format_to(text, sizeof text,
              "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", line,
              strlen(body), body);
    client_open(c, site);
    if (strncmp(line, "HEAD", 4) == 0) {
        http_reply_parser_expect(c->parser, true);
    }
    return client_ask(c, text);
}

static inline void check_rows(struct site *site, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct client c;
        struct reply *r =
            ask_row(site, &c, rows[i].line, rows[i].body == NULL ? "" : rows[i].body);
        ROW("%.100s: %s | %.200s", rows[i].line, r->head == NULL ? "" : r->head,
            r->body == NULL ? "" : r->body);
        CHECK_EQ(r->status, rows[i].status);
        CHECK(rows[i].has[0] != '\0' ? reply_has(r, rows[i].has) : r->len == 0);
        client_close(&c);
    }
    ROW("%s", "");
}

#endif
