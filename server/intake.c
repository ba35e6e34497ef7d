/* intake.c - the memory of what comes in; see intake.h. */
#include "server/intake.h"

#include <string.h>

#define SPARE_BYTES (8u << 20) /* chunks kept for the next read, faulted in */
#define SMALL_ROOM 4096u       /* less room than this at the end of a chunk is not read into */

void intake_init(struct intake *intake, uint64_t soft, void (*resume)(struct place *place)) {
  memset(intake, 0, sizeof *intake);
  budget_init(&intake->chunks, UINT64_MAX, NULL);
  frame_pool_init(&intake->pool, &intake->chunks, SPARE_BYTES);
  intake->soft = soft;
  intake->resume = resume;
}

void intake_free(struct intake *intake) { frame_pool_free(&intake->pool); }

uint64_t intake_used(struct intake *intake) {
  return budget_used(&intake->chunks) - intake->pool.spare_bytes + intake->kept + intake->promised;
}

static uint64_t limit_for(const struct intake *intake, const struct place *place) {
  return place->appends ? intake->soft : intake->soft * 2;
}

/* ------------------------------------------------------------------ queues */

bool place_partial(const struct place *place) { return place->reader.chunk != NULL; }

/* A place changes neither its chunk nor `appends` while it waits, so its queue is the one it joined. */
static struct place_queue *queue_of(struct intake *intake, const struct place *place) {
  return place_partial(place) ? &intake->partial : place->appends ? &intake->appending : &intake->others;
}

static void enqueue(struct intake *intake, struct place *place) {
  struct place_queue *queue = queue_of(intake, place);
  place->waiting = true;
  place->next = NULL;
  place->previous = queue->last;
  *(queue->last ? &queue->last->next : &queue->first) = place;
  queue->last = place;
}

static void dequeue(struct intake *intake, struct place *place) {
  struct place_queue *queue = queue_of(intake, place);
  *(place->previous ? &place->previous->next : &queue->first) = place->next;
  *(place->next ? &place->next->previous : &queue->last) = place->previous;
  place->waiting = false;
}

/* ------------------------------------------------------------------ admission */

static void promise(struct intake *intake, struct place *place, size_t bytes) {
  intake->promised += bytes;
  intake->promised -= place->promised;
  place->promised = bytes;
}

static void end_admission(struct intake *intake, struct place *place) {
  promise(intake, place, 0);
  if (place->admitted) intake->admitted--;
  place->admitted = false;
  place->wanted = 0;
}

static size_t chunk_size(const struct place *place) {
  return place->reader.chunk ? frame_chunk_size(place->reader.chunk) : 0;
}

/* The smallest chunk in which a frame of `bytes` fits. */
static size_t chunk_for(size_t bytes) {
  size_t size = FRAME_CHUNK_MIN;
  while (size < bytes) size *= 4;
  return size;
}

/* The chunk that a partial frame, `need` bytes short, has to move to; 0 if it fits where it is. A chunk that
 * batches are lent out of can be written behind them, but nothing in it can be moved. */
static size_t chunk_wanted(const struct place *place, size_t need) {
  const struct frame_reader *reader = &place->reader;
  size_t left = reader->end - reader->start, size = chunk_size(place);
  if (left < FRAME_HEADER) return !place->holds || size - reader->end >= SMALL_ROOM ? 0 : FRAME_CHUNK_MIN;
  size_t whole = left + need;
  bool fits = reader->start + whole <= size || (!place->holds && whole <= size);
  return fits ? 0 : chunk_for(whole);
}

/* Rule 2. */
static bool admit(struct intake *intake, struct place *place) {
  size_t growth = place->holds ? place->wanted : place->wanted - chunk_size(place);
  bool alone = !intake->admitted && !intake->batches;
  if (!alone && intake_used(intake) + growth > intake->soft + intake->soft / 2) return false;
  place->admitted = true;
  intake->admitted++;
  promise(intake, place, growth);
  return true;
}

static bool may_go_on(struct intake *intake, struct place *place) {
  if (place->admitted) return true;
  if (place_partial(place)) {
    if (!place->holds && place->wanted <= chunk_size(place)) return true; /* rule 3; also when holds went */
    if (place->wanted > FRAME_CHUNK_MIN) return admit(intake, place);
    if (!place->wanted) return true;
  }
  return intake_used(intake) < limit_for(intake, place);
}

/* ------------------------------------------------------------------ places */

void place_init(struct intake *intake, struct place *place) {
  memset(place, 0, sizeof *place);
  frame_reader_init(&place->reader, &intake->pool, FRAME_GREETING);
}

void place_free(struct intake *intake, struct place *place) {
  if (place->waiting) dequeue(intake, place);
  end_admission(intake, place);
  frame_reader_free(&place->reader);
  place->holds = 0;
}

/* A new chunk is as large as the last frames were, unless memory is short: then it starts small. */
static void limit_new_chunk(struct intake *intake, struct place *place) {
  size_t size = (size_t)FRAME_CHUNK_MIN << (2 * place->reader.recent);
  if (!place->admitted && intake_used(intake) + size > intake->soft) place->reader.recent = 0;
}

uint8_t *place_room(struct intake *intake, struct place *place, size_t *room) {
  tally_error error;
  uint8_t *at = NULL;
  const struct frame_chunk *before = place->reader.chunk;
  if (may_go_on(intake, place)) {
    limit_new_chunk(intake, place);
    at = frame_reader_room(&place->reader, room, &error);
    if (place->reader.chunk != before) place->holds = 0;
    size_t size = chunk_size(place);
    if (place->admitted) promise(intake, place, place->wanted > size ? place->wanted - size : 0);
  }
  if (!at && !place->waiting) enqueue(intake, place);
  return at;
}

int place_next(struct intake *intake, struct place *place, struct frame *frame, tally_error *error) {
  size_t need = 0;
  int code = frame_reader_next(&place->reader, frame, &need, error);
  if (code == FRAME_MORE && place_partial(place)) {
    if (!place->admitted) place->wanted = chunk_wanted(place, need);
    return code;
  }
  end_admission(intake, place);
  if (!place_partial(place)) place->holds = 0;
  return code;
}

/* ------------------------------------------------------------------ requests under way */

struct kept intake_keep(struct intake *intake, struct place *place, const struct frame *frame, uint64_t bytes,
                        bool batch) {
  struct kept kept = {.chunk = frame ? frame_hold(frame) : NULL, .bytes = bytes, .batch = batch};
  intake->kept += bytes;
  intake->batches += batch;
  if (frame) place->holds++;
  return kept;
}

void intake_give_back(struct intake *intake, struct place *place, struct kept *kept) {
  intake->kept -= kept->bytes;
  intake->batches -= kept->batch;
  if (!kept->chunk) return;
  if (place->reader.chunk == kept->chunk) place->holds--;
  frame_release(kept->chunk);
}

/* ------------------------------------------------------------------ waiting */

/* Each that goes on is counted as one chunk: what it really takes is known only when it reads. */
static void resume_in_order(struct intake *intake, struct place_queue *queue) {
  uint64_t coming = 0;
  while (queue->first && intake_used(intake) + coming < limit_for(intake, queue->first)) {
    struct place *place = queue->first;
    coming += FRAME_CHUNK_MIN;
    dequeue(intake, place);
    intake->resume(place);
  }
}

/* Partial frames are few, since each holds a chunk; one that can go on may overtake one that cannot. */
static void resume_partial(struct intake *intake) {
  struct place *next, *place = intake->partial.first;
  for (; place; place = next) {
    next = place->next;
    if (!may_go_on(intake, place)) continue;
    dequeue(intake, place);
    intake->resume(place);
  }
}

void intake_resume(struct intake *intake) {
  resume_partial(intake);
  resume_in_order(intake, &intake->others);
  resume_in_order(intake, &intake->appending);
}
