/*
 * article.c - AppendEntries as the article shows it (S11), of /debug/trace?format=article.
 *
 * Our members speak a binary protocol (docs/wire.md); this says the same in the article's words. Whether what is in
 * memory now is what the message carried is known by the term of its last entry: logs that agree on one entry agree on
 * all before it (Log Matching, dissertation 3.5).
 */
#include "api/internal.h"

#include "goraft/goraft.h"

#define COMMANDS_MAX                                                                           \
    (256u << 10) /* bytes of payload in one answer; what is past it is counted */

/* The entries of @m as far as they are known. Returns how many. */
static uint32_t put_entries(struct json_writer *w, const struct node *n,
                            const struct node_append *m, size_t *room)
{
    struct node_entry e;
    bool known = node_get_entry(n, m->prev.index + m->n_entries, &e) && e.term == m->last_term;
    uint32_t shown = 0;
    while (known && shown < m->n_entries) {
        known = node_get_entry(n, m->prev.index + 1 + shown, &e) && e.payload.len <= *room;
        if (known) {
            const struct goraft_entry entry = {e.index, e.term, e.type, e.payload};
            json_begin_object(w);
            goraft_json_entry(w, &entry);
            json_end_object(w);
            *room -= e.payload.len;
            shown++;
        }
    }
    return shown;
}

static void put_message(struct json_writer *w, const struct node *n,
                        const struct node_append *m, const struct node_status *s, size_t *room)
{
    json_newline(w);
    json_begin_object(w);
    json_field_u64(w, "Term", m->term);
    json_field_u64(w, "PrevLogIndex", m->prev.index);
    json_field_u64(w, "PrevLogTerm", m->prev.term);
    json_field_u64(w, "CommitIndex", m->commit);
    json_field_text(w, "LeaderName", ops_member_name(s, m->leader));
    json_name(w, "Entries");
    json_begin_array(w);
    uint32_t shown = put_entries(w, n, m, room);
    json_end_array(w);
    if (shown < m->n_entries) {
        json_field_u64(w, "EntriesOmitted", m->n_entries - shown);
    }
    json_end_object(w);
}

enum rendered ops_render_article(struct exchange *x, struct out *o)
{
    struct node_status s;
    struct node_append messages[NODE_APPENDS_MAX];
    const struct node *node = x->api->node;
    size_t room = COMMANDS_MAX;
    node_get_status(node, &s);
    size_t n = node_get_appends(node, messages, ARRAY_LEN(messages));
    struct json_writer *w = api_line(x->api);
    json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        put_message(w, node, &messages[i], &s, &room);
    }
    if (n > 0) {
        json_newline(w);
    }
    json_end_array(w);
    const struct answer a = {.status = 200, .type = "application/json"};
    return answer_json(x, o, &a, w);
}
