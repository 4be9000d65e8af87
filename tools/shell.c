/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shell.c
 *
 * Idea: lines are gathered until they make whole words, the first word finds a command in one of
 *   two tables,
 * and the table says how its options are read. A script and a person differ only in where lines
 * come from and what an error does.
 * Invariants: I1 a transaction that is open when the shell ends is rolled back, and that is said.
 *   I2 Ctrl-C ends the command that runs, or gives up the line that is typed; never the shell.
 * Costs: memory for one command.
 * Not here: the commands (shell_data.c, shell_dot.c), the terminal (lineedit.h).
 */
#include "tools/shell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/data.h"
#include "tools/words.h"

#define COMMAND_BYTES ((size_t)64 << 20) /* of one command, with all its lines */

const struct shell_command *shell_find(const char *name)
{
    const struct shell_command *command = name[0] == '.' ? shell_dot_commands : shell_data_commands;

    while (command->command.name && strcmp(command->command.name, name) != 0) command++;
    return command->command.name ? command : NULL;
}

static int unknown_command(const struct shell *shell, const char *name)
{
    const char *names[64];
    const char *meant;
    size_t count = 0;

    for (const struct shell_command *c = shell_data_commands; c->command.name; c++)
        names[count++] = c->command.name;
    for (const struct shell_command *c = shell_dot_commands; c->command.name; c++)
        names[count++] = c->command.name;
    names[count] = NULL;
    meant = tool_nearest(name, names);
    if (meant)
        (void)tool_fail(shell->tool, "there is no command '%s'; did you mean '%s'?", name, meant);
    else
        (void)tool_fail(shell->tool, "there is no command '%s'; .help lists them", name);
    return STATUS_MISUSED;
}

/* Runs one command. STATUS_… or STATUS_NOT_FOUND. */
static int run_words(struct shell *shell, const struct word *words, size_t count)
{
    const struct shell_command *command;
    struct args args;
    double begun = tool_seconds();
    int done;

    if (!count) return STATUS_DONE;
    command = shell_find(words[0].text);
    if (!command) return unknown_command(shell, words[0].text);
    shell->tool->command = command->command.name;
    done = args_parse(shell->tool, &command->command, words + 1, count - 1, &args);
    if (!done && args_has(&args, OPTION_HELP))
        args_help(&command->command, "", stdout);
    else if (!done)
        done = command->run(shell, &args);
    shell->tool->command = NULL;
    if (shell->timing) tool_note("time: %s", tool_duration(tool_seconds() - begun));
    return done;
}

/* ---- the database ------------------------------------------------------------------------- */

int shell_open(struct shell *shell, const char *path)
{
    const char *before = shell->tool->path;
    sdb_stats stats = {.size = sizeof stats};
    char *copy = strdup(path);
    sdb_db *db;
    int done;

    if (!copy) return tool_fail(shell->tool, "there is no memory for a name");
    done = tool_open(shell->tool, copy, TOOL_MAKE, &db);
    if (done) {
        shell->tool->path = before;
        free(copy);
        return done;
    }
    shell_changes_end(shell);
    if (shell->db) {
        shell->tool->path = before;
        done = tool_close(shell->tool, shell->db, STATUS_DONE);
        shell->tool->path = copy;
    }
    free(shell->path);
    shell->path = copy;
    shell->db = db;
    shell_changes_begin(shell);
    shell->use[0] = '\0';
    if (shell->interactive && sdb_stat(db, &stats) == SDB_OK && stats.recovered_commits)
        tool_note("sdb: %s was not closed; %s commits were recovered from its log", path,
                  tool_number(stats.recovered_commits));
    return done;
}

static int begin(struct shell *shell, struct tool *tool, const char *path, bool interactive)
{
    memset(shell, 0, sizeof *shell);
    shell->tool = tool;
    tool->in_shell = true;
    shell->interactive = interactive;
    shell->bail = true;
    shell->mode = isatty(STDOUT_FILENO) ? RENDER_TABLE : RENDER_LINE;
    return shell_open(shell, path);
}

static int end(struct shell *shell, int status)
{
    shell->tool->line = 0;
    if (shell->txn) {
        sdb_txn_abort(shell->txn);
        if (!shell->txn_reads) {
            (void)tool_fail(shell->tool, "the transaction that was open is rolled back");
            if (!shell->interactive && !status) status = STATUS_FAILED;
        }
    }
    shell_changes_end(shell);
    if (shell->db) status = tool_close(shell->tool, shell->db, status);
    shell->tool->path = NULL;
    free(shell->path);
    return status;
}

/* ---- a person ----------------------------------------------------------------------------- */

static void after_failure(const struct shell *shell)
{
    if (shell->txn && !shell->txn_reads)
        tool_note("sdb: the transaction is still open: commit keeps what it did before, rollback "
                  "gives it up");
}

static void run_typed(struct shell *shell, struct bytebuf *typed, struct words *words, bool *more)
{
    enum words_answer answer = words_split(words, bytebuf_text(typed), typed->size);
    int done;

    *more = answer == WORDS_UNFINISHED && typed->size < COMMAND_BYTES;
    if (*more) return;
    if (answer != WORDS_WHOLE) {
        (void)tool_fail(shell->tool, "%s",
                        answer == WORDS_WRONG ? words->problem : "the command is too long");
    } else {
        done = run_words(shell, words->list, words->count);
        if (done == STATUS_FAILED || done == STATUS_MISUSED) after_failure(shell);
    }
    (void)fflush(stdout);
    bytebuf_clear(typed);
}

static int talk(struct shell *shell)
{
    struct lineedit *edit = lineedit_new(shell_complete, shell);
    struct words *words = calloc(1, sizeof *words);
    struct bytebuf typed = {.limit = 2 * COMMAND_BYTES};
    bool more = false;

    if (!edit || !words) {
        lineedit_free(edit);
        free(words);
        return tool_fail(shell->tool, "there is no memory for the shell");
    }
    (void)printf("sdb %s, %s. Type .help for the commands, .quit to leave.\n", sdb_version(),
                 shell->path);
    while (!shell->leave && !tool_told_to_end()) {
        const char *prompt = more ? "...> " : shell->txn ? "sdb*> " : "sdb> ";
        enum lineedit_answer answer = lineedit_read(edit, prompt, &typed);

        if (answer == LINE_INTERRUPTED) {
            bytebuf_clear(&typed);
            more = false;
        } else if (answer == LINE_END) {
            break;
        } else {
            run_typed(shell, &typed, words, &more);
        }
        tool_forget_interrupt();
    }
    lineedit_free(edit);
    words_done(words);
    free(words);
    bytebuf_done(&typed);
    return STATUS_DONE;
}

/* ---- a script ----------------------------------------------------------------------------- */

/* Adds the next line of standard input. False at the end. */
static bool next_line(struct bytebuf *text, char **line, size_t *capacity)
{
    ssize_t size = getline(line, capacity, stdin);

    if (size < 0) return false;
    bytebuf_add(text, *line, (size_t)size);
    if ((*line)[size - 1] != '\n') bytebuf_add_byte(text, '\n');
    return true;
}

/* Runs the commands of standard input. */
static int run_script(struct shell *shell)
{
    struct words *words = calloc(1, sizeof *words);
    struct bytebuf text = {.limit = COMMAND_BYTES};
    uint64_t line = 0, first = 0;
    char *input = NULL;
    size_t capacity = 0;
    int status = STATUS_DONE, done = STATUS_DONE;
    bool overlong;

    if (!words) return tool_fail(shell->tool, "there is no memory for the shell");
    while (!shell->leave && !tool_interrupted() && next_line(&text, &input, &capacity)) {
        enum words_answer answer = words_split(words, bytebuf_text(&text), text.size);

        line++;
        if (!first) first = line;
        if (answer == WORDS_UNFINISHED && !text.failed) continue;
        shell->tool->line = first;
        first = 0;
        overlong = text.failed != BYTEBUF_FINE;
        if (overlong)
            done = tool_fail(shell->tool, "a command is longer than 64 MiB");
        else if (answer == WORDS_WRONG)
            done = tool_fail(shell->tool, "%s", words->problem);
        else
            done = run_words(shell, words->list, words->count);
        (void)fflush(stdout); /* whoever feeds the script may wait for the answer */
        bytebuf_clear(&text);
        if (done == STATUS_DONE || done == STATUS_NOT_FOUND) continue;
        status = STATUS_FAILED;
        if (shell->bail || overlong) break;
    }
    shell->tool->line = first;
    if (first && !tool_interrupted() && !shell->leave)
        status = tool_fail(shell->tool, "the script ends within a command that begins here");
    words_done(words);
    free(words);
    free(input);
    bytebuf_done(&text);
    return status;
}

/* ---- ways in ------------------------------------------------------------------------------ */

int shell_main(struct tool *tool, const char *path)
{
    bool interactive = isatty(STDIN_FILENO) != 0;
    struct shell shell;
    int done;

    if (interactive) tool_catch_signals(true);
    done = begin(&shell, tool, path, interactive);
    if (!done) done = interactive ? talk(&shell) : run_script(&shell);
    return end(&shell, done);
}

int shell_once(struct tool *tool, const char *path, const struct word *words, size_t count)
{
    struct words *cut = NULL;
    struct shell shell;
    int done = STATUS_DONE;

    if (count == 1) {
        cut = calloc(1, sizeof *cut);
        if (!cut) return tool_fail(tool, "there is no memory for the shell");
        if (words_split(cut, words->text, words->size) != WORDS_WHOLE)
            done =
                tool_misuse(tool, "%s", cut->problem ? cut->problem : "a quoted word does not end");
        words = cut->list;
        count = cut->count;
    }
    if (!done) {
        done = begin(&shell, tool, path, false);
        if (!done) done = run_words(&shell, words, count);
        done = end(&shell, done);
    }
    if (cut) words_done(cut);
    free(cut);
    return done == STATUS_NOT_FOUND ? STATUS_FAILED : done;
}
