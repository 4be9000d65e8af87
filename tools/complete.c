/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complete.c
 *
 * Idea: what a word may become follows from its place: the first is a command, one that begins with
 *   dashes
 * an option of that command, the first operand of most commands a keyspace.
 * Invariants: I1 nothing is changed, and nothing read but the keyspaces' names.
 * Not here: keys in line with what is typed: a look into the data on each key stroke costs too
 *   much.
 */
#include <string.h>

#include "tools/data.h"
#include "tools/shell.h"

/* Copies word number `index` (cut at white space) of line[0…size) into `out`. */
static void copy_word(const char *line, size_t size, size_t index, char *out, size_t out_size)
{
    size_t at = 0, length = 0;

    for (size_t i = 0;; i++) {
        while (at < size && strchr(" \t", line[at])) at++;
        if (i == index) break;
        while (at < size && !strchr(" \t", line[at])) at++;
    }
    while (at < size && !strchr(" \t", line[at]) && length + 1 < out_size)
        out[length++] = line[at++];
    out[length] = '\0';
}

/* How many words begin before the end of line[0…size); a trailing blank begins a new one. */
static size_t word_index(const char *line, size_t size)
{
    size_t words = 0;
    bool inside = false;

    for (size_t i = 0; i < size; i++) {
        bool blank = strchr(" \t", line[i]) != NULL;

        if (inside && blank) words++;
        inside = !blank;
    }
    return words;
}

static void offer_commands(struct candidates *out, const char *typed)
{
    for (const struct shell_command *c = shell_data_commands; c->command.name; c++)
        candidates_offer(out, typed, c->command.name);
    for (const struct shell_command *c = shell_dot_commands; c->command.name; c++)
        candidates_offer(out, typed, c->command.name);
}

static void offer_keyspaces(struct shell *shell, struct candidates *out, const char *typed)
{
    char name[SDB_KEYSPACE_NAME_MAX + 1] = "";

    while (shell->db && data_next_keyspace(shell->db, name)) candidates_offer(out, typed, name);
}

static void offer_words(struct candidates *out, const char *typed, const char *const *words)
{
    for (; *words; words++) candidates_offer(out, typed, *words);
}

static void offer_options(struct candidates *out, const char *typed, const struct command *command)
{
    char option[32];

    for (int id = 0; id < OPTION_TOTAL; id++) {
        if (!(command->accepts >> id & 1)) continue;
        (void)snprintf(option, sizeof option, "--%s", args_option_name((enum option_id)id));
        candidates_offer(out, typed, option);
    }
}

void shell_complete(void *context, const char *line, size_t size, struct candidates *out)
{
    static const char *const modes[] = {"table", "json", "csv", "line", NULL};
    static const char *const switches[] = {"on", "off", NULL};
    static const char *const changes[] = {"make", "drop", "list", NULL};
    char first[64], typed[SDB_KEYSPACE_NAME_MAX + 1];
    size_t index = word_index(line, size);
    const struct shell_command *command;

    copy_word(line, size, 0, first, sizeof first);
    copy_word(line, size, index, typed, sizeof typed);
    if (index == 0) {
        offer_commands(out, typed);
        return;
    }
    command = shell_find(first);
    if (!command) return;
    if (typed[0] == '-')
        offer_options(out, typed, &command->command);
    else if (index == 1 && command->names_keyspace)
        offer_keyspaces(context, out, typed);
    else if (strcmp(first, ".help") == 0)
        offer_commands(out, typed);
    else if (strcmp(first, ".snapshot") == 0 && index == 1)
        offer_words(out, typed, changes);
    else if (strcmp(first, ".mode") == 0)
        offer_words(out, typed, modes);
    else if (strcmp(first, ".timing") == 0 || strcmp(first, ".bail") == 0)
        offer_words(out, typed, switches);
}
