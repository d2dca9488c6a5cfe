/* files.c - snapshots of goraft: a checksum, and a document around the state of an application. */
#include "goraft/goraft.h"

#include "base/error.h"
#include "json/reader.h"

#include <stdlib.h>
#include <string.h>

#define SUM_SIZE            9u /* eight digits and a line end */
#define SNAPSHOT_MEMORY_MAX (1u << 30)

/* Bit by bit over the reflected polynomial: a snapshot is read once. */
uint32_t goraft_crc32(struct cor_bytes b)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < b.len; i++) {
        crc ^= b.ptr[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

static bool read_sum(struct cor_bytes file, uint32_t *out)
{
    *out = 0;
    if (file.len < SUM_SIZE || file.ptr[SUM_SIZE - 1] != '\n') {
        return false;
    }
    for (size_t i = 0; i < SUM_SIZE - 1; i++) {
        unsigned char c = file.ptr[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        *out = *out << 4 | (uint32_t)(digit ? c - '0' : c - 'a' + 10);
    }
    return true;
}

static enum cor_status take_state(const struct json_value *v, struct goraft_snapshot *out,
                                  struct cor_error *err)
{
    struct cor_bytes text = json_string_of(v);
    if (json_kind_of(v) == JSON_NULL) {
        return COR_OK;
    }
    out->state = malloc(text.len / 4 * 3 + 1);
    if (out->state == NULL) {
        return error_set(err, COR_ENOMEM, "not enough memory for the state");
    }
    if (json_kind_of(v) != JSON_STRING ||
        !json_base64_decode(text, out->state, &out->state_len)) {
        free(out->state);
        out->state = NULL;
        return error_set(err, COR_EPROTO, "its state is not base64");
    }
    return COR_OK;
}

enum cor_status goraft_snapshot_read(struct cor_bytes file, struct goraft_snapshot *out,
                                     struct cor_error *err)
{
    uint32_t sum;
    if (!read_sum(file, &sum)) {
        return error_set(err, COR_ECORRUPT, "it does not begin with a checksum");
    }
    struct cor_bytes body = {file.ptr + SUM_SIZE, file.len - SUM_SIZE};
    if (goraft_crc32(body) != sum) {
        return error_set(err, COR_ECORRUPT, "its checksum is wrong");
    }
    struct json_value *document = NULL;
    enum cor_status st = json_read(body, SNAPSHOT_MEMORY_MAX, &document, err);
    if (st != COR_OK) {
        return st;
    }
    *out = (struct goraft_snapshot){.last_index = 0};
    if (!json_u64_of(json_member(document, "lastIndex"), &out->last_index) ||
        !json_u64_of(json_member(document, "lastTerm"), &out->last_term)) {
        st = error_set(err, COR_EPROTO, "lastIndex or lastTerm is not there");
    } else {
        st = take_state(json_member(document, "state"), out, err);
    }
    json_free(document);
    return st;
}
