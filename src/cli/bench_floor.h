/*
 * bench_floor.h - what the two files of floors share: files filled with zeros, pairs of sockets.
 */
#ifndef CLI_BENCH_FLOOR_H
#define CLI_BENCH_FLOOR_H

#include "cli/bench.h"

#define FLOOR_PAGE  4096u
#define FLOOR_PAGES 4096u /* 16 MiB, written over and over */

/* A file in @dir (@path of @size bytes gets its name), full of zeros and synced: nothing is left to
 * allocate. @page is memory for one page, aligned. -1: errno says why. */
int floor_open(const char *dir, const char *suffix, char *path, size_t size,
               unsigned char *page, bool *direct);
/* Two connected TCP sockets on loopback. False: errno says why. */
bool floor_pair(int out[2]);
bool floor_read(int fd, unsigned char *out, size_t len);
bool floor_send(int fd, const unsigned char *data, size_t len);

/* The bare replicated write: bench_floor_write.c. */
MUST_USE enum cor_status floor_measure_write(const char *dir, struct bench_floors *f,
                                             struct cor_error *err);

#endif
