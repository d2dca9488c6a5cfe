/*
 * words.h - how the numbers that simulated clients use look as keys and values: key 7 is "k007",
 * value 42 is "42", or "42.xxxx" when it shall be longer.
 *
 * Place in the system: client.c writes them, cluster.c reads them back for the judge.
 */
#ifndef SIM_WORDS_H
#define SIM_WORDS_H

#include "coracle/bytes.h"

#include <stdbool.h>
#include <stdint.h>

#define WORD_KEY_SIZE   4u
#define WORD_VALUE_SIZE 21u /* of the digits; padding comes on top */

/* Write the key's WORD_KEY_SIZE bytes and a NUL. */
void word_key(uint32_t key, char *out);
/* False: not one of ours. */
bool word_read_key(struct cor_bytes in, uint32_t *out);
/* Write the value, padded to @len bytes if that is more. @out has room for both. Returns the length. */
size_t word_value(uint64_t value, size_t len, unsigned char *out);
/* 0: not one of ours. */
uint64_t word_read_value(struct cor_bytes in);

#endif
