/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_main.c: a fuzz target without libFuzzer.
 *
 *     run_fuzz_log FILE…       gives each file to the target; "FILE: N bytes" when it came back
 *     run_fuzz_log             the same with standard input, for AFL: afl-fuzz … -- run_fuzz_log @@
 *
 * A finding ends the program by a signal. Status 0: none; 2: a file could not be read.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MOST ((size_t)16 << 20)

/* Reads all of `file`, up to INPUT_MOST bytes; NULL on failure. *out_bytes is owned: free. */
static uint8_t *read_all(FILE *file, size_t *out_size)
{
    size_t room = (size_t)64 << 10, size = 0;
    uint8_t *bytes = malloc(room), *more;

    while (bytes) {
        size += fread(bytes + size, 1, room - size, file);
        if (size < room || room >= INPUT_MOST) break;
        room *= 2;
        more = realloc(bytes, room);
        if (!more) free(bytes);
        bytes = more;
    }
    if (bytes && ferror(file)) {
        free(bytes);
        bytes = NULL;
    }
    *out_size = size;
    return bytes;
}

static int give(FILE *file, const char *name)
{
    size_t size;
    uint8_t *bytes = read_all(file, &size), *exact;

    if (!bytes) {
        (void)fprintf(stderr, "%s: cannot be read\n", name);
        return 2;
    }
    /* Of its very size, so that a sanitizer sees each byte that is read beyond it. */
    exact = realloc(bytes, size ? size : 1);
    (void)LLVMFuzzerTestOneInput(exact ? exact : bytes, size);
    free(exact ? exact : bytes);
    (void)printf("%s: %zu bytes\n", name, size);
    (void)fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    int status = 0;

    if (argc < 2) return give(stdin, "standard input");
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        int given = file ? give(file, argv[i]) : 2;

        if (!file) perror(argv[i]);
        if (file) (void)fclose(file);
        if (given) status = given;
    }
    return status;
}
