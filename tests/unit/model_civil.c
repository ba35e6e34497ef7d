/* Laws of model/civil.h. */
#include <criterion/criterion.h>
#include <string.h>

#include "model/civil.h"
#include "model/schema.h"
#include "unit/model_random.h"

static int month_days(int64_t year, int month) {
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return days[month - 1] + (month == 2 && leap);
}

/* Walks the calendar day by day beside the day number, from 0000-01-01 to 9999-12-31. */
Test(model_civil, every_day_has_one_number) {
  int64_t day_number = -719528; /* 0000-01-01 */
  for (int64_t year = 0; year <= 9999; year++)
    for (int month = 1; month <= 12; month++) {
      int last = month_days(year, month);
      for (int day = 1; day <= last; day++, day_number++) {
        cr_assert_eq(civil_to_days(year, month, day), day_number);
        int64_t y;
        int m, d;
        days_to_civil(day_number, &y, &m, &d);
        cr_assert(y == year && m == month && d == day);
      }
      cr_assert(civil_valid(year, month, last));
      cr_assert_not(civil_valid(year, month, last + 1));
    }
  cr_assert_eq(civil_to_days(1970, 1, 1), 0);
  cr_assert_eq(day_number * DAY_US, TIME_MAX + 1);
  cr_assert_not(civil_valid(2024, 0, 1));
  cr_assert_not(civil_valid(2024, 13, 1));
  cr_assert_not(civil_valid(2024, 1, 0));
  cr_assert_not(civil_valid(2024, -1, -1));
  cr_assert_not(civil_valid(10000, 1, 1));
  cr_assert_not(civil_valid(-1, 1, 1));
}

static const struct {
  const char *text;
  int64_t us;
  bool offset;
} good[] = {
    {"1970-01-01T00:00:00Z", 0, true},
    {"1970-01-01t00:00:00z", 0, true},
    {"1970-01-01 00:00:00", 0, false},
    {"2024-02-01T00:00:00Z", 1706745600000000, true},
    {"2024-02-29T23:59:59.999999Z", 1709251199999999, true},
    {"2024-02-01T00:00:00.5Z", 1706745600500000, true},
    {"2024-02-01T00:00:00.123456000000000000Z", 1706745600123456, true},
    {"2024-02-01T00:00:00.000001", 1706745600000001, false},
    {"2024-02-01T05:30:00+05:30", 1706745600000000, true},
    {"2024-02-01T05:30:00+0530", 1706745600000000, true},
    {"2024-02-01T05:00:00+05", 1706745600000000, true},
    {"2024-01-31T14:00:00.25-10:00", 1706745600250000, true},
    {"2024-02-01T00:00:00-00:00", 1706745600000000, true},
    {"1969-12-31T23:00:00-01:00", 0, true},
    {"9999-12-31T23:59:59.999999Z", TIME_MAX, true},
    {"9999-12-31T23:59:59.999999+00:01", TIME_MAX - 60000000, true},
    {"1969-12-31T23:59:59", -1000000, false},
    {"0000-01-01T00:00:00", -62167219200000000, false},
    {"0000-02-29T00:00:00", -62162121600000000, false},
};

static const char *const bad[] = {
    "",
    "2024-02-01",
    "2024-02-01T00:00",
    "2024-02-01T00:00:0",
    "2024-02-01T00:00:00X",
    "2024-02-01T00:00:00Z ",
    " 2024-02-01T00:00:00Z",
    "2024-02-01T00:00:00ZZ",
    "2024-02-01T00:00:00.Z",
    "2024-02-01T00:00:00.",
    "2024-02-01T00:00:00,5Z",
    "2024-02-01T00:00:00.1234567Z",
    "2024-02-01T00:00:00.0000001Z",
    "2024-02-01T00:00:00+",
    "2024-02-01T00:00:00+5",
    "2024-02-01T00:00:00+053",
    "2024-02-01T00:00:00+05:3",
    "2024-02-01T00:00:00+05:30:00",
    "2024-02-01T00:00:00+24:00",
    "2024-02-01T00:00:00+00:60",
    "2024-02-01T00:00:00+0a:00",
    "2024-02-01T00:00:00+00-30",
    "2024-02-01X00:00:00Z",
    "2024-02-01T24:00:00Z",
    "2024-02-01T00:60:00Z",
    "2024-02-01T00:00:60Z",
    "2024-02-30T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "2024-00-01T00:00:00Z",
    "2024-13-01T00:00:00Z",
    "2024-01-00T00:00:00Z",
    "2024/02/01T00:00:00Z",
    "2024-02-01T00-00-00Z",
    "2024-02-01T00:00.00Z",
    "20a4-02-01T00:00:00Z",
    "+024-02-01T00:00:00Z",
    "2024-02-01T0 :00:00Z",
    "2024-02-01T00:00:0:Z",
    "202\xB4-02-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "10000-01-01T00:00:00Z",
};

Test(model_civil, reads_rfc_3339_and_nothing_else) {
  int64_t us;
  bool offset;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    cr_assert(timestamp_parse(good[i].text, strlen(good[i].text), &us, &offset), "%s", good[i].text);
    cr_assert_eq(us, good[i].us, "%s: %" PRId64, good[i].text, us);
    cr_assert_eq(offset, good[i].offset, "%s", good[i].text);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    cr_assert_not(timestamp_parse(bad[i], strlen(bad[i]), &us, &offset), "%s", bad[i]);
  /* any other byte in any place of the fixed part is refused, but for digits and T */
  for (size_t at = 0; at < 19; at++)
    for (int byte = 0; byte < 256; byte++) {
      char text[] = "2024-02-01T00:00:00Z";
      text[at] = (char)byte;
      bool digit = byte >= '0' && byte <= '9';
      bool expected_digit = at != 4 && at != 7 && at != 10 && at != 13 && at != 16;
      bool may = expected_digit ? digit
                 : at == 10     ? strchr("Tt ", byte) && byte
                                : byte == "----::"[at / 3 - 1];
      if (at == 13 || at == 16) may = byte == ':';
      if (at == 4 || at == 7) may = byte == '-';
      if (!may) cr_assert_not(timestamp_parse(text, 20, &us, &offset), "byte %d at %zu", byte, at);
    }
  int64_t days;
  cr_assert(date_parse("2024-02-29", 10, &days));
  cr_assert_eq(days, 19782);
  cr_assert(date_parse("1969-12-29", 10, &days));
  cr_assert_eq(days, -3);
  static const char *const bad_dates[] = {"2023-02-29",  "2024-2-01",  "2024-02-1",
                                          "2024-02-01T", "2024-02-0x", ""};
  for (size_t i = 0; i < sizeof bad_dates / sizeof *bad_dates; i++)
    cr_assert_not(date_parse(bad_dates[i], strlen(bad_dates[i]), &days), "%s", bad_dates[i]);
}

static void check_print(int64_t us, int32_t offset, bool utc, int decimals, const char *expected) {
  struct buffer b = {0};
  timestamp_print(&b, us, offset, utc, decimals);
  write8(&b, 0);
  cr_assert_str_eq((char *)b.data, expected);
  buffer_free(&b);
}

Test(model_civil, prints_rfc_3339_that_reads_back) {
  check_print(1706745600123456, 0, true, 6, "2024-02-01T00:00:00.123456Z");
  check_print(1706745600123456, 0, true, 0, "2024-02-01T00:00:00Z");
  check_print(1706745600000000, 0, false, 0, "2024-02-01T00:00:00+00:00");
  check_print(1706745600000000, 19800, false, 6, "2024-02-01T05:30:00.000000+05:30");
  check_print(1706745600000000, -36000, false, 0, "2024-01-31T14:00:00-10:00");
  check_print(0, 1172, false, 0, "1970-01-01T00:19:32+00:19:32");
  check_print(-1, 0, true, 6, "1969-12-31T23:59:59.999999Z");
  check_print(-3 * DAY_US, 0, true, 0, "1969-12-29T00:00:00Z");
  check_print(TIME_MAX, 0, true, 6, "9999-12-31T23:59:59.999999Z");
  check_print(TIME_MAX, 3600, false, 0, "10000-01-01T00:59:59+01:00");
  random_start();
  struct buffer b = {0};
  for (int i = 0; i < 100000; i++) {
    int64_t us = (int64_t)random_below((uint64_t)TIME_MAX + 1), back;
    int32_t offset = ((int32_t)random_below(2 * 1439 + 1) - 1439) * 60;
    bool utc = random_below(2), has_offset;
    if (us < DAY_US || us > TIME_MAX - DAY_US) continue; /* the local date would leave the calendar */
    buffer_clear(&b);
    timestamp_print(&b, us, utc ? 0 : offset, utc, 6);
    cr_assert(timestamp_parse((const char *)b.data, b.size, &back, &has_offset));
    cr_assert(has_offset);
    cr_assert_eq(back, us, "%.*s", (int)b.size, (const char *)b.data);
  }
  buffer_free(&b);
}

static void check_bucket(const char *text, enum bucket_unit unit, int64_t count, int64_t shift) {
  struct bucket bucket;
  cr_assert(bucket_parse(text, strlen(text), &bucket), "%s", text);
  cr_assert_eq(bucket.unit, unit, "%s", text);
  cr_assert_eq(bucket.count, count, "%s", text);
  cr_assert_eq(bucket.shift, shift, "%s", text);
}

Test(model_civil, reads_buckets) {
  check_bucket("1us", BUCKET_FIXED, 1, 0);
  check_bucket("250ms", BUCKET_FIXED, 250000, 0);
  check_bucket("30s", BUCKET_FIXED, 30000000, 0);
  check_bucket("5m", BUCKET_FIXED, 300000000, 0);
  check_bucket("24h", BUCKET_FIXED, DAY_US, 0);
  check_bucket("1d", BUCKET_DAYS, 1, 0);
  check_bucket("2w", BUCKET_DAYS, 14, -3);
  check_bucket("1mo", BUCKET_MONTHS, 1, 0);
  check_bucket("3y", BUCKET_MONTHS, 36, 0);
  check_bucket("9999y", BUCKET_MONTHS, 9999 * 12, 0);
  static const char *const bad_buckets[] = {"",
                                            "5",
                                            "m",
                                            "0m",
                                            "-1m",
                                            "1.5h",
                                            "1 m",
                                            "1M",
                                            "5min",
                                            "m5",
                                            "1mo ",
                                            "1mos",
                                            "10000y",
                                            "3652060d",
                                            "99999999999999999999us",
                                            "18446744073709551617s",
                                            "1u",
                                            "1usx"};
  struct bucket bucket;
  for (size_t i = 0; i < sizeof bad_buckets / sizeof *bad_buckets; i++)
    cr_assert_not(bucket_parse(bad_buckets[i], strlen(bad_buckets[i]), &bucket), "%s", bad_buckets[i]);
}

/* Calendar buckets lie side by side, contain their days, and start where the contract says. */
Test(model_civil, calendar_buckets_tile_the_days) {
  static const char *const texts[] = {"1d", "7d", "10d", "1w", "3w", "1mo", "5mo", "1y", "4y"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct bucket bucket;
    cr_assert(bucket_parse(texts[i], strlen(texts[i]), &bucket));
    int64_t first, next, expected = INT64_MIN;
    for (int64_t day = -3000; day < 30000; day++) {
      bucket_days(&bucket, day, &first, &next);
      cr_assert(first <= day && day < next, "%s, day %" PRId64, texts[i], day);
      cr_assert(expected == INT64_MIN || day < expected || first == expected, "%s, day %" PRId64, texts[i],
                day);
      expected = next;
      int64_t year;
      int month, day_of_month;
      days_to_civil(first, &year, &month, &day_of_month);
      if (bucket.unit == BUCKET_MONTHS)
        cr_assert(day_of_month == 1 && ((year - 1970) * 12 + month - 1) % bucket.count == 0);
      else
        cr_assert_eq((first - bucket.shift) % bucket.count, 0);
      if (bucket.unit == BUCKET_DAYS) cr_assert_eq(next - first, bucket.count);
    }
  }
  struct bucket week, month;
  cr_assert(bucket_parse("1w", 2, &week) && bucket_parse("1mo", 3, &month));
  int64_t first, next;
  bucket_days(&week, 0, &first, &next); /* Thursday 1970-01-01 */
  cr_assert(first == -3 && next == 4);
  bucket_days(&month, 19782, &first, &next); /* 2024-02-29 */
  cr_assert(first == 19754 && next == 19783);
}
