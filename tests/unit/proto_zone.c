/* proto_zone.c - the laws of zones (proto/zone.h): known instants, rules of every form until far beyond 9999,
 * periods that meet without a gap, names and files that are refused. tests/protocol/test_zones.py compares
 * every zone of the system with another implementation. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/status.h"
#include "proto/zone.h"
#include "unit/model_random.h"

static int32_t offset_at(const char *name, int64_t at) {
  tally_zone_period period;
  cr_assert_eq(zone_period(NULL, name, at, &period), 0, "%s", name);
  cr_assert(period.start <= at && at < period.end);
  return period.offset;
}

Test(zone, known_instants_of_the_system_s_zones) {
  cr_assert_eq(offset_at("UTC", 0), 0);
  cr_assert_eq(offset_at("Europe/Berlin", 1711846799), 3600); /* 2024-03-31T00:59:59Z */
  cr_assert_eq(offset_at("Europe/Berlin", 1711846800), 7200);
  cr_assert_eq(offset_at("Asia/Kolkata", 1711846800), 19800);
  cr_assert_eq(offset_at("America/New_York", 253388865600),
               -14400); /* 9999-08-01: after 2037 and after 2800 */
  cr_assert_eq(offset_at("America/New_York", 253402128000), -18000); /* 9999-12-30 */
  cr_assert_eq(offset_at("Australia/Lord_Howe", 253402128000), 39600);
  cr_assert_eq(offset_at("Pacific/Apia", 1325239199), -36000); /* 2011-12-29 to -31: a date was skipped */
  cr_assert_eq(offset_at("Pacific/Apia", 1325239200), 50400);
}

Test(zone, names_that_are_none_are_not_found) {
  static const char *const names[] = {"",
                                      "/UTC",
                                      "../zoneinfo/UTC",
                                      "Europe/../UTC",
                                      "Europe/",
                                      "Europe//Berlin",
                                      "./UTC",
                                      "Europe/.",
                                      "Europe",
                                      "zone.tab",
                                      "No/Where",
                                      "Europe/Ber lin",
                                      "\xc3\xa9",
                                      "right/Europe/Berlin",
                                      "UTC/x",
                                      "+05:30",
                                      "..",
                                      "tzdata.zi"};
  tally_zone_period period;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    cr_assert_eq(zone_period(NULL, names[i], 0, &period), TALLY_NOT_FOUND, "'%s'", names[i]);
  char name[1000];
  memset(name, 'a', sizeof name);
  name[sizeof name - 1] = '\0';
  cr_assert_eq(zone_period(NULL, name, 0, &period), TALLY_NOT_FOUND);
  cr_assert_eq(zone_period(NULL, NULL, 0, &period), TALLY_NOT_FOUND);
}

/* ------------------------------------------------------------------ files made here */

static void big32(struct buffer *b, uint32_t v) { write32(b, __builtin_bswap32(v)); }
static void big64(struct buffer *b, int64_t v) { write64(b, __builtin_bswap64((uint64_t)v)); }

static void header(struct buffer *b, uint32_t times, uint32_t types, uint32_t leaps) {
  buffer_append(b, "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  big32(b, 0);
  big32(b, 0);
  big32(b, leaps);
  big32(b, times);
  big32(b, types);
  big32(b, 4);
}

/* A file with the times given, to which types 1, 0, 1, ... of offsets[2] belong, and a footer. */
static void make(struct buffer *b, const int64_t *times, uint32_t count, const int32_t offsets[2],
                 const char *footer) {
  buffer_clear(b);
  header(b, 0, 1, 0);
  buffer_append(b, "\0\0\0\0\0\0UTC", 10);
  header(b, count, 2, 0);
  for (uint32_t i = 0; i < count; i++) big64(b, times[i]);
  for (uint32_t i = 0; i < count; i++) write8(b, i % 2 == 0);
  for (int i = 0; i < 2; i++) {
    big32(b, (uint32_t)offsets[i]);
    write16(b, 0);
  }
  buffer_append(b, "ABC", 4);
  buffer_printf(b, "\n%s\n", footer);
}

static const int32_t no_offsets[2] = {0, 0};

/* The zone of a footer alone. */
static struct zone *of_rule(const char *footer) {
  struct buffer b = {0};
  struct zone *zone = NULL;
  make(&b, NULL, 0, no_offsets, footer);
  int code = zone_parse(b.data, b.size, &zone);
  buffer_free(&b);
  return code ? NULL : zone;
}

static int64_t day(int64_t year, int month, int d) { /* days_from_civil of Howard Hinnant's date algorithms */
  year -= month <= 2;
  int64_t era = year / 400, yoe = year - era * 400;
  int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  return (era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468) * 86400;
}

static void check_change(const char *footer, int64_t at, int32_t before, int32_t after) {
  struct zone *zone = of_rule(footer);
  tally_zone_period p, q;
  cr_assert(zone, "%s", footer);
  zone_at(zone, at - 1, &p);
  zone_at(zone, at, &q);
  cr_assert(p.offset == before && q.offset == after, "%s: %d to %d at %lld", footer, p.offset, q.offset,
            (long long)at);
  cr_assert(p.end == at && q.start == at, "%s: %lld and %lld, not %lld", footer, (long long)p.end,
            (long long)q.start, (long long)at);
  zone_free(zone);
}

Test(zone, rules_of_every_form) {
  check_change("CET-1CEST,M3.5.0,M10.5.0/3", day(2050, 3, 27) + 3600, 3600, 7200);
  check_change("CET-1CEST,M3.5.0,M10.5.0/3", day(9999, 10, 31) + 3600, 7200, 3600);
  check_change("EST5EDT,M3.2.0,M11.1.0", day(2400, 3, 12) + 7 * 3600, -18000, -14400);
  check_change("AEST-10AEDT,M10.1.0,M4.1.0/3", day(2024, 4, 7) - 8 * 3600, 39600, 36000);
  check_change("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", day(2024, 4, 7) - 9 * 3600, 39600, 37800);
  check_change("XXX0YYY,J60/0,J300/0", day(2024, 3, 1), 0, 3600); /* J60 is 1 March, leap year or not */
  check_change("XXX0YYY,J59/0,J300/0", day(2024, 2, 28), 0, 3600);
  check_change("XXX0YYY,J60/0,J300/0", day(2023, 3, 1), 0, 3600);
  check_change("XXX0YYY,59/0,300/0", day(2024, 2, 29), 0, 3600); /* 59 counts 29 February */
  check_change("XXX0YYY,59/0,300/0", day(2023, 3, 1), 0, 3600);
  check_change("EET-2EEST,M3.4.4/50,M10.4.4/50", day(2024, 3, 30), 7200, 10800); /* 50 h after a Thursday */
  check_change("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", day(2024, 3, 31) + 3600, -7200, -3600);
  check_change("IST-1GMT0,M10.5.0,M3.5.0/1", day(2024, 3, 31) + 3600, 0, 3600); /* "winter time" */
}

Test(zone, rules_without_effect_have_one_period) {
  static const char *const rules[] = {"UTC0", "<+0545>-5:45", "EST5EDT4,0/0,J365/25",
                                      "XXX-3YYY-3,M3.1.0,M9.1.0"};
  static const int32_t offsets[] = {0, 20700, -14400, 10800};
  for (size_t i = 0; i < 4; i++) {
    struct zone *zone = of_rule(rules[i]);
    tally_zone_period p;
    cr_assert(zone, "%s", rules[i]);
    for (int64_t at = -1000000000; at < 300000000000; at += 9999999) {
      zone_at(zone, at, &p);
      cr_assert(p.offset == offsets[i] && p.start == INT64_MIN && p.end == INT64_MAX, "%s", rules[i]);
    }
    zone_free(zone);
  }
}

Test(zone, malformed_rules_are_refused) {
  static const char *const rules[] = {"E5",
                                      "EST",
                                      "EST5EDT",
                                      "EST5EDT,M3.2.0",
                                      "EST5EDT,M3.2.0,M11.1",
                                      "EST5EDT,M13.2.0,M11.1.0",
                                      "EST25",
                                      "EST5EDT,,",
                                      "EST5EDT,M3.6.0,M11.1.0",
                                      "EST5EDT,M3.2.7,M11.1.0",
                                      "EST5EDT,J0,J1",
                                      "EST5EDT,366,1",
                                      "EST5EDT,M3.2.0/168,M11.1.0",
                                      "EST5:60",
                                      "EST5EDT,M3.2.0,M11.1.0 ",
                                      "<EST5",
                                      "<E>5",
                                      "EST5EDT,M3.2.0,M11.1.0,",
                                      " EST5",
                                      "EST5EDT,M3.2.0/,M11.1.0",
                                      "EST99999999999"};
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) cr_assert(!of_rule(rules[i]), "'%s'", rules[i]);
}

Test(zone, table_and_rule_meet) {
  struct buffer b = {0};
  struct zone *zone;
  tally_zone_period p;
  const int64_t times[] = {1000, 2000, 3000};
  const int32_t offsets[] = {60, 120};
  static const struct {
    const char *footer;
    int64_t at, start, end;
    int32_t offset;
  } cases[] = {
      {"", 999, INT64_MIN, 1000, 60},
      {"", 1000, 1000, 2000, 120},
      {"", 2999, 2000, 3000, 60},
      {"", 3000, 3000, INT64_MAX, 120},
      {"XXX-00:02", 3000, 3000, INT64_MAX, 120},
      {"XXX-00:02", 2999, 2000, 3000, 60},
      {"XXX-00:01", 2999, 2000, INT64_MAX, 60}, /* the last change has no effect */
      {"XXX-00:01", 9999, 2000, INT64_MAX, 60},
      {"XXX-00:05", 2000, 2000, 3000, 60},
      {"XXX-00:05", 3000, 3000, INT64_MAX, 300},
      {"XXX-00:05", 1999, 1000, 2000, 120},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    make(&b, times, 3, offsets, cases[i].footer);
    cr_assert_eq(zone_parse(b.data, b.size, &zone), 0);
    zone_at(zone, cases[i].at, &p);
    cr_assert(p.start == cases[i].start && p.end == cases[i].end && p.offset == cases[i].offset,
              "case %zu: %lld %lld %d", i, (long long)p.start, (long long)p.end, p.offset);
    zone_free(zone);
  }
  buffer_free(&b);
}

Test(zone, damaged_files_are_refused_or_read_within_bounds) {
  struct buffer b = {0};
  struct zone *zone;
  tally_zone_period p;
  random_start();
  const int64_t times[] = {1000, 2000, 3000}, falling[] = {1000, 900};
  const int32_t offsets[] = {60, 120}, outside[] = {0, 93600};
  make(&b, falling, 2, offsets, "");
  cr_assert_eq(zone_parse(b.data, b.size, &zone), TALLY_NOT_FOUND);
  make(&b, times, 3, outside, "");
  cr_assert_eq(zone_parse(b.data, b.size, &zone), TALLY_NOT_FOUND);
  make(&b, times, 3, offsets, "EST5EDT,M3.2.0,M11.1.0");
  for (size_t size = 0; size < b.size; size++) {
    uint8_t *copy = mem_alloc(size);
    if (size) memcpy(copy, b.data, size);
    cr_assert_eq(zone_parse(copy, size, &zone), TALLY_NOT_FOUND, "cut to %zu", size);
    mem_free(copy);
  }
  for (int i = 0; i < 100000; i++) {
    uint8_t *copy = mem_alloc(b.size);
    memcpy(copy, b.data, b.size);
    for (uint64_t n = random_below(5) + 1; n; n--) copy[random_below(b.size)] = (uint8_t)random_next();
    if (zone_parse(copy, b.size, &zone) == 0) {
      int64_t at = random_int64();
      zone_at(zone, at, &p);
      cr_assert(p.start <= at && (at < p.end || p.end == INT64_MAX));
      zone_free(zone);
    }
    mem_free(copy);
  }
  buffer_free(&b);
}

Test(zone, periods_follow_one_another_without_gap_and_their_offsets_differ) {
  static const char *const names[] = {"America/New_York", "Africa/Casablanca", "Asia/Gaza",  "Europe/Dublin",
                                      "America/Nuuk",     "Antarctica/Troll",  "Asia/Tehran"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    tally_zone_period p, next;
    cr_assert_eq(zone_period(NULL, names[i], INT64_MIN, &p), 0);
    cr_assert_eq(p.start, INT64_MIN);
    while (p.end < 253402300800) {
      cr_assert_eq(zone_period(NULL, names[i], p.end, &next), 0);
      cr_assert(next.start == p.end && next.offset != p.offset && next.end > next.start, "%s at %lld",
                names[i], (long long)p.end);
      p = next;
    }
  }
}

Test(zone, the_cache_forgets_and_holds_more_names_than_it_has_places) {
  static const char *const areas[] = {"Africa/Abidjan", "Africa/Cairo", "America/Lima",
                                      "America/Bogota", "Asia/Tokyo",   "Asia/Dubai",
                                      "Europe/Rome",    "Europe/Oslo",  "Etc/GMT+"};
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < 8; i++) (void)offset_at(areas[i], 1000);
    for (int h = 0; h <= 12; h++) {
      char name[32];
      (void)snprintf(name, sizeof name, "Etc/GMT%+d", h);
      if (h) cr_assert_eq(offset_at(name, 5), -3600 * h);
      (void)snprintf(name, sizeof name, "Etc/GMT-%d", h);
      cr_assert_eq(offset_at(name, 5), 3600 * h);
      (void)snprintf(name, sizeof name, "posix/Etc/GMT-%d", h);
      cr_assert_eq(offset_at(name, 5), 3600 * h);
      for (size_t a = 0; a < 4; a++) { /* many more names than places */
        (void)snprintf(name, sizeof name, "posix/%s", areas[(a + (size_t)h) % 8]);
        cr_assert_eq(offset_at(name, 1000), offset_at(areas[(a + (size_t)h) % 8], 1000));
      }
      (void)snprintf(name, sizeof name, "posix/Etc/GMT+%d", h);
      cr_assert_eq(offset_at(name, 5), -3600 * h);
    }
    zone_forget();
  }
}
