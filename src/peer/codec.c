/*
 * codec.c - messages, entries, requests and greetings as bytes and back. See codec.h.
 *
 * A message of the core is written by a bit mask of the fields that are not 0 and then these fields,
 * whatever its type: the codec does not know which type uses which field, so a field that the core
 * begins to use travels without a change here.
 */
#include "peer/codec.h"

#include "base/assert.h"
#include "base/hash.h"

#include <string.h>

#define MESSAGE_FLAGS 0x07u
#define N_FIELDS      11u
#define FIELDS_MASK   ((1u << N_FIELDS) - 1)

/* ---- messages of the core ------------------------------------------------------------------ */

/* The fields of @m in the order of the mask's bits. Part of the format: add at the end. */
static void fields_of(const struct cor_raft_message *m, uint64_t f[static N_FIELDS])
{
    f[0] = m->term;
    f[1] = m->prev.term;
    f[2] = m->prev.index;
    f[3] = m->commit;
    f[4] = m->match;
    f[5] = m->received;
    f[6] = m->sent_at;
    f[7] = m->context;
    f[8] = m->index;
    f[9] = m->first;
    f[10] = m->n_entries;
}

void peer_message_encode(struct writer *w, const struct cor_raft_message *m)
{
    COR_ASSERT(m->type >= COR_RAFT_MSG_APPEND && m->type <= COR_RAFT_MSG_TIMEOUT_NOW);
    COR_ASSERT(!m->prev_term_unknown); /* the host has filled it in */

    uint64_t fields[N_FIELDS];
    fields_of(m, fields);
    unsigned mask = 0;
    for (unsigned i = 0; i < N_FIELDS; i++) {
        mask |= fields[i] != 0 ? 1u << i : 0;
    }
    writer_u8(w, m->type);
    writer_u8(w, (uint8_t)((m->reject ? 1u : 0) | (m->force ? 2u : 0) | (m->lease ? 4u : 0)));
    writer_u16(w, (uint16_t)mask);
    writer_u64(w, m->from);
    writer_u64(w, m->to);
    for (unsigned i = 0; i < N_FIELDS; i++) {
        if (fields[i] != 0) {
            writer_varint(w, fields[i]);
        }
    }
}

bool peer_message_decode(struct reader *r, struct cor_raft_message *out)
{
    uint8_t type = reader_u8(r);
    uint8_t flags = reader_u8(r);
    unsigned mask = reader_u16(r);
    cor_node_id from = reader_u64(r);
    cor_node_id to = reader_u64(r);
    uint64_t f[N_FIELDS] = {0};
    bool canonical = true;
    for (unsigned i = 0; i < N_FIELDS; i++) {
        if ((mask & 1u << i) != 0) {
            f[i] = reader_varint(r);
            canonical = canonical && f[i] != 0;
        }
    }
    bool known = type >= COR_RAFT_MSG_APPEND && type <= COR_RAFT_MSG_TIMEOUT_NOW &&
                 (flags & ~MESSAGE_FLAGS) == 0 && (mask & ~FIELDS_MASK) == 0;
    if (!reader_ok(r) || !canonical || !known || f[10] > UINT32_MAX) {
        return false;
    }
    *out = (struct cor_raft_message){
        .type = type,
        .from = from,
        .to = to,
        .reject = (flags & 1u) != 0,
        .force = (flags & 2u) != 0,
        .lease = (flags & 4u) != 0,
        .term = f[0],
        .prev = {.term = f[1], .index = f[2]},
        .commit = f[3],
        .match = f[4],
        .received = f[5],
        .sent_at = f[6],
        .context = f[7],
        .index = f[8],
        .first = f[9],
        .n_entries = (uint32_t)f[10],
    };
    return true;
}

void peer_entry_encode_head(struct writer *w, const struct peer_entry *e)
{
    writer_varint(w, e->term);
    writer_varint(w, e->type);
    writer_varint(w, e->payload.len);
    writer_u64(w, e->checksum);
}

bool peer_entry_decode(struct reader *r, struct peer_entry *out)
{
    uint64_t term = reader_varint(r);
    uint64_t type = reader_varint(r);
    uint64_t len = reader_varint(r);
    uint64_t checksum = reader_u64(r);
    struct cor_bytes payload = reader_bytes(r, len);
    if (!reader_ok(r) || type > UINT32_MAX || hash64(payload) != checksum) {
        return false;
    }
    *out = (struct peer_entry){
        .term = term, .type = (uint32_t)type, .checksum = checksum, .payload = payload};
    return true;
}

/* ---- requests for the leader ----------------------------------------------------------------- */

void peer_request_encode_head(struct writer *w, const struct peer_request *q)
{
    writer_varint(w, q->id);
    writer_u8(w, q->kind);
    writer_u8(w, q->flags);
    writer_varint(w, q->status);
    writer_varint(w, q->timeout);
}

bool peer_request_decode(struct cor_bytes in, struct peer_request *out)
{
    struct reader r = reader_of(in);
    struct peer_request q = {0};
    q.id = reader_varint(&r);
    q.kind = reader_u8(&r);
    q.flags = reader_u8(&r);
    uint64_t status = reader_varint(&r);
    q.timeout = reader_varint(&r);
    if (!reader_ok(&r) || status > UINT16_MAX) {
        return false;
    }
    q.status = (uint16_t)status;
    q.body = reader_bytes(&r, (uint64_t)(r.end - r.at));
    *out = q;
    return true;
}

/* ---- hello, and no ----------------------------------------------------------------------------- */

static struct cor_bytes text_bytes(const char *text)
{
    return (struct cor_bytes){(const unsigned char *)text, strlen(text)};
}

/* Names and addresses are shown to people and sent in headers of HTTP: printable ASCII only. */
static bool read_text(struct reader *r, char *out, size_t size)
{
    struct cor_bytes text = reader_blob(r);
    if (!reader_ok(r) || text.len >= size) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~') {
            return false;
        }
        out[i] = (char)text.ptr[i];
    }
    out[text.len] = '\0';
    return true;
}

void peer_greeting_encode(struct writer *w, const struct peer_greeting *g)
{
    const struct peer_hello *h = &g->hello;
    writer_u32(w, PEER_HELLO_MAGIC);
    writer_u8(w, h->protocol_min);
    writer_u8(w, h->protocol_max);
    writer_u8(w, g->role);
    writer_u8(w, 0);
    writer_u64(w, g->attempt);
    writer_u32(w, h->level_min);
    writer_u32(w, h->level_max);
    writer_bytes(w, (struct cor_bytes){h->cluster_id, sizeof h->cluster_id});
    writer_bytes(w, (struct cor_bytes){h->disk_id, sizeof h->disk_id});
    writer_u64(w, h->incarnation);
    writer_u64(w, h->members_hash);
    writer_blob(w, text_bytes(h->name));
    writer_blob(w, text_bytes(h->client_address));
    writer_u16(w, 0); /* length of the authenticator */
}

static bool read_hello(struct reader *r, struct peer_greeting *g)
{
    struct peer_hello *h = &g->hello;
    g->attempt = reader_u64(r);
    h->level_min = reader_u32(r);
    h->level_max = reader_u32(r);
    struct cor_bytes cluster = reader_bytes(r, sizeof h->cluster_id);
    struct cor_bytes disk = reader_bytes(r, sizeof h->disk_id);
    h->incarnation = reader_u64(r);
    h->members_hash = reader_u64(r);
    if (!reader_ok(r) || !read_text(r, h->name, sizeof h->name) ||
        !read_text(r, h->client_address, sizeof h->client_address)) {
        return false;
    }
    memcpy(h->cluster_id, cluster.ptr, sizeof h->cluster_id);
    memcpy(h->disk_id, disk.ptr, sizeof h->disk_id);
    h->authenticator_len = reader_u16(r);
    (void)reader_bytes(r, h->authenticator_len);
    return reader_ok(r); /* what follows is of a later version: none of our business */
}

enum peer_greeting_result peer_greeting_decode(struct cor_bytes in, struct peer_greeting *out)
{
    struct reader r = reader_of(in);
    struct peer_greeting g = {0};
    uint32_t magic = reader_u32(&r);
    g.hello.protocol_min = reader_u8(&r);
    g.hello.protocol_max = reader_u8(&r);
    g.role = reader_u8(&r);
    (void)reader_u8(&r);
    if (!reader_ok(&r) || magic != PEER_HELLO_MAGIC ||
        g.hello.protocol_min > g.hello.protocol_max) {
        return PEER_GREETING_MALFORMED;
    }
    if (g.hello.protocol_min > PEER_PROTOCOL_MAX || g.hello.protocol_max < PEER_PROTOCOL_MIN) {
        *out = g;
        return PEER_GREETING_FOREIGN;
    }
    if (g.role > PEER_ROLE_DATA || !read_hello(&r, &g)) {
        return PEER_GREETING_MALFORMED;
    }
    *out = g;
    return PEER_GREETING_OK;
}

void peer_refusal_encode(struct writer *w, const struct cor_error *reason)
{
    size_t len = strnlen(reason->text, sizeof reason->text);
    writer_u16(w, (uint16_t)reason->status);
    writer_bytes(w, (struct cor_bytes){(const unsigned char *)reason->text,
                                       len < PEER_REASON_MAX ? len : PEER_REASON_MAX});
}

/* What a host may refuse for; what else a peer says counts as a broken greeting. */
static enum cor_status refusal_status(uint16_t status)
{
    static const enum cor_status known[] = {COR_EINVAL, COR_EFOREIGN, COR_EREFUSED};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (status == (uint16_t)known[i]) {
            return known[i];
        }
    }
    return COR_EPROTO;
}

/* The sentence will be shown to a person, in a terminal: control characters become spaces. */
bool peer_refusal_decode(struct cor_bytes in, struct cor_error *out)
{
    struct reader r = reader_of(in);
    uint16_t status = reader_u16(&r);
    struct cor_bytes text = reader_bytes(&r, (uint64_t)(r.end - r.at));
    if (!reader_ok(&r) || text.len > PEER_REASON_MAX) {
        return false;
    }
    *out = (struct cor_error){.status = refusal_status(status)};
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = text.ptr[i];
        out->text[i] = (char)(c < ' ' || c == 0x7f ? ' ' : c);
    }
    return true;
}
