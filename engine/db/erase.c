/* erase.c - a user's rows go, or get a pseudonym: from segments, WAL and catalog.
 *
 * 1. What is in memory is flushed; each segment with rows of the user is rewritten without them, ingest going
 * on. In a thinned one, which has no rows to take away, the user's rollups become those of NULL, or of the
 * pseudonym; totals stay. Of a user whose events in a limited range are thinned nothing is changed.
 * 2. With the writer's role: what has come meanwhile is flushed and rewritten too, a new WAL file is begun,
 * and the catalog is written anew without the text. So rows that arrive before this moment are erased, later
 * ones belong to a new id.
 * 3. Old WAL files are gone; snapshots from before end, by themselves or because their time is over; only
 * then is the erasure done, for their open files hold the old bytes. Cut off anywhere, the store is whole,
 * and the same request does what is left: until the catalog forgets the user it can be named. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"

#define USER_DOMAIN column_domain(TALLY_COL_USER_ID)

struct erasure {
  struct db *db;
  const struct erase_request *request;
  const struct erase_listener *listener;
  struct row_rule rule;
  struct erase_report *report;
};

/* ------------------------------------------------------------------ segments */

static int holds_user(struct db *db, struct segment *s, const struct row_rule *rule, bool *holds,
                      tally_error *error) {
  *holds = false;
  if (s->info.max_timestamp < rule->from || s->info.min_timestamp >= rule->to) return 0;
  if (segment_quarantined(s)) {
    char name[64];
    segment_name(&s->info, name);
    return fail(
        error, TALLY_CORRUPT,
        "%s is quarantined, and rows of the user may be in it: put the file back from a backup and run "
        "`tally verify`, then this again",
        name);
  }
  if (s->info.thinned) {
    uint64_t rows;
    int result = thinned_of_user(db, s, rule, &rows, error);
    *holds = rows > 0;
    return result;
  }
  for (uint32_t i = 0; i < s->services && !*holds; i++) {
    struct found_run run;
    int result = segment_find_run(s, s->span[i].service, rule->user, holds, &run, error);
    if (result) return result;
  }
  return 0;
}

static int rewrite_one(struct erasure *e, struct segment *s, tally_error *error) {
  struct rewrite_report made;
  struct segment_info *after = NULL;
  int result = rewrite_segments(e->db, &s, 1, &(struct rewrite_rules){&e->rule, 1, s->info.archived}, &made,
                                &after, error);
  if (!result) {
    e->report->rows += made.dropped + made.changed;
    e->report->segments++;
    result = e->listener->file(e->listener->arg, &s->info, after, (uint32_t)made.outputs)
                 ? fail_memory(error, "a receipt")
                 : segment_gone(e->db->os, e->db->path, &s->info, error);
  }
  mem_free(after);
  return result;
}

/* A thinned one. */
static int change_one(struct erasure *e, struct segment *s, tally_error *error) {
  struct db *db = e->db;
  const struct thin_change change = {
      .of_user = true, .user = e->rule.user, .becomes = e->request->pseudonym ? e->rule.pseudonym : 0};
  struct segment_info made = {.month = s->info.month, .archived = s->info.archived};
  uint64_t rows = 0;
  int result = thinned_of_user(db, s, &e->rule, &rows, error);
  made.id = atomic_fetch_add(&db->next_segment, 1);
  if (!result) result = segment_thin(db->os, db->path, &s, 1, &change, &db->work_budget, &made, error);
  if (!result) result = exchange(db, &s, 1, &made, 1, error);
  if (result) return result;
  *(e->request->pseudonym ? &e->report->rows : &e->report->moved) += rows;
  e->report->segments++;
  return e->listener->file(e->listener->arg, &s->info, &made, 1)
             ? fail_memory(error, "a receipt")
             : segment_gone(db->os, db->path, &s->info, error);
}

/* Events of the user in a limited range must have their rows. */
static int check_rows(struct erasure *e, tally_error *error) {
  struct version *v = version_take(e->db);
  int result = 0;
  for (size_t i = 0; i < v->count && !result && !e->request->whole; i++) {
    bool holds = false;
    if (!v->segment[i]->info.thinned) continue;
    result = holds_user(e->db, v->segment[i], &e->rule, &holds, error);
    if (holds)
      result = fail(error, TALLY_NO_RAW_ROWS,
                    "retention has thinned events of the user in this range, and rollups cannot lose a part "
                    "of them: take a range after them, or the whole user (without --from and --to)");
  }
  version_unref(e->db, v);
  return result;
}

/* All segments of the current version that hold rows the rule is for. A segment whose rows of the user lie
 * outside of a limited range is rewritten as it was. */
static int rewrite_user(struct erasure *e, tally_error *error) {
  struct version *v = version_take(e->db);
  int result = 0;
  for (size_t i = 0; i < v->count && !result; i++) {
    bool holds;
    result = holds_user(e->db, v->segment[i], &e->rule, &holds, error);
    if (!result && holds)
      result = (v->segment[i]->info.thinned ? change_one : rewrite_one)(e, v->segment[i], error);
  }
  version_unref(e->db, v);
  return result;
}

/* ------------------------------------------------------------------ WAL and catalog */

struct wal_cleaning {
  struct erasure *e;
  int number; /* of the first failure */
};

static int clean_wal_file(void *arg, const char *name) {
  struct wal_cleaning *c = arg;
  struct db *db = c->e->db;
  const char *end = strrchr(name, '.');
  uint64_t number;
  bool torn = end && strcmp(end, ".torn") == 0;
  bool old = end && strcmp(end, ".wal") == 0 && sscanf(name, "%16" SCNx64, &number) == 1 &&
             number < db->wal->header.number;
  if (!torn && !old) return 0;
  size_t size = strlen(db->path) + strlen(name) + 8;
  char *path = mem_alloc(size);
  if (!path) return ENOMEM;
  (void)snprintf(path, size, "%s/wal/%s", db->path, name);
  int failed = db->os->unlink(db->os, path);
  mem_free(path);
  if (failed && failed != ENOENT) return failed;
  c->e->report->wal_files++;
  return 0;
}

/* The writer's role, all rows in segments and a new WAL file begun: the older ones have nothing to keep. */
static int clean_wal(struct erasure *e, tally_error *error) {
  struct db *db = e->db;
  struct wal_cleaning c = {e, 0};
  char *folder = mem_path(db->path, "wal");
  if (!folder) return fail_memory(error, "an erasure");
  wal_files_drop(db, db->wal->header.first - 1);
  int number = db->os->list(db->os, folder, clean_wal_file, &c);
  if (!number) number = db->os->sync_directory(db->os, folder);
  int result = number ? os_fail(error, number, "clean", folder) : 0;
  mem_free(folder);
  return result;
}

/* What is written anew is one block a domain: the manifest must have published all of it, also a text that
 * came without rows. */
static int forget(struct erasure *e, tally_error *error) {
  struct db *db = e->db;
  os_lock(&db->publishing);
  int result = publish_texts(db, error);
  if (!result) result = catalog_erase(db->catalog, USER_DOMAIN, e->rule.user, error);
  os_unlock(&db->publishing);
  if (result == TALLY_IO) db_stop_writes(db, error);
  return result;
}

/* The part that ingest waits for. */
static int finish(struct erasure *e, tally_error *error) {
  struct db *db = e->db;
  int result = db_writable(db, error);
  if (!result) result = writer_seal(db, error);
  if (!result && !db->active) result = writer_new_active(db, error);
  if (!result) result = flush_until(db, db->wal->written, error);
  /* Also a file without a record: bytes of one that was taken back may stand in it. */
  if (!result) result = writer_rotate(db, error);
  if (!result) result = rewrite_user(e, error);
  if (!result) result = clean_wal(e, error);
  if (!result && e->request->whole) result = forget(e, error);
  return result;
}

/* ------------------------------------------------------------------ all */

static int give_pseudonym(struct erasure *e, tally_error *error) {
  struct db *db = e->db;
  uint8_t random[10], sizes[2];
  char text[32];
  db->os->random(db->os, random, sizeof random);
  int n = snprintf(text, sizeof text, "anon_");
  for (size_t i = 0; i < sizeof random; i++)
    n += snprintf(text + n, sizeof text - (size_t)n, "%02x", random[i]);
  store16(sizes, (uint16_t)n);
  writer_enter(db);
  int result = db_writable(db, error);
  if (!result) result = catalog_intern(db->catalog, USER_DOMAIN, 1, sizes, text, &e->rule.pseudonym, error);
  writer_leave(db);
  return result;
}

static int run(struct erasure *e, tally_error *error) {
  struct db *db = e->db;
  int result = check_rows(e, error);
  if (!result) result = e->request->pseudonym ? give_pseudonym(e, error) : db_writable(db, error);
  if (!result) result = db_flush(db, error);
  if (!result) result = rewrite_user(e, error);
  if (result) return result;
  writer_enter(db);
  result = finish(e, error);
  writer_leave(db);
  if (result) return result;
  snapshots_wait(db);
  if (e->request->whole) catalog_scrub(db->catalog, USER_DOMAIN, e->rule.user);
  return 0;
}

int db_erase(struct db *db, const struct erase_request *request, const struct erase_listener *listener,
             struct erase_report *report, tally_error *error) {
  struct erasure e = {.db = db, .request = request, .listener = listener, .report = report};
  *report = (struct erase_report){.started = db->os->now(db->os)};
  job_begin(db);
  os_lock(&db->maintaining);
  uint32_t user = catalog_find(db->catalog, USER_DOMAIN, request->user, strlen(request->user));
  e.rule = (struct row_rule){.from = request->from,
                             .to = request->to,
                             .of_user = true,
                             .user = user,
                             .action = request->pseudonym ? ROW_PSEUDONYM : ROW_DROP};
  int result = user == CATALOG_NONE ? fail(error, TALLY_NOT_FOUND,
                                           "there is no user '%.200s' in the store: check the spelling; an "
                                           "id that was erased is not known any more",
                                           request->user)
                                    : run(&e, error);
  os_unlock(&db->maintaining);
  job_end(db);
  report->finished = db->os->now(db->os);
  return result;
}
