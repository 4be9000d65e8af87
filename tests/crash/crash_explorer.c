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

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"

enum { LENGTH = 60, PARTS = 4 };

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

    OK(sdb_stat(db, &stats));
    ck_assert_msg(stats.commit_sequence >= w->promised && stats.commit_sequence <= w->tried,
                  "run %llu, step %llu, %s: commit %llu is the last where %u is promised and %u "
                  "was tried",
                  (unsigned long long)e->seed, (unsigned long long)e->step, e->what,
                  (unsigned long long)stats.commit_sequence, w->promised, w->tried);
    ck_assert_msg(work_sum(db) == w->sums[stats.commit_sequence],
                  "run %llu, step %llu, %s: the state is not that after commit %llu",
                  (unsigned long long)e->seed, (unsigned long long)e->step, e->what,
                  (unsigned long long)stats.commit_sequence);
    return (unsigned)stats.commit_sequence;
}

/* Opens what a crash left, verifies it, and every so often goes on with it. */
static void expect_recovery(struct explorer *e, const struct work *w, struct io *io)
{
    sdb_db *db;
    sdb_keyspace *keyspace;
    uint64_t sum;
    sdb_status status = sdb__db_open(io, KV_PATH, &w->options, &db);

    ck_assert_msg(status == SDB_OK, "run %llu, step %llu, %s: opening: %s (%s)",
                  (unsigned long long)e->seed, (unsigned long long)e->step, e->what,
                  sdb_status_name(status), sdb_errmsg());
    (void)expect_prefix(e, w, db);
    e->recoveries++;
    if (random_below(&e->random, 4) == 0) {
        kv_check_sound(db);
        OK(sdb_keyspace_open(db, "after", 0, &keyspace));
        OK(sdb_put(NULL, keyspace, TEXT("life"), TEXT("goes on")));
        sum = work_sum(db);
        OK(sdb__sim_restart(io, random_next(&e->random)));
        (void)!sdb_close(db);
        OK(sdb__db_open(io, KV_PATH, &w->options, &db));
        ck_assert_uint_eq(work_sum(db), sum);
    }
    OK(sdb_close(db));
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
        OK(sdb__sim_restart(io, random_below(&e->random, 3) ? random_next(&e->random) : 0));
        e->cut_recoveries++;
        e->points++;
    }
    e->what = "after a cut recovery";
    expect_recovery(e, w, io);
}

/* All that is tried with one step of one run. */
static void explore_step(struct explorer *e, const struct work *w)
{
    for (int i = 0; i < 5; i++) {
        struct io *copy;
        uint64_t seed = i == 0 ? 0 : i == 1 ? UINT64_MAX : random_next(&e->random) | 1;

        OK(sdb__sim_clone(w->io, seed, &copy));
        e->points++;
        e->what = i == 0 ? "nothing unsynced survives" : i == 1 ? "all survives" : "some survives";
        if (i < 3)
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
    uint64_t wanted = kv_number("CRASH_POINTS", 12000) / PARTS, steps = 0;
    struct work *w = malloc(sizeof *w);

    ck_assert_ptr_nonnull(w);
    for (e.seed = e.random; e.points < wanted; e.seed++) {
        uint64_t stride;

        steps = count_steps(w, e.seed);
        /* Every step where there is time for it; otherwise spread evenly, beginning anywhere. */
        stride = 1 + steps * 6 / (wanted - e.points > 6 ? wanted - e.points : 6);
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

int main(void)
{
    Suite *suite = suite_create("crash_explorer");
    TCase *cases = tcase_create("power");

    tcase_set_timeout(cases, 600);
    tcase_add_loop_test(cases, what_was_promised_survives_a_crash_at_any_step, 0, PARTS);
    suite_add_tcase(suite, cases);
    return kv_main(suite);
}
