/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.c
 *
 * Idea: a word's first byte says how it is written; quotes inside a bare word are nothing special,
 *   so that
 * JSON without spaces needs none.
 * Invariants: I1 each word is followed by a NUL in `text`. I2 what encode_shown quotes, words_split
 *   reads back as the same bytes.
 * Costs: one pass over the line; a command of many lines is read again with each line that is
 *   added.
 * Not here: what the words mean.
 */
#include "tools/words.h"

#include <string.h>

#include "tools/encode.h"

/* Where the splitting is. */
struct place {
    const char *p, *end;
    struct words *words;
};

static enum words_answer wrong(struct place *place, const char *problem)
{
    place->words->problem = problem;
    return WORDS_WRONG;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* A backslash that ends its line. */
static bool is_join(const struct place *place)
{
    return *place->p == '\\' && (place->p + 1 == place->end || place->p[1] == '\n');
}

/* Passes over white space and joined line ends. WORDS_UNFINISHED if the line ends with a join. */
static enum words_answer skip_space(struct place *place)
{
    while (place->p < place->end) {
        if (is_join(place)) {
            if (place->end - place->p <= 2) return WORDS_UNFINISHED;
            place->p += 2;
        } else if (is_space(*place->p)) {
            place->p++;
        } else {
            break;
        }
    }
    return WORDS_WHOLE;
}

static enum words_answer take_bare(struct place *place)
{
    while (place->p < place->end && !is_space(*place->p) && !is_join(place))
        bytebuf_add_byte(&place->words->text, *place->p++);
    return WORDS_WHOLE;
}

static enum words_answer take_single(struct place *place)
{
    for (place->p++; place->p < place->end; place->p++) {
        if (*place->p == '\'') {
            if (place->p + 1 == place->end || place->p[1] != '\'') {
                place->p++;
                return WORDS_WHOLE;
            }
            place->p++;
        }
        bytebuf_add_byte(&place->words->text, *place->p);
    }
    return WORDS_UNFINISHED;
}

/* Takes the escape at p. */
static enum words_answer take_escape(struct place *place)
{
    static const char names[] = "ntr0\\\"", bytes[] = "\n\t\r\0\\\"";
    struct bytebuf *text = &place->words->text;
    const char *found;
    int high, low;

    if (place->end - place->p < 2) return WORDS_UNFINISHED;
    if (place->p[1] == '\n') {
        place->p += 2;
        return WORDS_WHOLE;
    }
    found = place->p[1] ? strchr(names, place->p[1]) : NULL;
    if (found) {
        bytebuf_add_byte(text, bytes[found - names]);
        place->p += 2;
        return WORDS_WHOLE;
    }
    if (place->p[1] != 'x')
        return wrong(place,
                     "between double quotes a backslash wants n, t, r, 0, \\, \" or xNN after it");
    high = place->end - place->p >= 4 ? encode_hex_digit(place->p[2]) : -1;
    low = place->end - place->p >= 4 ? encode_hex_digit(place->p[3]) : -1;
    if (high < 0 || low < 0) return wrong(place, "\\x wants two hex digits");
    bytebuf_add_byte(text, (char)(high << 4 | low));
    place->p += 4;
    return WORDS_WHOLE;
}

static enum words_answer take_double(struct place *place)
{
    place->p++;
    while (place->p < place->end) {
        enum words_answer answer;

        if (*place->p == '"') {
            place->p++;
            return WORDS_WHOLE;
        }
        if (*place->p != '\\') {
            bytebuf_add_byte(&place->words->text, *place->p++);
            continue;
        }
        answer = take_escape(place);
        if (answer != WORDS_WHOLE) return answer;
    }
    return WORDS_UNFINISHED;
}

static enum words_answer take_hex(struct place *place)
{
    const char *from = place->p + 2;
    const char *close = memchr(from, '\'', (size_t)(place->end - from));

    if (!close) return WORDS_UNFINISHED;
    if (!encode_from_hex(&place->words->text, from, (size_t)(close - from)))
        return wrong(place, "x'…' wants two hex digits for each byte");
    place->p = close + 1;
    return WORDS_WHOLE;
}

/* Takes the word at p, whatever its kind. */
static enum words_answer take_word(struct place *place)
{
    struct words *words = place->words;
    enum words_answer answer;
    bool quoted = true;
    char first = *place->p;

    if (words->count == WORDS_MAX) return wrong(place, "more than 256 words");
    words->from[words->count] = words->text.size;
    if (first == '\'') {
        answer = take_single(place);
    } else if (first == '"') {
        answer = take_double(place);
    } else if ((first == 'x' || first == 'X') && place->end - place->p > 1 && place->p[1] == '\'') {
        answer = take_hex(place);
    } else {
        answer = take_bare(place);
        quoted = false;
    }
    if (answer != WORDS_WHOLE) return answer;
    if (quoted && place->p < place->end && !is_space(*place->p) && !is_join(place))
        return wrong(place, "text right after a closing quote");
    words->list[words->count].size = words->text.size - words->from[words->count];
    words->list[words->count].quoted = quoted;
    words->count++;
    bytebuf_add_byte(&words->text, '\0');
    return WORDS_WHOLE;
}

enum words_answer words_split(struct words *words, const char *line, size_t size)
{
    struct place place = {line, line + size, words};
    enum words_answer answer;

    bytebuf_clear(&words->text);
    words->count = 0;
    for (;;) {
        answer = skip_space(&place);
        if (answer != WORDS_WHOLE) return answer;
        if (place.p == place.end) break;
        if (words->count == 0 && *place.p == '#') {
            const char *newline = memchr(place.p, '\n', (size_t)(place.end - place.p));

            place.p = newline ? newline : place.end;
            continue;
        }
        answer = take_word(&place);
        if (answer != WORDS_WHOLE) return answer;
    }
    if (words->text.failed) return wrong(&place, "the command is too long");
    for (size_t i = 0; i < words->count; i++)
        words->list[i].text = words->text.data + words->from[i];
    return WORDS_WHOLE;
}

void words_done(struct words *words)
{
    bytebuf_done(&words->text);
}
