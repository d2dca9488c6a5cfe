/*
 * handler.h - run somebody's program for a change: bytes on its standard input, the index in its environment.
 *
 * Place in the system: `coracle watch --type`. Output and errors of the program are ours; one runs at a time.
 */
#ifndef CLI_HANDLER_H
#define CLI_HANDLER_H

#include "base/attr.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stdint.h>

/*
 * Run @program (its arguments behind it, then NULL; found along PATH), and wait for its end. CONSUL_INDEX is @index. A
 * program that does not read all of @input does nothing wrong.
 *
 * COR_OK: it ended with 0. COR_EREFUSED: with something else; COR_EIO: it could not be run. @err says which.
 */
MUST_USE enum cor_status handler_run(const char *const *program, uint64_t index,
                                     struct cor_bytes input, struct cor_error *err);

#endif
