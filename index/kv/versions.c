/* SPDX-License-Identifier: Apache-2.0 */
/*
 * versions.c
 *
 * Idea: a skip list of keys, each with its versions from old to new, and one queue of all versions
 * in commit order. The end of the oldest snapshot drops versions from the head of the queue; a
 * key's oldest version is always the first of its that gets there.
 *
 *     snapshot at 5;  commits 6: a=1→2, 7: a=2→3, b: none→9
 *     a: (6, "1") → (7, "2")      b: (7, absent)        the snapshot reads a = 1, no b
 *
 * Invariants: I1 commits along a key's versions, and along the queue, never decrease. I2 a key
 *   without versions is not in the list.
 * Costs: one allocation a version (and one a key); O(log n) to find. Nothing at all while nobody
 * reads old data.
 * Source: the newest-to-oldest split of Neumann et al., SIGMOD 2015, with before-images kept beside
 * the tree.
 * Not here: deciding which commits leave versions (snapshot.c).
 */
#include "index/kv/versions.h"

#include <assert.h>
#include <string.h>

#include "engine/base/mem.h"
#include "engine/base/mutant.h"
#include "engine/base/status.h"

/* Behind the skip node of a key: its versions, then its bytes. */
struct version_key {
    struct version *oldest, *newest;
    struct skip_node *node;
};

void sdb__versions_init(struct versions *v, const sdb_allocator *allocator, struct pager *pager)
{
    memset(v, 0, sizeof *v);
    v->allocator = allocator;
    v->pager = pager;
    v->keys.random = (uint64_t)(uintptr_t)v;
    (void)pthread_rwlock_init(&v->lock, NULL);
}

void sdb__versions_done(struct versions *v)
{
    sdb__versions_prune(v, UINT64_MAX);
    (void)pthread_rwlock_destroy(&v->lock);
}

static struct version_key *key_of(struct skip_node *node)
{
    return (struct version_key *)(void *)((char *)node + skip_node_size(node->levels));
}

static size_t key_bytes(const struct skip_node *node)
{
    return skip_node_size(node->levels) + sizeof(struct version_key) + node->key_size;
}

/* Finds or makes the list's entry for a key. */
static struct version_key *get_key(struct versions *v, uint32_t keyspace, struct bytes key)
{
    struct skip_node *node = sdb__skip_find(&v->keys, keyspace, key.data, key.size);
    unsigned height;
    struct version_key *k;
    uint8_t *bytes;

    if (node) return key_of(node);
    height = sdb__skip_height(&v->keys);
    node = sdb__mem_alloc(v->allocator, skip_node_size(height) + sizeof *k + key.size);
    if (!node) return NULL;
    node->levels = height;
    node->group = keyspace;
    k = key_of(node);
    bytes = (uint8_t *)(k + 1);
    if (key.size) memcpy(bytes, key.data, key.size);
    node->key = bytes;
    node->key_size = key.size;
    *k = (struct version_key){.node = node};
    sdb__skip_insert(&v->keys, node);
    atomic_fetch_add_explicit(&v->bytes, key_bytes(node), memory_order_relaxed);
    return k;
}

static void drop_key(struct versions *v, struct version_key *key)
{
    atomic_fetch_sub_explicit(&v->bytes, key_bytes(key->node), memory_order_relaxed);
    sdb__skip_remove(&v->keys, key->node);
    sdb__mem_free(v->allocator, key->node);
}

/*
 * A version of the old value, not yet linked. An extent is detached last, so that failing undoes
 * nothing.
 */
static sdb_status make_version(struct versions *v, uint64_t commit, const struct btree_value *old,
                               struct version **out)
{
    size_t size = old && !old->is_extent ? old->data.size : 0;
    struct version *version = sdb__mem_alloc(v->allocator, sizeof *version + size);
    sdb_status status = SDB_OK;

    if (!version) return SDB_NOMEM;
    *version = (struct version){.commit = commit, .size = size, .expiry = old ? old->expiry : 0,
                                .kind = !old ? VERSION_ABSENT
                                        : old->is_extent ? VERSION_EXTENT : VERSION_INLINE};
    if (size) memcpy(version->data, old->data.data, size);
    if (version->kind == VERSION_EXTENT)
        status = sdb__pager_extent_detach(v->pager, old->extent, old->size, &version->extent);
    if (status != SDB_OK) {
        sdb__mem_free(v->allocator, version);
        return status;
    }
    if (version->kind == VERSION_EXTENT && MUTANT(extent_of_a_version_released))
        sdb__pager_extent_release(v->pager, &version->extent);
    *out = version;
    return SDB_OK;
}

sdb_status sdb__versions_add(struct versions *v, uint32_t keyspace, struct bytes key,
                             uint64_t commit, const struct btree_value *old)
{
    struct version *version = NULL;
    struct version_key *k;
    sdb_status status;

    (void)pthread_rwlock_wrlock(&v->lock);
    k = get_key(v, keyspace, key);
    status = k ? make_version(v, commit, old, &version) : SDB_NOMEM;
    if (status == SDB_OK) {
        assert(!v->newest || v->newest->commit <= commit);
        version->key = k;
        if (k->newest)
            k->newest->newer = version;
        else
            k->oldest = version;
        k->newest = version;
        if (v->newest)
            v->newest->next = version;
        else
            v->oldest = version;
        v->newest = version;
        atomic_fetch_add_explicit(&v->count, 1, memory_order_release);
        atomic_fetch_add_explicit(&v->bytes, sizeof *version + version->size,
                                  memory_order_relaxed);
    } else if (k && !k->oldest) {
        drop_key(v, k);
    }
    (void)pthread_rwlock_unlock(&v->lock);
    return status;
}

void sdb__versions_prune(struct versions *v, uint64_t limit)
{
    if (atomic_load_explicit(&v->count, memory_order_acquire) == 0) return;
    (void)pthread_rwlock_wrlock(&v->lock);
    if (MUTANT(version_pruned_too_early)) limit += limit < UINT64_MAX;
    while (v->oldest && v->oldest->commit <= limit) {
        struct version *version = v->oldest;
        struct version_key *key = version->key;

        assert(key->oldest == version);
        v->oldest = version->next;
        if (!v->oldest) v->newest = NULL;
        key->oldest = version->newer;
        if (!key->oldest) drop_key(v, key);
        if (version->kind == VERSION_EXTENT && !MUTANT(extent_of_a_version_released))
            sdb__pager_extent_release(v->pager, &version->extent);
        atomic_fetch_sub_explicit(&v->bytes, sizeof *version + version->size,
                                  memory_order_relaxed);
        atomic_fetch_sub_explicit(&v->count, 1, memory_order_release);
        sdb__mem_free(v->allocator, version);
    }
    (void)pthread_rwlock_unlock(&v->lock);
}

uint64_t sdb__versions_newest(struct versions *v, uint32_t keyspace, struct bytes key)
{
    struct skip_node *node;
    uint64_t commit = 0;

    if (atomic_load_explicit(&v->count, memory_order_acquire) == 0) return 0;
    (void)pthread_rwlock_rdlock(&v->lock);
    node = sdb__skip_find(&v->keys, keyspace, key.data, key.size);
    if (node) commit = key_of(node)->newest->commit;
    (void)pthread_rwlock_unlock(&v->lock);
    return commit;
}

bool sdb__versions_touched(struct versions *v, uint32_t keyspace, struct bytes lower,
                           const struct bytes *upper, uint64_t since)
{
    struct skip_node *node;
    bool touched = false;

    if (atomic_load_explicit(&v->count, memory_order_acquire) == 0) return false;
    (void)pthread_rwlock_rdlock(&v->lock);
    for (node = sdb__skip_seek(&v->keys, keyspace, lower.data, lower.size);
         node && node->group == keyspace && !touched; node = skip_next(node)) {
        if (upper && compare_bytes(node->key, node->key_size, upper->data, upper->size) >= 0)
            break;
        touched = key_of(node)->newest->commit > since;
    }
    (void)pthread_rwlock_unlock(&v->lock);
    return touched;
}

/* The version of a key that a snapshot reads, or NULL. */
static const struct version *pick(struct skip_node *node, uint64_t snapshot)
{
    const struct version *version = key_of(node)->oldest;

    while (version && version->commit <= snapshot) version = version->newer;
    return version;
}

sdb_status sdb__versions_read(struct versions *v, uint32_t keyspace, struct bytes key,
                              uint64_t snapshot, version_fn fn, void *context)
{
    struct skip_node *node;
    sdb_status status;

    if (atomic_load_explicit(&v->count, memory_order_acquire) == 0)
        return fn(context, key, NULL);
    (void)pthread_rwlock_rdlock(&v->lock);
    node = sdb__skip_find(&v->keys, keyspace, key.data, key.size);
    status = fn(context, key, node ? pick(node, snapshot) : NULL);
    (void)pthread_rwlock_unlock(&v->lock);
    return status;
}

static bool begins_with(const struct skip_node *node, struct bytes prefix)
{
    return node->key_size >= prefix.size &&
           (prefix.size == 0 || memcmp(node->key, prefix.data, prefix.size) == 0);
}

sdb_status sdb__versions_walk(struct versions *v, uint32_t keyspace, struct bytes prefix,
                              struct bytes lower, const struct bytes *upper, uint64_t snapshot,
                              version_fn fn, void *context)
{
    sdb_status status = SDB_OK;
    struct skip_node *node;

    if (atomic_load_explicit(&v->count, memory_order_acquire) == 0) return SDB_OK;
    (void)pthread_rwlock_rdlock(&v->lock);
    for (node = sdb__skip_seek(&v->keys, keyspace, lower.data, lower.size);
         status == SDB_OK && node && node->group == keyspace && begins_with(node, prefix);
         node = skip_next(node)) {
        const struct version *version = pick(node, snapshot);

        if (upper && compare_bytes(node->key, node->key_size, upper->data, upper->size) >= 0)
            break;
        if (version)
            status = fn(context, (struct bytes){node->key, node->key_size}, version);
    }
    (void)pthread_rwlock_unlock(&v->lock);
    return status;
}
