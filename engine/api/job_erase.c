/* job_erase.c - the jobs erase, pseudonymize and erase-check: words to a request, what was done to a receipt.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/job.h"
#include "base/status.h"
#include "model/civil.h"
#include "query/time_text.h"

const tally_result_column job_receipt_columns[1] = {{"receipt", TALLY_TYPE_JSON}};
const tally_result_column job_found_columns[3] = {
    {"file", TALLY_TYPE_TEXT}, {"offset", TALLY_TYPE_INT}, {"found", TALLY_TYPE_TEXT}};

/* ------------------------------------------------------------------ JSON */

static void put(struct buffer *out, const char *text) { buffer_append(out, text, strlen(text)); }

static void put_string(struct buffer *out, const char *text) {
  put(out, "\"");
  for (; *text; text++) {
    char escape[8];
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\')
      (void)snprintf(escape, sizeof escape, "\\%c", c);
    else if (c < 0x20)
      (void)snprintf(escape, sizeof escape, "\\u%04x", c);
    else
      (void)snprintf(escape, sizeof escape, "%c", c);
    put(out, escape);
  }
  put(out, "\"");
}

static void put_member(struct buffer *out, const char *name, const char *text) {
  put(out, ",\"");
  put(out, name);
  put(out, "\":");
  if (text)
    put_string(out, text);
  else
    put(out, "null");
}

static void put_count(struct buffer *out, const char *name, uint64_t count) {
  char text[80];
  (void)snprintf(text, sizeof text, ",\"%s\":%" PRIu64, name, count);
  put(out, text);
}

static void put_time(struct buffer *out, const char *name, int64_t us) {
  int64_t year, day = us / DAY_US - (us % DAY_US < 0), rest = us - day * DAY_US;
  int month, date;
  char text[80];
  days_to_civil(day, &year, &month, &date);
  (void)snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int)year, month, date,
                 (int)(rest / INT64_C(3600000000)), (int)(rest / 60000000 % 60), (int)(rest / 1000000 % 60),
                 (int)(rest % 1000000));
  put_member(out, name, text);
}

/* ------------------------------------------------------------------ receipt */

static void put_file(struct buffer *out, const struct segment_info *info) {
  char name[64], hash[33];
  segment_name(info, name);
  for (size_t i = 0; i < sizeof info->digest; i++)
    (void)snprintf(hash + 2 * i, sizeof hash - 2 * i, "%02x", info->digest[i]);
  put(out, "{\"file\":");
  put_string(out, name);
  put_member(out, "hash", hash);
  put_count(out, "bytes", info->size);
  put_count(out, "rows", info->rows);
  put(out, "}");
}

static int take_file(void *arg, const struct segment_info *before, const struct segment_info *after,
                     uint32_t count) {
  struct buffer *files = arg;
  if (files->size) put(files, ",");
  put(files, "{\"before\":");
  put_file(files, before);
  put(files, ",\"after\":[");
  for (uint32_t i = 0; i < count; i++) {
    if (i) put(files, ",");
    put_file(files, &after[i]);
  }
  put(files, "]}");
  return files->failed;
}

struct erase_words {
  const char *user, *from, *to;
};

static int receipt(struct list *list, const struct erase_request *request, const struct erase_words *w,
                   const struct erase_report *report, const struct buffer *files) {
  struct buffer *out = &list->cells;
  put(out, "{\"job\":");
  put_string(out, request->pseudonym ? "pseudonymize" : "erase");
  put_member(out, "user_id", w->user);
  put_member(out, "from", w->from);
  put_member(out, "to", w->to);
  put_count(out, request->pseudonym ? "rows_pseudonymized" : "rows_erased", report->rows);
  if (!request->pseudonym) put_count(out, "rows_moved_to_null", report->moved);
  put_count(out, "segments_rewritten", report->segments);
  put(out, ",\"files\":[");
  if (files->size) buffer_append(out, files->data, files->size);
  put(out, "]");
  put_count(out, "wal_files_removed", report->wal_files);
  put(out, request->whole ? ",\"user_id_forgotten\":true" : ",\"user_id_forgotten\":false");
  put_time(out, "started", report->started);
  put_time(out, "finished", report->finished);
  put_member(out, "backups", "they keep what they held: tally erase USER --in BACKUP erases there");
  put(out, "}");
  write8(out, 0);
  return out->failed;
}

/* ------------------------------------------------------------------ the jobs */

static int parse_time(struct db *db, const char *option, const char *text, int64_t *us, tally_error *error) {
  struct time_zone zone;
  int64_t now = db_os(db)->now(db_os(db));
  if (!text) return 0;
  int result = zone_open(&zone, NULL, NULL, NULL, now, error);
  if (!result) result = time_parse(piece_of(text), &zone, now, us, error);
  return result ? error_where(error, "%s", option) : 0;
}

static int parse(struct db *db, const char *const *words, size_t count, struct erase_words *w,
                 struct erase_request *request, tally_error *error) {
  const struct job_option options[] = {{"from", &w->from, NULL}, {"to", &w->to, NULL}};
  size_t operands;
  int result = job_words(words, count, options, 2, &w->user, 1, &operands, error);
  if (result) return result;
  if (operands == 0) return fail(error, TALLY_USAGE, "%s needs a user: name one", words[0]);
  *request = (struct erase_request){.user = w->user,
                                    .pseudonym = strcmp(words[0], "pseudonymize") == 0,
                                    .whole = !w->from && !w->to,
                                    .from = INT64_MIN,
                                    .to = INT64_MAX};
  result = parse_time(db, "--from", w->from, &request->from, error);
  if (!result) result = parse_time(db, "--to", w->to, &request->to, error);
  if (!result && request->from >= request->to)
    result = fail(error, TALLY_USAGE, "--from is not before --to: no row lies between them");
  return result;
}

int job_erase(struct db *db, const char *const *words, size_t count, struct list *list, tally_error *error) {
  struct erase_words w = {0};
  struct erase_request request;
  struct erase_report report;
  struct buffer files = {0};
  int result = parse(db, words, count, &w, &request, error);
  if (!result) result = db_erase(db, &request, &(struct erase_listener){take_file, &files}, &report, error);
  if (!result && receipt(list, &request, &w, &report, &files)) result = fail_memory(error, "a receipt");
  buffer_free(&files);
  return result;
}

static void put_found(void *arg, const char *file, uint64_t offset, const char *what) {
  struct list *list = arg;
  list_text(list, file);
  list_number(list, offset);
  list_text(list, what);
}

int job_erase_check(struct db *db, const char *const *words, size_t count, struct list *list,
                    tally_error *error) {
  const char *user = NULL;
  size_t operands;
  int result = job_words(words, count, NULL, 0, &user, 1, &operands, error);
  if (!result && operands == 0) result = fail(error, TALLY_USAGE, "%s needs a user: name one", words[0]);
  return result ? result : db_find_text(db, user, put_found, list, error);
}
