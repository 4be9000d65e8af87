/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_uring.c: claims about io_uring where the kernel refuses it, in whole or in part
 * (engine/io/uring.c).
 *
 * A kernel that forbids a call is a seccomp filter in a child. One that takes only a part of a
 * batch, or none, is our own io_uring_submit: the linker puts it in place (--wrap).
 */
#include "tests/io/io_fixture.h"
#include "engine/base/clock.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- a ring that takes less than it should ---- */

static struct {
    bool on;
    uint64_t random;
    unsigned refused, cut;
} stingy;

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

/* Submits the first `most` entries only, as a kernel that is short of memory does. */
static int submit_some(struct io_uring *ring, unsigned most)
{
    struct io_uring_sq *sq = &ring->sq;
    unsigned there = sq->sqe_tail - *sq->khead;

    if (most > there) most = there;
    if (most < there) stingy.cut++;
    *sq->ktail = sq->sqe_tail;
    sq->sqe_head = sq->sqe_tail;
    return most ? (int)syscall(__NR_io_uring_enter, ring->ring_fd, most, 0, 0, NULL, 0) : 0;
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
    if (!stingy.on) return __real_io_uring_submit(ring);
    switch (random_below(&stingy.random, 4)) {
    case 0: stingy.refused++; return random_below(&stingy.random, 2) ? -EAGAIN : -EBUSY;
    case 1: return -EINTR;
    default: return submit_some(ring, (unsigned)random_below(&stingy.random, 6));
    }
}

START_TEST(ring_that_takes_only_a_part_changes_no_result)
{
    enum { SLOTS = 16, MOST = 40 };
    static uint32_t values[MOST], now[SLOTS];
    uint64_t random = sdb__random_seed(), seed = random;
    struct fixture f;
    struct io_file *file;

    if (!fixture_begin(&f, URING, 16)) return;
    file = make_file(&f, "a");
    OK(sdb__io_truncate(file, sizeof now));
    stingy.on = true;
    stingy.random = seed;
    for (int round = 0; round < 500; round++) {
        struct io_op ops[MOST];
        size_t count = 2 + (size_t)random_below(&random, MOST - 2), slot = 0;
        bool broken = false;

        /* Chains of writes to one place each; now and then one that cannot succeed. */
        for (size_t i = 0; i < count; i++) {
            bool fails = random_below(&random, 10) == 0;

            values[i] = (uint32_t)random_next(&random);
            ops[i] = op_of(file, IO_WRITE, &values[i], 4,
                           fails ? (uint64_t)1 << 62 : slot % SLOTS * 4, IO_LINK);
            if (!fails && !broken && slot < SLOTS) now[slot] = values[i];
            ops[i].context = broken ? &broken : NULL;
            if (fails) broken = true;
            if (slot + 1 < SLOTS && random_below(&random, 3) == 0) {
                ops[i].flags = 0;
                broken = false;
                slot++;
            }
        }
        (void)!sdb__io_run(f.queue, ops, count);
        for (size_t i = 0; i < count; i++) {
            sdb_status wanted = ops[i].context        ? SDB_CANCELLED
                                : ops[i].offset >> 62 ? SDB_FULL
                                                      : SDB_OK;
            ck_assert_msg(ops[i].status == wanted, "seed %llu, round %d, operation %zu: %s",
                          (unsigned long long)seed, round, i, sdb_status_name(ops[i].status));
        }
        for (size_t i = 0; i < SLOTS; i++) {
            uint32_t back;

            OK(sdb__io_read(f.queue, file, &back, 4, i * 4));
            ck_assert_msg(back == now[i], "seed %llu, round %d, place %zu",
                          (unsigned long long)seed, round, i);
        }
    }
    stingy.on = false;
    ck_assert_uint_gt(stingy.refused, 50);
    ck_assert_uint_gt(stingy.cut, 50);
    sdb__io_close(file);
    fixture_end(&f, URING);
}
END_TEST

/* ---- a kernel that forbids ---- */

/* From now on this process gets `error` from the system call. */
static bool forbid(int call, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { SKIPPED = 77 };

/* Runs a check in a child; it answers 0, SKIPPED, or the number of what failed. */
static void in_child(int (*check)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) _exit(check());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) != SKIPPED) ck_assert_int_eq(WEXITSTATUS(status), 0);
}

static int check_fallback(int call, int error, const char *sentence)
{
    struct io *io = NULL;

    if (!forbid(call, error)) return SKIPPED;
    if (sdb__io_new(SDB_BACKEND_URING, NULL, &io) != SDB_INVALID) return 1;
    if (!strstr(sdb_errmsg(), "choose the posix backend")) return 2;
    if (!strstr(sdb_errmsg(), sentence)) return 3;
    if (sdb__io_new(SDB_BACKEND_AUTO, NULL, &io) != SDB_OK) return 4;
    if (strcmp(sdb__io_name(io), "posix") != 0) return 5;
    if (!strstr(sdb__io_note(io), sentence)) return 6;
    if (!strstr(sdb__io_note(io), "; using posix")) return 7;
    if (strstr(sdb__io_note(io), "choose")) return 8;
    sdb__io_free(io);
    return 0;
}

static int check_setup_forbidden(void)
{
    return check_fallback(__NR_io_uring_setup, EPERM,
                          "io_uring is not permitted here (Operation not permitted)");
}

static int check_setup_unknown(void)
{
    return check_fallback(__NR_io_uring_setup, ENOSYS, "this kernel has no io_uring");
}

static int check_enter_forbidden(void)
{
    return check_fallback(__NR_io_uring_enter, EPERM, "io_uring");
}

static int check_probe_forbidden(void)
{
    return check_fallback(__NR_io_uring_register, EINVAL, "io_uring");
}

START_TEST(auto_falls_back_to_posix_and_says_why)
{
    in_child(check_setup_forbidden);
    in_child(check_setup_unknown);
    in_child(check_enter_forbidden);
    in_child(check_probe_forbidden);
}
END_TEST

static int check_later_ban(void)
{
    static char bytes[3][100];
    struct io *io = NULL;
    struct io_file *file = NULL;
    struct io_queue *queue = NULL;
    struct io_op ops[4];
    char path[] = "/tmp/sdb-io-XXXXXX";
    int fd = mkstemp(path), answer = 0;

    if (fd < 0 || sdb__io_new(SDB_BACKEND_URING, NULL, &io) != SDB_OK) return SKIPPED;
    (void)close(fd);
    if (sdb__io_queue_new(io, 2, &queue) != SDB_OK) return 1;
    if (sdb__io_open(io, path, IO_OPEN_WRITE, &file) != SDB_OK) return 2;
    (void)unlink(path);
    if (!forbid(__NR_io_uring_enter, EPERM)) answer = SKIPPED;
    for (unsigned i = 0; i < 3; i++)
        ops[i] = op_of(file, IO_WRITE, bytes[i], 100, i * 100, IO_LINK);
    ops[3] = op_of(file, IO_SYNC, NULL, 0, 0, 0);
    if (sdb__io_run(queue, ops, 4) != SDB_OK) return 3;
    ops[1].offset = (uint64_t)1 << 62;
    if (sdb__io_run(queue, ops, 4) != SDB_FULL) return 4;
    if (ops[3].status != SDB_CANCELLED) return 5;
    sdb__io_close(file);
    sdb__io_queue_free(queue);
    sdb__io_free(io);
    return answer;
}

START_TEST(queue_goes_on_by_plain_calls_when_the_kernel_changes_its_mind)
{
    in_child(check_later_ban);
}
END_TEST

/* Takes descriptors until there are none left. */
static void exhaust(void)
{
    struct rlimit limit = {64, 64};

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) continue;
}

static int check_no_ring_left(void)
{
    struct io *automatic = NULL, *strict = NULL;
    struct io_file *file = NULL;
    struct io_queue *queue = NULL;
    struct io_op ops[2];
    char path[] = "/tmp/sdb-io-XXXXXX", byte = 'x';
    int fd = mkstemp(path);

    if (fd < 0 || sdb__io_new(SDB_BACKEND_AUTO, NULL, &automatic) != SDB_OK) return 1;
    if (strcmp(sdb__io_name(automatic), "io_uring") != 0) return SKIPPED;
    if (sdb__io_new(SDB_BACKEND_URING, NULL, &strict) != SDB_OK) return 2;
    if (sdb__io_open(automatic, path, IO_OPEN_WRITE, &file) != SDB_OK) return 3;
    (void)unlink(path);
    exhaust();
    if (sdb__io_queue_new(strict, 4, &queue) != SDB_INVALID || queue) return 4;
    if (sdb__io_queue_new(automatic, 4, &queue) != SDB_OK) return 5;
    if (!strstr(sdb__io_note(automatic), "it works by posix")) return 6;
    ops[0] = op_of(file, IO_WRITE, &byte, 1, 0, IO_LINK);
    ops[1] = op_of(file, IO_SYNC, NULL, 0, 0, 0);
    if (sdb__io_run(queue, ops, 2) != SDB_OK) return 7;
    sdb__io_close(file);
    sdb__io_queue_free(queue);
    sdb__io_free(automatic);
    sdb__io_free(strict);
    return 0;
}

START_TEST(queue_without_a_ring_works_by_plain_calls_if_it_may)
{
    in_child(check_no_ring_left);
}
END_TEST

/* ---- large transfers ---- */

START_TEST(transfer_larger_than_a_piece_is_one_operation_of_its_chain)
{
    enum { SIZE = 130 * 1024 * 1024 }; /* two pieces and a rest */
    struct fixture f;
    struct io_file *file;
    struct io_op ops[5];
    char *bytes, *back, after = 'z', last = 0;

    if (!fixture_begin(&f, URING, 4)) return;
    bytes = malloc(SIZE);
    back = malloc(SIZE);
    ck_assert(bytes && back);
    for (size_t i = 0; i < SIZE; i++) bytes[i] = (char)(i / 4096 + i);
    file = make_file(&f, "big");
    ops[0] = op_of(file, IO_WRITE, bytes, SIZE, 0, IO_LINK);
    ops[1] = op_of(file, IO_WRITE, &after, 1, SIZE - 1, IO_LINK); /* over its last byte */
    ops[2] = op_of(file, IO_READ, &last, 1, SIZE - 1, IO_LINK);
    ops[3] = op_of(file, IO_READ, back, SIZE, 0, IO_LINK);
    ops[4] = op_of(file, IO_SYNC, NULL, 0, 0, 0);
    OK(sdb__io_run(f.queue, ops, 5));
    ck_assert_uint_eq(ops[0].done, SIZE);
    ck_assert_uint_eq(ops[3].done, SIZE);
    ck_assert_int_eq(last, 'z');
    bytes[SIZE - 1] = 'z';
    ck_assert_int_eq(memcmp(bytes, back, SIZE), 0);
    after = 'q'; /* the last piece of the read still sees what was there before */
    ops[0] = op_of(file, IO_READ, back, SIZE, 0, IO_LINK);
    ops[1] = op_of(file, IO_WRITE, &after, 1, SIZE - 1, 0);
    OK(sdb__io_run(f.queue, ops, 2));
    ck_assert_int_eq(back[SIZE - 1], 'z');
    ops[0] = op_of(file, IO_READ, back, SIZE, SIZE / 2, IO_LINK); /* ends within its pieces */
    ops[1] = op_of(file, IO_SYNC, NULL, 0, 0, 0);
    OK(sdb__io_run(f.queue, ops, 2));
    ck_assert_uint_eq(ops[0].done, SIZE / 2);
    sdb__io_close(file);
    free(bytes);
    free(back);
    fixture_end(&f, URING);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("io_uring");
    TCase *refusals = tcase_create("refusals"), *large = tcase_create("large");

    tcase_add_test(refusals, ring_that_takes_only_a_part_changes_no_result);
    tcase_add_test(refusals, auto_falls_back_to_posix_and_says_why);
    tcase_add_test(refusals, queue_goes_on_by_plain_calls_when_the_kernel_changes_its_mind);
    tcase_add_test(refusals, queue_without_a_ring_works_by_plain_calls_if_it_may);
    tcase_add_test(large, transfer_larger_than_a_piece_is_one_operation_of_its_chain);
    tcase_set_timeout(refusals, 60);
    tcase_set_timeout(large, 120);
    suite_add_tcase(suite, refusals);
    suite_add_tcase(suite, large);
    return suite;
}

int main(void)
{
    return suite_run(make_suite());
}
