/*
 * fs_contract.h - what io/fs.h promises to storage code, as checks on any implementation.
 *
 * Each check gets an empty directory and leaves it empty. tests/io/fs_contract_test.c runs them over the
 * simulator's disk, tests/os/fs_test.c over real files: code that is tested on the one may run on the
 * other.
 */
#ifndef TESTS_IO_FS_CONTRACT_H
#define TESTS_IO_FS_CONTRACT_H

#include "io/fs.h"

#include "tests/support/test.h"

#include <stdalign.h>
#include <string.h>

#define CONTRACT_PAGE 4096u

static struct io_file *contract_open(struct io_fs *fs, const char *name, unsigned flags)
{
    struct io_file *f = NULL;
    struct cor_error err = {0};
    CHECK_EQ(fs->ops->open(fs, name, flags, &f, &err), COR_OK);
    return f;
}

static void contract_remove(struct io_fs *fs, const char *name)
{
    CHECK_EQ(fs->ops->remove(fs, name, NULL), COR_OK);
}

static void contract_count(void *arg, const char *name)
{
    unsigned *n = arg;
    *n += strcmp(name, "a") == 0 ? 1 : (strcmp(name, "b") == 0 ? 100 : 10000);
}

static unsigned contract_names(struct io_fs *fs)
{
    unsigned n = 0;
    CHECK_EQ(fs->ops->list(fs, contract_count, &n, NULL), COR_OK);
    return n;
}

static void contract_what_is_written_is_read(struct io_fs *fs)
{
    struct io_file *f = contract_open(fs, "a", IO_CREATE);
    REQUIRE(f != NULL);
    char out[16];
    size_t got = 99;
    uint64_t size = 99;
    CHECK_EQ(fs->ops->write(f, 3, COR_BYTES_LIT("hello"), NULL), COR_OK);
    CHECK_EQ(fs->ops->size(f, &size, NULL), COR_OK);
    CHECK_EQ(size, 8u);
    CHECK_EQ(fs->ops->read(f, 0, out, sizeof out, &got, NULL), COR_OK);
    CHECK_BYTES(((struct cor_bytes){(unsigned char *)out, got}), COR_BYTES_LIT("\0\0\0hello"));
    CHECK_EQ(fs->ops->read(f, 6, out, 1, &got, NULL), COR_OK);
    CHECK_BYTES(((struct cor_bytes){(unsigned char *)out, got}), COR_BYTES_LIT("l"));
    CHECK_EQ(fs->ops->read(f, 8, out, sizeof out, &got, NULL), COR_OK);
    CHECK_EQ(got, (size_t)0);
    CHECK_EQ(fs->ops->sync(f, NULL), COR_OK);
    CHECK_EQ(fs->ops->sync(f, NULL), COR_OK);
    fs->ops->close(f);
    contract_remove(fs, "a");
}

static void contract_truncate_cuts_and_extends_with_zeros(struct io_fs *fs)
{
    struct io_file *f = contract_open(fs, "a", IO_CREATE);
    REQUIRE(f != NULL);
    char out[16];
    size_t got = 0;
    CHECK_EQ(fs->ops->write(f, 0, COR_BYTES_LIT("hello"), NULL), COR_OK);
    CHECK_EQ(fs->ops->truncate(f, 2, NULL), COR_OK);
    CHECK_EQ(fs->ops->truncate(f, 4, NULL), COR_OK);
    CHECK_EQ(fs->ops->read(f, 0, out, sizeof out, &got, NULL), COR_OK);
    CHECK_BYTES(((struct cor_bytes){(unsigned char *)out, got}), COR_BYTES_LIT("he\0\0"));
    fs->ops->close(f);
    contract_remove(fs, "a");
}

static void contract_open_says_what_is_there(struct io_fs *fs)
{
    struct io_file *f = NULL;
    struct cor_error err = {0};
    CHECK_EQ(fs->ops->open(fs, "a", 0, &f, &err), COR_ENOTFOUND);
    CHECK(f == NULL && strstr(err.text, "a") != NULL);
    CHECK_EQ(fs->ops->open(fs, "a", IO_READ_ONLY, &f, NULL), COR_ENOTFOUND);
    f = contract_open(fs, "a", IO_CREATE | IO_EXCLUSIVE);
    REQUIRE(f != NULL);
    struct io_file *second = NULL;
    CHECK_EQ(fs->ops->open(fs, "a", IO_CREATE | IO_EXCLUSIVE, &second, &err), COR_EEXIST);
    CHECK(second == NULL);
    CHECK_EQ(fs->ops->write(f, 0, COR_BYTES_LIT("kept"), NULL), COR_OK);
    fs->ops->close(f);
    f = contract_open(fs, "a", IO_CREATE);
    REQUIRE(f != NULL);
    uint64_t size = 0;
    CHECK_EQ(fs->ops->size(f, &size, NULL), COR_OK);
    CHECK_EQ(size, 4u);
    fs->ops->close(f);
    contract_remove(fs, "a");
    CHECK_EQ(fs->ops->remove(fs, "a", &err), COR_ENOTFOUND);
}

static void contract_a_read_only_handle_reads(struct io_fs *fs)
{
    struct io_file *f = contract_open(fs, "a", IO_CREATE);
    REQUIRE(f != NULL);
    CHECK_EQ(fs->ops->write(f, 0, COR_BYTES_LIT("x"), NULL), COR_OK);
    fs->ops->close(f);
    f = contract_open(fs, "a", IO_READ_ONLY);
    REQUIRE(f != NULL);
    char out[4];
    size_t got = 0;
    CHECK_EQ(fs->ops->read(f, 0, out, sizeof out, &got, NULL), COR_OK);
    CHECK_EQ(got, (size_t)1);
    fs->ops->close(f);
    contract_remove(fs, "a");
}

static void contract_rename_replaces(struct io_fs *fs)
{
    struct io_file *f = contract_open(fs, "a", IO_CREATE);
    struct io_file *g = contract_open(fs, "b", IO_CREATE);
    REQUIRE(f != NULL && g != NULL);
    CHECK_EQ(fs->ops->write(f, 0, COR_BYTES_LIT("new"), NULL), COR_OK);
    CHECK_EQ(fs->ops->write(g, 0, COR_BYTES_LIT("older"), NULL), COR_OK);
    fs->ops->close(f);
    fs->ops->close(g);
    CHECK_EQ(contract_names(fs), 101u);
    CHECK_EQ(fs->ops->rename(fs, "a", "b", NULL), COR_OK);
    CHECK_EQ(fs->ops->sync_dir(fs, NULL), COR_OK);
    CHECK_EQ(contract_names(fs), 100u);
    CHECK_EQ(fs->ops->rename(fs, "a", "b", NULL), COR_ENOTFOUND);
    char out[8];
    size_t got = 0;
    CHECK_EQ(io_read_whole(fs, "b", out, sizeof out, &got, NULL), COR_OK);
    CHECK_BYTES(((struct cor_bytes){(unsigned char *)out, got}), COR_BYTES_LIT("new"));
    contract_remove(fs, "b");
    CHECK_EQ(contract_names(fs), 0u);
}

/* Pages written past the cache, and read back in pieces of any size in between. */
static void contract_direct_writes_and_odd_reads_agree(struct io_fs *fs)
{
    static alignas(4096) unsigned char page[2 * CONTRACT_PAGE];
    struct io_file *f = contract_open(fs, "a", IO_CREATE | IO_DIRECT);
    REQUIRE(f != NULL);
    for (unsigned i = 0; i < 8; i++) {
        unsigned char out[7] = {0};
        size_t got = 0;
        ROW("page %u", i);
        memset(page, (int)('a' + i), sizeof page);
        struct cor_bytes two = {page, sizeof page};
        CHECK_EQ(fs->ops->write(f, (uint64_t)i * CONTRACT_PAGE, two, NULL), COR_OK);
        CHECK_EQ(fs->ops->read(f, (uint64_t)i * CONTRACT_PAGE + 5, out, 7, &got, NULL), COR_OK);
        CHECK(got == 7 && out[0] == 'a' + i && out[6] == 'a' + i);
        CHECK_EQ(fs->ops->sync(f, NULL), COR_OK);
    }
    uint64_t size = 0;
    CHECK_EQ(fs->ops->size(f, &size, NULL), COR_OK);
    CHECK_EQ(size, (uint64_t)9 * CONTRACT_PAGE);
    CHECK_EQ(fs->ops->truncate(f, 100, NULL), COR_OK);
    CHECK_EQ(fs->ops->sync(f, NULL), COR_OK);
    fs->ops->close(f);
    unsigned char out[128];
    size_t got = 0;
    CHECK_EQ(io_read_whole(fs, "a", out, sizeof out, &got, NULL), COR_OK);
    CHECK(got == 100 && out[0] == 'a' && out[99] == 'a');
    contract_remove(fs, "a");
}

static void contract_publish_replaces_a_file(struct io_fs *fs)
{
    char out[8];
    size_t got = 0;
    CHECK_EQ(io_publish(fs, "a", COR_BYTES_LIT("first"), NULL), COR_OK);
    CHECK_EQ(io_publish(fs, "a", COR_BYTES_LIT("2nd"), NULL), COR_OK);
    CHECK_EQ(io_read_whole(fs, "a", out, sizeof out, &got, NULL), COR_OK);
    CHECK_BYTES(((struct cor_bytes){(unsigned char *)out, got}), COR_BYTES_LIT("2nd"));
    CHECK_EQ(io_read_whole(fs, "a", out, 2, &got, NULL), COR_ETOOBIG);
    CHECK_EQ(contract_names(fs), 1u);
    contract_remove(fs, "a");
}

static void contract_free_bytes_are_told(struct io_fs *fs)
{
    uint64_t bytes = 0;
    CHECK_EQ(fs->ops->free_bytes(fs, &bytes, NULL), COR_OK);
    CHECK(bytes > 0);
}

#define FS_CONTRACT(X)                                                                         \
    X(what_is_written_is_read)                                                                 \
    X(truncate_cuts_and_extends_with_zeros)                                                    \
    X(open_says_what_is_there)                                                                 \
    X(a_read_only_handle_reads)                                                                \
    X(rename_replaces)                                                                         \
    X(direct_writes_and_odd_reads_agree)                                                       \
    X(publish_replaces_a_file)                                                                 \
    X(free_bytes_are_told)

#endif
