/* run_read.c - the runs: users and first rows by run, runs by user and by row (docs/format/segment.md, "Run
 * blocks").
 *
 * A lookup finds its piece in the directory and its group in the piece's table, and decodes one group. Every
 * group that is decoded is checked, once while its block is in the cache: users rise within a service,
 * lengths are at least 1 and fill the group's rows exactly, services begin at their rows. */
#include "base/array.h"
#include "base/status.h"
#include "encoding/bits.h"
#include "segment/inside.h"

/* One group of a pinned run block. */
struct group {
  uint32_t first, count; /* runs */
  uint32_t row, next_row;
  uint32_t user; /* of the first run */
  const uint8_t *users, *lengths;
  size_t users_size, lengths_size;
};

static uint32_t piece_groups(uint32_t runs) { return (runs + RUN_GROUP - 1) / RUN_GROUP; }

static uint32_t table_user(const struct block *b, uint32_t g) { return load32(b->payload + g * RUN_ENTRY); }
static uint32_t table_row(const struct block *b, uint32_t g) {
  return load32(b->payload + g * RUN_ENTRY + 4);
}

/* Pins a piece's block and checks its table: rows rise by at least a group's runs, sizes fill the block. */
static int pin_piece(struct segment *s, uint32_t piece, struct block *b, tally_error *error) {
  const struct directory *d = &s->inside->directory;
  int result = block_pin(s, directory_run_block(d, piece), b, error);
  if (result) return result;
  uint32_t runs = directory_piece_runs(d, piece), groups = piece_groups(runs);
  uint32_t rows = d->piece_row[piece + 1] - d->piece_row[piece];
  size_t used = (size_t)groups * RUN_ENTRY;
  bool sound = used <= b->size && table_user(b, 0) == d->piece_user[piece] && table_row(b, 0) == 0;
  for (uint32_t g = 0; sound && g < groups; g++) {
    const uint8_t *entry = b->payload + g * RUN_ENTRY;
    uint32_t next = g + 1 < groups ? table_row(b, g + 1) : rows;
    uint32_t count = g + 1 < groups ? RUN_GROUP : runs - g * RUN_GROUP;
    used += (size_t)load16(entry + 8) + load16(entry + 10);
    sound = next <= rows && table_row(b, g) < next && next - table_row(b, g) >= count;
  }
  if (sound && used == b->size) return 0;
  result = block_damage(s, b, "segment-runs-table", error);
  block_release(b);
  return result;
}

static struct group find_group(const struct segment *s, const struct block *b, uint32_t piece, uint32_t g) {
  const struct directory *d = &s->inside->directory;
  uint32_t runs = directory_piece_runs(d, piece), groups = piece_groups(runs), base = d->piece_row[piece];
  struct group group = {.first = piece * RUN_PIECE + g * RUN_GROUP,
                        .count = g + 1 < groups ? RUN_GROUP : runs - g * RUN_GROUP,
                        .row = base + table_row(b, g),
                        .next_row = g + 1 < groups ? base + table_row(b, g + 1) : d->piece_row[piece + 1],
                        .user = table_user(b, g),
                        .users = b->payload + (size_t)groups * RUN_ENTRY};
  for (uint32_t i = 0; i < g; i++)
    group.users += (size_t)load16(b->payload + i * RUN_ENTRY + 8) + load16(b->payload + i * RUN_ENTRY + 10);
  group.users_size = load16(b->payload + g * RUN_ENTRY + 8);
  group.lengths = group.users + group.users_size;
  group.lengths_size = load16(b->payload + g * RUN_ENTRY + 10);
  return group;
}

/* The parts of a run block that may be known to be sound: each group's users, and its lengths. */
static unsigned users_part(const struct group *g) { return g->first % RUN_PIECE / RUN_GROUP; }
static unsigned lengths_part(const struct group *g) { return RUN_PIECE / RUN_GROUP + users_part(g); }
_Static_assert(2 * (RUN_PIECE / RUN_GROUP) <= 32, "parts of a block");

/* Users rise within each service and stay below the directory's highest. */
static bool users_sound(const struct segment *s, const struct group *g, const int64_t *user) {
  uint32_t end = g->first + g->count;
  bool sound = bits_union(user, g->count) <= UINT32_MAX && user[0] == g->user;
  for (uint32_t i = segment_span_of_run(s, g->first); sound && i < s->services && s->span[i].first_run < end;
       i++) {
    uint32_t from = s->span[i].first_run > g->first ? s->span[i].first_run - g->first : 0;
    uint32_t to = s->span[i].first_run + s->span[i].runs;
    to = to < end ? to - g->first : g->count;
    sound =
        array_rises(user + from, to - from) && user[to - 1] <= s->max_id[column_domain(TALLY_COL_USER_ID)];
  }
  return sound;
}

/* Users of a group, each below 2^32. */
static int group_users(const struct segment *s, const struct block *b, const struct group *g, int64_t *user,
                       tally_error *error) {
  struct ints ints;
  if (!ints_open(g->users, g->users_size, g->count, &ints))
    return block_damage(s, b, "segment-runs-users", error);
  ints_decode(&ints, 0, g->count, user);
  if (block_is_sound(b, users_part(g))) return 0;
  if (!users_sound(s, g, user)) return block_damage(s, b, "segment-runs-users-order", error);
  block_set_sound(b, users_part(g));
  return 0;
}

/* Each length is 1 at least, they fill the group, and services begin at their rows. */
static bool lengths_sound(const struct segment *s, const struct group *g, const int64_t *length) {
  uint32_t end = g->first + g->count;
  bool sound = array_within(length, g->count, (struct bounds){1, s->info.rows}) &&
               g->row + array_sum(length, g->count) == g->next_row;
  for (uint32_t i = segment_span_of_run(s, g->first); sound && i < s->services && s->span[i].first_run < end;
       i++)
    if (s->span[i].first_run >= g->first)
      sound = g->row + array_sum(length, s->span[i].first_run - g->first) == s->span[i].first;
  return sound;
}

/* Lengths in rows of a group's first `count` runs at least; room for all. Some are decoded later, so they
 * must be what the whole, which is checked, has there. */
static int group_lengths(const struct segment *s, const struct block *b, const struct group *g,
                         uint32_t count, int64_t *length, tally_error *error) {
  struct ints ints;
  if (!ints_open(g->lengths, g->lengths_size, g->count, &ints))
    return block_damage(s, b, "segment-runs-lengths", error);
  bool sound = block_is_sound(b, lengths_part(g));
  ints_decode(&ints, 0, sound ? count : g->count, length);
  if (sound) return 0;
  if (!ints_sound(&ints) || !lengths_sound(s, g, length))
    return block_damage(s, b, "segment-runs-lengths-sum", error);
  block_set_sound(b, lengths_part(g));
  return 0;
}

/* First rows of a group's runs, and the row behind its last: count + 1 of them. */
static int group_rows(const struct segment *s, const struct block *b, const struct group *g, uint32_t *row,
                      tally_error *error) {
  int64_t length[RUN_GROUP];
  int result = group_lengths(s, b, g, g->count, length, error);
  if (result) return result;
  uint32_t at = g->row;
  for (uint32_t i = 0; i < g->count; i++) {
    row[i] = at;
    at += (uint32_t)length[i];
  }
  row[g->count] = at;
  return 0;
}

/* ---- runs by number */

/* Runs [first, first + count) of a group, relative to it; rows gets count + 1 values if asked for. */
static int copy_group(const struct segment *s, const struct block *b, const struct group *g, uint32_t first,
                      uint32_t count, uint32_t *user, uint32_t *row, uint32_t *end_row, tally_error *error) {
  int result = 0;
  if (user) {
    int64_t users[RUN_GROUP];
    result = group_users(s, b, g, users, error);
    if (!result) array_narrow(users + first, count, user);
  }
  if (!result && (row || end_row)) {
    uint32_t rows[RUN_GROUP + 1];
    result = group_rows(s, b, g, rows, error);
    if (result) return result;
    if (row) memcpy(row, rows + first, count * sizeof *row);
    if (end_row) *end_row = rows[first + count];
  }
  return result;
}

/* Runs [first, first + count) of one piece, relative to it. */
static int copy_piece(struct segment *s, uint32_t piece, uint32_t first, uint32_t count, uint32_t *user,
                      uint32_t *row, uint32_t *end_row, tally_error *error) {
  struct block b;
  int result = pin_piece(s, piece, &b, error);
  if (result) return result;
  for (uint32_t done = 0; done < count && !result;) {
    struct group g = find_group(s, &b, piece, (first + done) / RUN_GROUP);
    uint32_t at = (first + done) % RUN_GROUP, n = g.count - at;
    if (n > count - done) n = count - done;
    result = copy_group(s, &b, &g, at, n, user ? user + done : NULL, row ? row + done : NULL, end_row, error);
    done += n;
  }
  block_release(&b);
  return result;
}

static void fill_services(const struct segment *s, uint32_t first, uint32_t count, uint32_t *service) {
  uint32_t span = segment_span_of_run(s, first);
  for (uint32_t i = 0; i < count; i++) {
    while (first + i >= s->span[span].first_run + s->span[span].runs) span++;
    service[i] = s->span[span].service;
  }
}

static int copy_runs(struct segment *s, uint32_t first, uint32_t count, uint32_t *user, uint32_t *row,
                     uint32_t *end_row, tally_error *error) {
  int result = 0;
  for (uint32_t done = 0; done < count && !result;) {
    uint32_t at = (first + done) % RUN_PIECE, n = RUN_PIECE - at;
    if (n > count - done) n = count - done;
    result = copy_piece(s, (first + done) / RUN_PIECE, at, n, user ? user + done : NULL,
                        row ? row + done : NULL, end_row, error);
    done += n;
  }
  return result;
}

int segment_runs(struct segment *s, uint32_t first, uint32_t count, uint32_t *service, uint32_t *user,
                 uint32_t *row, tally_error *error) {
  if (service && count) fill_services(s, first, count, service);
  return user || row ? copy_runs(s, first, count, user, row, NULL, error) : 0;
}

int segment_run_bounds(struct segment *s, uint32_t first, uint32_t count, uint32_t *row, tally_error *error) {
  return copy_runs(s, first, count, NULL, row, &row[count], error);
}

int run_lengths(struct segment *s, uint32_t first, uint32_t count, uint32_t *rows, tally_error *error) {
  uint32_t end = 0;
  int result = copy_runs(s, first, count, NULL, rows, &end, error);
  for (uint32_t i = 0; !result && i < count; i++) rows[i] = (i + 1 < count ? rows[i + 1] : end) - rows[i];
  return result;
}

/* ---- runs by row */

static uint32_t piece_of_row(const struct directory *d, uint32_t row) {
  uint32_t low = 0, high = d->pieces;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (d->piece_row[middle] <= row)
      low = middle;
    else
      high = middle;
  }
  return low;
}

int segment_run_of_row(struct segment *s, uint32_t row, uint32_t *run, tally_error *error) {
  const struct directory *d = &s->inside->directory;
  uint32_t piece = piece_of_row(d, row), g = piece_groups(directory_piece_runs(d, piece)) - 1;
  struct block b;
  int result = pin_piece(s, piece, &b, error);
  if (result) return result;
  while (g > 0 && d->piece_row[piece] + table_row(&b, g) > row) g--;
  struct group group = find_group(s, &b, piece, g);
  uint32_t rows[RUN_GROUP + 1];
  result = group_rows(s, &b, &group, rows, error);
  block_release(&b);
  uint32_t i = 0;
  while (!result && i + 1 < group.count && rows[i + 1] <= row) i++;
  *run = group.first + i;
  return result;
}

int run_values(struct segment *s, int column, uint32_t row, uint32_t count, int64_t *values,
               tally_error *error) {
  uint32_t run, done = 0, user[RUN_GROUP], service[RUN_GROUP], bound[RUN_GROUP + 1];
  int result = segment_run_of_row(s, row, &run, error);
  while (!result && done < count) {
    uint32_t n = RUN_GROUP - run % RUN_GROUP;
    if (n > s->runs - run) n = s->runs - run;
    result = segment_runs(s, run, n, service, column == TALLY_COL_USER_ID ? user : NULL, NULL, error);
    if (!result) result = segment_run_bounds(s, run, n, bound, error);
    const uint32_t *id = column == TALLY_COL_USER_ID ? user : service;
    for (uint32_t i = 0; !result && i < n; i++)
      for (; done < count && row + done < bound[i + 1]; done++) values[done] = id[i];
    run += n;
  }
  return result;
}

/* ---- runs by user */

static const struct service_span *find_span(const struct segment *s, uint32_t service) {
  uint32_t low = 0, high = s->services;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (s->span[middle].service < service)
      low = middle + 1;
    else
      high = middle;
  }
  return low < s->services && s->span[low].service == service ? &s->span[low] : NULL;
}

void segment_service_runs(const struct segment *s, uint32_t service, uint32_t *first, uint32_t *count) {
  const struct service_span *span = find_span(s, service);
  *first = span ? span->first_run : 0;
  *count = span ? span->runs : 0;
}

/* The last piece that begins inside the runs [first, end) with a user of at most `user`; else the one with
 * `first` in it. */
static uint32_t piece_of_user(const struct directory *d, uint32_t first, uint32_t end, uint32_t user) {
  uint32_t low = first / RUN_PIECE, high = (end - 1) / RUN_PIECE + 1;
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (d->piece_user[middle] <= user)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* The same of the groups of a piece. */
static uint32_t group_of_user(const struct block *b, uint32_t piece, uint32_t first, uint32_t end,
                              uint32_t user) {
  uint32_t base = piece * RUN_PIECE;
  uint32_t low = first > base ? (first - base) / RUN_GROUP : 0;
  uint32_t last = end - base < RUN_PIECE ? (end - 1 - base) / RUN_GROUP : RUN_PIECE / RUN_GROUP - 1;
  while (low < last && table_user(b, low + 1) <= user) low++;
  return low;
}

/* The place of `user` among the runs of a group that are of the service; count if it is not there. */
static uint32_t place_of_user(const int64_t *users, uint32_t first, uint32_t end, uint32_t user) {
  uint32_t low = first, high = end;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (users[middle] < user)
      low = middle + 1;
    else
      high = middle;
  }
  return low < end && users[low] == user ? low : RUN_GROUP;
}

int segment_find_run(struct segment *s, uint32_t service, uint32_t user, bool *found, struct found_run *run,
                     tally_error *error) {
  *found = false;
  const struct service_span *span = find_span(s, service);
  if (!span) return 0;
  uint32_t first = span->first_run, end = first + span->runs;
  uint32_t piece = piece_of_user(&s->inside->directory, first, end, user);
  struct block b;
  int result = pin_piece(s, piece, &b, error);
  if (result) return result;
  struct group g = find_group(s, &b, piece, group_of_user(&b, piece, first, end, user));
  int64_t users[RUN_GROUP], length[RUN_GROUP];
  uint32_t place = RUN_GROUP;
  result = group_users(s, &b, &g, users, error);
  if (!result)
    place = place_of_user(users, first > g.first ? first - g.first : 0,
                          end - g.first < g.count ? end - g.first : g.count, user);
  if (!result && place < RUN_GROUP) {
    result = group_lengths(s, &b, &g, place + 1, length, error);
    *found = result == 0;
    if (*found) {
      uint32_t row = g.row + (uint32_t)array_sum(length, place);
      *run = (struct found_run){g.first + place, row, row + (uint32_t)length[place]};
    }
  }
  block_release(&b);
  return result;
}
