/* message_query.c - QUERY, EVENTS and JOB; see message.h for their layout.
 *
 * A request's texts become C strings in one block, laid out as: the array of `where` pointers, then every
 * text with its NUL. A text takes 4 bytes of size on the wire, so the payload's bytes plus one pointer a
 * predicate bound the block. */
#include "base/mem.h"
#include "base/status.h"
#include "base/utf8.h"
#include "proto/message_text.h"

#define QUERY_FLAGS                                                                                          \
  ((uint32_t)(TALLY_FILL | TALLY_APPROXIMATE | TALLY_EXPLAIN | TALLY_NO_ROLLUPS | TALLY_PARTIAL))
#define EVENTS_FLAGS ((uint32_t)(TALLY_ORDER_DESC | TALLY_ORDER_NONE | TALLY_PARTIAL))
#define TEXTS_MAX 7 /* of a request, without its predicates */

static void put_list(struct buffer *out, const char *const *texts, size_t count) {
  write32(out, (uint32_t)count);
  for (size_t i = 0; i < count; i++) put_string(out, texts[i]);
}

int message_put_query(struct buffer *out, uint64_t id, const tally_query *query, tally_error *error) {
  size_t start = frame_begin(out);
  write32(out, query->flags);
  write64(out, query->limit);
  write64(out, query->timeout);
  const char *const texts[TEXTS_MAX] = {query->from, query->to,         query->group_by, query->bucket,
                                        query->tz,   query->aggregates, query->order_by};
  for (size_t i = 0; i < TEXTS_MAX; i++) put_string(out, texts[i]);
  put_list(out, query->where, query->where_count);
  return frame_end(out, start, MESSAGE_QUERY, id, error);
}

int message_put_events(struct buffer *out, uint64_t id, const tally_scan *scan, tally_error *error) {
  size_t start = frame_begin(out);
  write32(out, scan->flags);
  write64(out, scan->limit);
  write64(out, scan->timeout);
  const char *const texts[] = {scan->from, scan->to, scan->tz, scan->columns};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) put_string(out, texts[i]);
  put_list(out, scan->where, scan->where_count);
  return frame_end(out, start, MESSAGE_EVENTS, id, error);
}

/* ------------------------------------------------------------------ decoding */

/* What both requests have in common, in the order of the wire. */
struct request {
  uint32_t flags;
  uint64_t limit, timeout;
  const char *text[TEXTS_MAX];
  const char **where;
  size_t where_count;
  char *memory;
};

static int check_text(tally_text text, tally_error *error) {
  if (!text.data) return 0;
  size_t good = utf8_prefix(text.data, text.size);
  if (good == text.size) return 0;
  return fail(error, TALLY_USAGE,
              "a text of the request is not UTF-8 without NUL bytes (at byte %zu): send text", good);
}

/* Reads everything once without keeping it: is it well formed, and how large are its strings? */
static int measure(const struct frame *frame, struct reader reader, size_t texts, size_t *where_count,
                   size_t *strings, tally_error *error) {
  *strings = *where_count = 0;
  for (size_t i = 0; i < texts; i++) {
    tally_text text = get_text(&reader);
    if (check_text(text, error)) return error->code;
    if (text.data) *strings += text.size + 1;
  }
  size_t count = read32(&reader);
  if (reader.bad || count > reader_left(&reader) / 4) return message_fail_layout(frame, error);
  for (size_t i = 0; i < count; i++) {
    tally_text text = get_text(&reader);
    if (!text.data) return message_fail_layout(frame, error); /* a predicate is never NULL */
    if (check_text(text, error)) return error->code;
    *strings += text.size + 1;
  }
  *where_count = count;
  return message_whole(frame, &reader, error);
}

static const char *keep(char **at, tally_text text) {
  if (!text.data) return NULL;
  char *copy = *at;
  if (text.size) memcpy(copy, text.data, text.size);
  copy[text.size] = '\0';
  *at += text.size + 1;
  return copy;
}

static int get_request(const struct frame *frame, size_t texts, uint32_t flags, struct request *request,
                       tally_error *error) {
  struct reader reader = payload_reader(frame);
  *request = (struct request){0};
  request->flags = read32(&reader);
  request->limit = read64(&reader);
  request->timeout = read64(&reader);
  size_t strings;
  if (measure(frame, reader, texts, &request->where_count, &strings, error)) return error->code;
  if (request->flags & ~flags)
    return fail(error, TALLY_USAGE, "flags 0x%x are not known to %s: only 0x%x are", request->flags & ~flags,
                message_name(frame->type), flags);
  size_t pointers = request->where_count * sizeof *request->where;
  request->memory = mem_alloc(pointers + strings);
  if (!request->memory) return fail_memory(error, "a request");
  request->where = (const char **)(void *)request->memory;
  char *at = request->memory + pointers;
  for (size_t i = 0; i < texts; i++) request->text[i] = keep(&at, get_text(&reader));
  (void)read32(&reader);
  for (size_t i = 0; i < request->where_count; i++) request->where[i] = keep(&at, get_text(&reader));
  return 0;
}

int message_get_query(const struct frame *frame, struct message_query *query, tally_error *error) {
  struct request r;
  int code = get_request(frame, 7, QUERY_FLAGS, &r, error);
  if (code) return code;
  query->query = (tally_query){.from = r.text[0],
                               .to = r.text[1],
                               .group_by = r.text[2],
                               .bucket = r.text[3],
                               .tz = r.text[4],
                               .aggregates = r.text[5],
                               .order_by = r.text[6],
                               .where = r.where,
                               .where_count = r.where_count,
                               .limit = r.limit,
                               .flags = r.flags,
                               .timeout = r.timeout};
  query->memory = r.memory;
  return 0;
}

void message_query_free(struct message_query *query) {
  mem_free(query->memory);
  query->memory = NULL;
}

int message_get_events(const struct frame *frame, struct message_events *events, tally_error *error) {
  struct request r;
  int code = get_request(frame, 4, EVENTS_FLAGS, &r, error);
  if (code) return code;
  events->scan = (tally_scan){.from = r.text[0],
                              .to = r.text[1],
                              .tz = r.text[2],
                              .columns = r.text[3],
                              .where = r.where,
                              .where_count = r.where_count,
                              .limit = r.limit,
                              .flags = r.flags,
                              .timeout = r.timeout};
  events->memory = r.memory;
  return 0;
}

void message_events_free(struct message_events *events) {
  mem_free(events->memory);
  events->memory = NULL;
}

/* ------------------------------------------------------------------ jobs */

int message_put_job(struct buffer *out, uint64_t id, const char *const *words, size_t count,
                    tally_error *error) {
  size_t start = frame_begin(out);
  put_list(out, words, count);
  return frame_end(out, start, MESSAGE_JOB, id, error);
}

int message_get_job(const struct frame *frame, struct message_job *job, tally_error *error) {
  size_t count, strings;
  struct reader reader = payload_reader(frame);
  if (measure(frame, reader, 0, &count, &strings, error)) return error->code;
  if (count == 0 || count > MESSAGE_WORDS_MAX)
    return fail(error, TALLY_USAGE, "a job has 1 to %u words, not %zu", MESSAGE_WORDS_MAX, count);
  size_t pointers = count * sizeof(char *);
  *job = (struct message_job){.count = count, .memory = mem_alloc(pointers + strings)};
  if (!job->memory) return fail_memory(error, "a request");
  const char **words = (const char **)(void *)job->memory;
  char *at = job->memory + pointers;
  (void)read32(&reader);
  for (size_t i = 0; i < count; i++) words[i] = keep(&at, get_text(&reader));
  job->words = words;
  return 0;
}

void message_job_free(struct message_job *job) {
  mem_free(job->memory);
  job->memory = NULL;
}
