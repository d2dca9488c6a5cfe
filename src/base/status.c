/* status.c - texts of the status codes, generated from the one list in coracle/status.h. */
#include "coracle/status.h"

const char *cor_status_text(enum cor_status st)
{
    switch (st) {
#define X(name, number, text)                                                                  \
    case COR_##name:                                                                           \
        return text;
        COR_STATUS_MAP(X)
#undef X
    }
    return "unknown status"; /* no default: above, so that -Wswitch names a missing code */
}
