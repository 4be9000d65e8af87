/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_explorer.c: the power fails at every step of a workload, and again while the database
 * recovers.
 *
 * A *crash point* is a step of a run, and a choice of what survives of the bytes and names that
 * had not been synced. After each the database must open, hold a prefix of the commits, each
 * whole, with all that was promised in it, be sound from end to end, and go on working.
 * CRASH_POINTS sets how many are tried, SEED which.
 */
#include "tests/crash/crash_workload.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"

enum { LENGTH = 60, PARTS = 4, FATES = 10, PLAIN = 6, LYING = 40 };

struct explorer {
    uint64_t random;
    uint64_t points, recoveries, cut_recoveries;
    const char *what; /* for messages */
    uint64_t seed, step;
};

/* The open database holds a promised prefix; returns how long it is. */
static unsigned expect_prefix(const struct explorer *e, const struct work *w, sdb_db *db)
{
    sdb_stats stats = {.size = sizeof stats};

    MUST(sdb_stat(db, &stats));
    if (stats.commit_sequence < w->promised || stats.commit_sequence > w->tried)
        ck_abort_msg("run %llu, step %llu, %s: commit %llu is the last where %u is promised and "
                     "%u was tried", (unsigned long long)e->seed, (unsigned long long)e->step,
                     e->what, (unsigned long long)stats.commit_sequence, w->promised, w->tried);
    if (work_sum(db) != w->sums[stats.commit_sequence])
        ck_abort_msg("run %llu, step %llu, %s: the state is not that after commit %llu",
                     (unsigned long long)e->seed, (unsigned long long)e->step, e->what,
                     (unsigned long long)stats.commit_sequence);
    return (unsigned)stats.commit_sequence;
}

/* The named snapshots are those that were promised, and some of them are looked into. */
static void expect_snapshots(struct explorer *e, const struct work *w, sdb_db *db)
{
    sdb_snapshot_info info = {.size = sizeof info};
    bool there[WORK_SNAPSHOTS] = {false};
    char last[SDB_SNAPSHOT_NAME_MAX + 1];
    const char *after = NULL;
    sdb_db *view;

    while (sdb_snapshot_next(db, after, &info) == SDB_OK) {
        after = memcpy(last, info.name, sizeof last);
        for (unsigned i = 0; i < WORK_SNAPSHOTS; i++) {
            const struct work_snapshot *s = &w->snapshots[i];

            if (strcmp(info.name, work_snapshot_name(i)) != 0) continue;
            there[i] = true;
            if (!s->may_be || info.commit != s->commit)
                ck_abort_msg("run %llu, step %llu, %s: snapshot %s as of commit %llu",
                             (unsigned long long)e->seed, (unsigned long long)e->step, e->what,
                             info.name, (unsigned long long)info.commit);
            if (random_below(&e->random, 3)) continue;
            MUST(sdb_snapshot_open(db, info.name, &view));
            if (work_sum(view) != w->sums[s->commit])
                ck_abort_msg("run %llu, step %llu, %s: snapshot %s is not the state after commit "
                             "%u", (unsigned long long)e->seed, (unsigned long long)e->step,
                             e->what, info.name, s->commit);
            MUST(sdb_close(view));
        }
    }
    for (unsigned i = 0; i < WORK_SNAPSHOTS; i++)
        if (w->snapshots[i].must_be && !there[i])
            ck_abort_msg("run %llu, step %llu, %s: there is no snapshot %s",
                         (unsigned long long)e->seed, (unsigned long long)e->step, e->what,
                         work_snapshot_name(i));
}

/* Drops all named snapshots: nothing is held for them then. */
static void drop_snapshots(sdb_db *db)
{
    sdb_snapshot_info info = {.size = sizeof info};
    sdb_stats stats = {.size = sizeof stats};

    while (sdb_snapshot_next(db, NULL, &info) == SDB_OK) MUST(sdb_snapshot_drop(db, info.name));
    MUST(sdb_stat(db, &stats));
    ck_assert_uint_eq(stats.snapshot_bytes, 0);
}

/* Opens what a crash left, verifies it, and every so often goes on with it. */
static void expect_recovery(struct explorer *e, const struct work *w, struct io *io)
{
    sdb_db *db;
    sdb_keyspace *keyspace;
    uint64_t sum;
    sdb_status status = sdb__db_open(io, KV_PATH, &w->options, &db);

    if (status != SDB_OK)
        ck_abort_msg("run %llu, step %llu, %s: opening: %s (%s)", (unsigned long long)e->seed,
                     (unsigned long long)e->step, e->what, sdb_status_name(status), sdb_errmsg());
    (void)expect_prefix(e, w, db);
    expect_snapshots(e, w, db);
    e->recoveries++;
    if (random_below(&e->random, 4) == 0) {
        kv_check_sound(db);
        MUST(sdb_keyspace_open(db, "after", 0, &keyspace));
        MUST(sdb_put(NULL, keyspace, TEXT("life"), TEXT("goes on")));
        sum = work_sum(db);
        MUST(sdb__sim_restart(io, random_next(&e->random)));
        (void)!sdb_close(db);
        MUST(sdb__db_open(io, KV_PATH, &w->options, &db));
        ck_assert_uint_eq(work_sum(db), sum);
        expect_snapshots(e, w, db);
        if (random_below(&e->random, 2)) drop_snapshots(db);
    }
    MUST(sdb_close(db));
    if (random_below(&e->random, 4) == 0) kv_check_file_sound(io);
}

/*
 * Lets the power fail during recovery, up to three times, within the `first` steps and then within
 * 30.
 */
static void cut_recovery(struct explorer *e, const struct work *w, struct io *io, unsigned first)
{
    for (int i = 0; i < 3; i++) {
        sdb_db *db = NULL;
        sdb_status status;

        sdb__sim_power_off_at(io,
                              sdb__sim_steps(io) + 1 + random_below(&e->random, i ? 30 : first));
        status = sdb__db_open(io, KV_PATH, &w->options, &db);
        if (status == SDB_OK) (void)!sdb_close(db);
        if (!sdb__sim_is_off(io)) {
            sdb__sim_power_off_at(io, 0);
            break;
        }
        MUST(sdb__sim_restart(io, random_below(&e->random, 3) ? random_next(&e->random) : 0));
        e->cut_recoveries++;
        e->points++;
    }
    e->what = "after a cut recovery";
    expect_recovery(e, w, io);
}

/* All that is tried with one step of one run. */
static void explore_step(struct explorer *e, const struct work *w)
{
    for (int i = 0; i < FATES; i++) {
        struct io *copy;
        uint64_t seed = i == 0 ? 0 : i == 1 ? UINT64_MAX : random_next(&e->random) | 1;

        MUST(sdb__sim_clone(w->io, seed, &copy));
        e->points++;
        e->what = i == 0 ? "nothing unsynced survives" : i == 1 ? "all survives" : "some survives";
        if (i < PLAIN)
            expect_recovery(e, w, copy);
        else
            cut_recovery(e, w, copy, 12);
        sdb__io_free(copy);
    }
}

/*
 * The process dies at the step, and what it had handed to the operating system is there, durable
 * or not. The next process finds all that was answered; or the power fails while it recovers.
 */
static void explore_death(struct explorer *e, struct work *w)
{
    unsigned promised = w->promised;

    sdb__sim_power_off_at(w->io, 0);
    e->points++;
    if (random_below(&e->random, 2)) {
        e->what = "death of the process, then of the power";
        cut_recovery(e, w, w->io, 5);
    } else {
        e->what = "death of the process";
        w->promised = w->answered;
        expect_recovery(e, w, w->io);
        w->promised = promised;
    }
}

static struct io *fresh_disk(struct work *w, uint64_t seed)
{
    struct io *io = kv_disk(seed);

    work_init(w, io, seed, LENGTH);
    return io;
}

/* Steps of a whole run, which must go through. */
static uint64_t count_steps(struct work *w, uint64_t seed)
{
    struct io *io = fresh_disk(w, seed);
    uint64_t steps;

    work_run(w);
    ck_assert_msg(w->ended == SDB_OK, "run %llu without a crash: %s (%s)", (unsigned long long)seed,
                  sdb_status_name(w->ended), sdb_errmsg());
    steps = sdb__sim_steps(io);
    sdb__io_free(io);
    work_done(w);
    return steps;
}

START_TEST(what_was_promised_survives_a_crash_at_any_step)
{
    struct explorer e = {.random = kv_seed("crash_explorer", 31337) + (uint64_t)_i * 100};
    uint64_t wanted = kv_number("CRASH_POINTS", 100000) / PARTS, steps = 0;
    struct work *w = malloc(sizeof *w);

    ck_assert_ptr_nonnull(w);
    for (e.seed = e.random; e.points < wanted; e.seed++) {
        uint64_t stride;

        steps = count_steps(w, e.seed);
        /* Every step where there is time for it; otherwise spread evenly, beginning anywhere. */
        stride = 1 + steps * FATES / (wanted - e.points > FATES ? wanted - e.points : FATES);
        for (e.step = 1 + random_below(&e.random, stride); e.step <= steps + 1; e.step += stride) {
            struct io *io = fresh_disk(w, e.seed);

            sdb__sim_power_off_at(io, e.step);
            work_run(w);
            explore_step(&e, w);
            explore_death(&e, w);
            sdb__io_free(io);
            work_done(w);
        }
    }
    printf("%llu crash points in runs of about %llu steps; %llu recoveries were cut short, %llu "
           "were verified\n",
           (unsigned long long)e.points, (unsigned long long)steps,
           (unsigned long long)e.cut_recoveries, (unsigned long long)e.recoveries);
    (void)fflush(stdout);
    free(w);
}
END_TEST

/* The sum of a named snapshot: of what some commit left, or damage is told. */
static sdb_status expect_some_snapshot(const struct explorer *e, const struct work *w, sdb_db *db,
                                       const sdb_snapshot_info *info)
{
    sdb_status status;
    uint64_t sum;
    sdb_db *view;

    status = sdb_snapshot_open(db, info->name, &view);
    if (status != SDB_OK) return status;
    status = work_try_sum(view, &sum);
    if (status == SDB_OK && (info->commit > w->tried || sum != w->sums[info->commit]))
        ck_abort_msg("run %llu, step %llu: after lies snapshot %s is not the state after commit "
                     "%llu", (unsigned long long)e->seed, (unsigned long long)e->step, info->name,
                     (unsigned long long)info->commit);
    MUST(sdb_close(view));
    return status;
}

/*
 * Opens what a disk left that had lied. Not all that was promised can be there, and nothing can
 * tell that it is not: an older state is what a backup would be. But a mixture of states must not
 * be taken for one: it is the state after some commit, or damage is told.
 */
static void expect_some_state(struct explorer *e, const struct work *w, struct io *io,
                              uint64_t *older, uint64_t *told)
{
    sdb_stats stats = {.size = sizeof stats};
    sdb_snapshot_info info = {.size = sizeof info};
    uint64_t sum;
    sdb_db *db;
    sdb_status status = sdb__db_open(io, KV_PATH, &w->options, &db);

    e->points++;
    if (status == SDB_OK) {
        MUST(sdb_stat(db, &stats));
        status = work_try_sum(db, &sum);
        if (status == SDB_OK &&
            (stats.commit_sequence > w->tried || sum != w->sums[stats.commit_sequence]))
            ck_abort_msg("run %llu, step %llu: after lies the state is not that after commit %llu",
                         (unsigned long long)e->seed, (unsigned long long)e->step,
                         (unsigned long long)stats.commit_sequence);
        *older += status == SDB_OK && stats.commit_sequence < w->promised;
        if (status == SDB_OK && sdb_snapshot_next(db, NULL, &info) == SDB_OK)
            status = expect_some_snapshot(e, w, db, &info);
        (void)!sdb_close(db);
    }
    if (status != SDB_OK && status != SDB_CORRUPT && status != SDB_INVALID)
        ck_abort_msg("run %llu, step %llu: after lies: %s (%s)", (unsigned long long)e->seed,
                     (unsigned long long)e->step, sdb_status_name(status), sdb_errmsg());
    *told += status != SDB_OK;
}

START_TEST(a_disk_that_lies_never_passes_a_mixture_for_a_state)
{
    struct explorer e = {.random = kv_seed("crash_explorer", 31337) + 7};
    uint64_t wanted = kv_number("CRASH_POINTS", 100000) / 50, older = 0, told = 0;
    struct work *w = malloc(sizeof *w);

    ck_assert_ptr_nonnull(w);
    for (e.seed = e.random; e.points < wanted; e.seed++) {
        struct sim_faults lies = {.lying_sync = true};
        struct io *io = fresh_disk(w, e.seed);

        work_begin(w);
        work_go_on(w, (unsigned)random_below(&e.random, LENGTH));
        sdb__sim_set_faults(io, &lies);
        e.step = sdb__sim_steps(io) + 1 + random_below(&e.random, LYING);
        sdb__sim_power_off_at(io, e.step);
        work_go_on(w, LENGTH);
        work_end(w);
        for (int i = 0; i < FATES; i++) {
            struct io *copy;

            MUST(sdb__sim_clone(io, i ? random_next(&e.random) : 0, &copy));
            expect_some_state(&e, w, copy, &older, &told);
            sdb__io_free(copy);
        }
        sdb__io_free(io);
        work_done(w);
    }
    printf("%llu crash points of a lying disk: %llu left an older state than was promised, %llu "
           "were told as damage\n", (unsigned long long)e.points, (unsigned long long)older,
           (unsigned long long)told);
    (void)fflush(stdout);
    free(w);
}
END_TEST

/*
 * Memory that was freed stays with the process: each recovery asks for the same large pieces, and
 * having the system clear them anew takes longer than the recovery.
 */
static void keep_memory(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 64 * MIB);
    (void)mallopt(M_TRIM_THRESHOLD, 256 * MIB);
}

int main(void)
{
    Suite *suite = suite_create("crash_explorer");
    TCase *cases = tcase_create("power");

    keep_memory();
    tcase_set_timeout(cases, 600);
    tcase_add_loop_test(cases, what_was_promised_survives_a_crash_at_any_step, 0, PARTS);
    tcase_add_test(cases, a_disk_that_lies_never_passes_a_mixture_for_a_state);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
