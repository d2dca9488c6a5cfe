/*
 * express.h - an entry of our log in goraft's words, if it has any.
 *
 * Place in the system: export.c writes what this finds, article.c prints it.
 */
#ifndef GORAFT_EXPRESS_H
#define GORAFT_EXPRESS_H

#include "base/attr.h"
#include "goraft/goraft.h"

enum goraft_word {
    GORAFT_NO_WORD = 0, /* why: a reason for people */
    GORAFT_NOP,         /* changes no key */
    GORAFT_WRITE,       /* one put: key, value */
    GORAFT_NOTED,       /* has a note; of a record, key and value if it is AS_PUT */
};

struct goraft_expressed {
    enum goraft_word word;
    const char *why;
    struct cor_bytes key, value;
    struct goraft_note note;
};

/* Views borrow from @e. */
void goraft_express(const struct goraft_entry *e, struct goraft_expressed *out);

#endif
