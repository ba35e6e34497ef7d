/* message_rows.c - COLUMNS, ROWS and END; see message.h for their layout. */
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "proto/message_text.h"

/* ------------------------------------------------------------------ columns */

int message_put_columns(struct buffer *out, uint64_t id, const tally_result_column *columns, size_t count,
                        tally_error *error) {
  if (count == 0 || count > MESSAGE_COLUMNS_MAX)
    return fail(error, TALLY_TOO_LARGE, "an answer of %zu columns cannot be sent: ask for 1 to %u", count,
                MESSAGE_COLUMNS_MAX);
  size_t start = frame_begin(out);
  write32(out, (uint32_t)count);
  for (size_t i = 0; i < count; i++) {
    write8(out, (uint8_t)columns[i].type);
    put_string(out, columns[i].name);
  }
  return frame_end(out, start, MESSAGE_COLUMNS, id, error);
}

static bool column_read(struct reader *reader, uint8_t *type, tally_text *name) {
  *type = read8(reader);
  *name = get_text(reader);
  return name->data && *type >= TALLY_TYPE_TEXT && *type <= TALLY_TYPE_JSON &&
         utf8_text(name->data, name->size, NULL);
}

int message_get_columns(const struct frame *frame, tally_result_column **columns, size_t *count,
                        tally_error *error) {
  struct reader reader = payload_reader(frame);
  size_t n = read32(&reader), names = 0;
  uint8_t type;
  tally_text name;
  if (n == 0 || n > MESSAGE_COLUMNS_MAX) return message_fail_layout(frame, error);
  struct reader first = reader;
  for (size_t i = 0; i < n; i++) {
    if (!column_read(&first, &type, &name)) return message_fail_layout(frame, error);
    names += name.size + 1;
  }
  if (message_whole(frame, &first, error)) return error->code;
  tally_result_column *array = mem_alloc(n * sizeof *array + names);
  if (!array) return fail_memory(error, "the columns of an answer");
  char *at = (char *)(array + n);
  for (size_t i = 0; i < n; i++) {
    (void)column_read(&reader, &type, &name);
    array[i] = (tally_result_column){.name = at, .type = (tally_type)type};
    memcpy(at, name.data, name.size);
    at[name.size] = '\0';
    at += name.size + 1;
  }
  *columns = array;
  *count = n;
  return 0;
}

/* ------------------------------------------------------------------ rows */

#define ROWS_FIXED 4u /* the count of rows */

void message_rows_begin(struct message_rows_writer *writer, struct buffer *out, uint64_t id, size_t columns) {
  *writer = (struct message_rows_writer){.out = out, .id = id, .columns = columns};
  writer->start = frame_begin(out);
  write32(out, 0);
}

/* The bytes of a row, saturated at what no frame holds. */
static size_t row_size(const tally_text *cells, size_t columns) {
  size_t size = columns * 4;
  for (size_t i = 0; i < columns; i++) {
    if (cells[i].size > FRAME_BYTES) return FRAME_BYTES;
    if (cells[i].data) size += cells[i].size;
  }
  return size;
}

int message_rows_add(struct message_rows_writer *writer, const tally_text *cells, tally_error *error) {
  struct buffer *out = writer->out;
  size_t size = row_size(cells, writer->columns);
  if (size > FRAME_BYTES - FRAME_HEADER - ROWS_FIXED)
    return fail(error, TALLY_TOO_LARGE,
                "a row of the answer has more than %u bytes and fits into no frame: ask for fewer columns",
                FRAME_BYTES - FRAME_HEADER - ROWS_FIXED);
  if (!out->failed && out->size - writer->start + size > FRAME_BYTES) return MESSAGE_ROW_FULL;
  uint8_t *at = buffer_add(out, size);
  if (!at) return fail_memory(error, "rows of an answer");
  for (size_t i = 0; i < writer->columns; i++) {
    bool null = !cells[i].data;
    store32(at, null ? TEXT_NULL : (uint32_t)cells[i].size);
    at += 4;
    if (null || !cells[i].size) continue;
    copy_few(at, cells[i].data, cells[i].size);
    at += cells[i].size;
  }
  writer->rows++;
  return MESSAGE_ROW_ADDED;
}

bool message_rows_enough(const struct message_rows_writer *writer) {
  return writer->out->failed || writer->out->size - writer->start >= MESSAGE_ROWS_TARGET;
}

int message_rows_end(struct message_rows_writer *writer, tally_error *error) {
  struct buffer *out = writer->out;
  if (writer->rows == 0 && !out->failed) {
    out->size = writer->start;
    return 0;
  }
  if (!out->failed) store32(out->data + writer->start + FRAME_HEADER, writer->rows);
  return frame_end(out, writer->start, MESSAGE_ROWS, writer->id, error);
}

int message_get_rows(const struct frame *frame, size_t columns, struct message_rows_reader *rows,
                     tally_error *error) {
  struct reader reader = payload_reader(frame);
  uint32_t count = read32(&reader);
  if (reader.bad || count == 0 || columns == 0 || count > reader_left(&reader) / (columns * 4))
    return message_fail_layout(frame, error);
  *rows = (struct message_rows_reader){.reader = reader, .columns = columns, .left = count};
  return 0;
}

int message_rows_next(struct message_rows_reader *rows, tally_text *cells, tally_error *error) {
  if (rows->left == 0 && !rows->reader.bad && reader_left(&rows->reader) == 0) return TALLY_OK;
  bool more = rows->left > 0;
  for (size_t i = 0; more && i < rows->columns; i++) cells[i] = get_text(&rows->reader);
  if (!more || rows->reader.bad)
    return fail(
        error, TALLY_PROTOCOL,
        "the cells of a ROWS message do not fill it: the peer breaks the protocol, the answer is not whole");
  rows->left--;
  return TALLY_ROW;
}

/* ------------------------------------------------------------------ end */

int message_put_end(struct buffer *out, uint64_t id, const struct message_end *end, tally_error *error) {
  size_t start = frame_begin(out);
  write64(out, end->rows);
  if (end->left_out) {
    write64(out, end->left_out);
    write64(out, end->rows_left_out);
  }
  return frame_end(out, start, MESSAGE_END, id, error);
}

int message_get_end(const struct frame *frame, struct message_end *end, tally_error *error) {
  struct reader reader = payload_reader(frame);
  *end = (struct message_end){.rows = read64(&reader)};
  if (!reader.bad && reader_left(&reader)) {
    end->left_out = read64(&reader);
    end->rows_left_out = read64(&reader);
    if (end->left_out == 0) return message_fail_layout(frame, error); /* then they are not there */
  }
  return message_whole(frame, &reader, error);
}
