/* schema.c - names and limits of the columns; see schema.h. */
#include "model/schema.h"

#include <string.h>

static const char *const names[COLUMNS] = {"timestamp",   "user_id",      "service_name",  "endpoint",
                                           "method",      "request_size", "response_size", "duration_ms",
                                           "status_code", "tokens_used",  "cost",          "metadata"};

const char *tally_column_name(int column) { return column >= 0 && column < COLUMNS ? names[column] : NULL; }

int tally_column_number(const char *name, size_t size) {
  for (int column = 0; column < COLUMNS; column++)
    if (strlen(names[column]) == size && memcmp(names[column], name, size) == 0) return column;
  return -1;
}

uint32_t domain_characters(int domain) {
  static const uint32_t limits[DOMAINS] = {255, 100, 255, 10};
  return limits[domain];
}
