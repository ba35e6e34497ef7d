/* table.c - rows as an aligned table.
 *
 *   service_name | count | sum:cost
 *   -------------+-------+---------
 *   chat         |    12 |   0.0124
 *
 * Numbers stand to the right, all else to the left; NULL is empty. Nothing is cut in a pipe. On a terminal
 * the widest text columns give way until a row fits, down to SMALLEST_CUT columns each. The rows measured
 * first are kept as (varint of size + 1, or 0 for NULL; bytes) a cell. */
#include "tools/display.h"
#include "tools/format.h"

#include "base/mem.h"

#include <string.h>

#define SMALLEST_CUT 16u
#define SEPARATOR 3u /* " | " */
#define BOLD "\033[1m"
#define DIM "\033[2m"
#define PLAIN "\033[0m"

struct table {
  struct printer_options options;
  const tally_result_column *columns; /* the output's */
  size_t count;
  size_t *widths;
  tally_text *cells; /* of a kept row, while it is printed */
  struct buffer kept;
  uint64_t rows;
  bool streaming; /* the header is out, widths are settled */
  bool cut;       /* columns were made narrower than their cells */
};

static bool is_number(const struct table *t, size_t column) {
  tally_type type = t->columns[column].type;
  return type == TALLY_TYPE_INT || type == TALLY_TYPE_REAL || type == TALLY_TYPE_COST;
}

static bool may_cut(const struct table *t, size_t column) {
  tally_type type = t->columns[column].type;
  return type == TALLY_TYPE_TEXT || type == TALLY_TYPE_JSON;
}

struct table *table_open(const struct printer_options *options, const tally_result_column *columns,
                         size_t count) {
  struct table *t = mem_zalloc(1, sizeof *t);
  if (!t) return NULL;
  *t = (struct table){.options = *options, .columns = columns, .count = count};
  t->widths = mem_zalloc(count, sizeof *t->widths);
  t->cells = mem_zalloc(count, sizeof *t->cells);
  if (!t->widths || !t->cells) {
    table_close(t);
    return NULL;
  }
  for (size_t i = 0; i < count; i++) t->widths[i] = display_width(columns[i].name, strlen(columns[i].name));
  return t;
}

void table_close(struct table *t) {
  if (!t) return;
  mem_free(t->widths);
  mem_free(t->cells);
  buffer_free(&t->kept);
  mem_free(t);
}

static size_t row_width(const struct table *t) {
  size_t width = SEPARATOR * (t->count - 1);
  for (size_t i = 0; i < t->count; i++) width += t->widths[i];
  return width;
}

/* The widest column that may still shrink, or count. */
static size_t widest_to_cut(const struct table *t) {
  size_t widest = t->count;
  for (size_t i = 0; i < t->count; i++) {
    if (!may_cut(t, i) || t->widths[i] <= SMALLEST_CUT) continue;
    if (widest == t->count || t->widths[i] > t->widths[widest]) widest = i;
  }
  return widest;
}

/* How far the widest column shrinks in one step: to the next widest one, but not below what is needed. */
static size_t shrunk_width(const struct table *t, size_t widest, size_t excess) {
  size_t next = SMALLEST_CUT;
  for (size_t i = 0; i < t->count; i++) {
    if (i != widest && may_cut(t, i) && t->widths[i] > next && t->widths[i] < t->widths[widest]) {
      next = t->widths[i];
    }
  }
  size_t room = t->widths[widest] - next;
  return t->widths[widest] - (excess < room ? excess : room);
}

static void fit_terminal(struct table *t) {
  if (!t->options.terminal || !t->options.width) return;
  for (size_t width; (width = row_width(t)) > t->options.width;) {
    size_t widest = widest_to_cut(t);
    if (widest == t->count) return;
    /* Columns of one width shrink together, one column of the terminal at a time. */
    size_t to = shrunk_width(t, widest, width - t->options.width), from = t->widths[widest];
    size_t equals = 0;
    for (size_t i = 0; i < t->count; i++) equals += may_cut(t, i) && t->widths[i] == from;
    t->widths[widest] = equals > 1 ? from - 1 : to;
    t->cut = true;
  }
}

static void pad(struct buffer *out, char with, size_t count) {
  uint8_t *p = buffer_add(out, count);
  if (p) memset(p, with, count);
}

static void put_cell(struct table *t, struct buffer *out, size_t column, tally_text cell) {
  size_t width = t->widths[column];
  size_t limit = t->cut && may_cut(t, column) ? width : SIZE_MAX;
  if (is_number(t, column)) {
    size_t own = display_width(cell.data, cell.size);
    if (own < width) pad(out, ' ', width - own);
    display_append(out, cell.data, cell.size, limit);
    return;
  }
  size_t own = display_append(out, cell.data, cell.size, limit);
  if (own < width && column + 1 < t->count) pad(out, ' ', width - own);
}

/* Spaces at the end of a line (of empty cells) are dropped. */
static void put_row(struct table *t, struct buffer *out, const tally_text *cells) {
  size_t start = out->size;
  for (size_t i = 0; i < t->count; i++) {
    if (i) buffer_text(out, " | ");
    put_cell(t, out, i, cells[i].data ? cells[i] : (tally_text){"", 0});
  }
  if (!cells[t->count - 1].size) {
    while (!out->failed && out->size > start && out->data[out->size - 1] == ' ') out->size--;
  }
  write8(out, '\n');
}

static void put_header(struct table *t, struct buffer *out) {
  bool color = t->options.color;
  for (size_t i = 0; i < t->count; i++) {
    if (i) buffer_text(out, " | ");
    if (color) buffer_text(out, BOLD);
    put_cell(t, out, i, (tally_text){t->columns[i].name, strlen(t->columns[i].name)});
    if (color) buffer_text(out, PLAIN);
  }
  buffer_text(out, color ? "\n" DIM : "\n");
  for (size_t i = 0; i < t->count; i++) {
    if (i) buffer_text(out, "-+-");
    pad(out, '-', t->widths[i]);
  }
  buffer_text(out, color ? PLAIN "\n" : "\n");
}

static void keep_row(struct table *t, const tally_text *cells) {
  for (size_t i = 0; i < t->count; i++) {
    write_varint(&t->kept, cells[i].data ? cells[i].size + 1 : 0);
    if (!cells[i].data) continue;
    buffer_append(&t->kept, cells[i].data, cells[i].size);
    size_t width = display_width(cells[i].data, cells[i].size);
    if (width > t->widths[i]) t->widths[i] = width;
  }
}

/* Settles the widths and prints header and kept rows. */
static void release_kept(struct table *t, struct buffer *out) {
  t->streaming = true;
  fit_terminal(t);
  put_header(t, out);
  struct reader r = reader_make(t->kept.data, t->kept.size);
  while (reader_left(&r)) {
    for (size_t i = 0; i < t->count; i++) {
      uint64_t size = read_varint(&r);
      t->cells[i] = size ? (tally_text){(const char *)read_bytes(&r, size - 1), size - 1} : (tally_text){0};
    }
    put_row(t, out, t->cells);
  }
  buffer_free(&t->kept);
}

bool table_row(struct table *t, const tally_text *cells, struct buffer *out) {
  t->rows++;
  if (t->streaming) {
    put_row(t, out, cells);
    return !out->failed;
  }
  keep_row(t, cells);
  if (t->kept.failed) return false;
  if (t->rows >= TABLE_MEASURED || t->kept.size >= TABLE_BYTES) release_kept(t, out);
  return !out->failed;
}

bool table_finish(struct table *t, bool complete, struct buffer *out) {
  if (!t->streaming) release_kept(t, out);
  if (t->options.terminal) {
    if (t->options.color) buffer_text(out, DIM);
    buffer_printf(out, "(%llu row%s%s%s)", (unsigned long long)t->rows, t->rows == 1 ? "" : "s",
                  complete ? "" : ", incomplete",
                  t->cut ? "; … marks cut cells, csv or json show them whole" : "");
    buffer_text(out, t->options.color ? PLAIN "\n" : "\n");
  }
  return !out->failed;
}
