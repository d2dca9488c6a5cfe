/*
 * client.h - one request to a cluster: over plain blocking HTTP/1.1, to the first endpoint that answers.
 *
 * Place in the system: put, get, del, watch and status are made of this. Endpoints are tried in order; a node that
 * cannot be reached, or says that nothing was done (503), is passed over for the next, round and round until the time
 * is up or not one of them can be reached. A write is never sent again once it may have left: then its outcome is unknown
 * (D16); unless it has a number in a session (D12), under which the nodes do it once: it is sent until there is an answer.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/command.h"
#include "coracle/bytes.h"
#include "coracle/status.h"
#include "http/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values begin with this, and their table ends with client_table. */
struct client_values {
    struct option_list endpoints;
    uint64_t timeout;
    uint64_t form; /* enum text_form; by the command's own --output */
};
#define CLIENT_TABLE_LEN 2u
extern const struct option client_table[CLIENT_TABLE_LEN];

struct client;

struct client_request {
    const char *method;
    const char *target;          /* path and query, encoded */
    struct cor_bytes body;       /* of PUT */
    const char *idempotency_key; /* SESSION:NUMBER; NULL: none */
    bool writes;
    bool timed;   /* "timeout=" is added to the query: the node shall speak before we give up */
    bool streams; /* once a 2xx answer has begun it may take any time, but for CLIENT_SILENCE */
    /* Parts of the body of a 2xx answer, as they come; false: that was enough. NULL: collected. */
    bool (*on_part)(void *arg, struct cor_bytes part);
    void *arg;
};

#define CLIENT_BODY_MAX (8u << 20)            /* of an answer that is collected */
#define CLIENT_SILENCE  UINT64_C(45000000000) /* ns: a watch has an empty line every 15 s */

struct client_reply {
    unsigned status;
    struct cor_bytes body; /* until the next request */
    bool cut; /* on_part was called, and then the connection ended early, or time was up */
    /* Of the headers X-Coracle-*; 0: not there. */
    uint64_t revision, create_revision, mod_revision, version;
    uint64_t consul_index; /* X-Consul-Index */
};

/* NULL: out of memory. */
struct client *client_new(const struct client_values *v);
void client_free(struct client *c);

/*
 * Ask, anyone, until @timeout ns (0: what --timeout says) are over.
 *
 * COR_OK: *reply is an answer, of whatever status but 503; COR_ENOTDONE: nobody could be asked, or
 * everybody said 503: @err has the last reason; COR_EUNKNOWN: a write that may have left and was not answered;
 * COR_EPROTO: a read, and what came back is not HTTP, or too large; COR_EINVAL: an endpoint is not an address;
 * COR_ETOOBIG: the target is too long.
 */
MUST_USE enum cor_status client_ask(struct client *c, const struct client_request *r,
                                    uint64_t timeout, struct client_reply *reply,
                                    struct cor_error *err);
/* Ask this one endpoint, once. As above, but 503 is an answer too. */
MUST_USE enum cor_status client_ask_one(struct client *c, const char *endpoint,
                                        const struct client_request *r, uint64_t timeout,
                                        struct client_reply *reply, struct cor_error *err);
/* The endpoint that answered last. */
const char *client_endpoint(const struct client *c);

/* What a failed client_ask(), or an answer that is none of the good ones, means: a line on stderr, and the code to
 * end with. */
enum exit_code client_fail(const struct invocation *i, enum cor_status st,
                           const struct client_reply *reply, const struct cor_error *err);

/* CLOCK_MONOTONIC, ns. */
uint64_t client_now(void);

#endif
