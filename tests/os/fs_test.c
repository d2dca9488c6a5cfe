/* fs_test.c - real files keep the contract of io/fs.h; the directory is locked, and refused with words. */
#include "os/os.h"

#include "base/format.h"
#include "tests/io/fs_contract.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64]; /* of the running test */

static void make_dir(void)
{
    format_to(dir, sizeof dir, "/tmp/coracle-fs-XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
}

static void remove_dir(void)
{
    CHECK(rmdir(dir) == 0);
}

static struct io_fs *open_fs(unsigned flags)
{
    struct io_fs *fs = NULL;
    struct cor_error err = {0};
    enum cor_status st = os_fs_open(dir, flags, &err, &fs);
    ROW("%s", err.text);
    CHECK_EQ(st, COR_OK);
    return fs;
}

#define X(check)                                                                               \
    static void check(void)                                                                    \
    {                                                                                          \
        make_dir();                                                                            \
        struct io_fs *fs = open_fs(0);                                                         \
        REQUIRE(fs != NULL);                                                                   \
        contract_##check(fs);                                                                  \
        os_fs_close(fs);                                                                       \
        remove_dir();                                                                          \
    }
FS_CONTRACT(X)
#undef X

static void a_directory_is_made_for_its_owner_alone(void)
{
    make_dir();
    remove_dir();
    struct io_fs *fs = open_fs(OS_FS_CREATE);
    REQUIRE(fs != NULL);
    struct stat s;
    CHECK_EQ(stat(dir, &s), 0);
    CHECK_EQ(s.st_mode & 0777u, 0700u);
    CHECK_EQ(contract_names(fs), 0u);
    os_fs_close(fs);
    remove_dir();
}

static void a_missing_directory_is_not_made_unless_asked(void)
{
    make_dir();
    remove_dir();
    struct io_fs *fs = NULL;
    struct cor_error err = {0};
    CHECK_EQ(os_fs_open(dir, 0, &err, &fs), COR_ENOTFOUND);
    CHECK_EQ(os_fs_open(dir, OS_FS_CREATE | OS_FS_READ_ONLY, &err, &fs), COR_ENOTFOUND);
    CHECK(fs == NULL && access(dir, F_OK) != 0 && strstr(err.text, dir) != NULL);
}

static void a_missing_parent_is_named(void)
{
    struct io_fs *fs = NULL;
    struct cor_error err = {0};
    make_dir();
    remove_dir();
    char path[96];
    format_to(path, sizeof path, "%s/data/", dir);
    CHECK_EQ(os_fs_open(path, OS_FS_CREATE, &err, &fs), COR_ENOTFOUND);
    char want[96];
    format_to(want, sizeof want, "make %s/ first", dir);
    ROW("%s", err.text);
    CHECK(strstr(err.text, want) != NULL);
}

/* From another process, because that is who the lock is for. Returns what it got. */
static int status_elsewhere(unsigned flags)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct io_fs *fs = NULL;
        _exit((int)os_fs_open(dir, flags, NULL, &fs));
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_second_process_is_refused_and_told_who_has_it(void)
{
    make_dir();
    struct io_fs *fs = open_fs(0), *second = NULL;
    REQUIRE(fs != NULL);
    struct cor_error err = {0};
    char want[32];
    CHECK_EQ(os_fs_open(dir, OS_FS_CREATE, &err, &second), COR_ELOCKED);
    format_to(want, sizeof want, "(pid %ld)", (long)getpid());
    ROW("%s", err.text);
    CHECK(second == NULL && strstr(err.text, want) != NULL && strstr(err.text, dir) != NULL);
    CHECK_EQ(status_elsewhere(0), COR_ELOCKED);
    CHECK_EQ(status_elsewhere(OS_FS_READ_ONLY), COR_OK);
    os_fs_close(fs);
    CHECK_EQ(status_elsewhere(0), COR_OK);
    fs = open_fs(0); /* the other process ended without closing it */
    os_fs_close(fs);
    remove_dir();
}

static void a_file_is_not_a_directory(void)
{
    make_dir();
    char path[96];
    format_to(path, sizeof path, "%s/file", dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    (void)close(fd);
    struct io_fs *fs = NULL;
    struct cor_error err = {0};
    CHECK_EQ(os_fs_open(path, OS_FS_CREATE, &err, &fs), COR_EINVAL);
    CHECK(strstr(err.text, "not a directory") != NULL);
    (void)unlink(path);
    remove_dir();
}

/* Root may write anywhere, so the child becomes somebody else first. */
static void a_directory_of_somebody_else_is_refused(void)
{
    make_dir();
    CHECK_EQ(chmod(dir, 0555), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct io_fs *fs = NULL;
        char below[96];
        format_to(below, sizeof below, "%s/data", dir);
        bool is_root = geteuid() == 0;
        bool ok = !is_root || (setgid(65534) == 0 && setuid(65534) == 0);
        ok = ok && os_fs_open(dir, OS_FS_CREATE, NULL, &fs) == COR_EPERM;
        ok = ok && os_fs_open(below, OS_FS_CREATE, NULL, &fs) == COR_EPERM;
        ok = ok && os_fs_open(dir, OS_FS_READ_ONLY, NULL, &fs) == COR_OK;
        _exit(ok ? 0 : 1);
    }
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    remove_dir();
}

static void looking_on_changes_nothing(void)
{
    make_dir();
    struct io_fs *fs = open_fs(0);
    REQUIRE(fs != NULL);
    CHECK_EQ(io_publish(fs, "a", COR_BYTES_LIT("old"), NULL), COR_OK);
    struct io_fs *look = open_fs(OS_FS_READ_ONLY);
    REQUIRE(look != NULL);
    struct io_file *f = NULL;
    CHECK_EQ(look->ops->open(look, "b", IO_CREATE, &f, NULL), COR_EPERM);
    CHECK_EQ(look->ops->remove(look, "a", NULL), COR_EPERM);
    CHECK_EQ(look->ops->rename(look, "a", "b", NULL), COR_EPERM);
    CHECK_EQ(look->ops->sync_dir(look, NULL), COR_EPERM);
    CHECK_EQ(look->ops->open(look, "a", IO_DIRECT, &f, NULL), COR_OK);
    REQUIRE(f != NULL);
    static alignas(4096) unsigned char page[CONTRACT_PAGE];
    struct cor_bytes whole = {page, sizeof page};
    CHECK_EQ(look->ops->write(f, 0, whole, NULL), COR_EPERM);
    CHECK_EQ(look->ops->truncate(f, 0, NULL), COR_EPERM);
    look->ops->close(f);
    os_fs_close(look);
    contract_remove(fs, "a");
    os_fs_close(fs);
    remove_dir();
}

static void a_sub_directory_is_not_listed(void)
{
    make_dir();
    char path[96];
    format_to(path, sizeof path, "%s/lost+found", dir);
    CHECK_EQ(mkdir(path, 0700), 0);
    struct io_fs *fs = open_fs(0);
    REQUIRE(fs != NULL);
    CHECK_EQ(contract_names(fs), 0u);
    os_fs_close(fs);
    (void)rmdir(path);
    remove_dir();
}

/* tmpfs had no O_DIRECT for most of its life; where it has, this repeats the contract. */
static void a_direct_file_works_on_any_file_system(void)
{
    format_to(dir, sizeof dir, "/dev/shm/coracle-fs-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return; /* no such place here */
    }
    struct io_fs *fs = open_fs(0);
    REQUIRE(fs != NULL);
    contract_direct_writes_and_odd_reads_agree(fs);
    os_fs_close(fs);
    remove_dir();
}

#define X(check) TEST(check),
TEST_MAIN(FS_CONTRACT(X) TEST(a_directory_is_made_for_its_owner_alone),
          TEST(a_missing_directory_is_not_made_unless_asked), TEST(a_missing_parent_is_named),
          TEST(a_second_process_is_refused_and_told_who_has_it),
          TEST(a_file_is_not_a_directory), TEST(a_directory_of_somebody_else_is_refused),
          TEST(looking_on_changes_nothing), TEST(a_sub_directory_is_not_listed),
          TEST(a_direct_file_works_on_any_file_system))
