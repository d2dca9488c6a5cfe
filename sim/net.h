/*
 * net.h - byte streams between hosts, and what can happen to them.
 *
 * Place in the system: host.c puts the functions below into its io_ops; cluster.h and the swarm switch
 * faults on and off. It models what a program sees of TCP: bytes in order, cut and joined anywhere, late;
 * a lost packet is a stall (it is sent again) or, when the other side is gone, a reset; a cut link is silence,
 * in one direction or both, and what was sent meanwhile arrives after it heals, if nobody gave up.
 * Finding out that a link is dead is the nodes' business.
 *
 * Seams: everything a link does to a segment is decided in one place (send_segment); duplication and
 * corruption of bytes, which TCP hides but a broken middlebox does not, would go there.
 */
#ifndef SIM_NET_H
#define SIM_NET_H

#include "sim/host.h"

#define NET_HOSTS_MAX 64u

struct sim_conn;
struct sim_address;

struct net {
    struct world *world;
    struct sim_delay delay;
    unsigned split_permille; /* a send is cut in two at a random byte */
    unsigned stall_permille; /* of segments: lost, and sent again after stall_min and more */
    uint64_t stall_min;
    unsigned reset_permille; /* of segments, per 1000 * 1000: the connection is reset */
    size_t window_bytes;     /* on their way per direction; more waits at the sender */
    bool cut[NET_HOSTS_MAX][NET_HOSTS_MAX];  /* [from][to], by host number */
    bool slow[NET_HOSTS_MAX][NET_HOSTS_MAX]; /* 50 times the delay */
    struct sim_conn *conns;
    struct sim_address *addresses;
    uint64_t n_conns, n_bytes, n_resets, n_stalls; /* since the beginning */
};

void net_init(struct net *net, struct world *w);
void net_deinit(struct net *net);

/* Cut (or heal) the way from one host to another. */
void net_cut(struct net *net, unsigned from, unsigned to, bool cut);
void net_heal_all(struct net *net);
/* Reset all connections between two hosts, as a middlebox would. */
void net_reset(struct net *net, unsigned a, unsigned b);

/* For host.c. */
void net_flush(struct host *h);
void net_host_down(struct host *h, enum host_death death);
void net_host_changed(struct host *h);

enum cor_status net_listen(struct io *io, const char *address,
                           void (*on_accept)(void *arg, struct io_stream *s), void *arg,
                           char *bound, struct io_listener **out, struct cor_error *err);
void net_listener_close(struct io_listener *l);
enum cor_status net_dial(struct io *io, const char *address,
                         const struct io_stream_events *events, void *arg,
                         struct io_stream **out);
void net_stream_take(struct io_stream *s, const struct io_stream_events *events, void *arg);
enum cor_status net_stream_send(struct io_stream *s, struct cor_bytes data);
size_t net_stream_queued(const struct io_stream *s);
void net_stream_pause(struct io_stream *s, bool paused);
void net_stream_close(struct io_stream *s, bool flush);
void net_stream_peer(const struct io_stream *s, char *out, size_t size);

#endif
