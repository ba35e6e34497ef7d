/* inside.h - the parts of a store, for the files of db/ alone. db.h has the lock order. */
#ifndef DB_INSIDE_H
#define DB_INSIDE_H

#include "base/budget.h"
#include "db/db.h"
#include "maintain/policy.h"
#include "maintain/rewrite.h"
#include "manifest/manifest.h"
#include "os/thread.h"
#include "wal/writer.h"

#define SEALED_MOST 2u

/* An immutable set of segments. Reference-counted under `lock`. */
struct version {
  uint32_t references;
  struct segment **segment;
  size_t count;
};

/* A sealed memtable on its way to a segment, with the marks of the producers that changed since the one
 * before. */
struct sealed {
  struct memtable *memtable;
  struct buffer marks;
  bool claimed; /* a flush works on it */
  struct sealed *next;
};

/* A step from one version to the next. */
struct change {
  const struct segment_info *added; /* written and synced */
  uint32_t added_count;
  const uint64_t *removed; /* ids of segments of the current version */
  uint32_t removed_count;
  struct sealed *sealed; /* the memtable whose rows `added` has, the oldest one; or NULL */
};

/* A WAL file that is not written any more. */
struct old_wal {
  uint64_t number, last;
  struct old_wal *next;
};

/* When rows of a month last became a segment (monotonic time). */
struct month_age {
  int32_t month;
  int64_t flushed;
};

/* How far a piece of work is, for db_stats. */
struct meter {
  _Atomic uint64_t total, done; /* total 0: nothing is under way */
};
static inline void meter_begin(struct meter *meter, uint64_t total) {
  atomic_store(&meter->done, 0);
  atomic_store(&meter->total, total);
}

/* How long rows are kept, and what is known of the clock that decides it. */
struct retention {
  struct os_mutex lock; /* all that follows */
  struct policy policy;
  _Atomic bool drops;     /* some rows have an age at which they go */
  int64_t now, monotonic; /* when the clock was looked at last */
  int64_t guarded_until;  /* monotonic: nothing is thinned or dropped before; 0: no guard */
  int64_t next_look;      /* monotonic */
};

struct append_call; /* append.c */

/* Who was refused memory and waits for it: a flush, a step of a rewrite that begins, or one that has its rows
 * sorted, in the scratch. */
enum who_waits { FLUSH_WAITS, STEP_WAITS, WRITE_WAITS, WAITERS };

struct db {
  const struct os *os;
  char *path;
  tally_options options;
  struct os_file *lock_file;
  bool made; /* by this open */

  struct budget total, firm; /* firm: of all that does not give way and is no flush; in total */
  struct budget memtable_budget, text_budget, query_budget;                /* in firm */
  struct budget directory_budget, cache_budget, flush_budget, work_budget; /* in total */
  uint32_t memtable_rows;
  size_t memtable_metadata;
  uint32_t sealed_most;

  struct catalog *catalog;
  struct cache *cache;
  struct producers *producers; /* the writer's role */
  struct wal *wal;             /* the writer's role */

  /* The writer's role: one thread has it at a time. */
  struct os_mutex queue_lock;
  struct os_condition queue_changed;
  bool writing;
  struct append_call *queue, **queue_end;
  struct batch_scratch batch_scratch; /* the writer's role, */
  struct buffer id_scratch[DOMAINS];  /* as this */

  struct os_mutex maintaining; /* one job that replaces segments at a time */
  _Atomic unsigned jobs;       /* steps of jobs that somebody waits for, at work */
  _Atomic int64_t step_ended;  /* a compaction's last step: monotonic */
  struct meter rewriting;      /* rows; of who has `maintaining` */
  struct meter checking;       /* bytes; of a backup or a verification */
  struct os_mutex publishing;  /* one change of the version at a time */
  struct os_mutex manifest_lock;
  struct manifest *manifest;

  struct os_mutex lock; /* what follows */
  struct os_condition changed;
  struct version *version;
  uint64_t versions; /* how many there have been since it was opened */
  struct memtable *active;
  struct memtable *spares; /* for the next rows */
  struct sealed *sealed, **sealed_end;
  uint32_t sealed_count;
  struct memtable *sorted[SEALED_MOST]; /* scratch of flushes: the first sorted_free are free */
  uint32_t sorted_free, sorted_made;
  uint32_t scratch_waits; /* flushes that wait for one */
  uint32_t starving[WAITERS];
  uint32_t flushing; /* flushes at work: they have memtables that are sealed, or were a moment ago */
  struct db_snapshot *snapshots; /* newest first */
  uint64_t wal_durable;
  struct old_wal *old_wals;
  uint64_t wal_number, wal_size;
  int read_only;            /* 0, or the code of why */
  char read_only_text[496]; /* why */
  int flush_failed;
  tally_error flush_error;
  bool closing;
  uint64_t batches, rows_appended, flushes, merges;
  uint64_t batch_bytes, flushed_bytes, rewritten_bytes; /* since it was opened */
  struct month_age *month;
  size_t month_count;
  _Atomic uint64_t rewritten_behind; /* rows by the background since a flush */
  uint64_t *tried;                   /* segments that a merge could not part; by who has `maintaining` */
  size_t tried_count;
  int maintenance_failed;
  tally_error maintenance_error;
  int64_t opened; /* monotonic time */
  struct retention retention;
  char recovery[400]; /* what the last open found, "" if nothing */

  _Atomic uint64_t next_segment; /* id of the next segment file */

  struct os_thread flusher[SEALED_MOST];
  uint32_t flushers; /* that run; */
  uint32_t entering; /* of these, those that wait for the writer's role; both under lock */
  struct os_thread maintainer;
  bool has_maintainer;
  _Atomic bool stop_maintenance; /* jobs end at their next step: db_interrupt */
};

/* A cursor pins its snapshot for each row, so pinning takes no lock. What an expired one holds is given back,
 * under the lock, by who expires it where it is not pinned, else by who unpins it. */
#define SNAPSHOT_PINNED 1u
#define SNAPSHOT_EXPIRED 2u

struct db_snapshot {
  struct db *db;
  struct snapshot view;
  struct version *version; /* NULL: it was taken back */
  uint64_t number;         /* of the version */
  struct snapshot_rows memtable[SEALED_MOST + 2];
  _Atomic bool stop;
  _Atomic unsigned use; /* SNAPSHOT_… */
  struct db_snapshot *next, *previous;
};

/* writer.c */
void writer_enter(struct db *db);
void writer_leave(struct db *db);
/* The store takes no more writes, because of *error. */
void db_stop_writes(struct db *db, const tally_error *error);
int db_writable(struct db *db, tally_error *error);
/* Writer: seals the active memtable if it has rows (waits for room in the queue of sealed ones). */
int writer_seal(struct db *db, tally_error *error);
/* Is the active memtable old enough to be sealed? Under lock. */
bool writer_due(struct db *db);
/* Writer: there is an active memtable, with room for the batch. */
int writer_room(struct db *db, const struct batch *batch, tally_error *error);
/* Writer: begins a new WAL file. */
int writer_rotate(struct db *db, tally_error *error);
int writer_sync(struct db *db, tally_error *error);
/* Writer: a memtable for new rows, recycled, new, or freed by ending old snapshots. */
int writer_new_active(struct db *db, tally_error *error);
void wal_files_drop(struct db *db, uint64_t covered);

/* wal_files.c: the WAL files in the order of their records. Writer. One that is in the list may be dropped as
 * soon as a flush is published. */
struct wal_file {
  uint64_t number;
  uint64_t size; /* of the active one: up to the end of the last record written */
  bool active;
};
struct wal_files {
  struct wal_file *file;
  size_t count;
};
int wal_files_list(struct db *db, struct wal_files *files, tally_error *error);
void wal_files_free(struct wal_files *files);

/* flusher.c */
/* Flushes the oldest sealed memtable that nobody works on, if there is one. */
int flush_next(struct db *db, bool *worked, tally_error *error);
/* Returns when the rows of WAL records up to `sequence` that were sealed before are in segments. */
int flush_until(struct db *db, uint64_t sequence, tally_error *error);
/* Does a sealed memtable wait for somebody to flush it? Under lock. */
bool flush_waits(const struct db *db);
/* Under lock, for the writer: and nobody else can be trusted to come: there is no flusher, or one waits for
 * the writer's role. */
bool flush_needs_writer(const struct db *db);
void *flusher_run(void *db);

/* scratch.c: the scratch of a flush, waited for. */
struct memtable *scratch_take(struct db *db);
/* For a step of a rewrite: when no flush wants one. NULL: the store is interrupted. */
struct memtable *scratch_borrow(struct db *db);
void scratch_give(struct db *db, struct memtable *sorted);
/* Waits a moment for memory that others have and will give back; false where nobody has any, after ten
 * seconds, and, but for a flush, where the store is interrupted. */
bool scratch_wait(struct db *db, enum who_waits who, int *tries);
/* Under lock: for queries: does a flush or a merge give memory back in a moment? Not one that waits for
 * memory itself. `firm`: what is missing is firm, which a merge has none of. */
bool scratch_memory_comes(struct db *db, bool firm);

/* publish.c: makes the change; has `publishing`. On failure the added files are removed, unless the edit may
 * be on the disk. */
int publish_version(struct db *db, const struct change *change, tally_error *error);

/* publish.c: all texts of the catalog are on the disk, and the manifest says so; has `publishing`. */
int publish_texts(struct db *db, tally_error *error);

/* compact.c */
/* Under lock: a segment of the month was published. */
void month_flushed(struct db *db, int32_t month);
/* One merge, if there is one to do; the background (job NULL) leaves a busy month's last ones for later. */
int compact_next(struct db *db, struct db_compaction *job, bool *worked, struct rewrite_report *report,
                 tally_error *error);
void *maintainer_run(void *db);

/* Around a job, or a step of one, that somebody waits for: the background, which stands back behind
 * everything and would hold `maintaining` for long on a busy machine, begins nothing meanwhile. */
void job_begin(struct db *db);
void job_end(struct db *db);

/* exchange.c; all have `maintaining`. */
struct rewrite_rules {
  const struct row_rule *rule;
  size_t count;
  bool archived; /* the new files go to the archive */
};
/* Writes what the rules leave of the rows of some segments of one month: report->outputs files in *made, to
 * be freed by the caller; none, and NULL, on failure. Nothing is published. */
int rewrite_files(struct db *db, struct segment **input, size_t inputs, const struct rewrite_rules *rules,
                  struct rewrite_report *report, struct segment_info **made, tally_error *error);
/* Files that are written and synced take the place of segments of the current version; on failure they are
 * removed, unless the edit may be on the disk. */
int exchange(struct db *db, struct segment *const *old, size_t olds, const struct segment_info *made,
             uint32_t mades, tally_error *error);
/* Both. *after (may be NULL) gets the report->outputs new segments, to be freed by the caller. */
int rewrite_segments(struct db *db, struct segment **input, size_t inputs, const struct rewrite_rules *rules,
                     struct rewrite_report *report, struct segment_info **after, tally_error *error);
size_t step_metadata(
    const struct db *db); /* bytes of metadata that the rows of a rewrite's step have room for */
struct version *version_take(struct db *db); /* the current one; version_unref */
/* publish.c: puts `whole` (its reference is taken over) in the place of a quarantined segment, if that is
 * still in the current version. */
int publish_whole(struct db *db, const struct segment *quarantined, struct segment *whole,
                  tally_error *error);

/* thinned.c: the events that a thinned segment stands for and that the change would leave out. */
int thinned_before(struct db *db, struct segment *s, const struct thin_change *change, uint64_t *rows,
                   tally_error *error);
/* The events that it stands for of the rule's user, in hours that the rule's range touches. */
int thinned_of_user(struct db *db, struct segment *s, const struct row_rule *rule, uint64_t *rows,
                    tally_error *error);

/* retention.c, retention_late.c */
int retention_open(struct db *db, tally_error *error);
/* Writer: TALLY_TOO_LATE with the first row that is older than its service's rows are kept. */
int retention_check(struct db *db, const struct batch *batch, tally_error *error);
/* Keeps the time, so that the next open knows how long the store was away. */
int retention_note_clock(struct db *db, tally_error *error);
/* One piece of work, if it is time to look and the clock is trusted. */
int retention_in_background(struct db *db, bool *worked, tally_error *error);

/* append.c: the catalog ids of a batch's dictionaries, in db->id_scratch; lent until the next call. Writer.
 */
int intern_batch(struct db *db, const struct batch *batch, const uint32_t *ids[DOMAINS], tally_error *error);

/* recover.c */
int recover(struct db *db, tally_error *error);

/* snapshot.c */
struct version *version_new(size_t count);
void version_unref(struct db *db, struct version *v); /* not under lock */
/* Waits until no snapshot sees a version before the current one; those that last longer than a query may are
 * ended. */
void snapshots_wait(struct db *db);
/* Snapshots that keep memtables have this long to end by themselves before the oldest is ended. */
#define GRACE_TRIES 100
#define GRACE_TRY_US 10000
/* Ends the oldest snapshot that keeps a memtable whose rows are in segments; false if there is none, or if a
 * query is at work on it, which then ends soon. Under lock. */
bool snapshot_expire_oldest(struct db *db);
/* For work on files: waits a moment until a memtable comes free, or ends old snapshots that keep one; false
 * if none comes. Not under lock. */
bool snapshots_give_memtable(struct db *db);

#endif
