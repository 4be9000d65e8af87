/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram_names.c
 *
 * Idea: the folders of a RAM disk are one flat array of (folder, text, node). A database has a
 * handful of files, so a walk over the array is the fastest index, and copying a disk copies one
 * array.
 * Invariants: I1 a pair (folder, text) stands in the array at most once. I2 every folder in it but
 * the root is itself the node of a name, since only an empty folder can be removed. I3 a node
 * lives until its last reference goes.
 * Costs: a lookup is a walk over all names.
 * Not here: locks, durability.
 */
#include "engine/io/ram_names.h"
#include "engine/base/mem.h"
#include "engine/base/status.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

void sdb__ram_ref(struct ram_node *node)
{
    node->refs++;
}

void sdb__ram_unref(struct ram_node *node)
{
    if (!node) return;
    assert(node->refs > 0);
    if (--node->refs == 0) node->free(node);
}

void sdb__ram_names_done(struct ram_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        sdb__ram_unref(names->names[i].node);
        sdb__ram_unref(names->names[i].folder);
    }
    sdb__mem_free(names->allocator, names->names);
    sdb__ram_unref(names->root);
    names->names = NULL;
    names->root = NULL;
    names->count = names->capacity = 0;
}

static struct ram_name *find(const struct ram_names *names, const struct ram_node *folder,
                             const char *text)
{
    for (size_t i = 0; i < names->count; i++) {
        struct ram_name *name = &names->names[i];
        if (name->folder == folder && strcmp(name->text, text) == 0) return name;
    }
    return NULL;
}

struct ram_node *sdb__ram_names_get(const struct ram_names *names, const struct ram_node *folder,
                                    const char *text)
{
    struct ram_name *name = find(names, folder, text);

    return name ? name->node : NULL;
}

/* Copies the next component of *path to text, and moves *path behind it. False at the end. */
static bool next_component(const char **path, char text[IO_NAME_MAX + 1], size_t *out_length)
{
    const char *at = *path;
    size_t length;

    for (;;) {
        while (*at == '/') at++;
        length = strcspn(at, "/");
        if (length != 1 || *at != '.') break;
        at++;
    }
    *out_length = length;
    *path = at + length;
    if (length == 0) return false;
    if (length <= IO_NAME_MAX) {
        memcpy(text, at, length);
        text[length] = 0;
    }
    return true;
}

sdb_status sdb__ram_names_find(const struct ram_names *names, const char *path,
                               struct ram_place *out_place)
{
    struct ram_place place = {.node = names->root};
    const char *rest = path;
    size_t length;
    char text[IO_NAME_MAX + 1];

    while (next_component(&rest, text, &length)) {
        if (length > IO_NAME_MAX)
            return FAIL(SDB_INVALID, "a name in %s has %zu bytes; at most %d are possible", path,
                        length, IO_NAME_MAX);
        if (strcmp(text, "..") == 0)
            return FAIL(SDB_INVALID, "%s: \"..\" is not possible here; give the whole path", path);
        if (!place.node)
            return FAIL(SDB_NOTFOUND, "%s: there is no folder %s; make it first", path, place.text);
        if (!place.node->is_folder)
            return FAIL(SDB_INVALID, "%s: %s is a file and not a folder; give another path", path,
                        place.text);
        place.folder = place.node;
        memcpy(place.text, text, length + 1);
        place.node = sdb__ram_names_get(names, place.folder, text);
    }
    *out_place = place;
    return SDB_OK;
}

sdb_status sdb__ram_names_reserve(struct ram_names *names)
{
    return sdb__mem_reserve(names->allocator, &names->names, &names->capacity, names->count + 1,
                            sizeof(struct ram_name));
}

sdb_status sdb__ram_names_put(struct ram_names *names, struct ram_node *folder, const char *text,
                              struct ram_node *node)
{
    struct ram_name *name = find(names, folder, text);

    if (!name) {
        TRY(sdb__ram_names_reserve(names));
        name = &names->names[names->count++];
        name->folder = folder;
        name->node = NULL;
        memset(name->text, 0, sizeof name->text);
        memcpy(name->text, text, strlen(text));
        sdb__ram_ref(folder);
    }
    sdb__ram_ref(node);
    sdb__ram_unref(name->node);
    name->node = node;
    return SDB_OK;
}

void sdb__ram_names_del(struct ram_names *names, const struct ram_node *folder, const char *text)
{
    struct ram_name *name = find(names, folder, text);
    struct ram_name gone;

    if (!name) return;
    gone = *name;
    *name = names->names[--names->count];
    sdb__ram_unref(gone.node);
    sdb__ram_unref(gone.folder);
}

bool sdb__ram_names_is_empty(const struct ram_names *names, const struct ram_node *folder)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->names[i].folder == folder) return false;
    }
    return true;
}

sdb_status sdb__ram_names_collect(const struct ram_names *names, const struct ram_node *folder,
                                  struct buffer *list)
{
    for (size_t i = 0; i < names->count; i++) {
        const char *text = names->names[i].text;

        if (names->names[i].folder != folder) continue;
        TRY(sdb__buffer_append(names->allocator, list, text, strlen(text) + 1));
    }
    return SDB_OK;
}

sdb_status sdb__ram_names_tell(const struct buffer *list, io_name_fn fn, void *context)
{
    for (size_t at = 0; at < list->size;) {
        const char *text = (const char *)list->data + at;

        TRY(fn(context, text));
        at += strlen(text) + 1;
    }
    return SDB_OK;
}

/* ---- judgements ---- */

static sdb_status not_found(const char *path)
{
    return FAIL(SDB_NOTFOUND, "there is no file or folder %s; check the path", path);
}

sdb_status sdb__ram_judge_open(const struct ram_names *names, const char *path, unsigned flags,
                               struct ram_place *out_place)
{
    TRY(sdb__ram_names_find(names, path, out_place));
    if (!out_place->node) return (flags & IO_OPEN_CREATE) ? SDB_OK : not_found(path);
    if ((flags & IO_OPEN_CREATE) && (flags & IO_OPEN_NEW))
        return FAIL(SDB_EXISTS, "%s is there already; choose another name, or remove it", path);
    if (out_place->node->is_folder)
        return FAIL(SDB_INVALID, "cannot open %s: it is a folder; give another path", path);
    return SDB_OK;
}

sdb_status sdb__ram_judge_remove(const struct ram_names *names, const char *path,
                                 struct ram_place *out_place)
{
    TRY(sdb__ram_names_find(names, path, out_place));
    if (!out_place->node) return not_found(path);
    if (out_place->node->is_folder)
        return FAIL(SDB_INVALID, "cannot remove the file %s: it is a folder", path);
    return SDB_OK;
}

/* True if `inner` is `outer`, or stands somewhere in it. */
static bool contains(const struct ram_names *names, const struct ram_node *outer,
                     const struct ram_node *inner)
{
    while (inner && inner != outer) {
        const struct ram_node *above = NULL;

        for (size_t i = 0; i < names->count && !above; i++) {
            if (names->names[i].node == inner) above = names->names[i].folder;
        }
        inner = above;
    }
    return inner == outer;
}

sdb_status sdb__ram_judge_rename(const struct ram_names *names, const char *from, const char *to,
                                 struct ram_place *out_from, struct ram_place *out_to)
{
    TRY(sdb__ram_names_find(names, from, out_from));
    TRY(sdb__ram_names_find(names, to, out_to));
    if (!out_from->node) return not_found(from);
    if (!out_from->folder || !out_to->folder)
        return FAIL(SDB_INVALID, "cannot rename %s to %s: the root stays as it is", from, to);
    if (out_from->node->is_folder && contains(names, out_from->node, out_to->folder))
        return FAIL(SDB_INVALID, "cannot rename %s to %s, which would be in itself", from, to);
    if (!out_to->node || out_to->node == out_from->node) return SDB_OK;
    if (out_to->node->is_folder != out_from->node->is_folder)
        return FAIL(SDB_INVALID, "cannot rename %s to %s: one is a file, the other a folder", from,
                    to);
    if (out_to->node->is_folder && !sdb__ram_names_is_empty(names, out_to->node))
        return FAIL(SDB_INVALID, "cannot rename %s to %s, which is not empty", from, to);
    return SDB_OK;
}

sdb_status sdb__ram_judge_folder_make(const struct ram_names *names, const char *path,
                                      struct ram_place *out_place)
{
    TRY(sdb__ram_names_find(names, path, out_place));
    if (out_place->node) return FAIL(SDB_EXISTS, "%s is there already; choose another name", path);
    return SDB_OK;
}

sdb_status sdb__ram_judge_folder(const struct ram_names *names, const char *path,
                                 struct ram_node **out_folder)
{
    struct ram_place place;

    TRY(sdb__ram_names_find(names, path, &place));
    if (!place.node) return not_found(path);
    if (!place.node->is_folder) return FAIL(SDB_INVALID, "%s is a file and not a folder", path);
    *out_folder = place.node;
    return SDB_OK;
}

sdb_status sdb__ram_judge_folder_remove(const struct ram_names *names, const char *path,
                                        struct ram_place *out_place)
{
    TRY(sdb__ram_names_find(names, path, out_place));
    if (!out_place->node) return not_found(path);
    if (!out_place->folder) return FAIL(SDB_INVALID, "the root folder cannot be removed");
    if (!out_place->node->is_folder)
        return FAIL(SDB_INVALID, "%s is a file and not a folder", path);
    if (!sdb__ram_names_is_empty(names, out_place->node))
        return FAIL(SDB_INVALID, "cannot remove the folder %s: it is not empty", path);
    return SDB_OK;
}

/* ---- locks ---- */

sdb_status sdb__ram_lock(struct ram_node *node, enum ram_hold *hold, enum io_lock lock,
                         const char *path, int64_t *out_holder)
{
    unsigned others = node->readers - (*hold == RAM_HOLDS_SHARED);
    bool locked_elsewhere = node->is_locked && *hold != RAM_HOLDS_EXCLUSIVE;

    if (locked_elsewhere || (lock == IO_LOCK_EXCLUSIVE && others > 0)) {
        *out_holder = (int64_t)getpid();
        return FAIL(SDB_BUSY, "%s is already open in this process; close it there first", path);
    }
    sdb__ram_unlock(node, hold);
    if (lock == IO_LOCK_EXCLUSIVE) {
        node->is_locked = true;
        *hold = RAM_HOLDS_EXCLUSIVE;
    } else {
        node->readers++;
        *hold = RAM_HOLDS_SHARED;
    }
    return SDB_OK;
}

void sdb__ram_unlock(struct ram_node *node, enum ram_hold *hold)
{
    if (*hold == RAM_HOLDS_EXCLUSIVE) node->is_locked = false;
    if (*hold == RAM_HOLDS_SHARED) node->readers--;
    *hold = RAM_HOLDS_NOTHING;
}
