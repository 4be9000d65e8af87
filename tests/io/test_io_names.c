/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_io_names.c: claims about names, folders and locks (engine/io/io.h) that hold for every
 * backend, and some that only an operating system's files can break. _i is the backend.
 */
#include "tests/io/io_fixture.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define BEGIN(depth)                                                                               \
    struct fixture f;                                                                              \
    if (!fixture_begin(&f, _i, (depth))) return
#define END() fixture_end(&f, _i)

/* ---- opening ---- */

START_TEST(open_answers_what_is_there)
{
    BEGIN(1);
    struct io_file *file = NULL;

    IS(sdb__io_open(f.io, in(&f, "a"), IO_OPEN_WRITE, &file), SDB_NOTFOUND);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), in(&f, "a")));
    IS(sdb__io_open(f.io, in(&f, "no/a"), IO_OPEN_WRITE | IO_OPEN_CREATE, &file), SDB_NOTFOUND);
    IS(sdb__io_open(f.io, f.folder, IO_OPEN_WRITE | IO_OPEN_CREATE, &file), SDB_INVALID);
    IS(sdb__io_open(f.io, f.folder, 0, &file), SDB_INVALID);
    IS(sdb__io_open(f.io, "", IO_OPEN_CREATE, &file), SDB_INVALID);
    ck_assert_ptr_null(file);
    sdb__io_close(make_file(&f, "a"));
    IS(sdb__io_open(f.io, in(&f, "a"), IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_NEW, &file),
       SDB_EXISTS);
    IS(sdb__io_open(f.io, in(&f, "a/b"), IO_OPEN_WRITE | IO_OPEN_CREATE, &file), SDB_INVALID);
    ck_assert_ptr_null(file);
    file = open_file(&f, "a", IO_OPEN_WRITE | IO_OPEN_CREATE);
    ck_assert_str_eq(sdb__io_path(file), in(&f, "a"));
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(names_that_are_too_long_are_refused)
{
    static char name[300], path[5000];
    BEGIN(1);
    struct io_file *file = NULL;

    memset(name, 'n', 256);
    IS(sdb__io_open(f.io, in(&f, name), IO_OPEN_WRITE | IO_OPEN_CREATE, &file), SDB_INVALID);
    name[255] = 0;
    OK(sdb__io_open(f.io, in(&f, name), IO_OPEN_WRITE | IO_OPEN_CREATE, &file));
    sdb__io_close(file);
    file = NULL;
    for (size_t i = 0; i < sizeof path - 1; i++) path[i] = i % 2 ? '/' : 'p';
    IS(sdb__io_open(f.io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file), SDB_INVALID);
    IS(sdb__io_remove(f.io, path), SDB_INVALID);
    IS(sdb__io_parent_sync(f.io, path), SDB_INVALID);
    ck_assert_ptr_null(file);
    END();
}
END_TEST

START_TEST(two_handles_of_a_name_share_the_file)
{
    char back[4];
    BEGIN(1);
    struct io_file *file = make_file(&f, "a"), *again = open_file(&f, "./a", 0);

    OK(sdb__io_write(f.queue, file, "data", 4, 0));
    OK(sdb__io_read(f.queue, again, back, 4, 0));
    ck_assert_int_eq(memcmp(back, "data", 4), 0);
    sdb__io_close(file);
    OK(sdb__io_read(f.queue, again, back, 4, 0));
    sdb__io_close(again);
    END();
}
END_TEST

/* ---- changing names ---- */

START_TEST(removed_file_lives_on_for_its_handles)
{
    char back[4];
    BEGIN(1);
    struct io_file *file = make_file(&f, "a"), *none = NULL;

    OK(sdb__io_write(f.queue, file, "data", 4, 0));
    OK(sdb__io_remove(f.io, in(&f, "a")));
    IS(sdb__io_remove(f.io, in(&f, "a")), SDB_NOTFOUND);
    IS(sdb__io_open(f.io, in(&f, "a"), 0, &none), SDB_NOTFOUND);
    OK(sdb__io_read(f.queue, file, back, 4, 0));
    ck_assert_int_eq(memcmp(back, "data", 4), 0);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(rename_replaces_a_file)
{
    char back[3];
    BEGIN(1);
    struct io_file *file = make_file(&f, "new"), *old = make_file(&f, "old");

    OK(sdb__io_write(f.queue, file, "new", 3, 0));
    OK(sdb__io_write(f.queue, old, "old", 3, 0));
    sdb__io_close(old);
    OK(sdb__io_rename(f.io, in(&f, "new"), in(&f, "old")));
    OK(sdb__io_rename(f.io, in(&f, "old"), in(&f, "old")));
    OK(sdb__io_write(f.queue, file, "!", 1, 2)); /* its handle goes with it */
    old = open_file(&f, "old", 0);
    OK(sdb__io_read(f.queue, old, back, 3, 0));
    ck_assert_int_eq(memcmp(back, "ne!", 3), 0);
    IS(sdb__io_rename(f.io, in(&f, "new"), in(&f, "x")), SDB_NOTFOUND);
    IS(sdb__io_rename(f.io, in(&f, "old"), in(&f, "no/x")), SDB_NOTFOUND);
    sdb__io_close(old);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(rename_between_and_of_folders)
{
    BEGIN(1);

    OK(sdb__io_folder_make(f.io, in(&f, "x")));
    OK(sdb__io_folder_make(f.io, in(&f, "y")));
    sdb__io_close(make_file(&f, "x/a"));
    OK(sdb__io_rename(f.io, in(&f, "x/a"), in(&f, "y/b")));
    IS(sdb__io_rename(f.io, in(&f, "y/b"), in(&f, "x")), SDB_INVALID);
    IS(sdb__io_rename(f.io, in(&f, "x"), in(&f, "y/b")), SDB_INVALID);
    IS(sdb__io_rename(f.io, in(&f, "x"), in(&f, "y")), SDB_INVALID); /* y is not empty */
    IS(sdb__io_rename(f.io, in(&f, "y"), in(&f, "y/z")), SDB_INVALID);
    OK(sdb__io_rename(f.io, in(&f, "y"), in(&f, "x"))); /* x is */
    sdb__io_close(open_file(&f, "x/b", 0));
    OK(sdb__io_rename(f.io, in(&f, "x"), in(&f, "w")));
    OK(sdb__io_remove(f.io, in(&f, "w/b")));
    END();
}
END_TEST

/* ---- folders ---- */

struct listing {
    unsigned seen, stop_after;
    bool is_other;
};

static sdb_status list_name(void *context, const char *name)
{
    struct listing *listing = context;

    if (strcmp(name, "a") == 0)
        listing->seen |= 1;
    else if (strcmp(name, "b") == 0)
        listing->seen |= 2;
    else
        listing->is_other = true;
    return listing->stop_after && --listing->stop_after == 0 ? SDB_END : SDB_OK;
}

START_TEST(folder_lists_its_names)
{
    struct listing listing = {0};
    BEGIN(1);

    OK(sdb__io_folder_list(f.io, f.folder, list_name, &listing));
    ck_assert_uint_eq(listing.seen, 0);
    sdb__io_close(make_file(&f, "a"));
    OK(sdb__io_folder_make(f.io, in(&f, "b")));
    sdb__io_close(make_file(&f, "b/c"));
    OK(sdb__io_folder_list(f.io, f.folder, list_name, &listing));
    ck_assert_uint_eq(listing.seen, 3);
    ck_assert(!listing.is_other);
    listing = (struct listing){.stop_after = 1};
    IS(sdb__io_folder_list(f.io, f.folder, list_name, &listing), SDB_END);
    ck_assert(listing.seen == 1 || listing.seen == 2);
    IS(sdb__io_folder_list(f.io, in(&f, "no"), list_name, &listing), SDB_NOTFOUND);
    IS(sdb__io_folder_list(f.io, in(&f, "a"), list_name, &listing), SDB_INVALID);
    END();
}
END_TEST

static sdb_status remove_name(void *context, const char *name)
{
    const struct fixture *f = context;

    return sdb__io_remove(f->io, in(f, name));
}

START_TEST(names_may_be_removed_while_they_are_listed)
{
    struct listing listing = {0};
    BEGIN(1);

    sdb__io_close(make_file(&f, "a"));
    sdb__io_close(make_file(&f, "b"));
    OK(sdb__io_folder_list(f.io, f.folder, remove_name, &f));
    OK(sdb__io_folder_list(f.io, f.folder, list_name, &listing));
    ck_assert_uint_eq(listing.seen, 0);
    END();
}
END_TEST

START_TEST(folder_is_removed_only_when_empty)
{
    BEGIN(1);

    OK(sdb__io_folder_make(f.io, in(&f, "x/")));
    IS(sdb__io_folder_make(f.io, in(&f, "x")), SDB_EXISTS);
    IS(sdb__io_folder_make(f.io, in(&f, "no/x")), SDB_NOTFOUND);
    sdb__io_close(make_file(&f, "x/a"));
    IS(sdb__io_folder_make(f.io, in(&f, "x/a")), SDB_EXISTS);
    IS(sdb__io_folder_remove(f.io, in(&f, "x")), SDB_INVALID);
    IS(sdb__io_folder_remove(f.io, in(&f, "x/a")), SDB_INVALID);
    IS(sdb__io_remove(f.io, in(&f, "x")), SDB_INVALID);
    OK(sdb__io_remove(f.io, in(&f, "x/a")));
    OK(sdb__io_folder_remove(f.io, in(&f, "x")));
    IS(sdb__io_folder_remove(f.io, in(&f, "x")), SDB_NOTFOUND);
    END();
}
END_TEST

START_TEST(folders_and_parents_can_be_synced)
{
    BEGIN(1);

    OK(sdb__io_folder_make(f.io, in(&f, "x")));
    sdb__io_close(make_file(&f, "x/a"));
    OK(sdb__io_folder_sync(f.io, in(&f, "x")));
    OK(sdb__io_parent_sync(f.io, in(&f, "x/a")));
    OK(sdb__io_parent_sync(f.io, in(&f, "x//a//")));
    OK(sdb__io_parent_sync(f.io, "a")); /* in "." */
    OK(sdb__io_parent_sync(f.io, "/a"));
    OK(sdb__io_parent_sync(f.io, "/"));
    IS(sdb__io_parent_sync(f.io, in(&f, "no/a")), SDB_NOTFOUND);
    IS(sdb__io_folder_sync(f.io, in(&f, "no")), SDB_NOTFOUND);
    IS(sdb__io_folder_sync(f.io, in(&f, "x/a")), SDB_INVALID);
    END();
}
END_TEST

/* ---- locks ---- */

START_TEST(exclusive_lock_keeps_others_out_of_the_same_process_too)
{
    int64_t holder = 0;
    BEGIN(1);
    struct io_file *file = make_file(&f, "a"), *other = open_file(&f, "a", IO_OPEN_WRITE);

    OK(sdb__io_lock(file, IO_LOCK_EXCLUSIVE, &holder));
    OK(sdb__io_lock(file, IO_LOCK_EXCLUSIVE, &holder)); /* again is no conflict */
    IS(sdb__io_lock(other, IO_LOCK_EXCLUSIVE, &holder), SDB_BUSY);
    ck_assert_int_eq(holder, (int64_t)getpid());
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "this process"));
    holder = 0;
    IS(sdb__io_lock(other, IO_LOCK_SHARED, &holder), SDB_BUSY);
    ck_assert_int_eq(holder, (int64_t)getpid());
    sdb__io_close(file);
    OK(sdb__io_lock(other, IO_LOCK_EXCLUSIVE, &holder));
    sdb__io_close(other);
    END();
}
END_TEST

START_TEST(shared_locks_get_along_and_can_be_changed)
{
    int64_t holder = 0;
    BEGIN(1);
    struct io_file *file = make_file(&f, "a"), *other = open_file(&f, "a", IO_OPEN_WRITE);

    OK(sdb__io_lock(file, IO_LOCK_SHARED, &holder));
    OK(sdb__io_lock(file, IO_LOCK_SHARED, &holder));
    OK(sdb__io_lock(other, IO_LOCK_SHARED, &holder));
    IS(sdb__io_lock(file, IO_LOCK_EXCLUSIVE, &holder), SDB_BUSY);
    sdb__io_close(other);
    OK(sdb__io_lock(file, IO_LOCK_EXCLUSIVE, &holder));
    other = open_file(&f, "a", IO_OPEN_WRITE);
    IS(sdb__io_lock(other, IO_LOCK_SHARED, &holder), SDB_BUSY);
    OK(sdb__io_lock(file, IO_LOCK_SHARED, &holder)); /* down again */
    OK(sdb__io_lock(other, IO_LOCK_SHARED, &holder));
    sdb__io_close(file);
    sdb__io_close(other);
    END();
}
END_TEST

/* Locks the file in a child, which stays until *out_release is closed. */
static pid_t lock_in_child(const char *path, enum io_lock lock, int *out_release)
{
    int ready[2], release[2];
    char byte;
    pid_t child;

    ck_assert_int_eq(pipe(ready), 0);
    ck_assert_int_eq(pipe(release), 0);
    child = fork();
    if (child == 0) {
        struct io *io;
        struct io_file *file;
        int64_t holder;
        bool ok = sdb__io_new(SDB_BACKEND_POSIX, NULL, &io) == SDB_OK &&
                  sdb__io_open(io, path, IO_OPEN_WRITE, &file) == SDB_OK &&
                  sdb__io_lock(file, lock, &holder) == SDB_OK;

        (void)close(release[1]);
        (void)!write(ready[1], ok ? "y" : "n", 1);
        (void)!read(release[0], &byte, 1);
        _exit(0);
    }
    ck_assert_int_gt(child, 0);
    (void)close(ready[1]);
    (void)close(release[0]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'y');
    (void)close(ready[0]);
    *out_release = release[1];
    return child;
}

START_TEST(holder_in_another_process_is_named)
{
    int64_t holder = 0;
    int release, status;
    pid_t child;
    BEGIN(1);
    struct io_file *file = make_file(&f, "a");

    for (int lock = IO_LOCK_SHARED; lock <= IO_LOCK_EXCLUSIVE; lock++) {
        char number[32];

        child = lock_in_child(in(&f, "a"), (enum io_lock)lock, &release);
        holder = 0;
        IS(sdb__io_lock(file, IO_LOCK_EXCLUSIVE, &holder), SDB_BUSY);
        ck_assert_int_eq(holder, (int64_t)child);
        (void)snprintf(number, sizeof number, "process %d", (int)child);
        ck_assert_ptr_nonnull(strstr(sdb_errmsg(), number));
        (void)close(release);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        OK(sdb__io_lock(file, IO_LOCK_EXCLUSIVE, &holder));
        sdb__io_close(file);
        file = open_file(&f, "a", IO_OPEN_WRITE);
    }
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(lock_survives_the_closing_of_another_handle)
{
    int64_t holder = 0;
    int status;
    pid_t child;
    BEGIN(1);
    struct io_file *file = make_file(&f, "a");

    OK(sdb__io_lock(file, IO_LOCK_EXCLUSIVE, &holder));
    sdb__io_close(open_file(&f, "a", 0)); /* a classic lock would be gone now */
    child = fork();
    if (child == 0) {
        struct io_file *other = NULL;
        bool busy = sdb__io_open(f.io, in(&f, "a"), IO_OPEN_WRITE, &other) == SDB_OK &&
                    sdb__io_lock(other, IO_LOCK_EXCLUSIVE, &holder) == SDB_BUSY;
        _exit(busy ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    sdb__io_close(file);
    END();
}
END_TEST

/* ---- what only the operating system does ---- */

START_TEST(pipe_or_device_is_refused_without_waiting_for_it)
{
    BEGIN(1);
    struct io_file *file = NULL;

    ck_assert_int_eq(mkfifo(in(&f, "pipe"), 0600), 0);
    IS(sdb__io_open(f.io, in(&f, "pipe"), 0, &file), SDB_INVALID);
    IS(sdb__io_open(f.io, in(&f, "pipe"), IO_OPEN_WRITE | IO_OPEN_CREATE, &file), SDB_INVALID);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "a pipe"));
    IS(sdb__io_open(f.io, "/dev/null", IO_OPEN_WRITE, &file), SDB_INVALID);
    ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "a device"));
    ck_assert_ptr_null(file);
    END();
}
END_TEST

START_TEST(missing_permission_is_readonly_with_advice)
{
    BEGIN(1);
    struct io_file *file = NULL;

    sdb__io_close(make_file(&f, "a"));
    ck_assert_int_eq(chmod(in(&f, "a"), 0400), 0);
    ck_assert_int_eq(chmod(f.folder, 0500), 0);
    if (geteuid() != 0) { /* root may do everything */
        IS(sdb__io_open(f.io, in(&f, "a"), IO_OPEN_WRITE, &file), SDB_READONLY);
        ck_assert_ptr_nonnull(strstr(sdb_errmsg(), "permissions"));
        IS(sdb__io_open(f.io, in(&f, "b"), IO_OPEN_WRITE | IO_OPEN_CREATE, &file), SDB_READONLY);
        IS(sdb__io_remove(f.io, in(&f, "a")), SDB_READONLY);
    }
    /* The kernel's own files can be opened for writing by nobody. */
    IS(sdb__io_open(f.io, "/proc/version", IO_OPEN_WRITE, &file),
       access("/proc/version", W_OK) == 0 ? SDB_OK : SDB_READONLY);
    sdb__io_close(file);
    ck_assert_int_eq(chmod(f.folder, 0700), 0);
    END();
}
END_TEST

START_TEST(descriptors_are_not_inherited_by_other_programs)
{
    BEGIN(1);
    struct io_file *file = make_file(&f, "a");
    int checked = 0;

    for (int fd = 3; fd < 64; fd++) {
        char link[64], target[512];
        ssize_t length;

        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        length = readlink(link, target, sizeof target - 1);
        if (length < 0) continue;
        target[length] = 0;
        if (!strstr(target, f.folder)) continue;
        ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        checked++;
    }
    ck_assert_int_eq(checked, 1);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(file_size_limit_is_full_and_tells_what_was_written)
{
    static char bytes[100000];
    struct rlimit limit, small;
    BEGIN(8);
    struct io_file *file = make_file(&f, "a");
    struct io_op ops[] = {op_of(file, IO_WRITE, bytes, 60000, 0, IO_LINK),
                          op_of(file, IO_WRITE, bytes, 60000, 60000, IO_LINK),
                          op_of(file, IO_SYNC, NULL, 0, 0, 0)};

    ck_assert_ptr_ne(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 100000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    /* The second write comes up short first; carried on, it fails. */
    IS(sdb__io_run(f.queue, ops, 3), SDB_FULL);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(ops[0].status, SDB_OK);
    ck_assert_int_eq(ops[1].status, SDB_FULL);
    ck_assert_uint_eq(ops[1].done, 40000);
    ck_assert_int_eq(ops[2].status, SDB_CANCELLED);
    ck_assert_uint_eq(size_of(file), 100000);
    sdb__io_close(file);
    END();
}
END_TEST

START_TEST(paths_of_a_memory_disk_have_no_parents)
{
    BEGIN(1);
    struct io_file *file = NULL;

    IS(sdb__io_open(f.io, "disk/../a", IO_OPEN_WRITE | IO_OPEN_CREATE, &file), SDB_INVALID);
    IS(sdb__io_folder_remove(f.io, "/"), SDB_INVALID);
    IS(sdb__io_rename(f.io, "/", "x"), SDB_INVALID);
    IS(sdb__io_rename(f.io, "disk", "."), SDB_INVALID);
    OK(sdb__io_open(f.io, "//disk/.//a", IO_OPEN_WRITE | IO_OPEN_CREATE, &file));
    sdb__io_close(file);
    sdb__io_close(open_file(&f, "a", 0));
    END();
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("io names");
    TCase *names = tcase_create("names"), *folders = tcase_create("folders");
    TCase *locks = tcase_create("locks"), *real = tcase_create("real");

#define EACH(tcase, test) tcase_add_loop_test(tcase, test, 0, BACKENDS)
#define REAL(tcase, test) tcase_add_loop_test(tcase, test, URING, MEMORY)
    EACH(names, open_answers_what_is_there);
    EACH(names, names_that_are_too_long_are_refused);
    EACH(names, two_handles_of_a_name_share_the_file);
    EACH(names, removed_file_lives_on_for_its_handles);
    EACH(names, rename_replaces_a_file);
    EACH(names, rename_between_and_of_folders);
    tcase_add_loop_test(names, paths_of_a_memory_disk_have_no_parents, MEMORY, BACKENDS);
    EACH(folders, folder_lists_its_names);
    EACH(folders, names_may_be_removed_while_they_are_listed);
    EACH(folders, folder_is_removed_only_when_empty);
    EACH(folders, folders_and_parents_can_be_synced);
    EACH(locks, exclusive_lock_keeps_others_out_of_the_same_process_too);
    EACH(locks, shared_locks_get_along_and_can_be_changed);
    REAL(locks, holder_in_another_process_is_named);
    REAL(locks, lock_survives_the_closing_of_another_handle);
    REAL(real, pipe_or_device_is_refused_without_waiting_for_it);
    REAL(real, missing_permission_is_readonly_with_advice);
    REAL(real, descriptors_are_not_inherited_by_other_programs);
    REAL(real, file_size_limit_is_full_and_tells_what_was_written);
#undef EACH
#undef REAL
    suite_add_tcase(suite, names);
    suite_add_tcase(suite, folders);
    suite_add_tcase(suite, locks);
    suite_add_tcase(suite, real);
    return suite;
}

int main(void)
{
    return suite_run(make_suite());
}
