/* rollup_write.c - encoding rollups and sets of users; see rollup_write.h. */
#include "segment/rollup_write.h"

#include "base/mem.h"
#include "base/status.h"
#include "segment/list.h"
#include "segment/part.h"

void rollup_count(const struct rollups *r, struct directory *d) {
  d->rollup_keys = r->sum.keys;
  for (int level = 0; level < ROWS_LEVELS; level++) d->rollup[level].entries = r->sum.level[level].count;
  d->user_sets = r->users.count;
}

static int end_block(struct output *o, struct chunk_scratch *scratch, size_t start, tally_error *error) {
  if (o->buffer.failed || scratch->trial.failed) return fail_memory(error, "encoding a segment's rollups");
  return output_block(o, start, NULL, error);
}

/* ---- keys */

static void put_keys(struct list_writer *l, const struct rollup_sum *r) {
  for (uint32_t i = 0; i < r->keys; i++) list_put(l, r->key[i].key.service);
  list_end(l);
  for (uint32_t i = 0; i < r->keys; i++) list_put(l, r->key[i].key.endpoint);
  list_end(l);
  for (uint32_t i = 0; i < r->keys; i++) list_put(l, r->key[i].key.method);
  list_end(l);
  for (uint32_t i = 0; i < r->keys; i++) list_put(l, r->key[i].key.status);
  list_end(l);
}

static int write_keys(struct output *o, const struct rollup_sum *r, struct directory *d,
                      struct chunk_scratch *scratch, tally_error *error) {
  size_t start = o->buffer.size;
  struct list_writer *l = mem_zalloc(1, sizeof *l);
  if (!l) return fail_memory(error, "encoding a segment's rollups");
  l->out = &o->buffer;
  l->scratch = &scratch->ints;
  d->at[d->key_block] = output_offset(o);
  put_keys(l, r);
  buffer_free(&l->piece);
  mem_free(l);
  return end_block(o, scratch, start, error);
}

/* ---- entries */

/* The columns of a piece, each gathered from its cells in order. */
struct piece {
  const struct rollup_cells *cells;
  const uint32_t *order;
  uint32_t count;
  struct chunk_scratch *scratch;
};

#define PUT(piece, out, memory, value)                                                                       \
  do {                                                                                                       \
    for (uint32_t i = 0; i < (piece)->count; i++) {                                                          \
      uint32_t cell = (piece)->order[i];                                                                     \
      (piece)->scratch->values[i] = (value);                                                                 \
    }                                                                                                        \
    part_put(out, (piece)->scratch->values, (piece)->count, &(piece)->scratch->ints, memory);                \
  } while (0)

/* Minima and spreads; 0 where there is no value. */
static void put_bounds(struct buffer *out, const struct piece *p, int m, struct ints_memory *memory) {
  const struct rollup_bounds *b = p->cells->bounds;
  PUT(p, out, &memory[0], b[cell].min[m] > b[cell].max[m] ? 0 : b[cell].min[m]);
  PUT(p, out, &memory[1],
      b[cell].min[m] > b[cell].max[m] ? 0 : (int64_t)((uint64_t)b[cell].max[m] - (uint64_t)b[cell].min[m]));
}

static void put_piece(struct buffer *out, const struct piece *p, uint32_t nullable) {
  const struct rollup_cell *c = p->cells->cell;
  struct ints_memory *memory = p->scratch->rollup;
  PUT(p, out, memory++, c[cell].bucket);
  PUT(p, out, memory++, c[cell].key);
  PUT(p, out, memory++, c[cell].rows);
  for (int m = 0; m < MEASURES; m++, memory += 4) {
    if (nullable >> m & 1) PUT(p, out, &memory[0], p->cells->nulls[cell][m]);
    PUT(p, out, &memory[1], c[cell].sum[m]);
    if (p->cells->bounds) put_bounds(out, p, m, &memory[2]);
  }
}

static int write_level(struct output *o, const struct rollup_sum *r, enum rollup_level level,
                       struct directory *d, struct chunk_scratch *scratch, tally_error *error) {
  const struct rollup_cells *c = &r->level[level];
  struct rollup_place *p = &d->rollup[level];
  int result = 0;
  memset(scratch->rollup, 0, sizeof scratch->rollup);
  for (uint32_t i = 0; i < p->pieces && !result; i++) {
    uint32_t first = i * ROLLUP_PIECE, count = directory_rollup_entries(p, i);
    size_t start = o->buffer.size;
    d->at[p->block + i] = output_offset(o);
    p->first[i] = c->cell[c->order[first]].bucket;
    p->last[i] = c->cell[c->order[first + count - 1]].bucket;
    const struct piece piece = {c, c->order + first, count, scratch};
    put_piece(&o->buffer, &piece, r->nullable);
    result = end_block(o, scratch, start, error);
  }
  return result;
}

/* ---- users */

static void put_users(struct buffer *out, const struct user_sets *u, uint32_t day,
                      struct chunk_scratch *scratch) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < u->user_count; i++) {
    if (!(u->users[i].days >> day & 1)) continue;
    scratch->values[n++] = u->users[i].user;
    if (n < USERS_PIECE) continue;
    part_put(out, scratch->values, n, &scratch->ints, &scratch->users);
    n = 0;
  }
  if (n) part_put(out, scratch->values, n, &scratch->ints, &scratch->users);
}

static int write_sets(struct output *o, const struct user_sets *u, struct directory *d,
                      struct chunk_scratch *scratch, tally_error *error) {
  int result = 0;
  scratch->users = (struct ints_memory){0};
  for (uint32_t i = 0; i < u->count && !result; i++) {
    size_t start = o->buffer.size;
    d->at[d->set_block + i] = output_offset(o);
    d->user_set[i] = u->set[i];
    if (u->set[i].users == 0) continue;
    put_users(&o->buffer, u, u->set[i].day, scratch);
    result = end_block(o, scratch, start, error);
  }
  return result;
}

int rollup_write(struct output *o, const struct rollups *r, struct directory *d,
                 struct chunk_scratch *scratch, tally_error *error) {
  int result = r->sum.keys ? write_keys(o, &r->sum, d, scratch, error) : 0;
  for (int level = 0; level < ROWS_LEVELS && !result; level++)
    result = write_level(o, &r->sum, (enum rollup_level)level, d, scratch, error);
  return result ? result : write_sets(o, &r->users, d, scratch, error);
}
