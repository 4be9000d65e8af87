/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encode.c
 *
 * Idea: one strict reader for each encoding; whatever a writer makes, its reader takes back
 *   unchanged.
 * Invariants: I1 a text accepted as UTF-8 is so by RFC 3629. I2 base64 texts with stray bits or
 *   wrong padding are refused, so that each text means one run of bytes and each run has one text.
 * Costs: one pass each.
 * Source: RFC 3629, RFC 4648, RFC 8259 section 7.
 * Not here: reading JSON (jsonscan.h) and CSV quoting (csvtext.h).
 */
#include "tools/encode.h"

#include <string.h>

static bool is_tail(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t encode_utf8_length(const void *text, size_t size, uint32_t *out_code)
{
    const uint8_t *p = text;
    uint32_t code;
    size_t length;

    if (!size) return 0;
    if (p[0] < 0x80) {
        if (out_code) *out_code = p[0];
        return 1;
    }
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        length = 2;
    else if ((p[0] & 0xf0) == 0xe0)
        length = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (size < length) return 0;
    code = p[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (!is_tail(p[i])) return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    if (length == 3 && (code < 0x800 || (code >= 0xd800 && code <= 0xdfff))) return 0;
    if (length == 4 && (code < 0x10000 || code > 0x10ffff)) return 0;
    if (out_code) *out_code = code;
    return length;
}

bool encode_is_utf8(const void *text, size_t size)
{
    const uint8_t *p = text;

    for (size_t at = 0; at < size;) {
        size_t length = encode_utf8_length(p + at, size - at, NULL);

        if (!length) return false;
        at += length;
    }
    return true;
}

void encode_utf8(struct bytebuf *out, uint32_t code)
{
    char text[4];
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = length - 1; i > 0; i--) {
        text[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    text[0] = (char)(lead[length] | code);
    bytebuf_add(out, text, length);
}

void encode_hex(struct bytebuf *out, const void *data, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;

    for (size_t i = 0; i < size && !out->failed; i++) {
        char pair[2] = {digits[p[i] >> 4], digits[p[i] & 15]};

        bytebuf_add(out, pair, 2);
    }
}

int encode_hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool encode_from_hex(struct bytebuf *out, const char *text, size_t size)
{
    if (size % 2) return false;
    for (size_t i = 0; i < size; i += 2) {
        int high = encode_hex_digit(text[i]);
        int low = encode_hex_digit(text[i + 1]);

        if (high < 0 || low < 0) return false;
        bytebuf_add_byte(out, (char)(high << 4 | low));
    }
    return true;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void encode_base64(struct bytebuf *out, const void *data, size_t size)
{
    const uint8_t *p = data;

    for (size_t i = 0; i < size && !out->failed; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)p[i] << 16;
        char four[4];

        if (left > 1) bits |= (uint32_t)p[i + 1] << 8;
        if (left > 2) bits |= p[i + 2];
        four[0] = alphabet[bits >> 18];
        four[1] = alphabet[bits >> 12 & 63];
        four[2] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        four[3] = left > 2 ? alphabet[bits & 63] : '=';
        bytebuf_add(out, four, 4);
    }
}

bool encode_from_base64(struct bytebuf *out, const char *text, size_t size)
{
    if (size % 4) return false;
    for (size_t i = 0; i < size; i += 4) {
        size_t pad = 0;
        uint32_t bits = 0;
        char three[3];

        if (i + 4 == size) pad = text[i + 3] != '=' ? 0 : text[i + 2] != '=' ? 1 : 2;
        for (size_t j = 0; j < 4 - pad; j++) {
            const char *found = text[i + j] ? strchr(alphabet, text[i + j]) : NULL;

            if (!found) return false;
            bits |= (uint32_t)(found - alphabet) << (18 - 6 * j);
        }
        if (bits & ((1u << (8 * pad)) - 1)) return false; /* bits that belong to no byte */
        three[0] = (char)(bits >> 16);
        three[1] = (char)(bits >> 8);
        three[2] = (char)bits;
        bytebuf_add(out, three, 3 - pad);
    }
    return true;
}

/* How many bytes of p[0…size) need no escape in a JSON string. */
static size_t json_plain(const uint8_t *p, size_t size)
{
    size_t n = 0;

    while (n < size && p[n] >= 0x20 && p[n] != '"' && p[n] != '\\' && p[n] != 0x7f) n++;
    return n;
}

void encode_json(struct bytebuf *out, const void *text, size_t size)
{
    const uint8_t *p = text;

    bytebuf_add_byte(out, '"');
    for (size_t at = 0; at < size && !out->failed;) {
        size_t plain = json_plain(p + at, size - at);

        bytebuf_add(out, p + at, plain);
        at += plain;
        if (at == size) break;
        switch (p[at]) {
        case '"': bytebuf_add_text(out, "\\\""); break;
        case '\\': bytebuf_add_text(out, "\\\\"); break;
        case '\n': bytebuf_add_text(out, "\\n"); break;
        case '\r': bytebuf_add_text(out, "\\r"); break;
        case '\t': bytebuf_add_text(out, "\\t"); break;
        default: bytebuf_add_format(out, "\\u%04x", p[at]); break;
        }
        at++;
    }
    bytebuf_add_byte(out, '"');
}

void encode_json_member(struct bytebuf *out, const char *name, const void *data, size_t size)
{
    if (encode_is_utf8(data, size)) {
        encode_json(out, name, strlen(name));
        bytebuf_add_byte(out, ':');
        encode_json(out, data, size);
        return;
    }
    bytebuf_add_format(out, "\"%s_base64\":\"", name);
    encode_base64(out, data, size);
    bytebuf_add_byte(out, '"');
}

/* Whether a character shows as itself. */
static bool is_printable(uint32_t code)
{
    return code >= 0x20 && !(code >= 0x7f && code < 0xa0);
}

/* Whether text can stand as it is: printable UTF-8 that does not look like the quoted form. */
static bool shows_bare(const uint8_t *p, size_t size)
{
    if (!size || p[0] == '"') return false;
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        size_t length = encode_utf8_length(p + at, size - at, &code);

        if (!length || !is_printable(code)) return false;
        at += length;
    }
    return true;
}

/* Appends what stands in the quoted form for the character at p; its length. */
static size_t show_char(struct bytebuf *out, const uint8_t *p, size_t left)
{
    uint32_t code = 0;
    size_t length = encode_utf8_length(p, left, &code);

    if (length && (code == '"' || code == '\\')) {
        bytebuf_add_byte(out, '\\');
        bytebuf_add_byte(out, (char)code);
    } else if (length && is_printable(code)) {
        bytebuf_add(out, p, length);
    } else if (length && (code == '\n' || code == '\t' || code == '\r')) {
        bytebuf_add_text(out, code == '\n' ? "\\n" : code == '\t' ? "\\t" : "\\r");
    } else {
        if (!length) length = 1;
        for (size_t i = 0; i < length; i++) bytebuf_add_format(out, "\\x%02x", p[i]);
    }
    return length;
}

void encode_shown(struct bytebuf *out, const void *data, size_t size)
{
    const uint8_t *p = data;

    if (shows_bare(p, size)) {
        bytebuf_add(out, data, size);
        return;
    }
    bytebuf_add_byte(out, '"');
    for (size_t at = 0; at < size && !out->failed;) at += show_char(out, p + at, size - at);
    bytebuf_add_byte(out, '"');
}
