/* room: cli
 *
 * config_fuzz.c - bytes nobody vouches for, as a configuration file of `coracle serve`.
 *
 * Beyond "does not crash": what is refused names the file and says something; what is accepted stays accepted and
 * means the same when it is read again; and a value set by a flag is not changed by any file.
 */
#include "base/assert.h"
#include "cli/command.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

struct attempt {
    unsigned char memory[OPTIONS_MEMORY];
    struct options_arguments arguments;
    struct cor_error err;
    enum cor_status st;
    void *values;
};

static void try(struct attempt *a, struct cor_bytes file)
{
    static const char *const flags[] = {"--memory", "64MiB"};
    const struct options_input in = {
        .flags = flags, .n_flags = ARRAY_LEN(flags), .file = file, .file_name = "conf"};
    struct arena arena;
    arena_init(&arena, a->memory, sizeof a->memory);
    a->values = calloc(1, command_serve.values_size);
    COR_ASSERT(a->values != NULL);
    a->st =
        options_parse(&command_serve.options, &in, &arena, a->values, &a->arguments, &a->err);
}

/* Numbers that were set, at the places where the table says. */
static void check_same(const struct attempt *a, const struct attempt *b)
{
    const struct option *o;
    for (size_t i = 0; (o = options_at(&command_serve.options, i)) != NULL; i++) {
        const unsigned char *x = (const unsigned char *)a->values + o->offset;
        const unsigned char *y = (const unsigned char *)b->values + o->offset;
        if (o->type == OPTION_NUMBER || o->type == OPTION_DURATION || o->type == OPTION_SIZE ||
            o->type == OPTION_CHOICE) {
            COR_ASSERT(memcmp(x, y, sizeof(uint64_t)) == 0);
        }
        if (strcmp(o->name, "memory") == 0 && a->st == COR_OK) {
            uint64_t memory;
            memcpy(&memory, x, sizeof memory);
            COR_ASSERT(memory == UINT64_C(64) << 20);
        }
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct attempt *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    COR_ASSERT(a != NULL && b != NULL);
    try(a, (struct cor_bytes){data, size});
    try(b, (struct cor_bytes){data, size});
    COR_ASSERT(a->st == b->st);
    if (a->st == COR_OK) {
        COR_ASSERT(a->arguments.n == 0);
        check_same(a, b);
    } else {
        COR_ASSERT(a->st == COR_EINVAL || a->st == COR_ETOOBIG);
        COR_ASSERT(strlen(a->err.text) > 0);
    }
    free(a->values);
    free(b->values);
    free(a);
    free(b);
    return 0;
}
