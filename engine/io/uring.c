/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uring.c
 *
 * Idea: a queue is a ring of its own. Operations travel in *chains*: one operation, or several
 * joined by IO_LINK. The part of a chain that is in the kernel is its *window*; its operations are
 * linked there too (IOSQE_IO_LINK). When all answers of a window are in, the chain is *settled*:
 * what succeeded ends, what came up short is launched again from where it stopped, together with
 * what the kernel cancelled behind it, and after a failure the rest is cancelled for good.
 *
 *     chain     W1 ── W2 ── S           window: all three, each W of 8192 bytes
 *     answers   8192  4096  -ECANCELED  W2 came up short, so the kernel cut the link behind it
 *     settle    W1 ends; the next window is W2 (from 4096 on) ── S
 *
 * Invariants: I1 a chain owns `reserved` slots from beginning to end, and all chains together at
 * most `depth`; the completion ring is twice as long, so it cannot overflow. I2 an operation
 * larger than PIECE is the last of its window, since what is linked to it must wait for its last
 * piece. I3 a chain is settled only when none of its answers is outstanding, so the order in which
 * they arrive is of no importance. I4 whatever the ring refuses to take is run by the plain call,
 * so submitting never fails.
 * Costs: one system call a batch, one to wait for it, and none where answers are there already.
 * fdatasync and buffered writes that would block go to a kernel thread.
 * Source: "Efficient IO with io_uring", Axboe 2019; io_uring_enter(2) on links and short transfers.
 * Not here: files and names (posix_files.c).
 */
#include "engine/io/backend.h"
#include "engine/base/clock.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>

/* The most that one entry of the ring moves; its length field has 32 bits. */
enum { PIECE = 64 * 1024 * 1024 };

struct slot {
    struct io_op *op;
    unsigned chain;
};

struct chain {
    struct io_op *head;   /* the first operation that has not ended; the others follow by next_ */
    unsigned reserved;    /* slots it may use */
    unsigned window;      /* operations of the window, from head on */
    unsigned outstanding; /* of these without an answer */
    bool is_carried;      /* a part of head is done already */
    bool is_refused;      /* the ring did not take head: run it by the plain call */
};

struct uring_queue {
    struct io_queue base;
    bool has_ring; /* false: the kernel refused one; everything is run by plain calls */
    struct io_uring ring;
    unsigned reserved; /* by all chains */
    unsigned flying;   /* entries in the kernel */
    struct slot *slots;
    struct chain *chains;
    /* Lists of indices, each of up to `depth`. */
    unsigned *free_slots, *free_chains, *ready, *pushed;
    unsigned free_slot_count, free_chain_count;
    unsigned ready_count;  /* chains whose answers are all in */
    unsigned pushed_count; /* slots written to the ring since it was last submitted, in order */
};

struct uring_io {
    struct io base;
    bool falls_back;
};

/* ---- a chain's way ---- */

static void end_chain(struct uring_queue *queue, unsigned index)
{
    queue->reserved -= queue->chains[index].reserved;
    queue->free_chains[queue->free_chain_count++] = index;
}

/* Hands back the ended operation at the head; if it failed, the rest of the chain as cancelled. */
static void end_head(struct uring_queue *queue, struct chain *chain)
{
    struct io_op *op = chain->head, *next = op->next_;
    bool failed = op->status != SDB_OK;

    sdb__io_finish(&queue->base, op);
    chain->is_carried = chain->is_refused = false;
    while (failed && next) {
        op = next;
        next = op->next_;
        sdb__io_cancel(op);
        sdb__io_finish(&queue->base, op);
    }
    chain->head = next;
}

static void fill(struct io_uring_sqe *sqe, struct io_op *op)
{
    int fd = ((struct posix_file *)op->file)->fd;
    size_t left = op->size - op->done;
    char *memory = op->memory;

    if (left > PIECE) left = PIECE;
    switch (op->kind) {
    case IO_READ:
        io_uring_prep_read(sqe, fd, memory + op->done, (unsigned)left, op->offset + op->done);
        break;
    case IO_WRITE:
        io_uring_prep_write(sqe, fd, memory + op->done, (unsigned)left, op->offset + op->done);
        break;
    case IO_SYNC: io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC); break;
    case IO_ALLOCATE:
        io_uring_prep_fallocate(sqe, fd, 0, (off_t)op->offset, (off_t)op->size);
        break;
    case IO_PUNCH:
        io_uring_prep_fallocate(sqe, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                (off_t)op->offset, (off_t)op->size);
        break;
    }
}

/* Writes one operation to the ring. */
static struct io_uring_sqe *push(struct uring_queue *queue, unsigned chain, struct io_op *op)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
    unsigned index;

    assert(sqe); /* I1 */
    assert(queue->free_slot_count > 0);
    index = queue->free_slots[--queue->free_slot_count];
    queue->slots[index] = (struct slot){op, chain};
    fill(sqe, op);
    io_uring_sqe_set_data64(sqe, index);
    queue->pushed[queue->pushed_count++] = index;
    return sqe;
}

static bool moves_bytes(const struct io_op *op)
{
    return op->kind == IO_READ || op->kind == IO_WRITE;
}

/* Writes the chain's next window to the ring; it begins with head, which has been judged. */
static void push_window(struct uring_queue *queue, unsigned index)
{
    struct chain *chain = &queue->chains[index];
    struct io_uring_sqe *before = NULL;

    chain->window = 0;
    for (struct io_op *op = chain->head; op && chain->window < chain->reserved; op = op->next_) {
        struct io_uring_sqe *sqe;

        if (op != chain->head && !sdb__io_judge(op)) break; /* judged again as head */
        sqe = push(queue, index, op);
        if (before) before->flags |= IOSQE_IO_LINK;
        before = sqe;
        chain->window++;
        if (moves_bytes(op) && op->size - op->done > PIECE) break; /* I2 */
    }
    chain->outstanding = chain->window;
}

/* Lets a chain go on: ends what needs no kernel, and fills its next window. */
static void launch(struct uring_queue *queue, unsigned index)
{
    struct chain *chain = &queue->chains[index];

    while (chain->head) {
        if (chain->is_carried || sdb__io_judge(chain->head)) {
            if (queue->has_ring && !chain->is_refused) {
                push_window(queue, index);
                return;
            }
            sdb__posix_run(chain->head);
        }
        end_head(queue, chain);
    }
    end_chain(queue, index);
}

/*
 * Judges the answer to the operation at the head of a window. True: it has ended, well or badly.
 * False: it has to be launched again, from where it stands.
 */
static bool judge_answer(struct chain *chain, bool is_first)
{
    struct io_op *op = chain->head;
    int answer = op->error;

    op->error = 0;
    if (answer == -ECANCELED || answer == -EINTR || answer == -EAGAIN) {
        /*
         * Cancelled behind a short one, it just goes again. First in its window, it was not
         * wanted.
         */
        chain->is_refused = is_first;
        return false;
    }
    if (answer < 0) {
        sdb__io_end(op, -answer);
        return true;
    }
    if (!moves_bytes(op)) return true;
    op->done += (size_t)answer;
    if (op->done == op->size) return true;
    if (answer == 0 || sdb__direct_is_cut(op)) { /* end of file; nothing written without a reason */
        sdb__io_end(op, op->kind == IO_READ ? 0 : EIO);
        return true;
    }
    chain->is_carried = true;
    return false;
}

/* Takes the answers of a whole window. */
static void settle(struct uring_queue *queue, struct chain *chain)
{
    for (unsigned i = 0; i < chain->window && chain->head; i++) {
        if (!judge_answer(chain, i == 0)) return;
        end_head(queue, chain);
    }
}

static void take_answer(struct uring_queue *queue, unsigned slot, int answer)
{
    unsigned index = queue->slots[slot].chain;
    struct chain *chain = &queue->chains[index];

    queue->slots[slot].op->error = answer; /* until it is settled */
    queue->free_slots[queue->free_slot_count++] = slot;
    assert(chain->outstanding > 0);
    if (--chain->outstanding == 0) queue->ready[queue->ready_count++] = index;
}

/* ---- the ring ---- */

/*
 * The kernel took only `taken` of the entries (it is short of memory, say). The others are taken
 * back from the ring, so that the rest of a chain cannot run without its beginning, and answered
 * as cancelled. The kernel looks at the ring only inside our own system call, so it may be rewound
 * here.
 */
static void take_back(struct uring_queue *queue, unsigned taken)
{
    struct io_uring_sq *sq = &queue->ring.sq;
    unsigned head = *sq->khead;

    *sq->ktail = head;
    sq->sqe_head = sq->sqe_tail = head;
    for (unsigned i = taken; i < queue->pushed_count; i++)
        take_answer(queue, queue->pushed[i], -ECANCELED);
}

static void flush(struct uring_queue *queue)
{
    int taken;

    if (queue->pushed_count == 0) return;
    do {
        taken = io_uring_submit(&queue->ring);
    } while (taken == -EINTR);
    if (taken < 0) taken = 0;
    queue->flying += (unsigned)taken;
    if ((unsigned)taken < queue->pushed_count) take_back(queue, (unsigned)taken);
    queue->pushed_count = 0;
}

/* Settles and launches until everything that can be in the kernel is there. */
static void drive(struct uring_queue *queue)
{
    do {
        while (queue->ready_count > 0) {
            unsigned index = queue->ready[--queue->ready_count];

            settle(queue, &queue->chains[index]);
            launch(queue, index);
        }
        flush(queue);
    } while (queue->ready_count > 0);
}

/* Takes the answers that are there. */
static void reap(struct uring_queue *queue)
{
    struct io_uring_cqe *cqe;

    while (queue->flying > 0 && io_uring_peek_cqe(&queue->ring, &cqe) == 0) {
        unsigned slot = (unsigned)io_uring_cqe_get_data64(cqe);
        int answer = cqe->res;

        io_uring_cqe_seen(&queue->ring, cqe);
        queue->flying--;
        take_answer(queue, slot, answer);
    }
}

/*
 * Waits for `count` answers. The kernel holds our callers' memory until it has answered, so there
 * is no giving up: an error other than an interruption (which no kernel is known to give here) is
 * slept over.
 */
static void wait_for(struct uring_queue *queue, unsigned count)
{
    struct io_uring_cqe *cqe;
    int error = io_uring_wait_cqe_nr(&queue->ring, &cqe, count);

    if (error != 0 && error != -EINTR) sdb__clock_sleep_ns(1000000);
}

static void gather(struct io_queue *base, size_t least)
{
    struct uring_queue *queue = (struct uring_queue *)base;

    reap(queue);
    drive(queue);
    while (base->done_count < least && queue->flying > 0) {
        size_t missing = least - base->done_count;

        wait_for(queue, missing < queue->flying ? (unsigned)missing : queue->flying);
        reap(queue);
        drive(queue);
    }
}

/* Waits until a chain may reserve `need` slots. */
static void make_room(struct uring_queue *queue, unsigned need)
{
    while (queue->reserved + need > queue->base.depth) {
        drive(queue);
        if (queue->flying > 0) wait_for(queue, 1);
        reap(queue);
        drive(queue);
    }
}

static void submit(struct io_queue *base, struct io_op *const *ops, size_t count)
{
    struct uring_queue *queue = (struct uring_queue *)base;

    for (size_t i = 0; i < count;) {
        size_t length = 1;
        unsigned need, index;

        while (i + length < count && (ops[i + length - 1]->flags & IO_LINK)) {
            ops[i + length - 1]->next_ = ops[i + length];
            length++;
        }
        ops[i + length - 1]->next_ = NULL;
        need = length < base->depth ? (unsigned)length : base->depth;
        make_room(queue, need);
        index = queue->free_chains[--queue->free_chain_count];
        queue->chains[index] = (struct chain){.head = ops[i], .reserved = need};
        queue->reserved += need;
        launch(queue, index);
        i += length;
    }
    drive(queue);
}

/* ---- queues ---- */

/*
 * liburing maps and unmaps rings by system calls that the thread sanitizer does not see: it has to
 * be told that a ring where another thread had one begins after that has ended.
 */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
static char rings;
static void ring_begins(void) { __tsan_acquire(&rings); }
static void ring_ends(void) { __tsan_release(&rings); }
#else
static void ring_begins(void) {}
static void ring_ends(void) {}
#endif

static void queue_free(struct io_queue *base)
{
    struct uring_queue *queue = (struct uring_queue *)base;
    const sdb_allocator *allocator = base->io->allocator;

    /* It has to be empty. If it is not: the kernel must not write to memory that is given back. */
    assert(queue->reserved == 0);
    if (queue->flying > 0) gather(base, SIZE_MAX);
    ring_ends();
    if (queue->has_ring) io_uring_queue_exit(&queue->ring);
    sdb__mem_free(allocator, queue->slots);
    sdb__mem_free(allocator, queue->chains);
    sdb__mem_free(allocator, queue->free_slots);
    sdb__mem_free(allocator, queue);
}

static sdb_status fail_ring(int error, bool falls_back)
{
    const char *what = "io_uring could not be set up";

    if (error == ENOSYS) what = "this kernel has no io_uring";
    if (error == EPERM || error == EACCES) what = "io_uring is not permitted here";
    if (error == ENOMEM) what = "io_uring got no memory (see ulimit -l)";
    return FAIL(SDB_INVALID, "%s (%s)%s", what, strerror(error),
                falls_back ? "" : "; choose the posix backend");
}

/* The arrays of a queue; on failure queue_free takes what is there. */
static sdb_status make_arrays(struct uring_queue *queue, unsigned depth)
{
    const sdb_allocator *allocator = queue->base.io->allocator;

    queue->slots = sdb__mem_zalloc(allocator, depth, sizeof *queue->slots);
    queue->chains = sdb__mem_zalloc(allocator, depth, sizeof *queue->chains);
    queue->free_slots = sdb__mem_zalloc(allocator, (size_t)depth * 4, sizeof *queue->free_slots);
    if (!queue->slots || !queue->chains || !queue->free_slots) return SDB_NOMEM;
    queue->free_chains = queue->free_slots + depth;
    queue->ready = queue->free_chains + depth;
    queue->pushed = queue->ready + depth;
    for (unsigned i = 0; i < depth; i++) queue->free_slots[i] = queue->free_chains[i] = i;
    queue->free_slot_count = queue->free_chain_count = depth;
    return SDB_OK;
}

static sdb_status queue_new(struct io *base, unsigned depth, struct io_queue **out_queue)
{
    struct uring_io *io = (struct uring_io *)base;
    struct uring_queue *queue = sdb__mem_zalloc(base->allocator, 1, sizeof *queue);
    sdb_status status;
    int error;

    if (!queue) return SDB_NOMEM;
    sdb__io_queue_init(&queue->base, base, depth);
    status = make_arrays(queue, depth);
    if (status == SDB_OK) {
        error = -io_uring_queue_init(depth, &queue->ring, 0);
        ring_begins();
        queue->has_ring = error == 0;
        if (error && io->falls_back)
            atomic_store(&base->late_note, "the kernel refused a ring for one more queue (too many "
                                           "open files or too little memory); it works by posix");
        else if (error)
            status = fail_ring(error, false);
    }
    if (status != SDB_OK) {
        queue_free(&queue->base);
        return status;
    }
    *out_queue = &queue->base;
    return SDB_OK;
}

/* ---- the backend ---- */

/* True if the kernel knows every operation that we use. */
static bool knows_operations(struct io_uring *ring)
{
    static const int wanted[] = {IORING_OP_NOP, IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC,
                                 IORING_OP_FALLOCATE};
    enum { OPERATIONS = 64 };
    union {
        struct io_uring_probe probe;
        char room[sizeof(struct io_uring_probe) + OPERATIONS * sizeof(struct io_uring_probe_op)];
    } answer;

    memset(&answer, 0, sizeof answer);
    if (io_uring_register_probe(ring, &answer.probe, OPERATIONS) < 0) return false;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (!io_uring_opcode_supported(&answer.probe, wanted[i])) return false;
    }
    return true;
}

/* Sets up a ring and sends nothing through it and back: filters may forbid either call. */
static sdb_status try_ring(bool falls_back)
{
    struct io_uring ring;
    struct io_uring_cqe *cqe;
    int error = -io_uring_queue_init(1, &ring, 0), sent;
    bool knows;

    if (error) return fail_ring(error, falls_back);
    knows = knows_operations(&ring);
    if (knows) {
        io_uring_prep_nop(io_uring_get_sqe(&ring));
        do {
            sent = io_uring_submit(&ring);
        } while (sent == -EINTR);
        error = sent < 0 ? -sent : 0;
        while (!error && (sent = io_uring_wait_cqe(&ring, &cqe)) != 0) {
            if (sent != -EINTR) error = -sent;
        }
    }
    io_uring_queue_exit(&ring);
    if (!knows)
        return FAIL(SDB_INVALID, "io_uring of this kernel is too old or restricted%s",
                    falls_back ? "" : "; choose the posix backend");
    return error ? fail_ring(error, falls_back) : SDB_OK;
}

static const struct io_backend uring_backend = {
    .name = "io_uring",
    .free = sdb__posix_free,
    .open = sdb__posix_open,
    .close = sdb__posix_close,
    .size = sdb__posix_size,
    .truncate = sdb__posix_truncate,
    .lock = sdb__posix_lock,
    .map = sdb__posix_map,
    .remove = sdb__posix_remove,
    .rename = sdb__posix_rename,
    .folder_make = sdb__posix_folder_make,
    .folder_remove = sdb__posix_folder_remove,
    .folder_list = sdb__posix_folder_list,
    .folder_sync = sdb__posix_folder_sync,
    .run = sdb__posix_run,
    .queue_new = queue_new,
    .queue_free = queue_free,
    .submit = submit,
    .gather = gather,
};

sdb_status sdb__uring_new(const sdb_allocator *allocator, bool fall_back, struct io **out_io)
{
    struct uring_io *io;

    TRY(try_ring(fall_back));
    io = sdb__mem_zalloc(allocator, 1, sizeof *io);
    if (!io) return SDB_NOMEM;
    io->base.backend = &uring_backend;
    io->base.allocator = allocator;
    io->falls_back = fall_back;
    *out_io = &io->base;
    return SDB_OK;
}
