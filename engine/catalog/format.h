/* format.h - the catalog file's bytes: docs/format/catalog.md.
 *
 * header (16): u32 magic "TLCT", u16 version, u16 0, u64 0
 * block:       u32 magic "CBLK", u8 scheme (0), u8 trailer length (16), u8 domain, u8 0,
 *              u32 first id, u32 count, u32 payload size, payload (texts_encode), XXH3-128 of the block
 *              before the trailer, seeded with the block's offset */
#ifndef CATALOG_FORMAT_H
#define CATALOG_FORMAT_H

#include "base/hash.h"

#define CATALOG_FILE "catalog"
#define CATALOG_TEMPORARY "catalog.new"
#define CATALOG_ERASED '\xFF' /* stands for an erased text: no text of UTF-8 has this byte */
#define CATALOG_MAGIC 0x54434C54u
#define CATALOG_VERSION 0x8001u /* development */
#define CATALOG_HEADER 16u
#define CATALOG_BLOCK_MAGIC 0x4B4C4243u
#define CATALOG_BLOCK_HEADER 20u
#define CATALOG_BLOCK_TEXTS 4096u
#define CATALOG_BLOCK_BYTES (8u << 20) /* of texts, decoded: 4096 texts of 1020 bytes are half of it */
#define CATALOG_TRAILER ((uint32_t)sizeof(struct digest))

#endif
