/* limits.c - the limits of one value; see limits.h. */
#include "model/limits.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/status.h"
#include "base/utf8.h"
#include "model/json.h"

int limit_refuse(int64_t row, int column, tally_error *error, const char *format, ...) {
  char reason[320];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(reason, sizeof reason, format, args);
  va_end(args);
  fail(error, TALLY_INVALID_ROW, "row %" PRId64 " (counted from 0), column %s: %s", row,
       tally_column_name(column), reason);
  error->row = row;
  error->column = column;
  return TALLY_INVALID_ROW;
}

int limit_time(int64_t row, int64_t us, int64_t latest, tally_error *error) {
  if (us >= 0 && us <= TIME_MAX && us <= latest) return TALLY_OK;
  if (us < 0 || us > TIME_MAX)
    return limit_refuse(row, TALLY_COL_TIMESTAMP, error,
                        "%" PRId64 " microseconds since 1970 is outside the years 1970 to 9999: "
                        "correct it, or its unit",
                        us);
  return limit_refuse(row, TALLY_COL_TIMESTAMP, error,
                      "%" PRId64 " is %" PRId64 " microseconds beyond what the store's clock and max_future "
                      "allow: correct it, or the clock, or raise max_future",
                      us, us - (latest < 0 ? 0 : latest));
}

int limit_text(int64_t row, int column, const char *data, size_t size, tally_error *error) {
  uint32_t limit = domain_characters(column_domain(column));
  size_t characters;
  if (!utf8_text(data, size, &characters)) {
    size_t at = utf8_prefix(data, size);
    if (!data[at])
      return limit_refuse(row, column, error, "byte %zu is NUL, which text may not hold: remove it", at);
    return limit_refuse(row, column, error, "byte %zu is not valid UTF-8: convert the text to UTF-8", at);
  }
  if (characters <= limit) return TALLY_OK;
  return limit_refuse(row, column, error,
                      "%zu characters, the limit is %" PRIu32 ": shorten it or put it into metadata",
                      characters, limit);
}

int limit_int(int64_t row, int column, int64_t value, tally_error *error) {
  if (value >= INT32_MIN && value <= INT32_MAX) return TALLY_OK;
  return limit_refuse(row, column, error,
                      "%" PRId64 " does not fit 32 bits: it must lie within -2147483648 and 2147483647",
                      value);
}

int limit_cost(int64_t row, int64_t units, tally_error *error) {
  if (units >= -COST_MAX && units <= COST_MAX) return TALLY_OK;
  return limit_refuse(row, TALLY_COL_COST, error,
                      "%" PRId64 " units of 10^-9 is beyond +-9,000,000,000: split the event", units);
}

int limit_metadata(int64_t row, const char *data, size_t size, tally_error *error) {
  if (size > METADATA_BYTES)
    return limit_refuse(row, TALLY_COL_METADATA, error, "%zu bytes, the limit is %u: shorten it", size,
                        METADATA_BYTES);
  size_t at;
  const char *wrong = json_object_check(data, size, &at);
  if (!wrong) return TALLY_OK;
  return limit_refuse(row, TALLY_COL_METADATA, error, "not a JSON object: %s, at byte %zu: correct it", wrong,
                      at);
}
