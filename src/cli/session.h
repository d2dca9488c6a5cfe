/* session.h - the value of the option --session. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <stdbool.h>

/* Is @text SESSION:NUMBER, fit for the header Idempotency-Key? */
bool session_is_key(const char *text);

#endif
