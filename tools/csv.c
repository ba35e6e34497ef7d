/* csv.c - records of CSV to events; see csv.h.
 *
 * The fast loop takes the separators of the index, checks that a record has a comma behind every field but
 * the last and a line feed behind that one, and reads each value where it stands. Whatever it does not like
 * is left to refuse(), which asks csv_record what is wrong. */
#include "tools/csv.h"

#include <inttypes.h>
#include <string.h>

#define SCRATCH_SLACK 16u /* csv_unquote writes so far beyond its result */

void csv_init(struct csv *csv, const struct csv_layout *layout, struct value_options *values,
              csv_index_fn *index) {
  csv->layout = layout;
  csv->values = values;
  csv->index = index ? index : csv_index_best();
  csv->text = NULL;
  csv->size = csv->at = 0;
  csv->final = false;
  csv->line = 1;
  csv->next = csv->count = 0;
  csv->scratch = (struct buffer){0};
}

void csv_free(struct csv *csv) { buffer_free(&csv->scratch); }

void csv_text(struct csv *csv, char *text, size_t size, bool final, size_t at) {
  csv->text = text;
  csv->size = size;
  csv->final = final;
  csv->at = at;
  csv->next = csv->count = 0;
  text[size] = '\n'; /* ends the last line of a final text for the index, and is never counted */
}

/* ------------------------------------------------------------------ values */

/* The record being read. */
struct reading {
  struct record *record;
  size_t used; /* bytes of scratch */
  char reason[VALUE_REASON];
};

static bool empty_number(char reason[VALUE_REASON], const char *what) {
  memcpy(reason, what, strlen(what) + 1);
  return false;
}

static bool read_number(struct csv *csv, int column, const char *data, size_t size, tally_event *e,
                        char reason[VALUE_REASON]) {
  int32_t *const ints[] = {&e->request_size, &e->response_size, &e->duration_ms, &e->status_code,
                           &e->tokens_used};
  e->present |= 1u << column;
  return value_int(data, size, ints[column - TALLY_COL_REQUEST_SIZE], reason) || (void)csv, false;
}
