/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.h: the CRC-32C of RFC 3720, for dumps. Begin with 0; feed it piece by piece. */
#ifndef SDB_TOOLS_CRC32C_H
#define SDB_TOOLS_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c_add(uint32_t crc, const void *data, size_t size);

#endif
