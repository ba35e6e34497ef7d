/* intake.c - the memory of what comes in; see intake.h. */
#include "server/intake.h"

#include <string.h>

#define SPARE_BYTES (8u << 20) /* chunks kept for the next read, faulted in */

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

static uint64_t hard_limit(const struct intake *intake) { return intake->soft * 2; }

/* ------------------------------------------------------------------ queues */

static struct place_queue *queue_of(struct intake *intake, const struct place *place) {
  return place->appends && !place->wanted ? &intake->appending : &intake->others;
}

static void enqueue(struct intake *intake, struct place *place) {
  struct place_queue *queue = queue_of(intake, place);
  place->waiting = true;
  place->next = NULL;
  place->previous = queue->last;
  *(queue->last ? &queue->last->next : &queue->first) = place;
  queue->last = place;
}

/* `appends` and `wanted` do not change while a place waits, so its queue is the one it joined. */
static void dequeue(struct intake *intake, struct place *place) {
  struct place_queue *queue = queue_of(intake, place);
  *(place->previous ? &place->previous->next : &queue->first) = place->next;
  *(place->next ? &place->next->previous : &queue->last) = place->previous;
  place->waiting = false;
}

/* ------------------------------------------------------------------ places */

void place_init(struct intake *intake, struct place *place) {
  memset(place, 0, sizeof *place);
  frame_reader_init(&place->reader, &intake->pool, FRAME_GREETING);
}

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

void place_free(struct intake *intake, struct place *place) {
  if (place->waiting) dequeue(intake, place);
  end_admission(intake, place);
  frame_reader_free(&place->reader);
}

bool place_partial(const struct place *place) { return place->reader.chunk != NULL; }

static size_t chunk_size(const struct place *place) {
  return place->reader.chunk ? frame_chunk_size(place->reader.chunk) : 0;
}

/* Rule 2. */
static bool admit(struct intake *intake, struct place *place) {
  size_t growth = place->wanted - chunk_size(place);
  if (intake->admitted && intake_used(intake) + growth > hard_limit(intake)) return false;
  place->admitted = true;
  intake->admitted++;
  promise(intake, place, growth);
  return true;
}

static bool may_go_on(struct intake *intake, struct place *place) {
  if (place->admitted) return true;
  if (place->wanted) return admit(intake, place);
  if (place_partial(place)) return true; /* its chunk is there already */
  return intake_used(intake) < (place->appends ? intake->soft : hard_limit(intake));
}

/* A new chunk is as large as the last frames were, unless memory is short: then it starts small. */
static void limit_new_chunk(struct intake *intake, struct place *place) {
  size_t size = (size_t)FRAME_CHUNK_MIN << (2 * place->reader.recent);
  if (!place->admitted && intake_used(intake) + size > intake->soft) place->reader.recent = 0;
}

uint8_t *place_room(struct intake *intake, struct place *place, size_t *room) {
  tally_error error;
  uint8_t *at = NULL;
  if (may_go_on(intake, place)) {
    limit_new_chunk(intake, place);
    at = frame_reader_room(&place->reader, room, &error);
    size_t size = chunk_size(place);
    if (place->admitted) promise(intake, place, place->wanted > size ? place->wanted - size : 0);
  }
  if (!at && !place->waiting) enqueue(intake, place);
  return at;
}

/* The size of the chunk in which a frame of `bytes` ends up. */
static size_t final_chunk(size_t bytes) {
  size_t size = FRAME_CHUNK_MIN;
  while (size < bytes) size *= 4;
  return size;
}

int place_next(struct intake *intake, struct place *place, struct frame *frame, tally_error *error) {
  size_t need = 0;
  int code = frame_reader_next(&place->reader, frame, &need, error);
  if (code == FRAME_MORE && place_partial(place)) {
    size_t whole = final_chunk(place->reader.end - place->reader.start + need);
    if (!place->admitted && whole > chunk_size(place)) place->wanted = whole;
  } else {
    end_admission(intake, place);
  }
  return code;
}

/* ------------------------------------------------------------------ waiting */

void intake_keep(struct intake *intake, uint64_t bytes) { intake->kept += bytes; }
void intake_give_back(struct intake *intake, uint64_t bytes) { intake->kept -= bytes; }

/* Each that goes on is counted as one chunk: what it really takes is known only when it reads. */
static void resume_queue(struct intake *intake, struct place_queue *queue, uint64_t limit) {
  uint64_t used = intake_used(intake);
  while (queue->first && may_go_on(intake, queue->first)) {
    struct place *place = queue->first;
    if (used >= limit && !place->admitted) return;
    used += place->admitted ? 0 : FRAME_CHUNK_MIN;
    dequeue(intake, place);
    intake->resume(place);
  }
}

void intake_resume(struct intake *intake) {
  resume_queue(intake, &intake->others, hard_limit(intake));
  resume_queue(intake, &intake->appending, intake->soft);
}
