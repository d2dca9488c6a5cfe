/*
 * express.c - see express.h.
 *
 * What reads and what changes no key of the users does not stand in the way: goraft need not know of it. What would
 * be lost (deletions, conditions, leases, attributes, bytes that are no text) does.
 */
#include "goraft/express.h"

#include "coracle/raft.h"
#include "kv/entry.h"

static void refuse(struct goraft_expressed *out, const char *why)
{
    if (out->why == NULL) {
        out->why = why;
    }
}

static void take_put(struct goraft_expressed *out, const struct kv_op *op)
{
    if (out->word == GORAFT_WRITE) {
        refuse(out, "several keys change at once");
    }
    if (op->range.table != KV_TABLE_KEYS) {
        refuse(out, "it changes something other than keys");
    } else if (op->lease != 0 || op->attrs.len > 0) {
        refuse(out, "the key has a lease or attributes");
    } else if ((op->flags & ~(uint32_t)(KV_WANT_PREV | KV_IF_CHANGED)) != 0) {
        refuse(out, "the put depends on what was there before");
    } else if (!json_is_utf8(op->range.key) || !json_is_utf8(op->value)) {
        refuse(out, "key or value is not UTF-8 text");
    }
    out->word = GORAFT_WRITE;
    out->key = op->range.key;
    out->value = op->value;
}

static void take_op(struct goraft_expressed *out, const struct kv_op *op, bool *noted)
{
    switch ((enum kv_op_kind)op->kind) {
    case KV_OP_PUT:
        take_put(out, op);
        return;
    case KV_OP_NOTE:
        *noted = *noted || goraft_note_read(op->value, &out->note);
        return;
    case KV_OP_RANGE:
    case KV_OP_COMPACT: /* of history, of which goraft has none */
    case KV_OP_SESSION: /* nor of sessions; what is written in one is refused below */
        return;
    case KV_OP_DELETE:
        refuse(out, "it deletes");
        return;
    case KV_OP_TXN:
    case KV_OP_CHECK:
        refuse(out, "it has conditions");
        return;
    }
    refuse(out, "its operations are unknown to this version");
}

static void take_ops(struct goraft_expressed *out, struct cor_bytes ops)
{
    struct reader r = reader_of(ops);
    struct kv_txn_head head = {0};
    bool noted = false;
    if (reader_u8(&r) == KV_PRE_STATE) {
        kv_decode_txn_head(&r, &head);
    } else {
        head.n_then = reader_varint(&r);
    }
    if (head.n_compares > 0 || head.n_else > 0) {
        refuse(out, "it has conditions");
        return;
    }
    for (uint64_t i = 0; i < head.n_then; i++) {
        struct kv_op op;
        kv_decode_op(&r, &op);
        take_op(out, &op, &noted);
    }
    if (noted) { /* an import made it: nothing of it stands in the way */
        out->word = GORAFT_NOTED;
        out->why = NULL;
    }
}

static void take_command(struct goraft_expressed *out, struct cor_bytes payload)
{
    struct entry_header h;
    struct cor_bytes ops;
    if (entry_header_decode(payload, &h, &ops) != COR_OK || kv_check_ops(ops, NULL) != COR_OK) {
        refuse(out, "it is not understood by this version");
    } else if (h.deadline != 0 || h.session != 0) {
        refuse(out, "whether it counts depends on a deadline or on a session");
    } else {
        take_ops(out, ops);
    }
}

void goraft_express(const struct goraft_entry *e, struct goraft_expressed *out)
{
    *out = (struct goraft_expressed){.word = GORAFT_NOP};
    if (e->type == COR_ENTRY_COMMAND) {
        take_command(out, e->payload);
    } else if (e->type != COR_ENTRY_NOOP) {
        refuse(out, "it is about our own cluster");
    }
    if (out->why != NULL) {
        out->word = GORAFT_NO_WORD;
    }
}
