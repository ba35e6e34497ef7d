/* ingest_batch.c - one batch of the input, and the reader of its records; see ingest_source.h. */
#include "tools/ingest_source.h"

#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "model/batch_builder.h"

/* ------------------------------------------------------------------ parsers */

void parser_init(struct parser *parser, const struct source_file *file, struct source_options *options) {
  parser->file = file;
  if (file->format == INPUT_NDJSON)
    ndjson_init(&parser->as.ndjson, &options->ignore, &options->values);
  else
    csv_init(&parser->as.csv, &file->layout, &options->values, NULL);
}

void parser_free(struct parser *parser) {
  if (parser->file->format == INPUT_NDJSON)
    ndjson_free(&parser->as.ndjson);
  else
    csv_free(&parser->as.csv);
}

void parser_text(struct parser *parser, char *text, size_t size, bool final, size_t at, uint64_t line) {
  if (parser->file->format == INPUT_NDJSON) {
    ndjson_text(&parser->as.ndjson, text, size, final, at);
    parser->as.ndjson.line = line;
  } else {
    csv_text(&parser->as.csv, text, size, final, at);
    parser->as.csv.line = line;
  }
}

enum record_kind parser_next(struct parser *parser, struct record *record, struct problem *problem) {
  return parser->file->format == INPUT_NDJSON ? ndjson_next(&parser->as.ndjson, record, problem)
                                              : csv_next(&parser->as.csv, record, problem);
}

/* The reason in a refusal of the batch builder, whose texts start with the row's number in the batch, which
 * means nothing to a reader of the input. */
static const char *reason_of(const tally_error *error) {
  static const char mark[] = ", column ";
  const char *column = strstr(error->text, mark);
  const char *colon = column ? strstr(column, ": ") : NULL;
  return strncmp(error->text, "row ", 4) == 0 && colon ? colon + 2 : error->text;
}

enum record_kind parser_add(struct parser *parser, tally_batch *builder, const struct record *record,
                            struct problem *problem, tally_error *error) {
  if (parser->file->format == INPUT_CSV) batch_expect_user(builder, csv_coming_user(&parser->as.csv));
  int code = tally_batch_add(builder, &record->event, error);
  if (!code) return RECORD_ROW;
  if (code == TALLY_TOO_LARGE)
    fail(error, code, "the rows of a batch do not fit it: say --batch-rows 32768 or less");
  if (code != TALLY_INVALID_ROW) return RECORD_FAILED;
  if (parser->file->format == INPUT_NDJSON)
    problem_set(problem, record->line, error->column < 0 ? NULL : tally_column_name(error->column), "%s",
                reason_of(error));
  else
    csv_blame(&parser->as.csv, record, error->column, reason_of(error), problem);
  return RECORD_BAD;
}

/* ------------------------------------------------------------------ batches */

struct ingest_batch *batch_new(void) {
  return mem_zalloc(1, sizeof(struct ingest_batch));
}

void batch_free(struct ingest_batch *batch) {
  if (!batch) return;
  buffer_free(&batch->text);
  buffer_free(&batch->bytes);
  buffer_free(&batch->dropped);
  buffer_free(&batch->order);
  mem_free(batch->problems);
  mem_free(batch);
}

bool batch_drop(struct ingest_batch *batch, uint32_t record) {
  struct buffer *map = &batch->dropped;
  if (!map->size) {
    uint8_t *bits = buffer_add(map, bitmap_bytes(TALLY_BATCH_ROWS));
    if (!bits) return false;
    memset(bits, 0, map->size);
  }
  map->data[record / 8] |= (uint8_t)(1u << record % 8);
  return true;
}

int batch_build(struct ingest_batch *batch, tally_batch *builder, tally_error *error) {
  const void *bytes;
  size_t size;
  batch->rows = tally_batch_rows(builder);
  buffer_clear(&batch->bytes);
  if (!batch->rows) return TALLY_OK;
  int code = tally_batch_finish(builder, &bytes, &size, error);
  if (code) return code;
  buffer_append(&batch->bytes, bytes, size);
  return batch->bytes.failed ? fail_memory(error, "a batch") : TALLY_OK;
}
