/* room: api
 *
 * api_requests.c - what the api costs a request: from bytes to a proposal and back to bytes, without sockets or
 * consensus.
 *
 *     bench-api-requests [requests [pipelined [value bytes]]]     default 1,000,000 64 256
 *
 * The node is a stand-in that answers at once; its part is measured and subtracted. One connection; pipelined
 * requests arrive together, as they do from many connections in a turn.
 */
#include "api/api.h"
#include "tests/api/flat.h"
#include "tests/api/stand_in.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool take(void *arg, struct cor_bytes b)
{
    uint64_t *sum = arg;
    *sum += b.len;
    return true;
}

static struct flat flat;
static struct node node;

/* Seconds for @n requests in batches of @batch. */
static double measure(struct flat_stream *s, const char *request, size_t n, size_t batch)
{
    size_t len = strlen(request);
    unsigned char *bytes = malloc(len * batch);
    COR_ASSERT(bytes != NULL);
    for (size_t i = 0; i < batch; i++) {
        memcpy(bytes + i * len, request, len);
    }
    double start = now();
    for (size_t done = 0; done < n; done += batch) {
        for (size_t at = 0; at < len * batch; at += 65536) {
            size_t left = len * batch - at;
            s->events->on_data(s->arg, &s->base,
                               (struct cor_bytes){bytes + at, left < 65536 ? left : 65536});
        }
        flat.now += 1000;
        flat_turn(&flat, s);
        flat.now += 1000;
        flat_turn(&flat, s);
    }
    double seconds = now() - start;
    free(bytes);
    return seconds;
}

/* The stand-in's own part: taking a write, applying it, telling. */
static void ignore(void *arg, enum cor_status st, const struct kv_result *result)
{
    (void)arg, (void)st, (void)result;
}

static double measure_stand_in(struct flat_stream *s, size_t n, size_t batch, size_t value)
{
    static unsigned char bytes[1 << 17], data[1 << 16];
    struct writer w = writer_of(bytes, sizeof bytes);
    const struct kv_op op = {.kind = KV_OP_PUT,
                             .range.key = COR_BYTES_LIT("bench000000000001"),
                             .value = {data, value}};
    kv_encode_one(&w, &op);
    const struct node_write write = {.dialect = ENTRY_DIALECT_RAFTD, .ops = {bytes, w.used}};
    double start = now();
    for (size_t done = 0; done < n; done += batch) {
        for (size_t i = 0; i < batch; i++) {
            enum cor_status st = node_write(&node, &write, ignore, NULL);
            COR_ASSERT(st == COR_OK);
        }
        flat.now += 1000;
        flat_turn(&flat, s);
    }
    return now() - start;
}

static void report(const char *what, double seconds, size_t n)
{
    printf("%-28s %9.0f /s  %6.2f us\n", what, (double)n / seconds, seconds / (double)n * 1e6);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    size_t batch = argc > 2 ? strtoul(argv[2], NULL, 10) : 64;
    size_t value = argc > 3 ? strtoul(argv[3], NULL, 10) : 256;
    if (n == 0 || batch == 0 || batch > 128 || value > 60000) {
        fprintf(stderr, "at most 128 pipelined, values of at most 60000 bytes\n");
        return 2;
    }
    uint64_t sum = 0;
    flat_init(&flat);
    node_init(&node, &flat.io);
    const struct api_options options = {.node = &node, .io = &flat.io, .version = "bench"};
    struct api *api = api_new(&options);
    COR_ASSERT(api != NULL);
    struct flat_stream s;
    flat_stream_init(&flat, &s, take, &sum);
    api_accept(api, &s.base);

    char *request = calloc(1, value + 256);
    COR_ASSERT(request != NULL);
    int head = snprintf(request, 256,
                        "POST /db/bench000000000001 HTTP/1.1\r\nHost: 127.0.0.1:4001\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        value);
    memset(request + head, 'v', value);
    double puts = measure(&s, request, n, batch);
    double stand_in = measure_stand_in(&s, n, batch, value);
    report("put, all", puts, n);
    report("put, the stand-in's part", stand_in, n);
    report("put, the api's part", puts - stand_in, n);
    double gets =
        measure(&s, "GET /db/bench000000000001?stale HTTP/1.1\r\nHost: 127.0.0.1:4001\r\n\r\n",
                n, batch);
    report("get, all", gets, n);
    double lives = measure(&s, "GET /livez HTTP/1.1\r\nHost: 127.0.0.1:4001\r\n\r\n", n, batch);
    report("livez, all", lives, n);

    /* What a connection that waits for its next request costs, stream aside. */
    static struct flat_stream idle[1000];
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < 1000; i++) {
        flat_stream_init(&flat, &idle[i], take, &sum);
        api_accept(api, &idle[i].base);
    }
    printf("%-28s %9zu bytes\n", "idle connection", (mallinfo2().uordblks - before) / 1000);
    api_free(api);
    node_deinit(&node);
    free(s.queue);
    free(request);
    return 0;
}
