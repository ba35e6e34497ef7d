/* config_parse.c - sizes, durations, counts and addresses as texts; see config.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "server/config.h"

struct unit {
  const char *name;
  uint64_t factor;
};

/* Largest last, so that printing can look for the largest one that divides the value. */
static const struct unit sizes[] = {{"", 1},
                                    {"B", 1},
                                    {"KB", 1000},
                                    {"KiB", 1u << 10},
                                    {"MB", 1000000},
                                    {"MiB", 1u << 20},
                                    {"GB", 1000000000},
                                    {"GiB", 1u << 30},
                                    {"TB", 1000000000000},
                                    {"TiB", (uint64_t)1 << 40}};
static const struct unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

/* Digits only, at least one. *end is what follows them. */
static bool parse_digits(const char *text, uint64_t *value, const char **end) {
  const char *p = text;
  uint64_t v = 0;
  for (; *p >= '0' && *p <= '9'; p++)
    if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
      return false;
  *value = v;
  *end = p;
  return p > text;
}

static bool parse_unit(const char *text, const struct unit *units, size_t count, uint64_t *value) {
  const char *unit;
  if (!parse_digits(text, value, &unit)) return false;
  for (size_t i = 0; i < count; i++)
    if (strcmp(unit, units[i].name) == 0) return !__builtin_mul_overflow(*value, units[i].factor, value);
  return false;
}

int config_parse_size(const char *text, uint64_t *bytes, tally_error *error) {
  if (parse_unit(text, sizes, sizeof sizes / sizeof *sizes, bytes)) return TALLY_OK;
  return fail(error, TALLY_USAGE, "'%.100s' is not a size: write a number and a unit, as in 256MiB or 1GiB",
              text);
}

int config_parse_duration(const char *text, uint64_t *milliseconds, tally_error *error) {
  if (parse_unit(text, durations, sizeof durations / sizeof *durations, milliseconds)) return TALLY_OK;
  if (strcmp(text, "0") == 0) {
    *milliseconds = 0;
    return TALLY_OK;
  }
  return fail(error, TALLY_USAGE,
              "'%.100s' is not a duration: write a number and ms, s, m, h or d, as in 30s or 5m", text);
}

int config_parse_count(const char *text, uint64_t *count, tally_error *error) {
  const char *end;
  if (parse_digits(text, count, &end) && *end == '\0') return TALLY_OK;
  return fail(error, TALLY_USAGE, "'%.100s' is not a number: write digits only", text);
}

int config_parse_address(const char *text, char *host, uint16_t *port, tally_error *error) {
  const char *colon = strrchr(text, ':'), *end = colon;
  const char *start = text;
  uint64_t number = 0;
  const char *rest = "";
  if (colon && *text == '[' && colon > text + 1 && colon[-1] == ']') start++, end--;
  bool bare_v6 = colon && start == text && memchr(text, ':', (size_t)(colon - text)) != NULL;
  if (!colon || bare_v6 || end == start || (size_t)(end - start) >= CONFIG_TEXT ||
      !parse_digits(colon + 1, &number, &rest) || *rest || number > UINT16_MAX)
    return fail(error, TALLY_USAGE,
                "'%.100s' is not an address: write HOST:PORT, as in 127.0.0.1:7420 or [::1]:7420 "
                "(port 0: any free one)",
                text);
  memcpy(host, start, (size_t)(end - start));
  host[end - start] = '\0';
  *port = (uint16_t)number;
  return TALLY_OK;
}

static void print_unit(uint64_t value, const struct unit *units, size_t count, const char *containing,
                       char *text, size_t size) {
  const struct unit *best = &units[0];
  for (size_t i = 1; i < count; i++)
    if (value && value % units[i].factor == 0 && (!containing || strstr(units[i].name, containing)))
      best = &units[i];
  (void)snprintf(text, size, "%" PRIu64 "%s", value / best->factor, best->name);
}

void config_print_size(uint64_t bytes, char *text, size_t size) {
  print_unit(bytes, sizes, sizeof sizes / sizeof *sizes, "i", text, size);
}

void config_print_duration(uint64_t milliseconds, char *text, size_t size) {
  if (!milliseconds)
    (void)snprintf(text, size, "0");
  else
    print_unit(milliseconds, durations, sizeof durations / sizeof *durations, NULL, text, size);
}
