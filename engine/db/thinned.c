/* thinned.c - what thinned segments stand for, counted from entries of their rollups; see inside.h. */
#include "base/mem.h"
#include "base/status.h"
#include "db/inside.h"

/* Room for a level's keys and a piece of its entries. */
struct entries {
  struct budget *budget;
  struct rollup_key *keys;
  uint32_t *bucket, *key, *rows; /* ROLLUP_PIECE each */
  size_t size;
};

static int entries_load(struct entries *e, struct segment *s, enum rollup_level level, tally_error *error) {
  const uint32_t count = rollup_of_users(level) ? s->user_keys : s->rollup_keys;
  e->size = count * sizeof *e->keys + 3 * ROLLUP_PIECE * sizeof *e->bucket;
  if (!budget_take(e->budget, e->size)) {
    fail(error, TALLY_MEMORY_LIMIT,
         "a thinned segment needs %zu bytes that the memory budget does not have: "
         "raise the store's memory",
         e->size);
    e->size = 0;
    return TALLY_MEMORY_LIMIT;
  }
  e->keys = mem_alloc(e->size);
  if (!e->keys) return fail_memory(error, "reading a thinned segment");
  e->bucket = (uint32_t *)(void *)(e->keys + count);
  e->key = e->bucket + ROLLUP_PIECE;
  e->rows = e->key + ROLLUP_PIECE;
  return segment_rollup_keys(s, level, e->keys, error);
}

static void entries_free(struct entries *e) {
  mem_free(e->keys);
  budget_give(e->budget, e->size);
}

/* The rows of the entries that `wanted` picks by key and begin of their bucket. */
static int count_entries(struct entries *e, struct segment *s, enum rollup_level level,
                         bool (*wanted)(const void *arg, const struct rollup_key *key, int64_t begin),
                         const void *arg, uint64_t *rows, tally_error *error) {
  const struct rollup_entries to = {.bucket = e->bucket, .key = e->key, .rows = e->rows};
  uint32_t piece, end, count = 0;
  int result = 0;
  segment_rollup_pieces(s, level, 0, UINT32_MAX, &piece, &end);
  for (; piece < end && !result; piece++) {
    result = segment_rollup(s, level, piece, 0, UINT32_MAX, &to, &count, error);
    for (uint32_t i = 0; i < count && !result; i++)
      if (wanted(arg, &e->keys[e->key[i]], s->start + e->bucket[i] * rollup_width(level)))
        *rows += e->rows[i];
  }
  return result;
}

static bool before_cut(const void *arg, const struct rollup_key *key, int64_t begin) {
  const struct thin_change *change = arg;
  for (size_t i = 0; i < change->cuts; i++)
    if (change->cut[i].service == key->service) return begin < change->cut[i].before;
  return false;
}

int thinned_before(struct db *db, struct segment *s, const struct thin_change *change, uint64_t *rows,
                   tally_error *error) {
  struct entries e = {.budget = &db->work_budget};
  *rows = 0;
  int result = entries_load(&e, s, ROLLUP_DAY, error);
  if (!result) result = count_entries(&e, s, ROLLUP_DAY, before_cut, change, rows, error);
  entries_free(&e);
  return result;
}

static bool of_user(const void *arg, const struct rollup_key *key, int64_t begin) {
  const struct row_rule *rule = arg;
  return key->user == rule->user && begin < rule->to && begin + rollup_width(ROLLUP_USER_HOUR) > rule->from;
}

int thinned_of_user(struct db *db, struct segment *s, const struct row_rule *rule, uint64_t *rows,
                    tally_error *error) {
  struct entries e = {.budget = &db->work_budget};
  bool known = false;
  *rows = 0;
  int result = entries_load(&e, s, ROLLUP_USER_HOUR, error);
  for (uint32_t i = 0; i < s->user_keys && !result && !known; i++) known = e.keys[i].user == rule->user;
  if (known) result = count_entries(&e, s, ROLLUP_USER_HOUR, of_user, rule, rows, error);
  entries_free(&e);
  return result;
}
