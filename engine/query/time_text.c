/* time_text.c - see time_text.h. */
#include "query/time_text.h"

#include <string.h>

#include "base/status.h"
#include "model/civil.h"
#include "model/schema.h"

static int not_a_time(struct piece text, tally_error *error) {
  return fail(error, TALLY_USAGE,
              "'" PIECE_FORMAT "' is not a time: write 2024-02-01T12:00:00Z (any offset, up to 6 "
              "decimals), 2024-02-01, now, or now-7d (us ms s m h d w)",
              PIECE_ARGS(text));
}

static int64_t unit_size(struct piece unit) {
  static const struct {
    const char *name;
    int64_t us;
  } units[] = {{"us", 1},         {"ms", 1000},  {"s", 1000000},   {"m", 60000000},
               {"h", 3600000000}, {"d", DAY_US}, {"w", 7 * DAY_US}};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (piece_equal(unit, piece_of(units[i].name))) return units[i].us;
  return 0;
}

/* now, now-7d: `text` is what follows `now`. Far beyond the calendar is as good as its end. */
static bool parse_now(struct piece text, int64_t now, int64_t *us) {
  text = piece_skip(text);
  *us = now;
  if (text.at == text.end) return true;
  char sign = *text.at++;
  if (sign != '-' && sign != '+') return false;
  text = piece_skip(text);
  int64_t count = 0;
  const char *digits = text.at;
  for (; text.at < text.end && *text.at >= '0' && *text.at <= '9'; text.at++)
    if (count < INT64_MAX / 100) count = count * 10 + (*text.at - '0');
  int64_t size = unit_size(piece_skip(text));
  if (text.at == digits || size == 0) return false;
  int64_t away = count > 2 * TIME_MAX / size ? 2 * TIME_MAX : count * size;
  *us = sign == '-' ? now - away : now + away;
  return true;
}

#define CYCLE_YEARS 400 /* after which the calendar repeats */
#define CYCLE_DAYS 146097

/* Reads an RFC 3339 text whose year is `cycles` x 400 later than it says. */
static bool parse_shifted(struct piece text, int cycles, int64_t *us, bool *has_offset) {
  char copy[64];
  int64_t day; /* the date is read by date_parse, which knows years from 0 */
  if (piece_size(text) < 10 || piece_size(text) > sizeof copy || !date_parse(text.at, 10, &day)) return false;
  memcpy(copy, text.at, piece_size(text));
  int year = 0;
  for (int i = 0; i < 4; i++) year = year * 10 + (copy[i] - '0');
  year += cycles * CYCLE_YEARS;
  for (int i = 3; i >= 0; i--, year /= 10) copy[i] = (char)('0' + year % 10);
  if (!timestamp_parse(copy, piece_size(text), us, has_offset)) return false;
  *us -= cycles * CYCLE_DAYS * DAY_US;
  return true;
}

/* timestamp_parse takes instants that events can have, 1970 to 9999; the bounds of a range may lie outside.
 */
static bool parse_instant(struct piece text, int64_t *us, bool *has_offset) {
  if (timestamp_parse(text.at, piece_size(text), us, has_offset)) return true;
  bool late = piece_size(text) > 0 && *text.at >= '2';
  return parse_shifted(text, late ? -1 : 5, us, has_offset);
}

int time_parse(struct piece text, struct time_zone *zone, int64_t now, int64_t *us, tally_error *error) {
  text = piece_trim(text);
  bool has_offset;
  int64_t day;
  if (piece_size(text) >= 3 && piece_is((struct piece){text.at, text.at + 3}, "now")) {
    if (parse_now((struct piece){text.at + 3, text.end}, now, us)) return 0;
    return not_a_time(text, error);
  }
  if (date_parse(text.at, piece_size(text), &day)) return zone_reach(zone, day * DAY_US, us, error);
  if (!parse_instant(text, us, &has_offset)) return not_a_time(text, error);
  return has_offset ? 0 : zone_reach(zone, *us, us, error);
}
