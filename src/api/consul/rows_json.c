/*
 * rows_json.c - rows of the catalog as Consul writes them, field by field in its order. See rows.h.
 */
#include "api/consul/rows.h"

#include "api/consul/definition.h"
#include "base/reader.h"

/* ---- parts ----------------------------------------------------------------------------------------- */

static void write_strings(struct json_writer *w, const char *name,
                          const struct catalog_list *list)
{
    struct reader r = reader_of(list->bytes);
    json_name(w, name);
    json_begin_array(w);
    for (uint64_t i = 0; i < list->n; i++) {
        json_string(w, reader_blob(&r));
    }
    json_end_array(w);
}

/* @or_null: what an empty map is. */
static void write_map(struct json_writer *w, const char *name, const struct catalog_list *list,
                      bool or_null)
{
    struct reader r = reader_of(list->bytes);
    json_name(w, name);
    if (list->n == 0 && or_null) {
        json_null(w);
        return;
    }
    json_begin_object(w);
    for (uint64_t i = 0; i < list->n; i++) {
        json_name_bytes(w, reader_blob(&r));
        json_string(w, reader_blob(&r));
    }
    json_end_object(w);
}

/* Left out when there are none. */
static void write_addresses(struct json_writer *w, const char *name,
                            const struct catalog_list *list)
{
    struct reader r = reader_of(list->bytes);
    if (list->n == 0) {
        return;
    }
    json_name(w, name);
    json_begin_object(w);
    for (uint64_t i = 0; i < list->n; i++) {
        json_name_bytes(w, reader_blob(&r));
        json_begin_object(w);
        json_field_string(w, "Address", reader_blob(&r));
        json_field_u64(w, "Port", reader_varint(&r));
        json_end_object(w);
    }
    json_end_object(w);
}

static void write_weights(struct json_writer *w, const char *name,
                          const struct catalog_service *row)
{
    json_name(w, name);
    json_begin_object(w);
    json_field_u64(w, "Passing", row->weight_passing);
    json_field_u64(w, "Warning", row->weight_warning);
    json_end_object(w);
}

static void write_empty(struct json_writer *w, const char *name)
{
    json_name(w, name);
    json_begin_object(w);
    json_end_object(w);
}

/* The service mesh, which is not here, as it looks in services that are not part of it. */
static void write_mesh(struct json_writer *w, const char *proxy, const char *connect)
{
    json_name(w, proxy);
    json_begin_object(w);
    json_field_text(w, "Mode", "");
    write_empty(w, "MeshGateway");
    write_empty(w, "Expose");
    json_end_object(w);
    write_empty(w, connect);
}

static void write_indexes(struct json_writer *w, const struct kv_item *item)
{
    json_field_u64(w, "CreateIndex", item->create_revision);
    json_field_u64(w, "ModifyIndex", item->mod_revision);
}

static void write_node_fields(struct json_writer *w, const struct catalog_node *row,
                              const char *meta)
{
    json_field_string(w, "ID", row->id);
    json_field_string(w, "Node", row->name);
    json_field_string(w, "Address", row->address);
    json_field_text(w, "Datacenter", CONSUL_DATACENTER);
    write_map(w, "TaggedAddresses", &row->tagged_addresses, true);
    write_map(w, meta, &row->meta, true);
}

/* ---- rows ------------------------------------------------------------------------------------------- */

void rows_write_node(struct json_writer *w, const struct node_found *node)
{
    json_begin_object(w);
    write_node_fields(w, &node->row, "Meta");
    write_indexes(w, &node->item);
    json_end_object(w);
}

void rows_write_service(struct json_writer *w, const struct service_found *service)
{
    const struct catalog_service *row = &service->row;
    json_begin_object(w);
    json_field_string(w, "ID", row->id);
    json_field_string(w, "Service", row->name);
    write_strings(w, "Tags", &row->tags);
    json_field_string(w, "Address", row->address);
    write_addresses(w, "TaggedAddresses", &row->tagged_addresses);
    write_map(w, "Meta", &row->meta, true);
    json_field_u64(w, "Port", row->port);
    write_weights(w, "Weights", row);
    json_field_bool(w, "EnableTagOverride", row->enable_tag_override);
    write_mesh(w, "Proxy", "Connect");
    write_indexes(w, &service->item);
    json_end_object(w);
}

void rows_write_service_node(struct json_writer *w, const struct node_found *node,
                             const struct service_found *service)
{
    const struct catalog_service *row = &service->row;
    json_begin_object(w);
    write_node_fields(w, &node->row, "NodeMeta");
    json_field_text(w, "ServiceKind", "");
    json_field_string(w, "ServiceID", row->id);
    json_field_string(w, "ServiceName", row->name);
    write_strings(w, "ServiceTags", &row->tags);
    json_field_string(w, "ServiceAddress", row->address);
    write_addresses(w, "ServiceTaggedAddresses", &row->tagged_addresses);
    write_weights(w, "ServiceWeights", row);
    write_map(w, "ServiceMeta", &row->meta, false);
    json_field_u64(w, "ServicePort", row->port);
    json_field_text(w, "ServiceSocketPath", "");
    json_field_bool(w, "ServiceEnableTagOverride", row->enable_tag_override);
    write_mesh(w, "ServiceProxy", "ServiceConnect");
    write_indexes(w, &service->item);
    json_end_object(w);
}

void rows_write_check(struct json_writer *w, struct cor_bytes node_name,
                      const struct service_found *service, const struct check_found *check)
{
    static const struct catalog_service none = {.port = 0};
    const struct catalog_check *row = &check->row;
    const struct catalog_service *of = service == NULL ? &none : &service->row;
    json_begin_object(w);
    json_field_string(w, "Node", node_name);
    json_field_string(w, "CheckID", row->id);
    json_field_string(w, "Name", row->name);
    json_field_string(w, "Status", row->status);
    json_field_string(w, "Notes", row->notes);
    json_field_string(w, "Output", row->output);
    json_field_string(w, "ServiceID", row->service_id);
    json_field_string(w, "ServiceName", of->name);
    write_strings(w, "ServiceTags", &of->tags);
    json_field_string(w, "Type", row->type);
    json_field_string(w, "Interval", row->interval);
    json_field_string(w, "Timeout", row->timeout);
    json_field_u64(w, "ExposedPort", row->exposed_port);
    json_name(w, "Definition");
    definition_write_json(w, row->definition);
    write_indexes(w, &check->item);
    json_end_object(w);
}
