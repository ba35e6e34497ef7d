/* rows.h - what the targets of the tool's readers share: records of a text, cut at some place on the way, and
 * events that are equal. */
#ifndef FUZZ_ROWS_H
#define FUZZ_ROWS_H

#include "base/hash.h"
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "tools/ingest_record.h"

/* A copy with the slack that readers may look at and overwrite, filled with what would mislead them. */
static inline char *rows_slack(const char *text, size_t size, char filler) {
  char *copy = mem_alloc(size + INGEST_SLACK);
  require(copy, "no memory");
  memset(copy + size, filler, INGEST_SLACK);
  if (size) memcpy(copy, text, size);
  return copy;
}

static inline void rows_text(struct buffer *out, tally_text t) {
  write32(out, t.data ? (uint32_t)t.size : UINT32_MAX);
  buffer_append(out, t.data, t.size);
}

/* Everything that an event says, as bytes. */
static inline void rows_event(struct buffer *out, const tally_event *e) {
  const int32_t numbers[] = {e->request_size, e->response_size, e->duration_ms, e->status_code,
                             e->tokens_used};
  write64(out, e->present & 1u << TALLY_COL_TIMESTAMP ? (uint64_t)e->timestamp : 0);
  rows_text(out, e->user_id);
  rows_text(out, e->service_name);
  rows_text(out, e->endpoint);
  rows_text(out, e->method);
  for (int c = TALLY_COL_REQUEST_SIZE; c < TALLY_COL_COST; c++) {
    bool there = e->present & 1u << c;
    write8(out, there);
    write32(out, there ? (uint32_t)numbers[c - TALLY_COL_REQUEST_SIZE] : 0);
  }
  write8(out, (e->present & 1u << TALLY_COL_COST) != 0);
  write64(out, e->present & 1u << TALLY_COL_COST ? (uint64_t)e->cost : 0);
  rows_text(out, e->metadata);
}

static inline void rows_record(struct buffer *out, enum record_kind kind, const struct record *r,
                               const struct problem *p, size_t size) {
  require(kind == RECORD_ROW || kind == RECORD_BAD, "a record is good or bad: %d", (int)kind);
  require(r->start < r->end && r->end <= size, "a record has bytes of the text");
  write8(out, (uint8_t)kind);
  write64(out, r->line);
  write64(out, r->end);
  if (kind == RECORD_ROW) {
    rows_event(out, &r->event);
  } else {
    require(*p->text && memchr(p->text, 0, sizeof p->text), "a problem has a text");
    buffer_text(out, p->text);
    buffer_text(out, p->column);
    write64(out, p->line);
  }
}

#endif
