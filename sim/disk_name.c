/* disk_name.c - names of a simulated disk and their durability; see disk_name.h. */
#include "sim/disk_name.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

static void copy_name(char *out, const char *name)
{
    size_t len = strlen(name);
    COR_ASSERT(len <= IO_NAME_MAX);
    memcpy(out, name, len + 1);
}

/* ---- one list of names ------------------------------------------------------------------------- */

struct disk_name *disk_names_find(struct disk_name *list, const char *name)
{
    for (; list != NULL; list = list->next) {
        if (strcmp(list->name, name) == 0) {
            return list;
        }
    }
    return NULL;
}

void disk_names_set(struct disk_name **list, const char *name, struct disk_file *file)
{
    file->refs++;
    struct disk_name **at = list;
    while (*at != NULL && strcmp((*at)->name, name) < 0) {
        at = &(*at)->next;
    }
    if (*at != NULL && strcmp((*at)->name, name) == 0) {
        disk_file_unref((*at)->file);
        (*at)->file = file;
        return;
    }
    struct disk_name *new = calloc(1, sizeof *new);
    COR_ASSERT(new != NULL);
    copy_name(new->name, name);
    new->file = file;
    new->next = *at;
    *at = new;
}

void disk_names_unset(struct disk_name **list, const char *name)
{
    for (struct disk_name **at = list; *at != NULL; at = &(*at)->next) {
        if (strcmp((*at)->name, name) == 0) {
            struct disk_name *gone = *at;
            *at = gone->next;
            disk_file_unref(gone->file);
            free(gone);
            return;
        }
    }
}

void disk_names_clear(struct disk_name **list)
{
    while (*list != NULL) {
        struct disk_name *gone = *list;
        *list = gone->next;
        disk_file_unref(gone->file);
        free(gone);
    }
}

/* ---- changes ------------------------------------------------------------------------------------- */

static void apply_change(struct disk_name **list, const struct disk_name_change *c)
{
    if (c->from[0] != '\0') {
        /* Only if it still is that file: an earlier change may have been lost. */
        const struct disk_name *n = disk_names_find(*list, c->from);
        if (n != NULL && n->file == c->file) {
            disk_names_unset(list, c->from);
        }
    }
    if (c->to[0] != '\0') {
        disk_names_set(list, c->to, c->file);
    }
}

static void add_change(struct sim_disk *d, const char *from, const char *to,
                       struct disk_file *file)
{
    struct disk_name_change *c = calloc(1, sizeof *c);
    COR_ASSERT(c != NULL);
    copy_name(c->from, from);
    copy_name(c->to, to);
    c->file = file;
    file->refs++;
    *d->changes_end = c;
    d->changes_end = &c->next;
}

void disk_names_change(struct sim_disk *d, const char *from, const char *to,
                       struct disk_file *file)
{
    add_change(d, from, to, file);
    const struct disk_name_change now = {.file = file};
    struct disk_name_change c = now;
    copy_name(c.from, from);
    copy_name(c.to, to);
    apply_change(&d->names, &c);
}

static void drop_changes(struct sim_disk *d)
{
    for (struct disk_name_change *c = d->changes_first; c != NULL;) {
        struct disk_name_change *next = c->next;
        disk_file_unref(c->file);
        free(c);
        c = next;
    }
    d->changes_first = NULL;
    d->changes_end = &d->changes_first;
}

void disk_names_sync(struct sim_disk *d)
{
    for (const struct disk_name_change *c = d->changes_first; c != NULL; c = c->next) {
        apply_change(&d->durable_names, c);
    }
    drop_changes(d);
}

/* A journal keeps a prefix of the changes; the contract allows any subset. Both are drawn. */
static void keep_some(struct sim_disk *d, struct prng *random)
{
    bool is_journal = prng_below(random, 2) == 0;
    bool going = true;
    for (const struct disk_name_change *c = d->changes_first; c != NULL; c = c->next) {
        bool keep = prng_below(random, 3) != 0;
        going = going && keep;
        if (is_journal ? going : keep) {
            apply_change(&d->durable_names, c);
        }
    }
}

void disk_names_crash(struct sim_disk *d, const struct sim_fate *fate)
{
    for (struct disk_name *n = d->durable_names; n != NULL; n = n->next) {
        disk_file_crash(n->file, fate);
    }
    for (struct disk_name_change *c = d->changes_first; c != NULL; c = c->next) {
        disk_file_crash(c->file, fate);
    }
    if (fate->kind == SIM_FATE_RANDOM) {
        keep_some(d, fate->random);
        drop_changes(d);
    } else if (fate->kind == SIM_FATE_LOST) {
        drop_changes(d);
    } else {
        disk_names_sync(d);
    }
    disk_names_clear(&d->names);
    for (struct disk_name *n = d->durable_names; n != NULL; n = n->next) {
        disk_names_set(&d->names, n->name, n->file);
    }
}

/* ---- copies ---------------------------------------------------------------------------------------- */

/* Files known by several names (now and durable) stay one file in the copy. */
struct twins {
    struct pair {
        const struct disk_file *old;
        struct disk_file *new;
    } * pairs;
    size_t n;
};

static struct disk_file *twin_of(struct twins *t, const struct disk_file *old)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->pairs[i].old == old) {
            return t->pairs[i].new;
        }
    }
    struct pair *pairs = realloc(t->pairs, (t->n + 1) * sizeof *pairs);
    COR_ASSERT(pairs != NULL);
    t->pairs = pairs;
    t->pairs[t->n++] = (struct pair){old, disk_file_copy(old)};
    return t->pairs[t->n - 1].new;
}

void disk_names_clone(struct sim_disk *to, const struct sim_disk *from)
{
    struct twins t = {0};
    for (const struct disk_name *n = from->names; n != NULL; n = n->next) {
        disk_names_set(&to->names, n->name, twin_of(&t, n->file));
    }
    for (const struct disk_name *n = from->durable_names; n != NULL; n = n->next) {
        disk_names_set(&to->durable_names, n->name, twin_of(&t, n->file));
    }
    for (const struct disk_name_change *c = from->changes_first; c != NULL; c = c->next) {
        add_change(to, c->from, c->to, twin_of(&t, c->file));
    }
    for (size_t i = 0; i < t.n; i++) {
        disk_file_unref(t.pairs[i].new); /* the lists hold their own references */
    }
    free(t.pairs);
}

void disk_names_free(struct sim_disk *d)
{
    drop_changes(d);
    disk_names_clear(&d->names);
    disk_names_clear(&d->durable_names);
}
