/* zone_file.c - zones out of TZif bytes; see zone.h. The layout (RFC 8536), all numbers big-endian:
 *
 *   header, 44 bytes: "TZif", version ('2' and up), 15 unused, then u32 counts: isut, isstd, leap, time,
 * type, char block for 32-bit times (skipped): time x (4 + 1), type x 6, char, leap x 8, isstd, isut header
 * again, then the same with 64-bit times: time x (8 + 1), type x 6, char, leap x 12, isstd, isut footer: a
 * line feed, a POSIX TZ rule or nothing, a line feed
 *
 * A type is i32 offset, u8 is-daylight, u8 name. Files with leap seconds ("right/...") count other seconds
 * than we do and are refused. */
#include "base/bytes.h"
#include "base/mem.h"
#include "proto/zone.h"
#include "proto/zone_rule.h"

/* Before change[0] the offset is `first`; from change[i] to change[i+1] it is offset[i], which differs from
 * its neighbours. From `last` on the rule says it, if there is one; then every change is before `last`. */
struct zone {
  int64_t last;
  bool has_rule;
  struct zone_rule rule;
  int32_t first;
  size_t count;
  int32_t *offset;
  int64_t change[];
};

struct counts {
  uint32_t isut, isstd, leap, time, type, character;
};

#define OFFSET_MIN (-89999) /* RFC 8536 3.2: more than -25 and less than 26 hours */
#define OFFSET_MAX 93599

static uint32_t read_big32(struct reader *r) { return __builtin_bswap32(read32(r)); }

static bool read_header(struct reader *r, struct counts *n) {
  const uint8_t *magic = read_bytes(r, 5);
  (void)read_bytes(r, 15);
  n->isut = read_big32(r);
  n->isstd = read_big32(r);
  n->leap = read_big32(r);
  n->time = read_big32(r);
  n->type = read_big32(r);
  n->character = read_big32(r);
  return !r->bad && memcmp(magic, "TZif", 4) == 0 && magic[4] >= '2' && n->type >= 1;
}

/* The parts of the 64-bit block; all of them are there. */
struct block {
  const uint8_t *times, *indexes, *types;
};

static bool read_block(struct reader *r, const struct counts *n, size_t time_size, struct block *b) {
  b->times = read_bytes(r, n->time * time_size);
  b->indexes = read_bytes(r, n->time);
  b->types = read_bytes(r, n->type * (size_t)6);
  (void)read_bytes(r, n->character);
  (void)read_bytes(r, n->leap * (time_size + 4));
  (void)read_bytes(r, n->isstd);
  (void)read_bytes(r, n->isut);
  return !r->bad;
}

static bool read_footer(struct reader *r, struct zone *zone) {
  if (read8(r) != '\n' || r->bad) return false;
  const uint8_t *end = memchr(r->at, '\n', reader_left(r));
  if (!end) return false;
  zone->has_rule = end > r->at;
  return !zone->has_rule || zone_rule_parse((const char *)r->at, (size_t)(end - r->at), &zone->rule);
}

static bool type_offset(const struct block *b, const struct counts *n, uint32_t type, int32_t *offset) {
  if (type >= n->type) return false;
  *offset = (int32_t)__builtin_bswap32(load32(b->types + (size_t)type * 6));
  return *offset >= OFFSET_MIN && *offset <= OFFSET_MAX;
}

static int64_t time_at(const struct block *b, size_t i) {
  return (int64_t)__builtin_bswap64(load64(b->times + i * 8));
}

/* Fills the changes; false if times do not rise or an offset is none. */
static bool fill(struct zone *zone, const struct block *b, const struct counts *n) {
  if (!type_offset(b, n, 0, &zone->first)) return false;
  int32_t offset, before = zone->first;
  for (size_t i = 0; i < n->time; i++) {
    if (i && time_at(b, i) <= time_at(b, i - 1)) return false;
    if (!type_offset(b, n, b->indexes[i], &offset)) return false;
    if (i + 1 == n->time && zone->has_rule) break; /* the rule says what is from there on */
    if (offset == before) continue;
    zone->change[zone->count] = time_at(b, i);
    zone->offset[zone->count++] = offset;
    before = offset;
  }
  zone->last = n->time ? time_at(b, n->time - 1) : INT64_MIN;
  return true;
}

int zone_parse(const void *bytes, size_t size, struct zone **zone) {
  struct reader r = reader_make(bytes, size);
  struct counts n;
  struct block b;
  if (!read_header(&r, &n) || !read_block(&r, &n, 4, &b)) return TALLY_NOT_FOUND;
  if (!read_header(&r, &n) || n.leap || !read_block(&r, &n, 8, &b)) return TALLY_NOT_FOUND;
  struct zone *made = mem_zalloc(1, sizeof *made + n.time * (sizeof(int64_t) + sizeof(int32_t)));
  if (!made) return TALLY_NO_MEMORY;
  made->offset = (int32_t *)(void *)(made->change + n.time);
  if (!read_footer(&r, made) || !fill(made, &b, &n)) {
    zone_free(made);
    return TALLY_NOT_FOUND;
  }
  *zone = made;
  return 0;
}

void zone_free(struct zone *zone) { mem_free(zone); }

/* The number of changes at or before `at`. */
static size_t changes_until(const struct zone *zone, int64_t at) {
  size_t low = 0, high = zone->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (zone->change[middle] <= at)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The period of the table before the change numbered `next`. */
static tally_zone_period table_period(const struct zone *zone, size_t next) {
  return (tally_zone_period){.start = next ? zone->change[next - 1] : INT64_MIN,
                             .end = next < zone->count ? zone->change[next] : INT64_MAX,
                             .offset = next ? zone->offset[next - 1] : zone->first};
}

/* The rule's period at or after `last`, which begins there at the earliest. */
static tally_zone_period rule_period(const struct zone *zone, int64_t at) {
  tally_zone_period period;
  zone_rule_at(&zone->rule, at, &period);
  if (period.start < zone->last) period.start = zone->last;
  return period;
}

void zone_at(const struct zone *zone, int64_t at, tally_zone_period *period) {
  tally_zone_period table = table_period(zone, changes_until(zone, at));
  *period = table;
  if (!zone->has_rule || table.end != INT64_MAX) return;
  /* The last period of the table, which the rule may continue, or a later one. */
  tally_zone_period rule = rule_period(zone, at >= zone->last ? at : zone->last);
  bool joined = rule.start == zone->last && rule.offset == table.offset && zone->last != INT64_MIN;
  if (at >= zone->last) *period = rule;
  if (joined) *period = (tally_zone_period){table.start, rule.end, table.offset};
  if (!joined && at < zone->last) period->end = zone->last;
}
