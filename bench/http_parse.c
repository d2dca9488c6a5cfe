/* room: http
 *
 * http_parse.c - how many requests a second one core can take apart.
 *
 *     bench-http-parse [million requests]     default 2 million per row
 *
 * Rows: the request in a read of its own, many in one read (pipelining), cut in the middle, in chunks.
 * Parsing comes to at least a million small requests a second (design: it must not show in a profile).
 */
#include "http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READ_SIZE 65536u

struct bench {
    struct http_parser *parser;
    void *block; /* kept, so that nothing is allocated once it is large enough */
    size_t block_size;
    uint64_t requests, bytes, check;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *grow(void *arg, void *old, size_t used, size_t need)
{
    (void)used;
    struct bench *b = arg;
    if (need > b->block_size || (old != NULL && old != b->block)) {
        b->block = realloc(b->block, need);
        b->block_size = need;
    }
    return b->block;
}

static void take(struct bench *b, struct cor_bytes in)
{
    size_t at = 0;
    while (at < in.len) {
        size_t used = 0;
        struct cor_bytes rest = {in.ptr + at, in.len - at};
        enum http_result r = http_parser_take(b->parser, rest, &used);
        at += used;
        if (r == HTTP_REQUEST) {
            const struct http_request *request = http_parser_request(b->parser);
            b->check += request->path.len + request->body.len;
            b->requests++;
            http_parser_next(b->parser);
        } else if (r == HTTP_REFUSED) {
            fprintf(stderr, "bench-http-parse: %s\n", http_parser_reason(b->parser));
            exit(1);
        }
    }
    b->bytes += in.len;
}

/* @text again and again, @batch of them in one read, each cut at @cut bytes if that is not 0. */
static void run(struct bench *b, const char *name, const char *text, size_t batch, size_t cut,
                uint64_t n)
{
    static unsigned char in[READ_SIZE];
    size_t len = strlen(text);
    batch = batch * len > sizeof in ? sizeof in / len : batch;
    for (size_t i = 0; i < batch; i++) {
        memcpy(in + i * len, text, len);
    }
    b->requests = b->bytes = 0;
    double start = now();
    while (b->requests < n) {
        if (cut > 0) {
            take(b, (struct cor_bytes){in, cut});
            take(b, (struct cor_bytes){in + cut, len - cut});
        } else {
            take(b, (struct cor_bytes){in, batch * len});
        }
    }
    double seconds = now() - start;
    printf("  %-28s %4zu bytes  %8.0f k requests/s  %7.1f ns each  %6.0f MB/s\n", name, len,
           (double)b->requests / seconds / 1e3, seconds / (double)b->requests * 1e9,
           (double)b->bytes / seconds / 1e6);
}

#define HOST  " HTTP/1.1\r\nHost: 127.0.0.1:4001\r\n"
#define VALUE "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"

int main(int argc, char **argv)
{
    static struct bench b;
    uint64_t n = (argc > 1 ? strtoull(argv[1], NULL, 10) : 2) * 1000000;
    struct http_limits limits = {.body_max = 1 << 20};
    struct http_memory mem = {grow, &b};
    void *memory = n > 0 ? malloc(http_parser_size()) : NULL;
    if (memory == NULL) {
        fprintf(stderr, "usage: bench-http-parse [million requests]\n");
        return 2;
    }
    static const char get[] = "GET /db/bench000000000042" HOST "\r\n";
    static const char put[] =
        "POST /db/bench000000000042" HOST "Content-Length: 256\r\n\r\n" VALUE VALUE VALUE VALUE;
    static const char curl[] =
        "POST /db/bench000000000042" HOST
        "User-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Length: 256\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n" VALUE VALUE VALUE VALUE;
    static const char chunked[] =
        "POST /db/bench000000000042" HOST "Transfer-Encoding: chunked\r\n\r\n80\r\n" VALUE VALUE
        "\r\n80\r\n" VALUE VALUE "\r\n0\r\n\r\n";
    b.parser = http_parser_init(memory, &limits, &mem);
    printf("one parser of %zu bytes, one core:\n", http_parser_size());
    run(&b, "get", get, 1, 0, n);
    run(&b, "get, pipelined", get, SIZE_MAX / sizeof get, 0, n);
    run(&b, "put of 256 bytes", put, 1, 0, n);
    run(&b, "put of 256 bytes, pipelined", put, SIZE_MAX / sizeof put, 0, n);
    run(&b, "put of 256 bytes, by curl", curl, 1, 0, n);
    run(&b, "put, head cut", put, 1, 40, n);
    run(&b, "put, body cut", put, 1, sizeof put - 100, n);
    run(&b, "put, in chunks", chunked, 1, 0, n);
    free(b.block);
    free(memory);
    return b.check == 0;
}
