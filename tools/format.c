/* format.c - csv, tsv, json and ndjson, and the way of all formats to the file descriptor; see format.h.
 *
 * NULL and the empty string stay apart in every one: csv has nothing and "", tsv \N and nothing, JSON null
 * and "". */
#include "tools/format.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define FLUSH_BYTES (64u << 10)
#define FLUSH_MS 200 /* since the last write: rows do not wait for others any more */

const char *const format_names[] = {"table", "csv", "tsv", "json", "ndjson", NULL};

struct printer {
  int descriptor;
  struct printer_options options;
  tally_result_column *columns; /* names are in `names` */
  size_t count;
  struct buffer names;
  struct buffer *keys; /* JSON: each column's "name": */
  struct buffer out;
  int64_t flushed; /* monotonic milliseconds; 0: never */
  struct table *table;
  uint64_t rows;
};

int format_number(const char *name) {
  for (int i = 0; format_names[i]; i++) {
    if (strcmp(name, format_names[i]) == 0) return i + 1;
  }
  return -1;
}

/* ---- the four texts */

static tally_text text_of(const char *name) { return (tally_text){name, strlen(name)}; }

static void csv_cell(struct buffer *out, tally_text cell) {
  if (!cell.data) return;
  bool quote = cell.size == 0;
  for (size_t i = 0; i < cell.size && !quote; i++) {
    char c = cell.data[i];
    quote = c == '"' || c == ',' || c == '\n' || c == '\r';
  }
  if (!quote) {
    buffer_append(out, cell.data, cell.size);
    return;
  }
  write8(out, '"');
  const char *at = cell.data, *end = cell.data + cell.size;
  for (const char *mark; (mark = memchr(at, '"', (size_t)(end - at))) != NULL; at = mark + 1) {
    buffer_append(out, at, (size_t)(mark - at) + 1);
    write8(out, '"');
  }
  buffer_append(out, at, (size_t)(end - at));
  write8(out, '"');
}

static void tsv_cell(struct buffer *out, tally_text cell) {
  if (!cell.data) {
    buffer_text(out, "\\N");
    return;
  }
  size_t from = 0;
  for (size_t i = 0; i < cell.size; i++) {
    const char *escape = NULL;
    switch (cell.data[i]) {
    case '\t':
      escape = "\\t";
      break;
    case '\n':
      escape = "\\n";
      break;
    case '\r':
      escape = "\\r";
      break;
    case '\\':
      escape = "\\\\";
      break;
    default:
      continue;
    }
    buffer_append(out, cell.data + from, i - from);
    buffer_text(out, escape);
    from = i + 1;
  }
  buffer_append(out, cell.data + from, cell.size - from);
}

static void json_escape(struct buffer *out, unsigned char c) {
  static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";
  for (size_t i = 0; i + 1 < sizeof letters; i += 2) {
    if ((unsigned char)letters[i] == c) {
      write8(out, '\\');
      write8(out, (uint8_t)letters[i + 1]);
      return;
    }
  }
  buffer_printf(out, "\\u%04x", c);
}

/* Bytes that are no UTF-8 (they can only come from names of files) become U+FFFD, so the output stays JSON.
 */
static void json_string(struct buffer *out, tally_text cell) {
  write8(out, '"');
  const char *at = cell.data, *end = cell.data + cell.size;
  while (at < end) {
    size_t valid = utf8_prefix(at, (size_t)(end - at));
    for (const char *stop = at + valid, *from = at; at < stop;) {
      unsigned char c = (unsigned char)*at++;
      bool escape = c < 0x20 || c == '"' || c == '\\';
      if (escape || at == stop) buffer_append(out, from, (size_t)(at - from) - (escape ? 1 : 0));
      if (escape) {
        json_escape(out, c);
        from = at;
      }
    }
    if (at == end) break;
    if (*at == '\0') {
      buffer_text(out, "\\u0000");
    } else {
      buffer_text(out, "\xEF\xBF\xBD");
    }
    at++;
  }
  write8(out, '"');
}

/* A stored object as it stands; its line breaks can only be between tokens, where a space is the same. */
static void json_object(struct buffer *out, tally_text cell, bool one_line) {
  uint8_t *to = buffer_add(out, cell.size);
  if (!to) return;
  memcpy(to, cell.data, cell.size);
  for (size_t i = 0; one_line && i < cell.size; i++) {
    if (to[i] == '\n' || to[i] == '\r') to[i] = ' ';
  }
}

static void json_cell(struct printer *p, size_t column, tally_text cell) {
  if (!cell.data) {
    buffer_text(&p->out, "null");
    return;
  }
  switch (p->columns[column].type) {
  case TALLY_TYPE_INT:
  case TALLY_TYPE_REAL:
    buffer_append(&p->out, cell.data, cell.size);
    break;
  case TALLY_TYPE_JSON:
    json_object(&p->out, cell, p->options.format == FORMAT_NDJSON);
    break;
  case TALLY_TYPE_TEXT:
  case TALLY_TYPE_COST:
  case TALLY_TYPE_TIME:
  default:
    json_string(&p->out, cell);
    break;
  }
}

static void json_row(struct printer *p, const tally_text *cells) {
  write8(&p->out, '{');
  for (size_t i = 0; i < p->count; i++) {
    if (i) write8(&p->out, ',');
    buffer_append(&p->out, p->keys[i].data, p->keys[i].size);
    json_cell(p, i, cells[i]);
  }
  write8(&p->out, '}');
}

static void delimited_row(struct printer *p, const tally_text *cells) {
  bool csv = p->options.format == FORMAT_CSV;
  for (size_t i = 0; i < p->count; i++) {
    if (i) write8(&p->out, csv ? ',' : '\t');
    if (csv) {
      csv_cell(&p->out, cells[i]);
    } else {
      tsv_cell(&p->out, cells[i]);
    }
  }
  write8(&p->out, '\n');
}

/* ---- the printer */

static int64_t milliseconds(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int flush_output(struct printer *p, tally_error *error) {
  if (p->out.failed) return fail_memory(error, "the output");
  size_t done = 0;
  while (done < p->out.size) {
    ssize_t n = write(p->descriptor, p->out.data + done, p->out.size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) return fail(error, TALLY_CLOSED, "the reader of the output has gone");
    if (n <= 0) {
      return fail(error, TALLY_IO, "cannot write the output: %s; it is not complete", strerror(errno));
    }
    done += (size_t)n;
  }
  buffer_clear(&p->out);
  p->flushed = milliseconds();
  return 0;
}

static bool is_due(const struct printer *p) {
  return p->out.size >= FLUSH_BYTES || p->out.failed || milliseconds() - p->flushed >= FLUSH_MS;
}

static bool copy_columns(struct printer *p, const tally_result_column *columns) {
  p->columns = mem_zalloc(p->count, sizeof *p->columns);
  if (!p->columns) return false;
  for (size_t i = 0; i < p->count; i++)
    buffer_append(&p->names, columns[i].name, strlen(columns[i].name) + 1);
  if (p->names.failed) return false;
  const char *name = (const char *)p->names.data;
  for (size_t i = 0; i < p->count; i++) {
    p->columns[i] = (tally_result_column){name, columns[i].type};
    name += strlen(name) + 1;
  }
  return true;
}

static bool make_keys(struct printer *p) {
  p->keys = mem_zalloc(p->count, sizeof *p->keys);
  if (!p->keys) return false;
  for (size_t i = 0; i < p->count; i++) {
    json_string(&p->keys[i], text_of(p->columns[i].name));
    write8(&p->keys[i], ':');
    if (p->keys[i].failed) return false;
  }
  return true;
}

static bool start(struct printer *p) {
  switch (p->options.format) {
  case FORMAT_TABLE:
    p->table = table_open(&p->options, p->columns, p->count);
    return p->table != NULL;
  case FORMAT_JSON:
    buffer_text(&p->out, "[");
    return make_keys(p);
  case FORMAT_NDJSON:
    return make_keys(p);
  case FORMAT_CSV:
  case FORMAT_TSV:
  case FORMAT_DEFAULT:
  default:
    break;
  }
  tally_text *header = mem_zalloc(p->count, sizeof *header);
  if (!header) return false;
  for (size_t i = 0; i < p->count; i++) header[i] = text_of(p->columns[i].name);
  delimited_row(p, header);
  mem_free(header);
  return !p->out.failed;
}

int printer_open(int descriptor, const struct printer_options *options, const tally_result_column *columns,
                 size_t count, struct printer **printer, tally_error *error) {
  struct printer *p = mem_zalloc(1, sizeof *p);
  if (!p) return fail_memory(error, "the output");
  p->descriptor = descriptor;
  p->options = *options;
  p->count = count;
  if (!copy_columns(p, columns) || !start(p)) {
    printer_close(p);
    return fail_memory(error, "the output");
  }
  *printer = p;
  return 0;
}

int printer_row(struct printer *p, const tally_text *cells, tally_error *error) {
  switch (p->options.format) {
  case FORMAT_TABLE:
    if (!table_row(p->table, cells, &p->out)) return fail_memory(error, "the output");
    break;
  case FORMAT_JSON:
    buffer_text(&p->out, p->rows ? ",\n" : "\n");
    json_row(p, cells);
    break;
  case FORMAT_NDJSON:
    json_row(p, cells);
    write8(&p->out, '\n');
    break;
  case FORMAT_CSV:
  case FORMAT_TSV:
  case FORMAT_DEFAULT:
  default:
    delimited_row(p, cells);
    break;
  }
  p->rows++;
  return is_due(p) ? flush_output(p, error) : 0;
}

int printer_finish(struct printer *p, bool complete, tally_error *error) {
  if (p->table && !table_finish(p->table, complete, &p->out)) return fail_memory(error, "the output");
  if (p->options.format == FORMAT_JSON) buffer_text(&p->out, !complete ? "\n" : p->rows ? "\n]\n" : "]\n");
  return flush_output(p, error);
}

void printer_close(struct printer *p) {
  if (!p) return;
  for (size_t i = 0; p->keys && i < p->count; i++) buffer_free(&p->keys[i]);
  mem_free(p->keys);
  mem_free(p->columns);
  buffer_free(&p->names);
  buffer_free(&p->out);
  table_close(p->table);
  mem_free(p);
}
