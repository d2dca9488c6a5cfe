/* event.c - one change of the store, copied once for all who watch it. */
#include "node/hub.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

static struct cor_bytes put_bytes(unsigned char **at, struct cor_bytes b)
{
    struct cor_bytes copy = {*at, b.len};
    if (b.len > 0) {
        memcpy(*at, b.ptr, b.len);
    }
    *at += b.len;
    return copy;
}

struct node_event *node_event_new(const struct kv_event *e)
{
    const struct kv_item *item = &e->item;
    struct node_event *copy =
        malloc(sizeof *copy + item->key.len + item->value.len + item->attrs.len);
    if (copy == NULL) {
        return NULL;
    }
    *copy = (struct node_event){.refs = 1,
                                .type = e->type,
                                .table = e->table,
                                .revision = item->mod_revision,
                                .item = *item};
    unsigned char *at = (unsigned char *)(copy + 1);
    copy->item.key = put_bytes(&at, item->key);
    copy->item.value = put_bytes(&at, item->value);
    copy->item.attrs = put_bytes(&at, item->attrs);
    return copy;
}

size_t node_event_size(const struct node_event *e)
{
    return sizeof *e + e->item.key.len + e->item.value.len + e->item.attrs.len;
}

struct node_event *node_event_ref(struct node_event *e)
{
    COR_ASSERT(e->refs > 0 && e->refs < UINT32_MAX);
    e->refs++;
    return e;
}

void node_event_unref(struct node_event *e)
{
    COR_ASSERT(e->refs > 0);
    if (--e->refs == 0) {
        free(e);
    }
}
