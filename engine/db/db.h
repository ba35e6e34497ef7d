/* db.h - a store: open and lock, recover, ingest (the only writer), flush in the background, snapshots.
 *
 * Laws: 1. acknowledged => recoverable at the promised durability. 2. Segments + memtables = each accepted
 * row once, in every snapshot. 3. Readers never wait for the writer's I/O. 4. Locks are taken in this order:
 * the writer's role, `maintaining`, `publishing`, `manifest_lock`, the retention's, `lock`; then the rooms'
 * own (catalog, cache). */
#ifndef DB_DB_H
#define DB_DB_H

#include <tally.h>

#include "maintain/backup.h"
#include "os/os.h"
#include "scan/snapshot.h"

struct db;

int db_open(const struct os *os, const char *path, const tally_options *options, struct db **db,
            tally_error *error);
int db_close(struct db *db, tally_error *error);
/* Jobs and merges end at their next step, with TALLY_CANCELLED; later ones do not begin. Any thread. */
void db_interrupt(struct db *db);
const atomic_bool *db_interrupted(const struct db *db); /* as long as the store is open */
/* TALLY_CANCELLED if it is interrupted: for jobs, between their steps. */
int db_go_on(struct db *db, tally_error *error);

void db_append(struct db *db, tally_append_item *items, size_t count);
int db_mark(struct db *db, const char *producer, uint64_t epoch, tally_mark *mark, tally_error *error);
int db_sync(struct db *db, tally_error *error);
int db_flush(struct db *db, tally_error *error);
int db_step(struct db *db, bool *worked, tally_error *error);

/* What replacing some segments of a month did. */
struct rewrite_report {
  int32_t month;
  uint64_t inputs, outputs; /* segments */
  uint64_t rows, dropped, changed, bytes_before, bytes_after;
};
/* A compaction merges the segments that are there when it begins until every month is settled. What comes in
 * meanwhile could keep it at work for ever. */
struct db_compaction {
  struct db *db;
  uint64_t until;             /* version */
  _Atomic uint64_t rewritten; /* rows so far */
};
struct db_compaction db_compact_begin(struct db *db);
/* Does the next merge: TALLY_ROW, with *report; TALLY_OK: none is left. */
int db_compact_next(struct db_compaction *c, struct rewrite_report *report, tally_error *error);

/* How long rows are kept (maintain/policy.h). */
struct policy;
struct ages;
/* Sets (ages NULL: takes away) the ages of a service, or of the store (service NULL). */
int db_retention_set(struct db *db, const char *service, const struct ages *ages, tally_error *error);
/* Calls `show` for the store (service NULL) and for each service with ages of its own; then *guard is the
 * number of seconds for which nothing is thinned or dropped because the clock has jumped, 0: none. */
int db_retention_show(struct db *db, int (*show)(void *arg, const char *service, const struct ages *ages),
                      void *arg, int64_t *guard, tally_error *error);
/* The clock is right: the guard ends. */
int db_retention_confirm(struct db *db, tally_error *error);
/* What a piece of retention did, or would do: "archive", "thin", "drop". */
struct retention_report {
  const char *what;
  int32_t month;
  uint64_t segments, rows, bytes_before, bytes_after;
};
/* Does all that is due, or with `dry` only tells of it (bytes_after is not known then). TALLY_BUSY while the
 * guard lasts, unless `dry`. */
int db_retention_apply(struct db *db, bool dry, int (*did)(void *arg, const struct retention_report *report),
                       void *arg, tally_error *error);

/* Erases rows of a user, or gives them a pseudonym and takes their metadata away. In thinned segments what is
 * of the user becomes that of NULL, or of the pseudonym. */
struct erase_request {
  const char *user;
  bool pseudonym;
  bool whole; /* the whole user: the id is forgotten too. Else only rows of [from, to) */
  int64_t from, to;
};
/* Told of each segment that is gone, and of what took its place (0 files if nothing was left). */
struct erase_listener {
  int (*file)(void *arg, const struct segment_info *before, const struct segment_info *after, uint32_t count);
  void *arg;
};
struct erase_report {
  int64_t started, finished;    /* the store's clock */
  uint64_t rows;                /* erased, or changed */
  uint64_t moved;               /* events in rollups whose user became NULL */
  uint64_t segments, wal_files; /* rewritten, removed */
};
/* Returns when no snapshot sees the old rows any more, and no file has them. TALLY_NOT_FOUND: no such user.
 * TALLY_NO_RAW_ROWS, and nothing is changed: events of the user in a range that is not the whole are thinned.
 */
int db_erase(struct db *db, const struct erase_request *request, const struct erase_listener *listener,
             struct erase_report *report, tally_error *error);
/* Looks for a text in every file's bytes, and decoded: catalog and metadata; calls found for each place. */
int db_find_text(struct db *db, const char *text,
                 void (*found)(void *arg, const char *file, uint64_t offset, const char *what), void *arg,
                 tally_error *error);

/* Does a flush or a merge run now? Its threads stand behind the callers', and may be put aside with a lock.
 */
bool db_at_work(struct db *db);

/* A snapshot that keeps its view alive. Between pin and unpin the view may be used; outside, the store may
 * take it back when its memory is needed: then pin returns TALLY_SNAPSHOT_EXPIRED. `stop` is set when it
 * should end soon. One thread a snapshot. */
struct db_snapshot;
int db_snapshot_take(struct db *db, struct db_snapshot **snapshot, tally_error *error);
int db_snapshot_pin(struct db_snapshot *s, tally_error *error);
void db_snapshot_unpin(struct db_snapshot *s);
const struct snapshot *db_snapshot_view(const struct db_snapshot *s);
bool db_snapshot_expired(struct db_snapshot *s);
void db_snapshot_release(struct db_snapshot *s);

/* Set by db when the snapshot must end, and by the caller to cancel; what a query looks at. */
_Atomic bool *db_snapshot_stop(struct db_snapshot *s);

const struct os *db_os(const struct db *db);
struct budget *db_query_budget(struct db *db);
const tally_options *db_options(const struct db *db);

/* Figures: calls `figure` with name and value. */
int db_stats(struct db *db, int (*figure)(void *arg, const char *name, const char *value), void *arg,
             tally_error *error);

/* A check of every byte of the store that is on the disk, file by file. A segment with a fault is
 * quarantined, and one that is whole again leaves quarantine. One thread. */
struct db_verify;
typedef void (*db_found)(void *arg, const char *file, uint64_t offset, const char *problem);
/* Reads `rate` bytes a second at most (0: as fast as it can); `stop` (may be NULL) cancels. */
int db_verify_begin(struct db *db, uint64_t rate, const atomic_bool *stop, struct db_verify **verify,
                    tally_error *error);
/* Checks the next file and calls found for each fault in it: TALLY_ROW, TALLY_OK if there was no file left,
 * or a code. */
int db_verify_next(struct db_verify *verify, db_found found, void *arg, tally_error *error);
void db_verify_end(struct db_verify *verify);

/* A consistent, checked copy of everything acknowledged before the call, in a directory that opens as a
 * store; see maintain/backup.h. Reads `rate` bytes a second at most (0: no limit); `stop` (may be NULL)
 * cancels. */
int db_backup(struct db *db, const char *directory, uint64_t rate, const atomic_bool *stop,
              struct backup_report *report, tally_error *error);

#endif
