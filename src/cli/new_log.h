/*
 * new_log.h - make the data directory of a single node from entries that somebody hands over.
 *
 * Place in the system: `coracle import-goraft`. Uses wal/ as a node does, on a loop of its own that turns only while
 * we wait. The state file is written last: a directory whose making was interrupted has a log and no state
 * file, and no node starts on it.
 */
#ifndef CLI_NEW_LOG_H
#define CLI_NEW_LOG_H

#include "base/attr.h"
#include "coracle/bytes.h"
#include "coracle/status.h"

#include <stdint.h>

struct new_log;

/* @dir is made if it is not there. COR_EEXIST: it is not empty; or as os_fs_open() and wal_open(). */
MUST_USE enum cor_status new_log_open(const char *dir, const char *node_name,
                                      struct cor_error *err, struct new_log **out);
/* The next entry, a command; terms begin at 1 and never go back. Blocks while the disk is slow. */
MUST_USE enum cor_status new_log_add(struct new_log *n, uint64_t term, struct cor_bytes payload,
                                     struct cor_error *err);
/* Everything is durable and all of it is committed: write the state file. */
MUST_USE enum cor_status new_log_finish(struct new_log *n, struct cor_error *err);
void new_log_free(struct new_log *n); /* NULL is fine */

#endif
