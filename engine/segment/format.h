/* format.h - the constants that the segment writer and reader share; docs/format/segment.md is the page.
 *
 *   header     16 bytes: magic u32, version u16, 0 u16, segment id u64
 *   blocks     payload and trailer, back to back: the columns' chunks column by column, the run blocks, the
 *              sum blocks, the rollups' keys, hours and days, the sets of users, the users' keys, hours and
 * days, the directory footer     40 bytes: directory offset u64, directory size u64 (with trailer), digest
 * 16, version u16, 0 u16, magic u32
 *
 *   trailer    18 bytes behind each payload: XXH3-128 of the payload, scheme u8, trailer length u8
 *
 * The digest is seeded with block_seed, so a block that stands in another place, or in another segment's
 * file, does not pass for this one. */
#ifndef SEGMENT_FORMAT_H
#define SEGMENT_FORMAT_H

#include <stdint.h>

#define SEGMENT_MAGIC 0x47534C54u /* "TLSG" */
#define SEGMENT_VERSION 0x8002u   /* 0x8000 and above: development versions, which no release reads */
#define SEGMENT_HEADER 16u
#define SEGMENT_FOOTER 40u

#define FOOTER_OFFSET 0
#define FOOTER_SIZE 8
#define FOOTER_DIGEST 16
#define FOOTER_VERSION 32
#define FOOTER_ZERO 34
#define FOOTER_MAGIC 36

#define TRAILER_BYTES 18u
#define TRAILER_DIGEST 0
#define TRAILER_SCHEME 16
#define TRAILER_LENGTH 17
#define SCHEME_XXH3 0

/* Runs stand in blocks of RUN_PIECE, in groups that are decoded by themselves. */
#define RUN_PIECE 4096u
#define RUN_GROUP 256u /* of a run block */
#define RUN_ENTRY 12u  /* a group in its table: first user u32, rows before u32, two sizes u16 */
#define SUM_GROUP 512u /* of a sum block */
#define SUM_ENTRY 2u   /* a group in its table: size u16 */

/* Flags of the directory. */
#define DIRECTORY_SUMS 1u     /* sums_fit: totals and sum blocks are there */
#define DIRECTORY_SERVICES 2u /* totals by service are there */
#define DIRECTORY_BOUNDS 4u   /* the rollups of hours have minima and maxima */
#define DIRECTORY_THINNED 8u  /* there are no rows, only rollups */

/* How a cost block gives its values. */
#define COST_PLAIN 0
#define COST_PRICED 1

static inline uint64_t block_seed(uint64_t segment, uint64_t offset) {
  return offset ^ (segment * UINT64_C(0x9E3779B97F4A7C15));
}

#endif
