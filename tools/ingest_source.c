/* ingest_source.c - cutting inputs into batches; see ingest_source.h.
 *
 * A file is read straight into the text of the batch under construction. What was read beyond the batch's end
 * is carried over to the next one, so reads are made to end near where the batch is expected to. */
#include "tools/ingest_source.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

#define READ_LEAST (64u << 10)
#define LOOK_BYTES 6u

int source_init(struct source *s, struct source_options *options, const char *const *paths, size_t count,
                tally_error *error) {
  *s = (struct source){
      .options = options, .paths = paths, .paths_left = count, .expected = INGEST_BATCH_TEXT + READ_LEAST};
  s->builder = tally_batch_new();
  return s->builder ? TALLY_OK : fail_memory(error, "a batch");
}

static void close_file(struct source *s) {
  if (!s->open) return;
  parser_free(&s->parser);
  input_close(&s->input);
  s->open = false;
}

void source_free(struct source *s) {
  close_file(s);
  while (s->files) {
    struct source_file *file = s->files;
    s->files = file->before;
    csv_layout_free(&file->layout);
    mem_free(file->name);
    mem_free(file);
  }
  buffer_free(&s->carry);
  tally_batch_free(s->builder);
}

static int fail_text(tally_error *error) { return fail_memory(error, "the text of a batch"); }

/* ------------------------------------------------------------------ reading */

/* Reads on into the batch's text; at the end of the file input.end is set. */
static int read_more(struct source *s, struct ingest_batch *b, tally_error *error) {
  size_t have = b->text.size, chunk = READ_LEAST, got;
  if (s->expected > have + chunk) chunk = s->expected - have;
  if (have > INGEST_BATCH_TEXT) chunk = have / 2; /* a large record */
  if (!buffer_reserve(&b->text, chunk + INGEST_SLACK)) return fail_text(error);
  int code = input_read(&s->input, b->text.data + have, chunk, &got, s->options->stop, error);
  b->text.size += code ? 0 : got;
  s->bytes += code ? 0 : got;
  return code;
}

static bool is_space(uint8_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* A file whose first character is a bracket of JSON is NDJSON. */
static enum input_format guess_format(const uint8_t *text, size_t size) {
  size_t i = 0;
  while (i < size && is_space(text[i])) i++;
  return i < size && (text[i] == '{' || text[i] == '[') ? INPUT_NDJSON : INPUT_CSV;
}

static struct source_file *add_file(struct source *s) {
  struct source_file *file = mem_zalloc(1, sizeof *file);
  if (!file) return NULL;
  file->name = mem_strndup(s->input.name, strlen(s->input.name));
  file->before = s->files;
  s->files = file;
  return file->name ? file : NULL;
}

/* Reads the header of a CSV file; *at moves behind it. */
static enum source_result read_header(struct source *s, struct ingest_batch *b, struct source_file *file,
                                      size_t *at, struct problem *problem, tally_error *error) {
  for (;;) {
    struct record record;
    const char *text = (const char *)b->text.data + *at;
    size_t size = b->text.size - *at;
    csv_layout_free(&file->layout);
    enum record_kind kind =
        csv_header(text, size, s->input.end, &s->options->ignore, &file->layout, &record, problem);
    problem->whole = true;
    if (kind == RECORD_BAD) return SOURCE_PROBLEM;
    if (kind == RECORD_FAILED) {
      fail_memory(error, "a header");
      return SOURCE_FAILED;
    }
    if (kind == RECORD_ROW) {
      *at += record.end;
      s->line = 1 + count_lines(text, record.end);
      return SOURCE_BATCH;
    }
    if (size > INGEST_RECORD_MAX) {
      problem_set(problem, 1, NULL, "the header is longer than 16 MiB: is this CSV?");
      problem->whole = true;
      return SOURCE_PROBLEM;
    }
    if (read_more(s, b, error)) return SOURCE_FAILED;
  }
}

/* Opens the next file and reads its beginning into the batch's text; *at: where its records start. */
static enum source_result open_file(struct source *s, struct ingest_batch *b, size_t *at,
                                    struct problem *problem, tally_error *error) {
  size_t skip = 0;
  enum source_result result = SOURCE_FAILED;
  buffer_clear(&b->text);
  if (input_open(*s->paths, &s->input, error)) return SOURCE_FAILED;
  s->paths++;
  s->paths_left--;
  struct source_file *file = add_file(s);
  if (!file) {
    fail_memory(error, "a file");
    goto close;
  }
  b->file = file;
  while (b->text.size < LOOK_BYTES && !s->input.end)
    if (read_more(s, b, error)) goto close;
  if (input_look(&s->input, b->text.data, b->text.size, &skip, error)) goto close;
  *at = skip;
  s->line = 1;
  file->format = s->options->format;
  if (file->format == INPUT_GUESS) file->format = guess_format(b->text.data + skip, b->text.size - skip);
  result = file->format == INPUT_CSV ? read_header(s, b, file, at, problem, error) : SOURCE_BATCH;
  if (result != SOURCE_BATCH) goto close;
  parser_init(&s->parser, file, s->options);
  s->open = true;
  return SOURCE_BATCH;
close:
  input_close(&s->input);
  return result;
}

/* ------------------------------------------------------------------ one batch */

/* Where the batch under construction is. */
struct cut {
  size_t at;     /* what comes from here on is for the next batch */
  uint64_t line; /* and its line */
  bool file_end; /* nothing does */
};

static size_t parser_at(const struct parser *p) {
  return p->file->format == INPUT_NDJSON ? p->as.ndjson.at : p->as.csv.at;
}
static uint64_t parser_line(const struct parser *p) {
  return p->file->format == INPUT_NDJSON ? p->as.ndjson.line : p->as.csv.line;
}

static void give_text(struct source *s, struct ingest_batch *b, size_t at, uint64_t line) {
  parser_text(&s->parser, (char *)b->text.data, b->text.size, s->input.end, at, line);
}

static enum source_result too_long(const struct source *s, struct problem *problem) {
  problem_set(problem, parser_line(&s->parser), NULL,
              "the record that starts here is longer than 16 MiB: is a quote or a bracket never closed?");
  problem->whole = true;
  return SOURCE_PROBLEM;
}

/* The record that the parser is at is not whole yet. */
static enum source_result read_on(struct source *s, struct ingest_batch *b, struct problem *problem,
                                  tally_error *error) {
  size_t at = parser_at(&s->parser);
  if (b->text.size - at > INGEST_RECORD_MAX) return too_long(s, problem);
  if (!b->records && at) { /* so that blank lines in front do not pile up */
    memmove(b->text.data, b->text.data + at, b->text.size - at);
    b->text.size -= at;
    at = 0;
  }
  if (read_more(s, b, error)) return SOURCE_FAILED;
  give_text(s, b, at, parser_line(&s->parser));
  return SOURCE_BATCH;
}

static enum source_result skip_record(struct ingest_batch *b, const struct problem *problem,
                                      tally_error *error) {
  if (!b->problems) b->problems = mem_alloc(BATCH_PROBLEMS * sizeof *b->problems);
  if (!b->problems || !batch_drop(b, b->records)) {
    fail_memory(error, "a list of skipped rows");
    return SOURCE_FAILED;
  }
  if (b->problem_count < BATCH_PROBLEMS) b->problems[b->problem_count++] = *problem;
  return SOURCE_BATCH;
}

/* Takes a whole record into the batch. */
static enum source_result take_record(struct source *s, struct ingest_batch *b, enum record_kind kind,
                                      const struct record *record, struct problem *problem,
                                      tally_error *error) {
  if (record->end - record->start > INGEST_RECORD_MAX) {
    problem_set(problem, record->line, NULL, "the record is longer than 16 MiB: split it");
    problem->whole = true;
    return SOURCE_PROBLEM;
  }
  if (kind == RECORD_ROW) kind = parser_add(&s->parser, s->builder, record, problem, error);
  if (kind == RECORD_FAILED) return SOURCE_FAILED;
  if (!b->records) {
    b->first = record->start;
    b->line = record->line;
  }
  if (kind == RECORD_BAD) {
    if (!s->options->skip) return SOURCE_PROBLEM;
    if (skip_record(b, problem, error) != SOURCE_BATCH) return SOURCE_FAILED;
  }
  b->records++;
  b->end = record->end;
  b->last_line = record->line;
  return SOURCE_BATCH;
}

static bool is_full(const struct source *s, const struct ingest_batch *b) {
  return b->records == s->options->batch_rows || (b->records && b->end - b->first >= INGEST_BATCH_TEXT);
}

/* Reads records until the batch is full or the file ends. */
static enum source_result fill(struct source *s, struct ingest_batch *b, struct cut *cut,
                               struct problem *problem, tally_error *error) {
  while (!is_full(s, b)) {
    struct record record;
    enum record_kind kind = parser_next(&s->parser, &record, problem);
    if (kind == RECORD_END) {
      cut->file_end = true;
      return SOURCE_BATCH;
    }
    if (kind == RECORD_FAILED) {
      fail_memory(error, "a record");
      return SOURCE_FAILED;
    }
    if (kind == RECORD_MORE) {
      enum source_result result = read_on(s, b, problem, error);
      if (result != SOURCE_BATCH) return result;
      continue;
    }
    if (b->records && record.end - b->first > INGEST_BATCH_TEXT) {
      *cut = (struct cut){record.start, record.line, false};
      return SOURCE_BATCH;
    }
    enum source_result result = take_record(s, b, kind, &record, problem, error);
    if (result != SOURCE_BATCH) return result;
  }
  *cut = (struct cut){parser_at(&s->parser), parser_line(&s->parser), false};
  return SOURCE_BATCH;
}

/* The batch is cut: keeps what belongs to the next one, and numbers and builds this one. */
static enum source_result finish(struct source *s, struct ingest_batch *b, const struct cut *cut,
                                 tally_error *error) {
  buffer_clear(&s->carry);
  if (cut->file_end)
    close_file(s);
  else
    buffer_append(&s->carry, b->text.data + cut->at, b->text.size - cut->at);
  s->line = cut->line;
  if (s->carry.failed) {
    fail_text(error);
    return SOURCE_FAILED;
  }
  s->expected = b->end - b->first + READ_LEAST / 2;
  struct digest digest = digest_of(b->text.data + b->first, b->end - b->first, 0);
  memcpy(b->fingerprint, digest.bytes, sizeof b->fingerprint);
  if (batch_build(b, s->builder, error)) return SOURCE_FAILED;
  b->sequence = b->rows ? ++s->sequence : 0;
  return SOURCE_BATCH;
}

static void start(struct source *s, struct ingest_batch *b) {
  tally_batch_reset(s->builder);
  buffer_clear(&b->text);
  buffer_clear(&b->bytes);
  buffer_clear(&b->dropped);
  buffer_clear(&b->order);
  b->sequence = 0;
  b->first = b->end = 0;
  b->records = b->rows = b->problem_count = 0;
}

/* Puts what was carried over into the batch's text. */
static enum source_result go_on(struct source *s, struct ingest_batch *b, tally_error *error) {
  b->file = s->files;
  if (!buffer_reserve(&b->text, s->carry.size + INGEST_SLACK)) {
    fail_text(error);
    return SOURCE_FAILED;
  }
  buffer_append(&b->text, s->carry.data, s->carry.size);
  return SOURCE_BATCH;
}

enum source_result source_next(struct source *s, struct ingest_batch *b, struct problem *problem,
                               tally_error *error) {
  start(s, b);
  for (;;) {
    size_t at = 0;
    enum source_result result;
    if (s->open) {
      result = go_on(s, b, error);
    } else {
      if (!s->paths_left) return SOURCE_END;
      result = open_file(s, b, &at, problem, error);
    }
    if (result != SOURCE_BATCH) return result;
    struct cut cut = {0, 1, false};
    b->line = s->line;
    give_text(s, b, at, s->line);
    result = fill(s, b, &cut, problem, error);
    if (result != SOURCE_BATCH) return result;
    if (b->records) return finish(s, b, &cut, error);
    close_file(s); /* it had no record left */
    buffer_clear(&b->text);
  }
}
