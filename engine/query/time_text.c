/* time_text.c - see time_text.h. */
#include "query/time_text.h"

#include <string.h>

#include "base/status.h"
#include "model/civil.h"
#include "model/schema.h"

static int not_a_time(struct piece text, tally_error *error) {
  return fail(error, TALLY_USAGE,
              "'" PIECE_FORMAT
              "' is not a time between 1970 and 9999: write 2024-02-01T12:00:00Z (any offset, up to 6 "
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

int time_parse(struct piece text, struct time_zone *zone, int64_t now, int64_t *us, tally_error *error) {
  text = piece_trim(text);
  bool has_offset;
  int64_t day;
  if (piece_size(text) >= 3 && piece_is((struct piece){text.at, text.at + 3}, "now")) {
    if (parse_now((struct piece){text.at + 3, text.end}, now, us)) return 0;
    return not_a_time(text, error);
  }
  if (date_parse(text.at, piece_size(text), &day)) return zone_reach(zone, day * DAY_US, us, error);
  if (!timestamp_parse(text.at, piece_size(text), us, &has_offset)) return not_a_time(text, error);
  return has_offset ? 0 : zone_reach(zone, *us, us, error);
}
