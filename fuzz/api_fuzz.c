/* room: api
 *
 * api_fuzz.c - bytes nobody vouches for, from a connection to an answer.
 *
 * The first two bytes choose how the rest is cut and when the reader takes nothing. Beyond "does not crash": what
 * comes back is a sequence of proper HTTP replies, at most one for each request, and a refusal at the end; a
 * connection that has ended leaves nothing behind.
 */
#include "api/api.h"
#include "http/http.h"
#include "tests/api/flat.h"
#include "tests/api/stand_in.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

struct audience {
    struct http_reply_parser *parser;
    uint64_t n_replies;
    unsigned blocked; /* turns to take nothing in */
    bool bad;
};

static void on_head(void *arg, const struct http_reply *reply)
{
    (void)arg;
    COR_ASSERT(reply->status >= 200 && reply->status < 600);
}

static void on_body(void *arg, struct cor_bytes part)
{
    (void)arg, (void)part;
}

static void on_end(void *arg)
{
    struct audience *r = arg;
    r->n_replies++;
}

static bool take(void *arg, struct cor_bytes b)
{
    struct audience *r = arg;
    if (r->blocked > 0) {
        r->blocked--;
        return false;
    }
    r->bad = r->bad || http_reply_parser_take(r->parser, b) != COR_OK;
    return true;
}

/* HEAD and cut listings are answered in ways that a reader must expect: those are not looked at. */
static bool may_surprise(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i + 4 <= size; i++) {
        if (memcmp(data + i, "HEAD", 4) == 0) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct flat flat;
    static const struct http_reply_events events = {on_head, on_body, on_end};
    if (size < 2) {
        return 0;
    }
    memset(&flat, 0, sizeof flat);
    flat_init(&flat);
    struct node node = {0};
    node_init(&node, &flat.io);
    struct audience reader = {.blocked = data[1] >> 4};
    void *memory = malloc(http_reply_parser_size());
    COR_ASSERT(memory != NULL);
    reader.parser = http_reply_parser_init(memory, &events, &reader);
    const struct api_options options = {
        .node = &node, .io = &flat.io, .version = "fuzz", .pipeline_max = 1 + (data[1] & 15u)};
    struct api *api = api_new(&options);
    COR_ASSERT(api != NULL);
    struct flat_stream stream;
    flat_stream_init(&flat, &stream, take, &reader);
    api_accept(api, &stream.base);

    size_t step = 1 + data[0], at = 2, turns = 0;
    while (!stream.closed && (at < size || turns < 64)) {
        turns = at < size ? 0 : turns + 1;
        size_t n = size - at < step ? size - at : step;
        if (n > 0 && !stream.paused && !stream.closing) {
            stream.events->on_data(stream.arg, &stream.base, (struct cor_bytes){data + at, n});
            at += n;
        } else if (stream.closing) {
            at = size;
        }
        flat.now += 1000000;
        flat_turn(&flat, &stream);
    }
    struct api_stats stats;
    api_get_stats(api, &stats);
    if (!may_surprise(data, size)) {
        COR_ASSERT(!reader.bad);
        COR_ASSERT(reader.n_replies <= stats.requests + 1);
    }
    COR_ASSERT(!stream.closed || stats.connections == 0);
    api_free(api);
    node_deinit(&node);
    free(stream.queue);
    free(memory);
    return 0;
}
