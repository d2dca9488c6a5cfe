/* commands.c - the commands there are, in the order of the help. */
#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>

const struct command *commands_at(size_t i)
{
    static const struct command *const all[] = {
        &command_serve,         &command_put,     &command_get,          &command_del,
        &command_watch,         &command_status,  &command_session_open, &command_session_close,
        &command_log_dump,      &command_inspect, &command_verify,       &command_import_goraft,
        &command_export_goraft, &command_bench,
    };
    return i < ARRAY_LEN(all) ? all[i] : NULL;
}

enum exit_code command_fail(const struct invocation *i, enum exit_code code, const char *format,
                            ...)
{
    va_list ap;
    va_start(ap, format);
    (void)fprintf(stderr, "coracle %s: ", i->command->name);
    (void)vfprintf(stderr, format, ap);
    (void)fputc('\n', stderr);
    va_end(ap);
    return code;
}
