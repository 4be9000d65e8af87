/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encode.h: bytes as text and back: UTF-8, hex, base64, JSON strings, and the escapes of the shell.
 *
 * The writers append to a bytebuf, whose `failed` tells of trouble. The readers answer false when
 * the text is not what it should be, and have then appended an unspecified part.
 */
#ifndef SDB_TOOLS_ENCODE_H
#define SDB_TOOLS_ENCODE_H

#include <stdint.h>

#include "tools/bytebuf.h"

/*
 * The length of the character that begins at text[0…size), 1…4, and its code point; 0 if no valid
 * one does (overlong, surrogate, beyond U+10FFFF, cut short). out_code may be NULL.
 */
size_t encode_utf8_length(const void *text, size_t size, uint32_t *out_code);
bool encode_is_utf8(const void *text, size_t size);
void encode_utf8(struct bytebuf *out, uint32_t code);

void encode_hex(struct bytebuf *out, const void *data, size_t size);
/* Two digits a byte, either case. */
bool encode_from_hex(struct bytebuf *out, const char *text, size_t size);
/* The value of a hex digit, or -1. */
int encode_hex_digit(char c);

/* RFC 4648 section 4, with padding, in one line. */
void encode_base64(struct bytebuf *out, const void *data, size_t size);
bool encode_from_base64(struct bytebuf *out, const char *text, size_t size);

/* A JSON string with its quotes; `text` must be UTF-8. */
void encode_json(struct bytebuf *out, const void *text, size_t size);
/*
 * A member of a JSON object for arbitrary bytes: "name":"text", or "name_base64":"…" when the bytes
 * are not UTF-8.
 */
void encode_json_member(struct bytebuf *out, const char *name, const void *data, size_t size);

/*
 * One line of printable text that means these bytes and no others: as they are when they are
 * printable UTF-8, otherwise as a word of the shell in double quotes, with \\ \" \t \n \r and \xNN.
 * Bytes that begin with a double quote, and no bytes at all, take the quoted form too.
 */
void encode_shown(struct bytebuf *out, const void *data, size_t size);

#endif
