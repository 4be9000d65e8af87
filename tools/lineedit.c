/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineedit.c
 *
 * Idea: libedit reads its bytes through a function of ours, so that a new window size is taken
 *   over. While a line is edited Ctrl-C is a key and no signal: it gives the line up wherever the
 *   shell runs, also under a parent that ignores or blocks SIGINT, or without a controlling
 *   terminal.
 * Invariants: I1 the terminal is in its normal mode whenever this is not within lineedit_read. I2
 *   the history is a file of mode 0600, at most HISTORY_LINES lines.
 * Source: editline(3).
 * Not here: which words complete what (complete.c).
 */
#include "tools/lineedit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "tools/tool.h"

#ifdef HAVE_LIBEDIT
#include <histedit.h>
#endif

#define HISTORY_LINES 2000

void candidates_offer(struct candidates *candidates, const char *typed, const char *word)
{
    size_t size = strlen(typed);

    if (candidates->count == CANDIDATES_MAX || strncmp(typed, word, size) != 0) return;
    candidates->size = size;
    candidates->list[candidates->count] = strdup(word);
    if (candidates->list[candidates->count]) candidates->count++;
}

#ifdef HAVE_LIBEDIT

struct lineedit {
    EditLine *el;
    History *history;
    lineedit_complete_fn complete;
    void *context;
    const char *prompt;
    char *path;     /* of the history, or NULL */
    bool begun;     /* a character of the line that is edited was asked for */
    cc_t interrupt; /* the key that gives the line up; _POSIX_VDISABLE: none */
};

static volatile sig_atomic_t resized;

static void on_resize(int number)
{
    (void)number;
    resized = 1;
}

static char *prompt_of(EditLine *el)
{
    struct lineedit *edit = NULL;

    (void)el_get(el, EL_CLIENTDATA, &edit);
    return (char *)(uintptr_t)edit->prompt;
}

/*
 * libedit has set its mode for editing, in which the key for SIGINT still makes a signal: it shall
 * come as the byte it is. libedit sets the mode for commands itself when the line is done.
 */
static void take_interrupt_key(struct lineedit *edit)
{
    struct termios mode;

    edit->begun = true;
    edit->interrupt = _POSIX_VDISABLE;
    if (tcgetattr(STDIN_FILENO, &mode) != 0) return;
    edit->interrupt = mode.c_cc[VINTR];
    mode.c_cc[VINTR] = _POSIX_VDISABLE;
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &mode);
}

/* One byte from the terminal. 1, 0 at the end, -1 when interrupted or failed. */
static int read_byte(EditLine *el, char *out)
{
    struct lineedit *edit = NULL;

    (void)el_get(el, EL_CLIENTDATA, &edit);
    if (!edit->begun) take_interrupt_key(edit);
    for (;;) {
        ssize_t got = read(STDIN_FILENO, out, 1);

        if (got == 1 && edit->interrupt != _POSIX_VDISABLE && (cc_t)*out == edit->interrupt) {
            tool_interrupt();
            return -1;
        }
        if (got >= 0) return (int)got;
        if (errno != EINTR || tool_interrupted()) return -1;
        if (resized) {
            resized = 0;
            el_resize(el);
        }
    }
}

/* One character: libedit's own reader would try again after Ctrl-C. */
static int read_char(EditLine *el, wchar_t *out)
{
    mbstate_t state;
    char byte;

    memset(&state, 0, sizeof state);
    for (;;) {
        int got = read_byte(el, &byte);
        size_t length;

        if (got <= 0) return got;
        length = mbrtowc(out, &byte, 1, &state);
        if (length == (size_t)-2) continue;
        if (length == (size_t)-1) {
            memset(&state, 0, sizeof state);
            *out = L'?';
        }
        return 1;
    }
}

/* How many bytes all candidates have in common. */
static size_t common_size(const struct candidates *candidates)
{
    size_t size = strlen(candidates->list[0]);

    for (size_t i = 1; i < candidates->count; i++) {
        size_t same = 0;

        while (same < size && candidates->list[i][same] == candidates->list[0][same]) same++;
        size = same;
    }
    /* Never half a character. */
    while (size && (candidates->list[0][size] & 0xc0) == 0x80) size--;
    return size;
}

static void print_candidates(const struct candidates *candidates)
{
    (void)fputc('\n', stdout);
    for (size_t i = 0; i < candidates->count; i++)
        (void)printf("%s%s", candidates->list[i], i + 1 == candidates->count ? "\n" : "  ");
    (void)fflush(stdout);
}

static unsigned char on_tab(EditLine *el, int key)
{
    struct lineedit *edit = NULL;
    struct candidates found = {.count = 0};
    const LineInfo *line = el_line(el);
    unsigned char answer = CC_REFRESH;
    size_t size;

    (void)key;
    (void)el_get(el, EL_CLIENTDATA, &edit);
    edit->complete(edit->context, line->buffer, (size_t)(line->cursor - line->buffer), &found);
    size = found.count ? common_size(&found) : 0;
    if (!found.count) {
        answer = CC_ERROR;
    } else if (size > found.size || found.count == 1) {
        found.list[0][size] = '\0';
        if (size > found.size) (void)el_insertstr(el, found.list[0] + found.size);
        if (found.count == 1) (void)el_insertstr(el, " ");
    } else {
        print_candidates(&found);
        answer = CC_REDISPLAY;
    }
    for (size_t i = 0; i < found.count; i++) free(found.list[i]);
    return answer;
}

/* $XDG_STATE_HOME/sdb/history, or ~/.sdb_history. Owned; NULL if there is no place. */
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    struct bytebuf path = {0};
    char *copy = NULL;

    if (state && *state == '/') {
        bytebuf_add_format(&path, "%s/sdb", state);
        (void)mkdir(state, 0700);
        (void)mkdir(bytebuf_text(&path), 0700);
        bytebuf_add_text(&path, "/history");
    } else if (home && *home) {
        bytebuf_add_format(&path, "%s/.sdb_history", home);
    }
    if (path.size && !path.failed) copy = strdup(bytebuf_text(&path));
    bytebuf_done(&path);
    return copy;
}

static bool begin(struct lineedit *edit)
{
    struct sigaction action;
    HistEvent event;

    edit->el = el_init("sdb", stdin, stdout, stderr);
    edit->history = history_init();
    if (!edit->el || !edit->history) return false;
    (void)history(edit->history, &event, H_SETSIZE, HISTORY_LINES);
    (void)history(edit->history, &event, H_SETUNIQUE, 1);
    edit->path = history_path();
    if (edit->path) (void)history(edit->history, &event, H_LOAD, edit->path);
    (void)el_set(edit->el, EL_CLIENTDATA, edit);
    (void)el_set(edit->el, EL_PROMPT, prompt_of);
    (void)el_set(edit->el, EL_EDITOR, "emacs");
    (void)el_set(edit->el, EL_SIGNAL, 0);
    (void)el_set(edit->el, EL_HIST, history, edit->history);
    (void)el_set(edit->el, EL_GETCFN, read_char);
    (void)el_set(edit->el, EL_ADDFN, "sdb-complete", "complete a word", on_tab);
    (void)el_set(edit->el, EL_BIND, "^I", "sdb-complete", NULL);
    (void)el_set(edit->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    (void)el_source(edit->el, NULL);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_resize;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGWINCH, &action, NULL);
    return true;
}

struct lineedit *lineedit_new(lineedit_complete_fn complete, void *context)
{
    struct lineedit *edit = calloc(1, sizeof *edit);

    if (!edit) return NULL;
    edit->complete = complete;
    edit->context = context;
    edit->prompt = "";
    if (begin(edit)) return edit;
    lineedit_free(edit);
    return NULL;
}

enum lineedit_answer lineedit_read(struct lineedit *edit, const char *prompt, struct bytebuf *out)
{
    HistEvent event;
    const char *line;
    int size = 0;

    edit->prompt = prompt;
    edit->begun = false;
    line = el_gets(edit->el, &size);
    if (!line || size <= 0) {
        (void)fputc('\n', stdout);
        el_reset(edit->el);
        return tool_interrupted() ? LINE_INTERRUPTED : LINE_END;
    }
    if (strspn(line, " \t\r\n") != (size_t)size)
        (void)history(edit->history, &event, H_ENTER, line);
    bytebuf_add(out, line, (size_t)size);
    if (line[size - 1] != '\n') bytebuf_add_byte(out, '\n');
    return LINE_GIVEN;
}

void lineedit_free(struct lineedit *edit)
{
    HistEvent event;

    if (!edit) return;
    if (edit->history && edit->path) {
        mode_t mask = umask(077);

        (void)history(edit->history, &event, H_SAVE, edit->path);
        (void)umask(mask);
    }
    if (edit->history) history_end(edit->history);
    if (edit->el) el_end(edit->el);
    free(edit->path);
    free(edit);
}

#else /* without libedit */

struct lineedit {
    char *line;
    size_t capacity;
};

struct lineedit *lineedit_new(lineedit_complete_fn complete, void *context)
{
    (void)complete;
    (void)context;
    return calloc(1, sizeof(struct lineedit));
}

enum lineedit_answer lineedit_read(struct lineedit *edit, const char *prompt, struct bytebuf *out)
{
    ssize_t size;

    (void)fputs(prompt, stdout);
    (void)fflush(stdout);
    size = getline(&edit->line, &edit->capacity, stdin);
    if (size < 0) {
        (void)fputc('\n', stdout);
        clearerr(stdin);
        return tool_interrupted() ? LINE_INTERRUPTED : LINE_END;
    }
    bytebuf_add(out, edit->line, (size_t)size);
    if (edit->line[size - 1] != '\n') bytebuf_add_byte(out, '\n');
    return LINE_GIVEN;
}

void lineedit_free(struct lineedit *edit)
{
    if (!edit) return;
    free(edit->line);
    free(edit);
}

#endif
