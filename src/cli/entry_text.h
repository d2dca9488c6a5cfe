/*
 * entry_text.h - what a command entry of the log says, for people and as JSON.
 *
 * Place in the system: `coracle log dump`. The bytes come from a disk: anything may be in them.
 */
#ifndef CLI_ENTRY_TEXT_H
#define CLI_ENTRY_TEXT_H

#include "coracle/bytes.h"
#include "json/writer.h"

#include <stdbool.h>

/* False: not an entry this version understands; nothing was printed. */
bool entry_is_readable(struct cor_bytes entry);
/* `put foo = bar; delete a..b` on stdout, without a line end. */
void entry_print(struct cor_bytes entry);
/* "mode", "compares" and "ops", members of the object that is open. */
void entry_json(struct json_writer *w, struct cor_bytes entry);

#endif
