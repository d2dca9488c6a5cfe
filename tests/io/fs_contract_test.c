/* fs_contract_test.c - the simulator's disk keeps the contract of io/fs.h. */
#include "sim/disk.h"

#include "tests/io/fs_contract.h"

#define X(check)                                                                               \
    static void check(void)                                                                    \
    {                                                                                          \
        struct sim_disk *d = sim_disk_new();                                                   \
        contract_##check(&d->fs);                                                              \
        CHECK_EQ(d->n_open, (size_t)0);                                                        \
        sim_disk_free(d);                                                                      \
    }
FS_CONTRACT(X)
#undef X

#define X(check) TEST(check),
TEST_MAIN(FS_CONTRACT(X))
