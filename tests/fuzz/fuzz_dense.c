/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_dense.c: any bytes as the dense form of a node; what is taken must stay within its page, and
 * if the page is a sound node, its dense form is what it came from.
 *
 * The low bits of the first byte choose the page size, 4096 << bits 0…2 (of 8 KiB from 5 on); the
 * rest is the dense form.
 */
#include <stdlib.h>
#include <string.h>

#include "index/btree/node.h"
#include "index/btree/node_dense.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
    if (!held) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t page_size = 8192;
    uint8_t *page, *again;
    const char *wrong;

    if (size == 0) return 0;
    if ((data[0] & 7) < 5) page_size = UINT32_C(4096) << (data[0] & 7);
    page = malloc(page_size);
    again = malloc(page_size);
    must(page && again);
    wrong = sdb__node_from_dense(data + 1, size - 1, page, page_size);
    if (!wrong) wrong = sdb__node_verify(page, page_size, get_u64(page + 24));
    if (!wrong) {
        must(sdb__node_make_dense(page, page_size, again) == size - 1);
        must(memcmp(again, data + 1, 4) == 0);
        must(memcmp(again + 12, data + 13, size - 13) == 0);
    }
    free(again);
    free(page);
    return 0;
}
