/* append.c - group commit: calls queue up, and the one that gets the writer's role commits them all with one
 * write and one sync.
 *
 * For each batch: recognise a repeat, check, intern its texts, take its mark, add its WAL record, fill the
 * memtable; nothing of that is visible yet. The commit writes and syncs, publishes the rows and only then
 * fills the receipts. A commit that fails takes everything back. */
#include <inttypes.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "db/inside.h"

#define GROUP_ITEMS 256u
#define GROUP_BYTES (8u << 20)

struct append_call {
  tally_append_item *item;
  size_t count;
  bool done;
  struct append_call *next;
};

/* What is under way and not committed. */
struct group {
  struct db *db;
  struct {
    tally_append_item *item;
    struct mark_undo undo;
    bool has_mark, has_rows;
  } member[GROUP_ITEMS];
  size_t count;
  uint32_t rows_before; /* of the active memtable */
  bool sync;
};

static void group_begin(struct group *g) {
  g->count = 0;
  g->sync = false;
  g->rows_before = g->db->active ? g->db->active->rows.count : 0;
}

static void roll_back(struct group *g, const tally_error *error) {
  struct db *db = g->db;
  if (db->wal) wal_drop(db->wal);
  if (db->active) memtable_cut(db->active, g->rows_before);
  for (size_t i = g->count; i-- > 0;) {
    if (g->member[i].has_mark) producers_undo(db->producers, &g->member[i].undo);
    g->member[i].item->result = error->code;
    g->member[i].item->error = *error;
  }
}

static void publish(struct group *g) {
  struct db *db = g->db;
  uint64_t rows = 0, batches = 0, bytes = 0;
  for (size_t i = 0; i < g->count; i++) {
    if (!g->member[i].has_rows) continue;
    batches++;
    rows += g->member[i].item->receipt.rows;
    bytes += g->member[i].item->size;
  }
  os_lock(&db->lock);
  if (batches) {
    if (!db->active->first_sequence) {
      db->active->first_sequence = db->wal->written - batches + 1;
      db->active->born = db->os->monotonic(db->os);
      os_wake(&db->changed);
    }
    db->active->last_sequence = db->wal->written;
    memtable_publish(db->active);
  }
  db->batches += batches;
  db->rows_appended += rows;
  db->batch_bytes += bytes;
  if (db->wal) db->wal_size = db->wal->size;
  os_unlock(&db->lock);
}

/* All that is in the log is on the disk, also what a repeat is told to be a duplicate of. In a store that
 * takes no writes (it may have no log) that is not known: a sync that failed is not tried again. */
static int make_durable(struct db *db, tally_error *error) {
  if (db->wal && db->wal->durable == db->wal->written) return 0;
  int result = db_writable(db, error);
  return result ? result : writer_sync(db, error);
}

/* Bytes of the group's records; a store that is open for reading has no log. */
static size_t group_size(const struct db *db) { return db->wal ? wal_group_size(db->wal) : 0; }

static void commit(struct group *g) {
  struct db *db = g->db;
  tally_error error;
  if (!g->count) return;
  int result = group_size(db) ? wal_write(db->wal, &error) : 0;
  if (result && result != TALLY_NO_SPACE) db_stop_writes(db, &error);
  if (!result && g->sync) result = make_durable(db, &error);
  if (result)
    roll_back(g, &error);
  else
    publish(g);
  group_begin(g);
}

static int check_options(const tally_append_options *o, tally_error *error) {
  if (o->durability != TALLY_DISK && o->durability != TALLY_OS)
    return fail(error, TALLY_USAGE, "durability %d is not one: use TALLY_DISK or TALLY_OS",
                (int)o->durability);
  if (!o->producer) return 0;
  size_t characters;
  if (!utf8_text(o->producer, strlen(o->producer), &characters) || characters < 1 || characters > 100)
    return fail(error, TALLY_USAGE, "a producer's name has 1 to 100 characters of UTF-8: choose another one");
  if (o->epoch < 1 || o->sequence < 1)
    return fail(error, TALLY_USAGE, "producer %s: epoch %" PRIu64 ", sequence %" PRIu64 ": both count from 1",
                o->producer, o->epoch, o->sequence);
  return 0;
}

static struct batch_id id_of(const tally_append_options *o) {
  return (struct batch_id){
      {o->producer, strlen(o->producer)}, o->epoch, o->sequence, o->has_fingerprint ? o->fingerprint : NULL};
}

static int refuse(const tally_append_options *o, enum mark_verdict verdict, uint64_t expected,
                  tally_error *error) {
  int code;
  switch (verdict) {
  case MARK_GAP:
    code = fail(error, TALLY_GAP,
                "producer %s, epoch %" PRIu64 ": sequence %" PRIu64
                " is not the next one: the store expects %" PRIu64
                ": send that batch first, or start a new epoch if it is lost",
                o->producer, o->epoch, o->sequence, expected);
    break;
  case MARK_STALE:
    code = fail(error, TALLY_STALE_EPOCH,
                "producer %s: epoch %" PRIu64 " is over, the newest is %" PRIu64
                ": continue with that one, or start a higher one",
                o->producer, o->epoch, expected);
    break;
  default:
    code = fail(error, TALLY_CONFLICT,
                "producer %s, epoch %" PRIu64 ", sequence %" PRIu64
                " is in with another fingerprint: one name and epoch number one unchanged input: use a new "
                "epoch for another",
                o->producer, o->epoch, o->sequence);
  }
  error->sequence = expected;
  return code;
}

/* The rows that a repeated batch claims; it is not looked at further. */
static uint32_t claimed_rows(const tally_append_item *item) {
  return item->size >= 12 ? load32((const uint8_t *)item->bytes + 8) : 0;
}

int intern_batch(struct db *db, const struct batch *batch, const uint32_t *ids[DOMAINS], tally_error *error) {
  for (int d = 0; d < DOMAINS; d++) {
    const struct batch_column *c = &batch->column[domain_column(d)];
    struct buffer *b = &db->id_scratch[d];
    buffer_clear(b);
    uint32_t entries = c->absent ? 0 : c->entries;
    uint32_t *to = (uint32_t *)(void *)buffer_add(b, (size_t)(entries ? entries : 1) * sizeof *to);
    if (!to) return fail_memory(error, "a batch's texts");
    int result = catalog_intern(db->catalog, d, entries, c->sizes, c->texts, to, error);
    if (result) return result;
    ids[d] = to;
  }
  return 0;
}

/* Makes room in the memtable, which may need a commit of what is under way. */
static int make_room(struct group *g, const struct batch *batch, tally_error *error) {
  struct db *db = g->db;
  if (db->active && memtable_fits(db->active, batch)) return 0;
  commit(g);
  int result = db_writable(db, error);
  if (!result) result = writer_room(db, batch, error);
  group_begin(g);
  return result;
}

/* Takes a checked batch into the group. */
static int take_in(struct group *g, tally_append_item *item, const struct batch *batch, tally_error *error) {
  struct db *db = g->db;
  const uint32_t *ids[DOMAINS];
  const tally_append_options *o = &item->options;
  int result = make_room(g, batch, error);
  if (!result) result = intern_batch(db, batch, ids, error);
  if (result) return result;
  struct mark_undo undo = {0};
  struct wal_record record = {.batch = item->bytes, .batch_size = item->size};
  if (o->producer) {
    struct batch_id id = id_of(o);
    /* A commit inside make_room may have failed and taken the batch before this one back. */
    uint64_t expected = 0;
    enum mark_verdict verdict = producers_check(db->producers, &id, &expected);
    if (verdict != MARK_NEXT) return refuse(o, verdict, expected, error);
    if ((result = producers_accept(db->producers, &id, &undo, error)) != 0) return result;
    record.producer = id.producer;
    record.epoch = o->epoch;
    record.producer_sequence = o->sequence;
    record.has_fingerprint = o->has_fingerprint;
    memcpy(record.fingerprint, o->fingerprint, sizeof record.fingerprint);
  }
  if ((result = wal_add(db->wal, &record, error)) != 0) {
    if (o->producer) producers_undo(db->producers, &undo);
    return result;
  }
  memtable_append(db->active, batch, ids);
  g->member[g->count].item = item;
  g->member[g->count].undo = undo;
  g->member[g->count].has_mark = o->producer != NULL;
  g->member[g->count].has_rows = true;
  g->count++;
  return 0;
}

static void take_duplicate(struct group *g, tally_append_item *item) {
  item->receipt = (tally_receipt){.duplicate = true, .rows = claimed_rows(item)};
  g->member[g->count].item = item;
  g->member[g->count].has_mark = g->member[g->count].has_rows = false;
  g->count++;
}

static int process(struct group *g, tally_append_item *item, tally_error *error) {
  struct db *db = g->db;
  const tally_append_options *o = &item->options;
  item->result = 0;
  item->receipt = (tally_receipt){0};
  int result = check_options(o, error);
  if (result) return result;
  if (o->producer) {
    uint64_t expected = 0;
    struct batch_id id = id_of(o);
    enum mark_verdict verdict = producers_check(db->producers, &id, &expected);
    if (verdict == MARK_DUPLICATE)
      take_duplicate(g, item);
    else if (verdict != MARK_NEXT)
      result = refuse(o, verdict, expected, error);
    if (verdict != MARK_NEXT) return result;
  }
  struct batch batch;
  result = db_writable(db, error);
  if (!result) result = batch_open(item->bytes, item->size, &db->batch_scratch, &batch, error);
  if (!result) result = batch_check(&batch, db->os->now(db->os) + db->options.max_future, error);
  if (!result) result = retention_check(db, &batch, error);
  if (result) return result;
  item->receipt.rows = batch.rows;
  return take_in(g, item, &batch, error);
}

static void process_call(struct group *g, struct append_call *call) {
  for (size_t i = 0; i < call->count; i++) {
    tally_append_item *item = &call->item[i];
    tally_error error;
    int result = process(g, item, &error);
    if (result) {
      item->result = result;
      item->error = error;
      continue;
    }
    if (item->options.durability == TALLY_DISK) g->sync = true;
    if (g->count == GROUP_ITEMS || group_size(g->db) >= GROUP_BYTES) commit(g);
  }
}

void db_append(struct db *db, tally_append_item *items, size_t count) {
  struct append_call call = {.item = items, .count = count};
  os_lock(&db->queue_lock);
  *db->queue_end = &call;
  db->queue_end = &call.next;
  while (!call.done && db->writing) os_wait(&db->queue_changed, &db->queue_lock);
  if (call.done) {
    os_unlock(&db->queue_lock);
    return;
  }
  db->writing = true;
  struct append_call *queue = db->queue;
  db->queue = NULL;
  db->queue_end = &db->queue;
  os_unlock(&db->queue_lock);

  struct group *g = mem_alloc(sizeof *g);
  tally_error error;
  if (g) {
    g->db = db;
    group_begin(g);
    for (struct append_call *c = queue; c; c = c->next) process_call(g, c);
    commit(g);
  } else {
    (void)fail_memory(&error, "a commit");
    for (struct append_call *c = queue; c; c = c->next)
      for (size_t i = 0; i < c->count; i++) c->item[i].result = error.code, c->item[i].error = error;
  }
  mem_free(g);
  os_lock(&db->queue_lock);
  for (struct append_call *c = queue, *next; c; c = next) {
    next = c->next; /* c is its owner's again as soon as it is done */
    c->done = true;
  }
  db->writing = false;
  os_wake(&db->queue_changed);
  os_unlock(&db->queue_lock);
}
