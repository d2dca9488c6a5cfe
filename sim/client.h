/*
 * client.h - clients of a simulated cluster: they ask, wait, give up, ask again, and write everything down.
 *
 * Place in the system: above cluster.h; what they wrote down is judged by history.h. Two kinds, one behavior:
 * *message mode* calls node/ directly, in a turn of the node's own loop: volume. *Byte mode* (client_http.c)
 * speaks HTTP through a simulated stream, from a host of its own: the whole way from bytes to bytes, and whatever
 * can happen to a connection.
 *
 * A client has one request out at a time. A write that was refused is asked again, as a new one with a
 * new number; one of unknown outcome never is. But some clients in message mode number their writes, each in a session
 * of its own (D12): they ask again, of whatever node, under the same number, until they are told; then
 * the history has one write, whose answer must be that of its one effect.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "sim/cluster.h"

#define CLIENTS_MAX 32u

enum client_wish {
    WISH_PUT = 0,
    WISH_PUT_TWO,
    WISH_DELETE,
    WISH_GET,
    WISH_GET_CONSISTENT,
    WISH_GET_STALE,
    N_WISHES
};

struct client_options {
    unsigned n_message, n_http;
    unsigned n_numbered; /* of those in message mode, the first ones */
    uint32_t n_keys;
    uint64_t think;    /* mean time between an answer and the next request; 0: they only do what
                          clients_ask() says */
    uint64_t patience; /* for an answer */
    size_t value_max, value_min;
    unsigned weights[N_WISHES];
};

struct client_stats {
    uint64_t asked, done, refused, unknown, http;
    uint64_t repeated; /* attempts under a number that had been sent before */
};

struct clients;

struct clients *clients_new(struct cluster *c, const struct client_options *options);
/* Values written from now on have so many bytes; @max at most what it was in the beginning. */
void clients_set_values(struct clients *cl, size_t min, size_t max);
/* No new requests from now on. */
void clients_stop(struct clients *cl);
/* Nobody waits for an answer. */
bool clients_are_idle(const struct clients *cl);
bool clients_is_waiting(const struct clients *cl, unsigned client);
/* Have client @client (message-mode ones first, then byte-mode ones) ask @what of what->node: kind, mode and
 * keys are taken. Returns its place in the history, where the answer will be. */
size_t clients_ask(struct clients *cl, unsigned client, const struct op *what);
void clients_get_stats(const struct clients *cl, struct client_stats *out);
/* Switch their machines off; then cluster_deinit(); then free. */
void clients_halt(struct clients *cl);
void clients_free(struct clients *cl);

/* ---- for client_http.c -------------------------------------------------------------------------- */

struct client_answer {
    enum cor_status status;
    uint64_t revision, value, mod_revision;
    bool changed;
    uint64_t session; /* that was opened */
};

struct client_http;

struct client_http *client_http_new(struct cluster *c, unsigned host_number, void *arg,
                                    void (*on_answer)(void *arg,
                                                      const struct client_answer *a));
struct host *client_http_host(struct client_http *h);
/* Ask the node op->node. The answer comes by callback: COR_EUNKNOWN when the connection breaks. */
void client_http_ask(struct client_http *h, const struct op *op, struct cor_bytes value);
/* No longer interested: hangs up. */
void client_http_give_up(struct client_http *h);
void client_http_halt(struct client_http *h);
void client_http_free(struct client_http *h);

#endif
