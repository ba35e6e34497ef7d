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
#include <unistd.h>

#define FLUSH_BYTES (64u << 10)

const char *const format_names[] = {"table", "csv", "tsv", "json", "ndjson", NULL};

struct output {
  int descriptor;
  struct output_options options;
  tally_result_column *columns; /* names are in `names` */
  size_t count;
  struct buffer names;
  struct buffer *keys; /* JSON: each column's "name": */
  struct buffer out;
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

static void json_cell(struct output *o, size_t column, tally_text cell) {
  if (!cell.data) {
    buffer_text(&o->out, "null");
    return;
  }
  switch (o->columns[column].type) {
  case TALLY_TYPE_INT:
  case TALLY_TYPE_REAL:
    buffer_append(&o->out, cell.data, cell.size);
    break;
  case TALLY_TYPE_JSON:
    json_object(&o->out, cell, o->options.format == FORMAT_NDJSON);
    break;
  case TALLY_TYPE_TEXT:
  case TALLY_TYPE_COST:
  case TALLY_TYPE_TIME:
  default:
    json_string(&o->out, cell);
    break;
  }
}

static void json_row(struct output *o, const tally_text *cells) {
  write8(&o->out, '{');
  for (size_t i = 0; i < o->count; i++) {
    if (i) write8(&o->out, ',');
    buffer_append(&o->out, o->keys[i].data, o->keys[i].size);
    json_cell(o, i, cells[i]);
  }
  write8(&o->out, '}');
}

static void delimited_row(struct output *o, const tally_text *cells) {
  bool csv = o->options.format == FORMAT_CSV;
  for (size_t i = 0; i < o->count; i++) {
    if (i) write8(&o->out, csv ? ',' : '\t');
    if (csv) {
      csv_cell(&o->out, cells[i]);
    } else {
      tsv_cell(&o->out, cells[i]);
    }
  }
  write8(&o->out, '\n');
}

/* ---- the output */

static int flush_output(struct output *o, tally_error *error) {
  if (o->out.failed) return fail_memory(error, "the output");
  size_t done = 0;
  while (done < o->out.size) {
    ssize_t n = write(o->descriptor, o->out.data + done, o->out.size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) return fail(error, TALLY_CLOSED, "the reader of the output has gone");
    if (n <= 0) {
      return fail(error, TALLY_IO, "cannot write the output: %s; it is not complete", strerror(errno));
    }
    done += (size_t)n;
  }
  buffer_clear(&o->out);
  return 0;
}

static bool copy_columns(struct output *o, const tally_result_column *columns) {
  o->columns = mem_zalloc(o->count, sizeof *o->columns);
  if (!o->columns) return false;
  for (size_t i = 0; i < o->count; i++)
    buffer_append(&o->names, columns[i].name, strlen(columns[i].name) + 1);
  if (o->names.failed) return false;
  const char *name = (const char *)o->names.data;
  for (size_t i = 0; i < o->count; i++) {
    o->columns[i] = (tally_result_column){name, columns[i].type};
    name += strlen(name) + 1;
  }
  return true;
}

static bool make_keys(struct output *o) {
  o->keys = mem_zalloc(o->count, sizeof *o->keys);
  if (!o->keys) return false;
  for (size_t i = 0; i < o->count; i++) {
    json_string(&o->keys[i], text_of(o->columns[i].name));
    write8(&o->keys[i], ':');
    if (o->keys[i].failed) return false;
  }
  return true;
}

static bool start(struct output *o) {
  switch (o->options.format) {
  case FORMAT_TABLE:
    o->table = table_open(&o->options, o->columns, o->count);
    return o->table != NULL;
  case FORMAT_JSON:
    buffer_text(&o->out, "[");
    return make_keys(o);
  case FORMAT_NDJSON:
    return make_keys(o);
  case FORMAT_CSV:
  case FORMAT_TSV:
  case FORMAT_DEFAULT:
  default:
    break;
  }
  tally_text *header = mem_zalloc(o->count, sizeof *header);
  if (!header) return false;
  for (size_t i = 0; i < o->count; i++) header[i] = text_of(o->columns[i].name);
  delimited_row(o, header);
  mem_free(header);
  return !o->out.failed;
}

int output_open(int descriptor, const struct output_options *options, const tally_result_column *columns,
                size_t count, struct output **output, tally_error *error) {
  struct output *o = mem_zalloc(1, sizeof *o);
  if (!o) return fail_memory(error, "the output");
  o->descriptor = descriptor;
  o->options = *options;
  o->count = count;
  if (!copy_columns(o, columns) || !start(o)) {
    output_close(o);
    return fail_memory(error, "the output");
  }
  *output = o;
  return 0;
}

int output_row(struct output *o, const tally_text *cells, tally_error *error) {
  switch (o->options.format) {
  case FORMAT_TABLE:
    if (!table_row(o->table, cells, &o->out)) return fail_memory(error, "the output");
    break;
  case FORMAT_JSON:
    buffer_text(&o->out, o->rows ? ",\n" : "\n");
    json_row(o, cells);
    break;
  case FORMAT_NDJSON:
    json_row(o, cells);
    write8(&o->out, '\n');
    break;
  case FORMAT_CSV:
  case FORMAT_TSV:
  case FORMAT_DEFAULT:
  default:
    delimited_row(o, cells);
    break;
  }
  o->rows++;
  return o->out.size >= FLUSH_BYTES || o->out.failed ? flush_output(o, error) : 0;
}

int output_finish(struct output *o, bool complete, tally_error *error) {
  if (o->table && !table_finish(o->table, complete, &o->out)) return fail_memory(error, "the output");
  if (o->options.format == FORMAT_JSON) buffer_text(&o->out, !complete ? "\n" : o->rows ? "\n]\n" : "]\n");
  return flush_output(o, error);
}

void output_close(struct output *o) {
  if (!o) return;
  for (size_t i = 0; o->keys && i < o->count; i++) buffer_free(&o->keys[i]);
  mem_free(o->keys);
  mem_free(o->columns);
  buffer_free(&o->names);
  buffer_free(&o->out);
  table_close(o->table);
  mem_free(o);
}
