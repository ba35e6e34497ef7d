/* bucket_map.c - see bucket_map.h. */
#include "query/bucket_map.h"

#include <string.h>

#include "aggregate/grow.h"
#include "base/int128.h"
#include "base/kernel.h"
#include "model/schema.h"

#define SECOND_US 1000000

static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

/* floor(2^64 / width); width 1 has none that fits, and divide() needs none. */
static uint64_t reciprocal_of(uint64_t width) {
  return width > 1 ? (uint64_t)(((uint128)1 << 64) / width) : 0;
}

/* x / width. The product with the rounded-down reciprocal is at most one too small: its error is
 * x * (2^64 / width - reciprocal) / 2^64 < 1. */
static inline uint64_t divide(uint64_t x, uint64_t width, uint64_t reciprocal) {
  if (!reciprocal) return x;
  uint64_t quotient = (uint64_t)(((uint128)x * reciprocal) >> 64);
  return quotient + (x - quotient * width >= width);
}

static void init_fixed(struct bucket_map *map, int64_t width, int64_t shift, int64_t first, int64_t last) {
  map->origin = floor_div(first - shift, width) * width + shift;
  map->width = (uint64_t)width;
  map->count = ((uint64_t)last - (uint64_t)map->origin) / map->width + 1;
}

static int push_edge(struct bucket_map *map, uint64_t *edges, int64_t us, tally_error *error) {
  if (*edges == map->edge_capacity) {
    size_t room = map->edge_capacity ? map->edge_capacity * 2 : 128;
    void *p = grow_array(map->budget, map->edge, map->edge_capacity, room, sizeof *map->edge,
                         "list of calendar buckets", error);
    if (!p) return error->code;
    map->edge = p;
    map->edge_capacity = room;
  }
  map->edge[(*edges)++] = us;
  return 0;
}

/* The day that the bucket of instant `us` starts on, and its first instant. The local date can lie before the
 * bucket that has begun already, where clocks went back over midnight. */
static int find_first(const struct bucket *bucket, struct time_zone *zone, int64_t us, int64_t *next,
                      int64_t *start, tally_error *error) {
  int64_t day, first, reached;
  int rc = zone_day(zone, us, &day, error);
  if (rc) return rc;
  bucket_days(bucket, day, &first, next);
  rc = zone_reach(zone, first * DAY_US, start, error);
  while (!rc) {
    rc = zone_reach(zone, *next * DAY_US, &reached, error);
    if (rc || reached > us) return rc;
    *start = reached;
    bucket_days(bucket, *next, &first, next);
  }
  return rc;
}

static int init_edges(struct bucket_map *map, const struct bucket *bucket, struct time_zone *zone,
                      int64_t first, int64_t last, tally_error *error) {
  int64_t next, start, day;
  uint64_t edges = 0;
  int rc = find_first(bucket, zone, first, &next, &start, error);
  map->origin = start;
  if (!rc) rc = push_edge(map, &edges, start, error);
  while (!rc && map->edge[edges - 1] <= last) {
    rc = zone_reach(zone, next * DAY_US, &start, error);
    if (!rc && start > map->edge[edges - 1]) rc = push_edge(map, &edges, start, error);
    bucket_days(bucket, next, &day, &next);
  }
  if (rc) return rc;
  map->count = edges - 1;
  map->width = ((uint64_t)map->edge[map->count] - (uint64_t)map->origin) / map->count;
  return 0;
}

int bucket_map_init(struct bucket_map *map, const struct bucket *bucket, struct time_zone *zone,
                    int64_t first, int64_t last, struct budget *budget, tally_error *error) {
  *map = (struct bucket_map){.budget = budget};
  map->sub_second = bucket->unit == BUCKET_FIXED && bucket->count < SECOND_US;
  int rc = 0;
  if (bucket->unit == BUCKET_FIXED)
    init_fixed(map, bucket->count, 0, first, last);
  else if (bucket->unit == BUCKET_DAYS && zone->fixed)
    init_fixed(map, bucket->count * DAY_US, bucket->shift * DAY_US - (int64_t)zone->period.offset * SECOND_US,
               first, last);
  else
    rc = init_edges(map, bucket, zone, first, last, error);
  map->reciprocal = reciprocal_of(map->width);
  if (rc) bucket_map_free(map);
  return rc;
}

void bucket_map_free(struct bucket_map *map) {
  if (map->edge) grow_free(map->budget, map->edge, map->edge_capacity * sizeof *map->edge);
  map->edge = NULL;
  map->edge_capacity = 0;
}

uint64_t bucket_map_number(const struct bucket_map *map, int64_t us) {
  uint64_t number = divide((uint64_t)us - (uint64_t)map->origin, map->width, map->reciprocal);
  if (!map->edge) return number;
  if (number >= map->count) number = map->count - 1;
  while (us < map->edge[number]) number--;
  while (us >= map->edge[number + 1]) number++;
  return number;
}

/* The same by doubles, where x and width are integers below 2^51: the integer nearest to the quotient is its
 * floor or one more, which the remainder tells, that is exact like all else. A double's low bits are its
 * integer once 2^52 has been added. */
#define DOUBLE_MOST (UINT64_C(1) << 51)
static bool by_doubles(const struct bucket_map *map) {
  return map->count <= DOUBLE_MOST / map->width && map->width < DOUBLE_MOST;
}

static inline uint64_t divide_by_doubles(uint64_t dividend, double width, double inverse) {
  const double two52 = 0x1p52;
  uint64_t bits52, bits;
  double x;
  memcpy(&bits52, &two52, sizeof bits52);
  bits = dividend | bits52;
  memcpy(&x, &bits, sizeof x);
  x -= two52;
  double nearest = x * inverse + two52, quotient = nearest - two52, rest = x - quotient * width;
  memcpy(&bits, &nearest, sizeof bits);
  return bits - bits52 - (rest < 0);
}

KERNEL static void divide_all(const int64_t *us, uint32_t rows, uint64_t origin, double width,
                              uint64_t *numbers) {
  const double inverse = 1 / width;
  for (uint32_t i = 0; i < rows; i++)
    numbers[i] = divide_by_doubles((uint64_t)us[i] - origin, width, inverse);
}

void bucket_map_numbers(const struct bucket_map *map, const int64_t *us, uint32_t rows, uint64_t *numbers) {
  if (map->edge) {
    for (uint32_t i = 0; i < rows; i++) numbers[i] = bucket_map_number(map, us[i]);
    return;
  }
  uint64_t origin = (uint64_t)map->origin, width = map->width, reciprocal = map->reciprocal;
  if (by_doubles(map)) {
    divide_all(us, rows, origin, (double)width, numbers);
    return;
  }
  for (uint32_t i = 0; i < rows; i++) numbers[i] = divide((uint64_t)us[i] - origin, width, reciprocal);
}

/* Few buckets from the first to the last: how many of the starts between them an instant has reached. */
#define STARTS_MOST 32u
KERNEL static void add_reached(const int64_t *us, uint32_t rows, const int64_t *start, uint32_t starts,
                               uint8_t stride, uint8_t *codes) {
  for (uint32_t k = 0; k < starts; k++) {
    const int64_t from = start[k];
    for (uint32_t i = 0; i < rows; i++) codes[i] = (uint8_t)(codes[i] + (us[i] >= from ? stride : 0));
  }
}

KERNEL static void add_quotients(const int64_t *us, uint32_t rows, uint64_t origin, double width,
                                 uint8_t stride, uint8_t *codes) {
  const double inverse = 1 / width;
  for (uint32_t i = 0; i < rows; i++)
    codes[i] =
        (uint8_t)(codes[i] + (uint8_t)divide_by_doubles((uint64_t)us[i] - origin, width, inverse) * stride);
}

void bucket_map_codes(const struct bucket_map *map, const int64_t *us, uint32_t rows, uint64_t low,
                      uint64_t high, uint8_t stride, uint8_t *codes) {
  int64_t start[STARTS_MOST];
  uint64_t starts = high - low;
  if (!map->edge && starts > 2 && by_doubles(map)) {
    add_quotients(us, rows, (uint64_t)bucket_map_start(map, low), (double)map->width, stride, codes);
  } else if (starts <= STARTS_MOST) {
    for (uint64_t k = 0; k < starts; k++) start[k] = bucket_map_start(map, low + k + 1);
    add_reached(us, rows, start, (uint32_t)starts, stride, codes);
  } else {
    for (uint32_t i = 0; i < rows; i++)
      codes[i] = (uint8_t)(codes[i] + (uint8_t)(bucket_map_number(map, us[i]) - low) * stride);
  }
}

int64_t bucket_map_start(const struct bucket_map *map, uint64_t number) {
  return map->edge ? map->edge[number] : (int64_t)((uint64_t)map->origin + number * map->width);
}

bool bucket_map_unites(const struct bucket_map *map, int64_t width) {
  bool unites = map->origin % width == 0 && (map->edge || map->width % (uint64_t)width == 0);
  for (uint64_t i = 0; map->edge && i <= map->count && unites; i++) unites = map->edge[i] % width == 0;
  return unites;
}

int bucket_map_label(const struct bucket_map *map, uint64_t number, struct time_zone *zone, char **to,
                     tally_error *error) {
  int64_t start = bucket_map_start(map, number);
  int32_t offset;
  int rc = zone_offset(zone, start, &offset, error);
  if (!rc) *to = timestamp_put(*to, start, offset, zone->utc, map->sub_second ? 6 : 0);
  return rc;
}
