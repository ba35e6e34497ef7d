/* window.c - see window.h. */
#include "query/window.h"

#include <string.h>

#include "aggregate/grow.h"
#include "aggregate/radix.h"
#include "base/status.h"
#include "query/plan.h"

#define ROWS_SHARE 4      /* rows, and metadata, take at most this part of the budget that is left each */
#define LIMIT_SPARE 8192u /* rows beyond a limit that are collected before the bound is lowered */
#define AHEAD 4u          /* a part's times are read first if it has this many times the limit of rows */
#define FIRST_ROWS 4096u  /* of the first window, which are sorted in about a millisecond */
#define FIRST_METADATA ((size_t)1 << 20)
#define ROOM_ROWS 128u /* that rows, and metadata, take at first, rather than a row after the other */
#define ROOM_METADATA ((size_t)4 << 10)

static const char what[] = "sorting of events";

/* ------------------------------------------------------------------ parts */

static int64_t key_of(const struct window *w, int64_t timestamp) {
  return w->descending ? ~timestamp : timestamp;
}

/* Parts by first key. There are few: by insertion. */
static void add_part(struct window *w, size_t part, int64_t from, int64_t to) {
  struct window_part p = {part, w->descending ? -to : from, w->descending ? -from : to};
  size_t i = w->part_count++;
  for (; i > 0 && w->part[i - 1].first > p.first; i--) w->part[i] = w->part[i - 1];
  w->part[i] = p;
  if (p.end > w->end) w->end = p.end;
}

static int find_parts(struct window *w, struct arena *arena, tally_error *error) {
  size_t parts = scan_parts(w->scan);
  w->part = arena_alloc(arena, parts, sizeof *w->part, error);
  if (!w->part) return error->code;
  for (size_t i = 0; i < parts; i++) {
    int64_t from, to;
    if (scan_part_range(w->scan, i, &from, &to) && from < to) add_part(w, i, from, to);
  }
  w->next = w->part_count ? w->part[0].first : w->end;
  return 0;
}

/* Rows to collect for a limit that is much below what the budget allows. */
static size_t with_spare(uint64_t limit) { return 2 * (size_t)limit + LIMIT_SPARE; }

int window_init(struct window *w, const struct scan *scan, bool ahead, const struct request *request,
                uint32_t columns, struct arena *arena, const struct query_environment *environment,
                tally_error *error) {
  *w = (struct window){
      .environment = environment, .scan = scan, .ahead = ahead, .columns = columns, .limit = request->limit};
  w->descending = (request->flags & TALLY_ORDER_DESC) != 0;
  w->next = w->end = INT64_MIN;
  w->rows_now = request->limit < LIMIT_SPARE ? with_spare(request->limit) : FIRST_ROWS;
  w->metadata_now = FIRST_METADATA;
  return scan ? find_parts(w, arena, error) : 0;
}

/* Memory for windows: at the first, and at the first after a rest. */
static int wake(struct window *w, tally_error *error) {
  if (w->scanner) return 0;
  int rc = scanner_new(w->scan, &w->scanner, error);
  if (!rc) rc = scanner_prepare(w->scanner, error); /* what is left is the window's */
  uint64_t share = budget_left(w->environment->budget) / ROWS_SHARE;
  /* a row takes its place and that of its key, and a word while a window is sorted */
  w->rows_most = (size_t)(share / (sizeof *w->rows + 2 * sizeof(uint64_t)));
  if (w->rows_most > UINT32_MAX) w->rows_most = UINT32_MAX;
  w->metadata_most = (size_t)share;
  return rc;
}

static void free_order(struct window *w) {
  if (w->order) grow_free(w->environment->budget, w->order, w->order_count * sizeof *w->order);
  w->order = NULL;
  w->order_count = 0;
}

static void give_back(struct window *w) {
  if (w->scanner) scanner_free(w->scanner);
  free_order(w);
  grow_free(w->environment->budget, w->rows, w->capacity * sizeof *w->rows);
  grow_free(w->environment->budget, w->keys, w->keys_capacity * sizeof *w->keys);
  grow_free(w->environment->budget, w->metadata, w->metadata_capacity);
  w->scanner = NULL;
  w->rows = NULL;
  w->keys = NULL;
  w->metadata = NULL;
  w->count = w->capacity = w->keys_capacity = w->metadata_size = w->metadata_capacity = 0;
}

void window_free(struct window *w) {
  if (!w->environment) return;
  give_back(w);
  *w = (struct window){0};
}

void window_rest(struct window *w, size_t given) {
  if (given < w->order_count) { /* else `next` is where it goes on */
    w->next = w->began;
    w->limit = w->began_limit;
    w->skip = given;
  }
  give_back(w);
}

size_t window_skip(struct window *w) {
  size_t skip = w->skip;
  w->skip = 0;
  return skip;
}

/* ------------------------------------------------------------------ room */

static bool has_room(const struct window *w, size_t rows, size_t metadata) {
  return rows <= w->rows_now && rows <= w->rows_most && metadata <= w->metadata_now &&
         metadata <= w->metadata_most;
}

/* Twice the room for the windows that follow; false where the budget is the limit already. */
static bool widen(struct window *w) {
  if (w->rows_now >= w->rows_most && w->metadata_now >= w->metadata_most) return false;
  if (w->rows_now < w->rows_most) w->rows_now *= 2;
  if (w->metadata_now < w->metadata_most) w->metadata_now *= 2;
  return true;
}

/* ------------------------------------------------------------------ lowering the bound */

/* The k-th smallest (from 0) of n keys, which are moved about (Hoare's selection, 1961). */
static int64_t select_key(int64_t *keys, size_t n, size_t k) {
  size_t low = 0, high = n - 1;
  while (low < high) {
    int64_t pivot = keys[low + (high - low) / 2];
    size_t i = low, j = high;
    for (;;) {
      while (keys[i] < pivot) i++;
      while (keys[j] > pivot) j--;
      if (i >= j) break;
      int64_t t = keys[i];
      keys[i++] = keys[j];
      keys[j--] = t;
    }
    if (k <= j)
      high = j;
    else
      low = j + 1;
  }
  return keys[k];
}

/* The k-th smallest key of the rows, and the smallest. */
static int64_t row_key(struct window *w, size_t k, int64_t *least) {
  *least = INT64_MAX;
  for (size_t i = 0; i < w->count; i++) {
    w->keys[i] = key_of(w, w->rows[i].timestamp);
    if (w->keys[i] < *least) *least = w->keys[i];
  }
  return select_key(w->keys, w->count, k);
}

/* Drops the rows at or beyond the bound, and their metadata. */
static void drop(struct window *w) {
  size_t count = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < w->count; i++) {
    struct event_row row = w->rows[i];
    if (key_of(w, row.timestamp) >= w->bound) continue;
    if (row.metadata_size) memmove(w->metadata + bytes, w->metadata + row.metadata_at, row.metadata_size);
    row.metadata_at = bytes;
    bytes += row.metadata_size;
    w->rows[count++] = row;
  }
  w->count = count;
  w->metadata_size = (size_t)bytes;
}

/* With more rows than the limit, no row later than the limit-th is needed in this window or another. */
static void lower_for_limit(struct window *w) {
  if (w->count <= w->limit || w->limit == 0) return;
  int64_t least, key = row_key(w, (size_t)w->limit - 1, &least);
  if (key + 1 < w->bound) w->bound = key + 1;
  drop(w);
}

/* Keeps about half of the rows: those before the median time, or all of the first instant, which may need
 * more room than a first window has. */
static int lower_for_room(struct window *w, tally_error *error) {
  size_t before = w->count;
  int64_t least, key = row_key(w, w->count / 2, &least);
  w->bound = key > least ? key : least + 1;
  drop(w);
  w->span = w->bound - w->next;
  if (w->count < before || widen(w)) return 0;
  return grow_fail(w->environment->budget, "set of events of a single instant", error);
}

/* ------------------------------------------------------------------ collecting */

/* More rows than this are not collected before the bound is lowered. */
static size_t rows_target(const struct window *w) {
  if (w->limit >= w->rows_most / 2) return w->rows_most;
  size_t target = with_spare(w->limit);
  return target < w->rows_most ? target : w->rows_most;
}

static int grow_rows(struct window *w, size_t need, tally_error *error) {
  if (need <= w->capacity) return 0;
  size_t room = w->capacity * 2 > need ? w->capacity * 2 : need;
  if (room < ROOM_ROWS) room = ROOM_ROWS;
  if (room > w->rows_most && need <= w->rows_most) room = w->rows_most;
  struct budget *budget = w->environment->budget;
  if (w->keys_capacity < room) { /* with the rows: a window is made smaller where no memory is left */
    void *keys = grow_array(budget, w->keys, w->keys_capacity, room, sizeof *w->keys, what, error);
    if (!keys) return error->code;
    w->keys = keys;
    w->keys_capacity = room;
  }
  void *rows = grow_array(budget, w->rows, w->capacity, room, sizeof *w->rows, what, error);
  if (!rows) return error->code;
  w->rows = rows;
  w->capacity = room;
  return 0;
}

static int grow_metadata(struct window *w, size_t need, tally_error *error) {
  if (need <= w->metadata_capacity) return 0;
  size_t room = need + need / 2;
  if (room < ROOM_METADATA) room = ROOM_METADATA;
  if (room > w->metadata_most && need <= w->metadata_most) room = w->metadata_most;
  void *p = grow_memory(w->environment->budget, w->metadata, w->metadata_capacity, room, what, error);
  if (!p) return error->code;
  w->metadata = p;
  w->metadata_capacity = room;
  return 0;
}

/* Others may have taken what the window counted on: then it takes no more than it has. */
static int grow_for(struct window *w, size_t rows, size_t bytes, tally_error *error) {
  int rc = grow_rows(w, w->count + rows, error);
  if (rc == TALLY_MEMORY_LIMIT && w->count > 1) w->rows_most = w->count;
  if (rc) return rc;
  rc = grow_metadata(w, w->metadata_size + bytes, error);
  if (rc == TALLY_MEMORY_LIMIT && w->count > 1) w->metadata_most = w->metadata_size;
  return rc;
}

/* Lowers the bound until there is room for `rows` more with `bytes` of metadata. A single row always has
 * room, if the budget gives it. */
static int make_room(struct window *w, size_t rows, size_t bytes, tally_error *error) {
  int rc = 0;
  if (w->count + rows > w->rows_check || !has_room(w, w->count + rows, w->metadata_size + bytes)) {
    lower_for_limit(w);
    if (w->rows_check < 2 * w->count)
      w->rows_check = 2 * w->count; /* many rows of the last instant: not again soon */
  }
  while (!rc && w->count > 0 && !has_room(w, w->count + rows, w->metadata_size + bytes))
    rc = lower_for_room(w, error);
  while (!rc && (rc = grow_for(w, rows, bytes, error)) == TALLY_MEMORY_LIMIT && w->count > 1)
    rc = lower_for_room(w, error);
  return rc;
}

static int add_row(struct window *w, const struct vector *vector, uint32_t row, tally_error *error) {
  struct event_row e = event_row_take(vector, row, w->columns);
  int rc = make_room(w, 1, e.metadata_size, error);
  if (rc || key_of(w, e.timestamp) >= w->bound) return rc;
  if (e.metadata_size)
    memcpy(w->metadata + w->metadata_size, vector->metadata + e.metadata_at, e.metadata_size);
  e.metadata_at = w->metadata_size;
  w->metadata_size += e.metadata_size;
  w->rows[w->count++] = e;
  return 0;
}

static int add_vector(struct window *w, const struct vector *vector, tally_error *error) {
  const int64_t *timestamp = vector->value[TALLY_COL_TIMESTAMP];
  for (uint32_t i = 0; i < vector->rows; i++) {
    if (key_of(w, timestamp[i]) >= w->bound) continue;
    int rc = add_row(w, vector, i, error);
    if (rc) return rc;
  }
  return 0;
}

/* Moves a scanner to a part's rows with keys in [next, bound); false in *any: there are none. */
static int enter_part(const struct window *w, struct scanner *scanner, const struct window_part *p, bool *any,
                      tally_error *error) {
  int64_t first = p->first > w->next ? p->first : w->next, end = p->end < w->bound ? p->end : w->bound;
  *any = first < end;
  if (!*any) return 0;
  return scanner_part(scanner, p->part, w->descending ? -end : first, w->descending ? -first : end, error);
}

/* Keeps the first `limit` of n keys, and lowers the bound to behind them; returns how many are kept. */
static size_t keep_first(struct window *w, int64_t *keys, size_t n) {
  if (n < w->limit) return n;
  int64_t key = select_key(keys, n, (size_t)w->limit - 1);
  if (key + 1 < w->bound) w->bound = key + 1;
  return (size_t)w->limit;
}

/* Lowers the bound for the limit by a part's times alone. */
static int read_times(struct window *w, const struct window_part *p, int64_t *keys, tally_error *error) {
  struct scanner *scanner = w->scanner;
  const struct vector *vector;
  size_t n = 0;
  bool any;
  int rc = enter_part(w, scanner, p, &any, error);
  if (!rc && any) scanner_times(scanner, w->limit, w->descending);
  while (!rc && any && (rc = scanner_next(scanner, &vector, error)) == TALLY_ROW) {
    const int64_t *timestamp = vector->value[TALLY_COL_TIMESTAMP];
    for (uint32_t i = 0; i < vector->rows; i++) keys[n + i] = key_of(w, timestamp[i]);
    n += vector->rows;
    n = keep_first(w, keys, n);
    rc = plan_alive(w->environment, error);
  }
  return rc;
}

/* It may also not be done: without memory it is not. */
static int look_ahead(struct window *w, const struct window_part *p, tally_error *error) {
  struct budget *budget = w->environment->budget;
  size_t room = (size_t)w->limit + VECTOR_ROWS;
  int64_t *keys = grow_array(budget, NULL, 0, room, sizeof *keys, what, error);
  int rc = keys ? read_times(w, p, keys, error) : error->code;
  if (keys) grow_free(budget, keys, room * sizeof *keys);
  return rc == TALLY_MEMORY_LIMIT ? 0 : rc;
}

/* Adds a part's rows with keys in [next, bound). */
static int add_part_rows(struct window *w, const struct window_part *p, tally_error *error) {
  const struct vector *vector;
  bool any;
  int rc = enter_part(w, w->scanner, p, &any, error);
  if (rc || !any) return rc;
  if (w->ahead && scanner_rows(w->scanner) / AHEAD > w->limit) {
    rc = look_ahead(w, p, error);
    if (!rc) rc = enter_part(w, w->scanner, p, &any, error);
  }
  while (!rc && any) {
    rc = plan_alive(w->environment, error);
    if (rc) return rc;
    rc = scanner_next(w->scanner, &vector, error);
    if (rc != TALLY_ROW) break;
    rc = add_vector(w, vector, error);
  }
  if (!rc) lower_for_limit(w);
  return rc;
}

/* ------------------------------------------------------------------ sorting */

/* Rows of one instant, by the other columns: merge sort of their numbers, from `order` by way of `scratch`.
 */
static void sort_instant(const struct window *w, uint32_t *order, uint32_t *scratch, size_t n) {
  if (n < 2) return;
  struct event_space space = {w->environment->snapshot->catalog, w->metadata};
  size_t half = n / 2;
  sort_instant(w, order, scratch, half);
  sort_instant(w, order + half, scratch, n - half);
  memcpy(scratch, order, half * sizeof *order);
  size_t a = 0, b = half, to = 0;
  while (a < half) {
    bool right = false;
    if (b < n) {
      int order_of = event_row_compare(&w->rows[order[b]], &w->rows[scratch[a]], w->columns, &space);
      right = w->descending ? order_of > 0 : order_of < 0;
    }
    order[to++] = right ? order[b++] : scratch[a++];
  }
}

static int sort_rows(struct window *w, tally_error *error) {
  struct budget *budget = w->environment->budget;
  size_t n = w->count;
  if (n == 0) return 0;
  w->order = grow_array(budget, NULL, 0, n, sizeof *w->order, what, error);
  if (!w->order) return error->code;
  w->order_count = n;
  uint32_t *scratch = grow_array(budget, NULL, 0, n, sizeof *scratch, what, error);
  if (!scratch) {
    free_order(w);
    return error->code;
  }
  uint64_t *keys = (uint64_t *)w->keys;
  for (size_t i = 0; i < n; i++) {
    keys[i] = (uint64_t)key_of(w, w->rows[i].timestamp) - (uint64_t)w->next;
    w->order[i] = (uint32_t)i;
  }
  radix_order(w->order, scratch, n, keys);
  for (size_t i = 0, end; i < n; i = end) {
    for (end = i + 1; end < n && keys[w->order[end]] == keys[w->order[i]];) end++;
    sort_instant(w, w->order + i, scratch, end - i);
  }
  grow_free(budget, scratch, n * sizeof *scratch);
  return 0;
}

/* ------------------------------------------------------------------ windows */

static void begin(struct window *w) {
  free_order(w);
  w->count = 0;
  w->metadata_size = 0;
  w->rows_check = rows_target(w);
  w->bound = w->end;
  if (w->span > 0 && (uint64_t)w->end - (uint64_t)w->next > (uint64_t)w->span) w->bound = w->next + w->span;
}

static int collect(struct window *w, tally_error *error) {
  int rc = 0;
  for (size_t i = 0; i < w->part_count && !rc; i++) rc = add_part_rows(w, &w->part[i], error);
  return rc;
}

int window_fill(struct window *w, tally_error *error) {
  free_order(w);
  while (w->next < w->end && w->limit > 0) {
    w->began = w->next;
    w->began_limit = w->limit;
    int rc = wake(w, error);
    if (rc) return rc;
    begin(w);
    rc = collect(w, error);
    while (!rc && (rc = sort_rows(w, error)) == TALLY_MEMORY_LIMIT && w->count > 1)
      rc = lower_for_room(w, error);
    if (rc) return rc;
    bool more = widen(w) || w->order_count < w->rows_most / 4;
    if (more && w->span > 0 && w->span <= INT64_MAX / 2) w->span *= 2;
    w->next = w->bound;
    w->limit -= w->order_count < w->limit ? w->order_count : w->limit;
    if (w->order_count > w->skip) return 0;
    w->skip -= w->order_count; /* with less memory than before the rest a window is shorter */
  }
  return 0;
}
