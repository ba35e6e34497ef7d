/* candidates.c - asking the index; see candidates.h. */
#include "scan/candidates.h"

#include "scan/kernel.h"

/* A lookup decodes a group of runs; going through all runs costs less when there are many lookups. */
#define RUNS_PER_LOOKUP 64u
#define LOOKUPS_ALWAYS 16u

static uint64_t listed_users(const struct text_filter *f) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < f->in.count; i++) n += (uint64_t)(f->in.at[i].high - f->in.at[i].low) + 1;
  return n;
}

bool candidates_look_up(const struct scan *scan, const struct segment *segment, uint32_t *lookups) {
  if (!(scan->filters & SCAN_USER) || !scan->filter[TALLY_COL_USER_ID].text.listed) return false;
  uint64_t services = 0;
  for (uint32_t i = 0; i < segment->services; i++)
    services += scan_service_passes(scan, segment->span[i].service);
  uint64_t users = listed_users(&scan->filter[TALLY_COL_USER_ID].text);
  if (users > segment->runs || users * services > LOOKUPS_ALWAYS + segment->runs / RUNS_PER_LOOKUP)
    return false;
  *lookups = (uint32_t)(users * services);
  return true;
}

static int add_range(struct candidates *c, struct hold *h, const struct row_range *range,
                     tally_error *error) {
  int result = hold_reserve(h, &c->memory, (c->count + 1) * sizeof *range, error);
  if (!result) memcpy(c->memory.data + c->count++ * sizeof *range, range, sizeof *range);
  return result;
}

static bool service_in(const struct candidates *c, const struct scan *scan, uint32_t service) {
  return service % c->pieces == c->piece && scan_service_passes(scan, service);
}

/* The runs of each listed user in each service that passes; both ascend, and so do the rows. */
static int look_up(struct candidates *c, const struct scan *scan, struct segment *segment, struct hold *h,
                   tally_error *error) {
  const struct intervals *users = &scan->filter[TALLY_COL_USER_ID].text.in;
  for (uint32_t i = 0; i < segment->services; i++) {
    uint32_t service = segment->span[i].service;
    if (!service_in(c, scan, service)) continue;
    for (uint32_t k = 0; k < users->count; k++)
      for (int64_t user = users->at[k].low; user <= users->at[k].high; user++) {
        bool found;
        struct found_run run;
        int result = segment_find_run(segment, service, (uint32_t)user, &found, &run, error);
        if (!result && found)
          result = add_range(c, h, &(struct row_range){run.first_row, run.end_row, (uint32_t)user}, error);
        if (result) return result;
      }
  }
  return 0;
}

/* The rows of the services that pass. */
static int whole_services(struct candidates *c, const struct scan *scan, const struct segment *segment,
                          struct hold *h, tally_error *error) {
  for (uint32_t i = 0; i < segment->services;) {
    if (!service_in(c, scan, segment->span[i].service)) {
      i++;
      continue;
    }
    struct row_range range = {.first = segment->span[i].first};
    while (i < segment->services && service_in(c, scan, segment->span[i].service)) i++;
    range.end = segment->span[i - 1].first + segment->span[i - 1].rows;
    int result = add_range(c, h, &range, error);
    if (result) return result;
  }
  return 0;
}

void candidates_share(struct candidates *c, uint32_t piece, uint32_t pieces) {
  if (c->piece != piece || c->pieces != pieces) c->segment = NULL;
  c->piece = piece;
  c->pieces = pieces;
}

bool candidates_lead(const struct candidates *c, const struct scan *scan, const struct segment *segment,
                     uint32_t chunk) {
  uint32_t i = segment_span_of(segment, chunk * CHUNK_ROWS);
  while (i < segment->services && !scan_service_passes(scan, segment->span[i].service)) i++;
  return i < segment->services && service_in(c, scan, segment->span[i].service);
}

int candidates_find(struct candidates *c, const struct scan *scan, struct segment *segment, struct hold *h,
                    tally_error *error) {
  uint32_t lookups;
  c->next = 0;
  c->most = UINT32_MAX;
  c->window.count = 0;
  if (c->segment == segment) return 0;
  c->segment = NULL;
  c->count = 0;
  c->one_user = candidates_look_up(scan, segment, &lookups);
  c->judge_users = scan->filters & SCAN_USER && !c->one_user;
  int result = c->one_user ? look_up(c, scan, segment, h, error) : whole_services(c, scan, segment, h, error);
  if (!result) c->segment = segment;
  return result;
}

void candidates_trim(struct candidates *c, uint64_t most, bool last) {
  if (!c->one_user || most > UINT32_MAX) return;
  c->most = (uint32_t)most;
  c->last = last;
}

bool candidates_chunk(struct candidates *c, uint32_t *chunk) {
  while (c->next < c->count && candidates_range(c, c->next).end <= *chunk * CHUNK_ROWS) c->next++;
  if (c->next == c->count) return false;
  uint32_t first = candidates_range(c, c->next).first / CHUNK_ROWS;
  if (first > *chunk) *chunk = first;
  return true;
}

/* ---- the window */

static void drop_before(struct run_window *w, uint32_t row) {
  uint32_t n = 0;
  while (w->row[n + 1] <= row) n++;
  w->first += n;
  w->count -= n;
  memmove(w->user, w->user + n, w->count * sizeof *w->user);
  memmove(w->row, w->row + n, (w->count + 1) * sizeof *w->row);
}

/* Makes the window hold the runs of rows [row, end), at most CHUNK_ROWS of them. */
static int cover(struct run_window *w, struct segment *s, uint32_t row, uint32_t end, tally_error *error) {
  int result = 0;
  if (w->count && w->row[0] <= row && row < w->row[w->count]) {
    drop_before(w, row);
  } else {
    w->count = 0;
    result = segment_run_of_row(s, row, &w->first, error);
  }
  while (!result && (w->count == 0 || w->row[w->count] < end)) {
    uint32_t run = w->first + w->count, n = WINDOW_STEP - run % WINDOW_STEP;
    if (n > s->runs - run) n = s->runs - run;
    result = segment_runs(s, run, n, NULL, w->user + w->count, NULL, error);
    if (!result) result = segment_run_bounds(s, run, n, w->row + w->count, error);
    if (!result) w->count += n;
  }
  if (result) w->count = 0;
  return result;
}

/* Selects, of rows [row, end), those whose user passes. */
static int select_users(struct run_window *w, const struct scan *scan, struct segment *s, uint32_t row,
                        uint32_t end, uint32_t base, uint64_t *selection, tally_error *error) {
  int result = cover(w, s, row, end, error);
  for (uint32_t i = 0; !result && i < w->count && w->row[i] < end; i++) {
    if (!scan_user_passes(scan, w->user[i])) continue;
    uint32_t from = w->row[i] > row ? w->row[i] : row, to = w->row[i + 1] < end ? w->row[i + 1] : end;
    select_range(selection, from - base, to - base);
  }
  return result;
}

int candidates_select(struct candidates *c, const struct scan *scan, struct segment *segment, uint32_t chunk,
                      uint64_t *selection, tally_error *error) {
  uint32_t base = chunk * CHUNK_ROWS, end = base + segment_chunk_rows(segment, chunk);
  for (uint32_t i = c->next; i < c->count && candidates_range(c, i).first < end; i++) {
    const struct row_range r = candidates_range(c, i);
    uint32_t from = r.first > base ? r.first : base, to = r.end < end ? r.end : end;
    if (!c->judge_users) {
      select_range(selection, from - base, to - base);
      continue;
    }
    int result = select_users(&c->window, scan, segment, from, to, base, selection, error);
    if (result) return result;
  }
  return 0;
}

static void users_of_ranges(const struct candidates *c, uint32_t row, uint32_t count, int64_t *values) {
  for (uint32_t i = c->next; i < c->count && candidates_range(c, i).first < row + count; i++) {
    const struct row_range r = candidates_range(c, i);
    uint32_t from = r.first > row ? r.first : row, to = r.end < row + count ? r.end : row + count;
    for (uint32_t k = from; k < to; k++) values[k - row] = r.user;
  }
}

/* Most runs are short, and how short cannot be guessed: each is put down as AT_ONCE rows first, of which the
 * next run takes what is its own. */
#define AT_ONCE 8u
static void users_of_runs(const struct run_window *w, uint32_t row, uint32_t end, int64_t *values) {
  for (uint32_t i = 0, at = row; at < end; i++) {
    const uint32_t stop = w->row[i + 1] < end ? w->row[i + 1] : end;
    const int64_t user = w->user[i];
    int64_t *to = values + (at - row);
    uint32_t k = 0;
    if (end - at >= AT_ONCE)
      for (; k < AT_ONCE; k++) to[k] = user;
    for (; k < stop - at; k++) to[k] = user;
    at = stop;
  }
}

int candidates_users(struct candidates *c, struct segment *segment, uint32_t row, uint32_t count,
                     int64_t *values, tally_error *error) {
  if (c->one_user) {
    users_of_ranges(c, row, count, values);
    return 0;
  }
  int result = cover(&c->window, segment, row, row + count, error);
  if (!result) users_of_runs(&c->window, row, row + count, values);
  return result;
}
