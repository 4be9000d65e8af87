/* SPDX-License-Identifier: Apache-2.0 */
/* test_simulated.c: claims about what a crash leaves of data and names (engine/io/simulated.h). */
#include "tests/io/sim_fixture.h"
#include "tests/lib/suite.h"

/* ---- data ---- */

START_TEST(unsynced_write_is_lost_and_synced_is_kept)
{
    static char back[2000];
    struct io_file *file = durable_file("a", 'a', 1000);

    fill(file, 'b', 1000, 500);
    ck_assert_int_eq(after_crash("a", 0, back, sizeof back), 1000);
    assert_filled(back, 'a', 1000);
    ck_assert_int_eq(after_crash("a", UINT64_MAX, back, sizeof back), 1500);
    assert_filled(back, 'a', 500);
    assert_filled(back + 500, 'b', 1000);
    OK(sdb__io_sync(f.queue, file));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ck_assert_int_eq(after_crash("a", seed, back, sizeof back), 1500);
        assert_filled(back + 500, 'b', 1000);
    }
    sdb__io_close(file);
}
END_TEST

/* 'a' and 'b' of a sector: 0 old, 1 new, 2 torn; fails on anything else. */
static int judge_sector(const char *sector)
{
    int changes = 0;

    for (int i = 0; i < SECTOR; i++)
        if (sector[i] != 'a' && sector[i] != 'b') ck_abort_msg("byte %d is %d", i, sector[i]);
    for (int i = 1; i < SECTOR; i++) {
        if (sector[i] == sector[i - 1]) continue;
        changes++;
        ck_assert_int_eq(i % 8, 0);
    }
    ck_assert_int_le(changes, 1);
    return changes ? 2 : sector[0] == 'b';
}

START_TEST(any_subset_of_unsynced_sectors_survives_and_some_are_torn)
{
    enum { SECTORS = 8 };
    static char back[SECTORS * SECTOR];
    struct io_file *file = durable_file("a", 'a', sizeof back);
    bool subsets[1 << SECTORS] = {false};
    unsigned counts[3] = {0}, kinds = 0;

    fill(file, 'b', sizeof back, 0);
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        unsigned subset = 0;

        ck_assert_int_eq(after_crash("a", seed, back, sizeof back), (long)sizeof back);
        for (unsigned i = 0; i < SECTORS; i++) {
            int what = judge_sector(back + i * SECTOR);

            counts[what]++;
            if (what == 1) subset |= 1u << i;
        }
        kinds += !subsets[subset];
        subsets[subset] = true;
    }
    ck_assert_uint_gt(kinds, 200); /* of 256 */
    ck_assert_uint_gt(counts[0], 4000);
    ck_assert_uint_gt(counts[1], 4000);
    ck_assert_uint_gt(counts[2], 400);
    sdb__io_close(file);
}
END_TEST

START_TEST(only_sectors_that_were_written_change)
{
    static char back[4096];
    struct io_file *file = durable_file("a", 'a', sizeof back);

    fill(file, 'b', 100, 700); /* inside sector 1 */
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        ck_assert_int_eq(after_crash("a", seed, back, sizeof back), (long)sizeof back);
        assert_filled(back, 'a', 700);
        assert_filled(back + 800, 'a', sizeof back - 800);
    }
    sdb__io_close(file);
}
END_TEST

START_TEST(version_between_two_unsynced_ones_may_survive)
{
    char back[SECTOR];
    bool seen[3] = {false};
    struct io_file *file = durable_file("a", 'a', SECTOR);

    fill(file, 'b', SECTOR, 0);
    fill(file, 'c', SECTOR, 0);
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        (void)after_crash("a", seed, back, sizeof back);
        if (memcmp(back, back + 1, SECTOR - 1) == 0) seen[back[0] - 'a'] = true;
    }
    ck_assert(seen[0] && seen[1] && seen[2]);
    sdb__io_close(file);
}
END_TEST

START_TEST(size_and_data_of_a_growing_file_survive_apart)
{
    static char back[8192];
    bool sized_without_data = false, sizes[4] = {false};
    struct io_file *file = durable_file("a", 'a', 1024);

    fill(file, 'b', 1024, 1024);
    fill(file, 'c', 1024, 2048);
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        long size = after_crash("a", seed, back, sizeof back);

        ck_assert(size == 1024 || size == 2048 || size == 3072);
        sizes[size / 1024] = true;
        if (size == 3072 && back[2500] == 0) sized_without_data = true;
        assert_filled(back, 'a', 1024);
    }
    ck_assert(sizes[1] && sizes[2] && sizes[3] && sized_without_data);
    sdb__io_close(file);
}
END_TEST

START_TEST(truncation_is_durable_only_when_synced)
{
    static char back[2048];
    struct io_file *file = durable_file("a", 'a', 2048);
    bool kept = false, cut = false;

    OK(sdb__io_truncate(file, 100));
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        long size = after_crash("a", seed, back, sizeof back);

        ck_assert(size == 100 || size == 2048);
        if (size == 100) cut = true;
        if (size == 2048) kept = true;
    }
    ck_assert(kept && cut);
    OK(sdb__io_sync(f.queue, file));
    ck_assert_int_eq(after_crash("a", 0, back, sizeof back), 100);
    sdb__io_close(file);
}
END_TEST

START_TEST(punched_and_reserved_space_is_durable_only_when_synced)
{
    static char back[20000];
    struct io_file *file = durable_file("a", 'a', 8192);
    struct io_op punch = op_of(file, IO_PUNCH, NULL, 4096, 0, 0);
    struct io_op reserve = op_of(file, IO_ALLOCATE, NULL, 4096, 8192, 0);

    OK(sdb__io_run(f.queue, &punch, 1));
    OK(sdb__io_run(f.queue, &reserve, 1));
    ck_assert_int_eq(after_crash("a", 0, back, sizeof back), 8192);
    assert_filled(back, 'a', 8192);
    OK(sdb__io_sync(f.queue, file));
    ck_assert_int_eq(after_crash("a", 0, back, sizeof back), 12288);
    assert_filled(back, 0, 4096);
    assert_filled(back + 4096, 'a', 4096);
    assert_filled(back + 8192, 0, 4096);
    sdb__io_close(file);
}
END_TEST

START_TEST(journal_without_a_sync_has_a_bound)
{
    static char back[64];
    struct io_file *file = durable_file("a", 'a', sizeof back);
    long asked;

    for (unsigned i = 0; i < 200000; i++) fill(file, 'b', 1, i % 64);
    asked = f.ledger.out;
    for (unsigned i = 0; i < 100000; i++) fill(file, 'b', 1, i % 64);
    ck_assert_int_lt(f.ledger.out, asked + 40000);
    ck_assert_int_eq(after_crash("a", 0, back, sizeof back), (long)sizeof back);
    assert_filled(back, 'b', sizeof back); /* the oldest were written back */
    sdb__io_close(file);
}
END_TEST

/* ---- names ---- */

START_TEST(new_name_is_lost_without_a_folder_sync_even_if_the_file_was_synced)
{
    char back[16];
    struct io_file *file = make_file(&f, "a");
    bool lost = false, kept = false;

    fill(file, 'a', 16, 0);
    OK(sdb__io_sync(f.queue, file));
    ck_assert_int_eq(after_crash("a", 0, back, 16), -1);
    ck_assert_int_eq(after_crash("a", UINT64_MAX, back, 16), 16);
    for (uint64_t seed = 1; seed < SEEDS; seed++) {
        long size = after_crash("a", seed, back, 16);

        if (size < 0)
            lost = true;
        else
            kept = true;
        if (size >= 0) assert_filled(back, 'a', 16);
    }
    ck_assert(lost && kept);
    OK(sdb__io_parent_sync(f.io, in(&f, "a")));
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        ck_assert_int_eq(after_crash("a", seed, back, 16), 16);
    sdb__io_close(file);
}
END_TEST

START_TEST(rename_leaves_the_old_or_the_new_never_neither)
{
    char back[16];
    bool old = false, new = false;

    sdb__io_close(durable_file("target", 'o', 16));
    sdb__io_close(durable_file("fresh", 'n', 16));
    OK(sdb__io_rename(f.io, in(&f, "fresh"), in(&f, "target")));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ck_assert_int_eq(after_crash("target", seed, back, 16), 16);
        ck_assert(back[0] == 'o' || back[0] == 'n');
        assert_filled(back, back[0], 16);
        if (back[0] == 'o') {
            old = true;
            ck_assert_int_eq(after_crash("fresh", seed, back, 16), 16);
        } else {
            new = true;
            ck_assert_int_eq(after_crash("fresh", seed, back, 16), -1);
        }
    }
    ck_assert(old && new);
    OK(sdb__io_folder_sync(f.io, f.folder));
    ck_assert_int_eq(after_crash("target", 0, back, 16), 16);
    ck_assert_int_eq(back[0], 'n');
}
END_TEST

START_TEST(removed_name_comes_back_unless_the_folder_was_synced)
{
    char back[16];

    sdb__io_close(durable_file("a", 'a', 16));
    OK(sdb__io_remove(f.io, in(&f, "a")));
    ck_assert_int_eq(after_crash("a", 0, back, 16), 16);
    assert_filled(back, 'a', 16);
    ck_assert_int_eq(after_crash("a", UINT64_MAX, back, 16), -1);
    OK(sdb__io_folder_sync(f.io, f.folder));
    ck_assert_int_eq(after_crash("a", 0, back, 16), -1);
}
END_TEST

START_TEST(names_in_a_lost_folder_are_lost)
{
    char back[16];
    struct io_file *file;

    OK(sdb__io_folder_make(f.io, in(&f, "x")));
    file = make_file(&f, "x/a");
    fill(file, 'a', 16, 0);
    OK(sdb__io_sync(f.queue, file));
    OK(sdb__io_folder_sync(f.io, in(&f, "x")));
    ck_assert_int_eq(after_crash("x/a", 0, back, 16), -1); /* x itself was not synced */
    OK(sdb__io_folder_sync(f.io, f.folder));
    ck_assert_int_eq(after_crash("x/a", 0, back, 16), 16);
    sdb__io_close(file);
}
END_TEST

START_TEST(sync_of_one_folder_leaves_the_names_of_another)
{
    char back[16];

    OK(sdb__io_folder_make(f.io, in(&f, "x")));
    OK(sdb__io_folder_make(f.io, in(&f, "y")));
    OK(sdb__io_folder_sync(f.io, f.folder));
    sdb__io_close(make_file(&f, "x/a"));
    sdb__io_close(make_file(&f, "y/a"));
    OK(sdb__io_folder_sync(f.io, in(&f, "y")));
    ck_assert_int_eq(after_crash("x/a", 0, back, 16), -1);
    ck_assert_int_eq(after_crash("y/a", 0, back, 16), 0);
    /* A move between both takes along what it stands on, and not what came later. */
    OK(sdb__io_rename(f.io, in(&f, "x/a"), in(&f, "y/b")));
    sdb__io_close(make_file(&f, "x/c"));
    OK(sdb__io_folder_sync(f.io, in(&f, "y")));
    ck_assert_int_eq(after_crash("x/a", 0, back, 16), -1);
    ck_assert_int_eq(after_crash("y/b", 0, back, 16), 0);
    ck_assert_int_eq(after_crash("x/c", 0, back, 16), -1);
}
END_TEST

START_TEST(synced_move_is_not_undone_by_an_older_one_of_the_other_folder)
{
    char back[4];
    struct io_file *file;

    OK(sdb__io_folder_make(f.io, in(&f, "x")));
    OK(sdb__io_folder_make(f.io, in(&f, "y")));
    file = make_file(&f, "x/a");
    fill(file, 'a', 4, 0);
    OK(sdb__io_sync(f.queue, file));
    OK(sdb__io_folder_sync(f.io, f.folder));
    OK(sdb__io_folder_sync(f.io, in(&f, "x")));
    sdb__io_close(make_file(&f, "y/b")); /* is replaced by the move, and must not come back */
    OK(sdb__io_rename(f.io, in(&f, "x/a"), in(&f, "y/b")));
    OK(sdb__io_folder_sync(f.io, in(&f, "x")));
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        ck_assert_int_eq(after_crash("y/b", seed, back, 4), 4);
        assert_filled(back, 'a', 4);
    }
    sdb__io_close(file);
}
END_TEST

START_TEST(many_unsynced_names_have_a_bound)
{
    char back[4];
    long asked;

    sdb__io_close(durable_file("a", 'a', 4));
    for (int i = 0; i < 3000; i++) {
        OK(sdb__io_rename(f.io, in(&f, i % 2 ? "b" : "a"), in(&f, i % 2 ? "a" : "b")));
        asked = f.ledger.out;
    }
    OK(sdb__io_rename(f.io, in(&f, "a"), in(&f, "b")));
    ck_assert_int_eq(f.ledger.out, asked);
    for (uint64_t seed = 0; seed < 50; seed++)
        ck_assert((after_crash("a", seed, back, 4) == 4) != (after_crash("b", seed, back, 4) == 4));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("simulated");
    TCase *data = tcase_create("data");
    TCase *names = tcase_create("names");

    tcase_add_checked_fixture(data, setup, teardown);
    tcase_add_checked_fixture(names, setup, teardown);
    tcase_add_test(data, unsynced_write_is_lost_and_synced_is_kept);
    tcase_add_test(data, any_subset_of_unsynced_sectors_survives_and_some_are_torn);
    tcase_add_test(data, only_sectors_that_were_written_change);
    tcase_add_test(data, version_between_two_unsynced_ones_may_survive);
    tcase_add_test(data, size_and_data_of_a_growing_file_survive_apart);
    tcase_add_test(data, truncation_is_durable_only_when_synced);
    tcase_add_test(data, punched_and_reserved_space_is_durable_only_when_synced);
    tcase_add_test(data, journal_without_a_sync_has_a_bound);
    tcase_add_test(names, new_name_is_lost_without_a_folder_sync_even_if_the_file_was_synced);
    tcase_add_test(names, rename_leaves_the_old_or_the_new_never_neither);
    tcase_add_test(names, removed_name_comes_back_unless_the_folder_was_synced);
    tcase_add_test(names, names_in_a_lost_folder_are_lost);
    tcase_add_test(names, sync_of_one_folder_leaves_the_names_of_another);
    tcase_add_test(names, synced_move_is_not_undone_by_an_older_one_of_the_other_folder);
    tcase_add_test(names, many_unsynced_names_have_a_bound);
    tcase_set_timeout(data, 120);
    tcase_set_timeout(names, 120);
    suite_add_tcase(suite, data);
    suite_add_tcase(suite, names);
    return suite;
}

int main(void)
{
    return suite_run(make_suite());
}
