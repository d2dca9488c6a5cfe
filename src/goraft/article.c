/* article.c - entries with the field names of the article's chapter 2.3. */
#include "goraft/express.h"

#include "coracle/raft.h"

#include <stdlib.h>

static const char *type_name(uint32_t type)
{
    switch ((enum cor_entry_type)type) {
    case COR_ENTRY_COMMAND:
        return "coracle:command";
    case COR_ENTRY_NOOP:
        return "raft:nop";
    case COR_ENTRY_CONFIG:
        return "coracle:config";
    case COR_ENTRY_SNAPSHOT_MARK:
        return "coracle:snapshot-mark";
    case COR_ENTRY_COMPACTION:
        return "coracle:compaction";
    case COR_ENTRY_LEVEL:
        return "coracle:level";
    }
    return "coracle:unknown";
}

static void put_write(struct json_writer *w, const struct goraft_expressed *what)
{
    size_t len;
    unsigned char *command = goraft_write_new(what->key, what->value, &len);
    json_field_text(w, "CommandName", "write");
    json_field_base64(w, "Command", (struct cor_bytes){command, command == NULL ? 0 : len});
    w->failed = w->failed || command == NULL;
    free(command);
}

static void put_record(struct json_writer *w, struct cor_bytes bytes)
{
    struct goraft_record r;
    size_t size;
    if (goraft_record_read(bytes, &r, &size, NULL) != COR_OK) {
        json_field_text(w, "CommandName", type_name(COR_ENTRY_COMMAND));
        json_field_base64(w, "Command", bytes);
        return;
    }
    json_field_string(w, "CommandName", r.name);
    if (r.has_command) {
        json_field_base64(w, "Command", r.command);
    }
}

void goraft_json_entry(struct json_writer *w, const struct goraft_entry *e)
{
    struct goraft_expressed what;
    goraft_express(e, &what);
    json_field_u64(w, "Index", e->index);
    json_field_u64(w, "Term", e->term);
    bool noted = what.word == GORAFT_NOTED;
    if (noted && what.note.kind == GORAFT_NOTE_RECORD) {
        put_record(w, what.note.bytes);
    } else if (what.word == GORAFT_WRITE || (noted && what.note.kind == GORAFT_NOTE_AS_PUT)) {
        put_write(w, &what);
    } else if (e->type == COR_ENTRY_NOOP) {
        json_field_text(w, "CommandName", "raft:nop");
    } else {
        json_field_text(w, "CommandName", type_name(e->type));
        json_field_base64(w, "Command", e->payload);
    }
}
