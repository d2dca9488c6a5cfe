/*
 * peer.h - talking to the other members: messages as bytes, and the links that carry them.
 *
 * Place in the system: node/ hands in messages of the consensus core and requests for the leader,
 * and gets the other members' by callback; below are the byte streams of io/. Nothing here knows
 * consensus, and nothing a peer sends can do more than close its connection.
 *
 * Two connections per pair of members (D15), both two-way: *control* (votes, heartbeats, read
 * index, acknowledgements, forwarded requests up to 4 KiB and answers up to 4 KiB) and *data* (entries,
 * larger requests and answers), so that a large entry or a catch-up never delays a heartbeat. The
 * member whose name sorts first dials both; the other one listens. A lost link is dialed again
 * after 20 ms, doubling to 1 s, with jitter. Messages to a link that is down are dropped: consensus
 * repeats what matters, and forwarded requests fail as unknown or not done. A connection on which nothing
 * was sent for 1 s carries a ping; one on which nothing arrived for 3 s is closed, so that a machine that
 * vanished is noticed. Without members there are no timers.
 *
 * Frames: little-endian header { u32 length of payload (at most 64 KiB), u8 type, u8 flags (bit 0: more
 * frames of this message follow), u16 group (0, D17), u64 hash64 of the payload, seeded with the
 * first 8 bytes }, then the payload. Larger messages are cut into several frames. A frame that is too
 * long, of unknown type, or fails its checksum closes the connection. docs/wire.md has the formats.
 *
 * Handshake: both sides send a HELLO frame first, and look at the other's before anything else; a side
 * that accepts it answers WELCOME, a side that refuses sends a REFUSED frame with the reason and closes.
 * A connection is up when both sides are welcome, so neither takes a link for up that the other refuses.
 *
 * What is checked here: frames, versions, names, the list of members, checksums of entries. What is not:
 * cluster and disk (on_hello), and that message->from is the id of the member it came from (on_message).
 */
#ifndef PEER_PEER_H
#define PEER_PEER_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/event.h"
#include "coracle/raft.h"
#include "coracle/status.h"
#include "io/io.h"

#include <stdbool.h>
#include <stdint.h>

#define PEER_NAME_MAX        63u
#define PEER_MESSAGE_MAX     (4u << 20) /* bytes of one reassembled message */
#define PEER_PROTOCOL_MIN    1u
#define PEER_PROTOCOL_MAX    1u
#define PEER_ENTRIES_MAX     4096u       /* in one append; as message_entries_max of the core */
#define PEER_QUEUE_BYTES_MAX (64u << 20) /* per connection; past it the link is dropped */

/* Who is at the other end, as it says of itself (D14). */
struct peer_hello {
    uint8_t protocol_min, protocol_max;
    uint32_t level_min, level_max; /* feature levels it can run at */
    unsigned char cluster_id[16];  /* all zero: not formed yet */
    unsigned char disk_id[16];
    uint64_t incarnation;
    char name[PEER_NAME_MAX + 1];
    char client_address[IO_ADDRESS_MAX];
    /* The static members list of its command line, as a hash over sorted (name) pairs: members with
     * different lists must not form a cluster together. */
    uint64_t members_hash;
    uint16_t authenticator_len; /* room for one; 0 today */
    bool wiped_note;            /* private to node/: free use */
};

/* One entry on its way. @payload is shared, not copied; when sending, @offset and @len choose the
 * bytes inside it. @checksum is the proposer's, verified on receipt before on_message. */
struct peer_entry {
    uint64_t term;
    uint32_t type; /* enum cor_entry_type */
    uint64_t checksum;
    struct cor_bytes payload;
};

/* A request for the leader (or its answer): bytes that only node/ understands. */
struct peer_request {
    uint64_t id;      /* chosen by the asker; unique per incarnation */
    uint8_t kind;     /* node/'s business */
    uint8_t flags;    /* node/'s business */
    uint16_t status;  /* answers: enum cor_status */
    uint64_t timeout; /* requests: ns left */
    struct cor_bytes body;
};

struct peers;

struct peer_events {
    /* A HELLO arrived from the member called hello->name, which is in the list. Accept it (true), or refuse
     * and put into @err the sentence that the other side shall print. Asked for each connection, so
     * twice for a link. */
    bool (*on_hello)(void *arg, const struct peer_hello *hello, struct cor_error *err);
    /* The other side refused us, for this reason. The link keeps trying, slowly (5 s). The status is the
     * one that its on_hello gave: COR_EINVAL, COR_EFOREIGN or COR_EREFUSED; any other is COR_EPROTO. */
    void (*on_refused)(void *arg, const char *name, const struct cor_error *err);
    /* Both connections to @peer are up / were up and one is lost (the other is closed too). */
    void (*on_up)(void *arg, size_t peer);
    void (*on_down)(void *arg, size_t peer);
    /* A message of the core. APPEND: @entries has message->n_entries of them and message->entries
     * points to their descriptors; all borrowed for the call. False: it made no sense: the link
     * is dropped. */
    bool (*on_message)(void *arg, size_t peer, struct cor_raft_message *message,
                       const struct peer_entry *entries);
    void (*on_request)(void *arg, size_t peer, const struct peer_request *request);
    void (*on_answer)(void *arg, size_t peer, const struct peer_request *answer);
};

/* A peer is named here by its place in @members; ids travel inside messages. */
struct peer_member {
    const char *name, *address;
};

struct peers_options {
    struct io *io;
    struct event_sink *events;
    const struct peer_member *members; /* without this node; copied */
    size_t n_members;
    const char *listen;      /* NULL: do not listen (single node) */
    struct peer_hello hello; /* ours */
    const struct peer_events *callbacks;
    void *arg;
};

/* Listen and start dialing. COR_OK; what io_listen returns; COR_ENOMEM; COR_EINVAL: a name twice, too long. */
MUST_USE enum cor_status peers_open(const struct peers_options *options, struct cor_error *err,
                                    struct peers **out);
/* Close all links; then free with peers_free(), in or after @done, which is never called from inside
 * peers_close() and is the only callback from now on. (If the world was crashed: peers_free() alone.) */
void peers_close(struct peers *p, void (*done)(void *arg), void *arg);
void peers_free(struct peers *p);
/* The hello changed (the cluster has formed): sent on connections from now on; links that are up stay. */
void peers_set_hello(struct peers *p, const struct peer_hello *hello);

bool peers_is_up(const struct peers *p, size_t peer);
/* The hello of the member, as of its last connection; NULL: never seen. */
const struct peer_hello *peers_hello(const struct peers *p, size_t peer);

/* Send (drop, if the link is down or the message longer than PEER_MESSAGE_MAX: false). Bytes leave at the end
 * of the turn. No callback is made from inside: a link whose queue is full goes down at the end of the turn. */
bool peers_send(struct peers *p, size_t peer, const struct cor_raft_message *message);
/* An APPEND with its entries, message->n_entries of them, at most PEER_ENTRIES_MAX. */
bool peers_send_append(struct peers *p, size_t peer, const struct cor_raft_message *message,
                       const struct peer_entry *entries);
bool peers_send_request(struct peers *p, size_t peer, const struct peer_request *request);
bool peers_send_answer(struct peers *p, size_t peer, const struct peer_request *answer);
/* Bytes queued on the data connection and not yet handed to the system: back-pressure for the host. */
size_t peers_queued(const struct peers *p, size_t peer);

struct peer_stats {
    uint64_t bytes_sent, bytes_received, messages_sent, messages_received;
};
void peers_get_stats(const struct peers *p, struct peer_stats *out);

#endif
