/* room: kv
 *
 * kv_memory.c - what a key costs, and how fast the store is without anything around it.
 *
 *     bench-kv-memory [keys [value bytes]]     default 1,000,000 keys of 256 bytes
 *
 * Prints one line per measurement; keys are 8 bytes, in order and in random order.
 */
#include "base/prng.h"
#include "kv/kv.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_SIZE 8u

struct bench {
    struct kv *kv;
    uint64_t n, index;
    size_t value_size;
    unsigned char value[65536];
    unsigned char entry[70000];
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double resident_mb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL) {
        if (fscanf(f, "%*d %ld", &pages) != 1) {
            pages = 0;
        }
        fclose(f);
    }
    return (double)pages * 4096 / 1e6;
}

static void key_of(uint64_t i, unsigned char *key)
{
    for (unsigned b = 0; b < KEY_SIZE; b++) {
        key[b] = (unsigned char)(i >> (56 - 8 * b));
    }
}

/* A permutation of [0, n): every key once, in an order without order. */
static uint64_t shuffled(uint64_t i, uint64_t n)
{
    return i * 2654435761u % n; /* a prime that divides no n we use */
}

static void apply(struct bench *b, const struct kv_op *op)
{
    struct entry_header h = {.cluster_time = b->index * 10000};
    size_t used = entry_header_encode(&h, b->entry);
    struct writer w = writer_of(b->entry + used, sizeof b->entry - used);
    kv_encode_one(&w, op);
    if (!writer_ok(&w) ||
        kv_apply(b->kv, ++b->index, (struct cor_bytes){b->entry, used + w.used}, NULL, NULL) !=
            COR_OK) {
        fprintf(stderr, "bench-kv-memory: an entry was refused\n");
        exit(1);
    }
}

static void put(struct bench *b, uint64_t i)
{
    unsigned char key[KEY_SIZE];
    key_of(i, key);
    struct kv_op op = {.kind = KV_OP_PUT, .range.key = {key, KEY_SIZE}};
    op.value = (struct cor_bytes){b->value, b->value_size};
    apply(b, &op);
}

static void remove_key(struct bench *b, uint64_t i)
{
    unsigned char key[KEY_SIZE];
    key_of(i, key);
    struct kv_op op = {.kind = KV_OP_DELETE, .range.key = {key, KEY_SIZE}};
    apply(b, &op);
}

static void compact(struct bench *b)
{
    struct kv_info info;
    kv_get_info(b->kv, &info);
    struct kv_op op = {.kind = KV_OP_COMPACT, .revision = info.revision};
    apply(b, &op);
    double worst = 0;
    double start = now();
    bool more = true;
    while (more) {
        double t = now();
        more = kv_tend(b->kv, 1000);
        worst = now() - t > worst ? now() - t : worst;
    }
    printf("  compaction              %8.2f s, worst 1000 steps %.2f ms\n", now() - start,
           worst * 1e3);
}

static void report_memory(const struct bench *b, const char *what)
{
    struct kv_info info;
    kv_get_info(b->kv, &info);
    double keys = (double)info.keys[0];
    double payload = keys * (double)(KEY_SIZE + b->value_size);
    printf("  %-22s  %8.1f MB asked, %.1f MB resident; %.1f bytes per key over key and value\n",
           what, (double)info.memory_bytes / 1e6, resident_mb(),
           ((double)info.memory_bytes - payload) / keys);
}

static void rate(const char *what, uint64_t n, double seconds)
{
    printf("  %-22s  %8.0f k/s\n", what, (double)n / seconds / 1e3);
}

static void read_back(struct bench *b)
{
    struct kv_item item;
    unsigned char key[KEY_SIZE];
    uint64_t found = 0;
    double start = now();
    for (uint64_t i = 0; i < b->n; i++) {
        key_of(shuffled(i, b->n), key);
        found += kv_get(b->kv, 0, (struct cor_bytes){key, KEY_SIZE}, 0, &item) == COR_OK;
    }
    rate("gets, random", found, now() - start);
    struct kv_range all = {.to_end = true};
    struct kv_cursor cursor;
    uint64_t walked = 0;
    start = now();
    if (kv_cursor_open(b->kv, &all, 0, &cursor) == COR_OK) {
        while (kv_cursor_next(&cursor, &item)) {
            walked++;
        }
    }
    rate("range over all", walked, now() - start);
}

static void run(struct bench *b, bool random)
{
    struct kv_options options = {.memory_max = (uint64_t)16 << 30};
    b->kv = kv_new(&options);
    b->index = 0;
    if (b->kv == NULL) {
        exit(1);
    }
    printf("%s order, %llu keys of %zu bytes:\n", random ? "random" : "key",
           (unsigned long long)b->n, b->value_size);
    double start = now();
    for (uint64_t i = 0; i < b->n; i++) {
        put(b, random ? shuffled(i, b->n) : i);
    }
    rate("puts, new", b->n, now() - start);
    report_memory(b, "all history kept");
    compact(b);
    report_memory(b, "compacted");
    read_back(b);
    start = now();
    for (uint64_t i = 0; i < b->n / 2; i++) {
        put(b, shuffled(i, b->n));
    }
    rate("puts, random, again", b->n / 2, now() - start);
    compact(b);
    report_memory(b, "half written again");
    start = now();
    for (uint64_t i = 0; i < b->n; i++) {
        if (i % 10 != 0) {
            remove_key(b, shuffled(i, b->n));
        }
    }
    rate("deletes", b->n / 10 * 9, now() - start);
    compact(b);
    report_memory(b, "nine in ten deleted");
    kv_free(b->kv);
}

int main(int argc, char **argv)
{
    static struct bench b = {.n = 1000000, .value_size = 256};
    b.n = argc > 1 ? strtoull(argv[1], NULL, 10) : b.n;
    b.value_size = argc > 2 ? (size_t)strtoull(argv[2], NULL, 10) : b.value_size;
    if (b.n == 0 || b.value_size > sizeof b.value) {
        fprintf(stderr, "usage: bench-kv-memory [keys [value bytes]]\n");
        return 2;
    }
    /* As the server does: slabs of 256 KiB are mappings of their own and go back when freed. */
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    run(&b, false);
    run(&b, true);
    return 0;
}
