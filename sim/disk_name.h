/*
 * disk_name.h - the directory of a simulated disk: which name means which file, now and after a
 * crash.
 *
 * Place in the system: between sim/disk.c and sim/disk_file.c. A change of names is pending until
 * sync_dir; a crash keeps or loses each (a rename whole, never half).
 */
#ifndef SIM_DISK_NAME_H
#define SIM_DISK_NAME_H

#include "sim/disk_file.h"

struct disk_name {
    struct disk_name *next; /* sorted */
    struct disk_file *file; /* a reference */
    char name[IO_NAME_MAX + 1];
};

/* from == "": @to is new. to == "": @from is gone. Both: a rename. */
struct disk_name_change {
    struct disk_name_change *next;
    struct disk_file *file; /* a reference */
    char from[IO_NAME_MAX + 1], to[IO_NAME_MAX + 1];
};

struct disk_name *disk_names_find(struct disk_name *list, const char *name);
void disk_names_set(struct disk_name **list, const char *name, struct disk_file *file);
void disk_names_unset(struct disk_name **list, const char *name);
void disk_names_clear(struct disk_name **list);

/* Change the visible names, and remember it as pending. @from, @to: "" as above. */
void disk_names_change(struct sim_disk *d, const char *from, const char *to,
                       struct disk_file *file);
void disk_names_sync(struct sim_disk *d);
void disk_names_crash(struct sim_disk *d, const struct sim_fate *fate);
void disk_names_clone(struct sim_disk *to, const struct sim_disk *from);
void disk_names_free(struct sim_disk *d);

#endif
