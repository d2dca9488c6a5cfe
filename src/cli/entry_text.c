/*
 * entry_text.c - see entry_text.h.
 *
 * Nested transactions are named, not unfolded: what they hold is checked where entries are made (kv_check_ops).
 */
#include "cli/entry_text.h"

#include "cli/text.h"
#include "goraft/goraft.h"
#include "kv/entry.h"

#include <inttypes.h>
#include <stdio.h>

#define VALUE_SHOWN 60u /* bytes of a value on a line for people */

/* An entry that kv_check_ops() has found well-formed, read from the front. */
struct unfolded {
    struct reader r;
    bool stepwise;
    struct kv_txn_head head;
    uint64_t n_ops;
};

static bool unfold(struct cor_bytes entry, struct unfolded *out)
{
    struct entry_header h;
    struct cor_bytes ops;
    if (entry_header_decode(entry, &h, &ops) != COR_OK || kv_check_ops(ops, NULL) != COR_OK) {
        return false;
    }
    out->r = reader_of(ops);
    out->stepwise = reader_u8(&out->r) == KV_STEPWISE;
    out->head = (struct kv_txn_head){0};
    if (out->stepwise) {
        out->n_ops = reader_varint(&out->r);
    } else {
        kv_decode_txn_head(&out->r, &out->head);
        out->n_ops = out->head.n_then + out->head.n_else;
    }
    return true;
}

bool entry_is_readable(struct cor_bytes entry)
{
    struct unfolded u;
    return unfold(entry, &u);
}

static const char *op_name(const struct kv_op *op)
{
    switch ((enum kv_op_kind)op->kind) {
    case KV_OP_PUT:
        return "put";
    case KV_OP_DELETE:
        return "delete";
    case KV_OP_RANGE:
        return "range";
    case KV_OP_TXN:
        return "transaction";
    case KV_OP_COMPACT:
        return "compact";
    case KV_OP_CHECK:
        return "check";
    case KV_OP_NOTE:
        return "note";
    case KV_OP_SESSION:
        return "session";
    }
    return "?";
}

static const char *session_do_name(const struct kv_op *op)
{
    switch ((enum kv_session_do)op->session_do) {
    case KV_SESSION_OPEN:
        return "open";
    case KV_SESSION_CLOSE:
        return "close";
    case KV_SESSION_EXPIRE:
        return "expire";
    }
    return "?";
}

static const char *field_name(const struct kv_compare *c)
{
    switch ((enum kv_compare_field)c->field) {
    case KV_COMPARE_VERSION:
        return "version";
    case KV_COMPARE_CREATE:
        return "create_revision";
    case KV_COMPARE_MOD:
        return "mod_revision";
    case KV_COMPARE_VALUE:
        return "value";
    case KV_COMPARE_LEASE:
        return "lease";
    }
    return "?";
}

static const char *sign_of(const struct kv_compare *c)
{
    switch ((enum kv_compare_op)c->op) {
    case KV_EQUAL:
        return "=";
    case KV_GREATER:
        return ">";
    case KV_LESS:
        return "<";
    case KV_NOT_EQUAL:
        return "!=";
    }
    return "?";
}

/* ---- for people ------------------------------------------------------------------------------------ */

static void print_range(const struct kv_range *range)
{
    if (range->table != KV_TABLE_KEYS) {
        (void)printf("table %u ", range->table);
    }
    text_print_escaped(range->key);
    if (range->to_end) {
        (void)fputs("..", stdout);
    } else if (range->end.len > 0) {
        (void)fputs("..", stdout);
        text_print_escaped(range->end);
    }
}

static void print_value(struct cor_bytes value)
{
    struct cor_bytes shown = {value.ptr, value.len < VALUE_SHOWN ? value.len : VALUE_SHOWN};
    text_print_escaped(shown);
    if (shown.len < value.len) {
        (void)printf("... (%zu bytes)", value.len);
    }
}

static void print_compare(const struct kv_compare *c)
{
    (void)printf("%s of ", field_name(c));
    print_range(&c->range);
    (void)printf(" %s ", sign_of(c));
    if (c->field == KV_COMPARE_VALUE) {
        print_value(c->value);
    } else {
        (void)printf("%" PRIu64, c->number);
    }
}

static void print_session(const struct kv_op *op)
{
    (void)fputs(session_do_name(op), stdout);
    if (op->session_do == KV_SESSION_OPEN) {
        (void)printf(" for %" PRIu64 " ns idle", op->number);
    } else if (op->session_do == KV_SESSION_EXPIRE) {
        (void)printf(" at cluster time %" PRIu64 " ns", op->number);
    } else {
        (void)printf(" %" PRIu64, op->number);
    }
}

/* What an import kept: the command of a record, with its line end. */
static void print_note(struct cor_bytes value)
{
    struct goraft_note note;
    struct goraft_record r;
    size_t size;
    (void)printf("of %zu bytes", value.len);
    if (!goraft_note_read(value, &note)) {
        return;
    }
    if (note.kind == GORAFT_NOTE_FILE) {
        (void)fputs(": file ", stdout);
        text_print_escaped(note.name);
    } else if (note.kind == GORAFT_NOTE_RECORD &&
               goraft_record_read(note.bytes, &r, &size, NULL) == COR_OK) {
        (void)fputs(": ", stdout);
        text_print_escaped(r.name);
        (void)putchar(' ');
        print_value(r.command);
    }
}

static void print_op(const struct kv_op *op)
{
    (void)printf("%s ", op_name(op));
    switch ((enum kv_op_kind)op->kind) {
    case KV_OP_PUT:
        print_range(&op->range);
        (void)fputs(" = ", stdout);
        print_value(op->value);
        break;
    case KV_OP_DELETE:
    case KV_OP_RANGE:
        print_range(&op->range);
        break;
    case KV_OP_TXN:
        (void)printf("of %zu bytes", op->txn.len);
        break;
    case KV_OP_COMPACT:
        (void)printf("below revision %" PRIu64, op->revision);
        break;
    case KV_OP_CHECK:
        print_compare(&op->check);
        break;
    case KV_OP_NOTE:
        print_note(op->value);
        break;
    case KV_OP_SESSION:
        print_session(op);
        break;
    }
}

void entry_print(struct cor_bytes entry)
{
    struct unfolded u;
    if (!unfold(entry, &u)) {
        return;
    }
    for (uint64_t i = 0; i < u.head.n_compares; i++) {
        struct kv_compare c;
        kv_decode_compare(&u.r, &c);
        (void)fputs(i == 0 ? "if " : " and ", stdout);
        print_compare(&c);
    }
    for (uint64_t i = 0; i < u.n_ops; i++) {
        struct kv_op op;
        kv_decode_op(&u.r, &op);
        if (!u.stepwise && i == u.head.n_then) {
            (void)fputs(" else ", stdout);
        } else if (i > 0) {
            (void)fputs("; ", stdout);
        } else if (u.head.n_compares > 0) {
            (void)fputs(" then ", stdout);
        }
        print_op(&op);
    }
}

/* ---- for programs ---------------------------------------------------------------------------------- */

static void json_range(struct json_writer *w, const struct kv_range *range)
{
    json_field_u64(w, "table", range->table);
    json_field_bytes(w, "key", range->key);
    if (range->end.len > 0) {
        json_field_bytes(w, "end", range->end);
    }
    if (range->to_end) {
        json_field_bool(w, "to_end", true);
    }
}

static void json_compare(struct json_writer *w, const struct kv_compare *c)
{
    json_range(w, &c->range);
    json_field_text(w, "field", field_name(c));
    json_field_text(w, "is", sign_of(c));
    if (c->field == KV_COMPARE_VALUE) {
        json_field_bytes(w, "value", c->value);
    } else {
        json_field_u64(w, "number", c->number);
    }
}

static void json_op(struct json_writer *w, const struct kv_op *op)
{
    json_field_text(w, "op", op_name(op));
    switch ((enum kv_op_kind)op->kind) {
    case KV_OP_PUT:
        json_range(w, &op->range);
        json_field_bytes(w, "value", op->value);
        if (op->attrs.len > 0) {
            json_field_base64(w, "attrs_base64", op->attrs);
        }
        json_field_u64(w, "lease", op->lease);
        break;
    case KV_OP_DELETE:
        json_range(w, &op->range);
        break;
    case KV_OP_RANGE:
        json_range(w, &op->range);
        json_field_u64(w, "revision", op->revision);
        json_field_u64(w, "limit", op->limit);
        break;
    case KV_OP_TXN:
        json_field_u64(w, "bytes", op->txn.len);
        break;
    case KV_OP_COMPACT:
        json_field_u64(w, "revision", op->revision);
        break;
    case KV_OP_CHECK:
        json_compare(w, &op->check);
        break;
    case KV_OP_NOTE:
        json_field_base64(w, "note_base64", op->value);
        break;
    case KV_OP_SESSION:
        json_field_text(w, "do", session_do_name(op));
        json_field_u64(w, "number", op->number);
        break;
    }
    json_field_u64(w, "flags", op->flags);
}

void entry_json(struct json_writer *w, struct cor_bytes entry)
{
    struct unfolded u;
    if (!unfold(entry, &u)) {
        return;
    }
    json_field_text(w, "mode", u.stepwise ? "stepwise" : "pre-state");
    json_name(w, "compares");
    json_begin_array(w);
    for (uint64_t i = 0; i < u.head.n_compares; i++) {
        struct kv_compare c;
        kv_decode_compare(&u.r, &c);
        json_begin_object(w);
        json_compare(w, &c);
        json_end_object(w);
    }
    json_end_array(w);
    json_name(w, "ops");
    json_begin_array(w);
    for (uint64_t i = 0; i < u.n_ops; i++) {
        struct kv_op op;
        kv_decode_op(&u.r, &op);
        json_begin_object(w);
        json_op(w, &op);
        if (!u.stepwise && i >= u.head.n_then) {
            json_field_bool(w, "else", true);
        }
        json_end_object(w);
    }
    json_end_array(w);
}
