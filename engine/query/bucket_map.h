/* bucket_map.h - instants to bucket numbers: the buckets of a range of time, numbered from 0.
 *
 * Fixed units, and days and weeks of zones without clock changes, are one division (by multiplication with
 * the width's reciprocal). Other calendar buckets are an array of edges: bucket i is [edge[i], edge[i + 1]),
 * found by a guess from the mean length and a step or two. A bucket whose dates the zone skipped has no
 * edge of its own. */
#ifndef QUERY_BUCKET_MAP_H
#define QUERY_BUCKET_MAP_H

#include "base/budget.h"
#include "base/bytes.h"
#include "model/civil.h"
#include "query/zone.h"

struct bucket_map {
  struct budget *budget;
  bool sub_second; /* labels have 6 decimals */
  uint64_t count;  /* buckets */
  int64_t origin;  /* start of bucket 0 */
  uint64_t width;  /* of every bucket, or the mean length */
  uint64_t reciprocal;
  int64_t *edge; /* NULL, or count + 1 edges */
  size_t edge_capacity;
};

/* The buckets that [first, last] (both included) touches. TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY, TALLY_USAGE
 * (the zone). */
int bucket_map_init(struct bucket_map *map, const struct bucket *bucket, struct time_zone *zone,
                    int64_t first, int64_t last, struct budget *budget, tally_error *error);
void bucket_map_free(struct bucket_map *map);
/* An instant inside [first, last]. */
uint64_t bucket_map_number(const struct bucket_map *map, int64_t us);
void bucket_map_numbers(const struct bucket_map *map, const int64_t *us, uint32_t rows, uint64_t *numbers);
/* The same where all are in the few buckets [low, high], at most 256: adds stride * (number - low) to each
 * code, modulo 256. */
void bucket_map_codes(const struct bucket_map *map, const int64_t *us, uint32_t rows, uint64_t low,
                      uint64_t high, uint8_t stride, uint8_t *codes);
int64_t bucket_map_start(const struct bucket_map *map, uint64_t number);
/* Is each bucket a union of stretches of `width` that count from 1970? */
bool bucket_map_unites(const struct bucket_map *map, int64_t width);
/* Writes a bucket's label, which is its start with the zone's offset there, and moves *to, which has room for
 * TIMESTAMP_PUT_MOST bytes, behind it. */
int bucket_map_label(const struct bucket_map *map, uint64_t number, struct time_zone *zone, char **to,
                     tally_error *error);

#endif
