/* events.c - see events.h. */
#include "faults/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERIALS_EACH 8
#define HOUR INT64_C(3600000000)
#define DAY (24 * HOUR)
#define BEGAN INT64_C(1710460800000000) /* the disk's clock: 2024-03-15 */

unsigned batch_rows(unsigned batch) { return 3 + batch % 4; }
int batch_producer(unsigned batch) { return batch % 4 == 3 ? -1 : (int)(batch % 4); }

const char *user_text(int32_t user) {
  static const char *const texts[] = {"gone_7b41c", "renamed_9d20e", "carol", "dave", "erin"};
  return texts[user];
}

const char *producer_text(int producer) {
  static const char *const texts[] = {"north", "east", "south"};
  return texts[producer];
}

/* Batches without a producer tell by their rows whether they are in: theirs stay as they are. */
static enum age age_of(unsigned batch, unsigned row) {
  unsigned choice = (batch * 5 + row * 3) % 8;
  if (batch_producer(batch) < 0 || choice > AGE_ARCHIVED) return AGE_NEW;
  return choice == AGE_DROPPED && batch >= BEFORE_RETENTION ? AGE_THINNED : (enum age)choice;
}

struct event batch_event(unsigned batch, unsigned row) {
  static const int64_t days[] = {200, 80, 40, 0};
  struct event e = {.serial = (int32_t)(batch * SERIALS_EACH + row),
                    .user = (int32_t)((batch + 2 * row) % (USERS + 1)),
                    .service = (int32_t)((batch + row) % SERVICES),
                    .tokens = (int32_t)(batch * 37 + row * 11 + 1),
                    .cost = (int64_t)(batch * 1000 + row * 10 + 7) * 1000000,
                    .age = age_of(batch, row),
                    .metadata = (batch + row) % 3 == 0};
  if (e.user <= RENAMED && (batch >= BEFORE_RETENTION || batch_producer(batch) < 0)) e.user += 2;
  e.timestamp = BEGAN - days[e.age] * DAY - (int64_t)(batch * 977 + row * 331) * 1000001;
  return e;
}

struct event event_of(int32_t serial) {
  return batch_event((unsigned)serial / SERIALS_EACH, (unsigned)serial % SERIALS_EACH);
}

bool serial_exists(int32_t serial) {
  return serial >= 0 && serial < (int32_t)(BATCHES * SERIALS_EACH) &&
         (unsigned)serial % SERIALS_EACH < batch_rows((unsigned)serial / SERIALS_EACH);
}

void batch_name(unsigned batch, tally_append_options *options) {
  int producer = batch_producer(batch);
  if (producer < 0) return;
  bool second = producer == 1 && batch >= 16;
  options->producer = producer_text(producer);
  options->epoch = second ? 2 : 1;
  options->sequence = batch / 4 + 1 - (second ? 4 : 0);
}

static void add(tally_batch *builder, const struct event *e) {
  char service[8], metadata[32];
  tally_event event = {.timestamp = e->timestamp,
                       .request_size = e->serial,
                       .tokens_used = e->tokens,
                       .cost = e->cost,
                       .present =
                           1u << TALLY_COL_REQUEST_SIZE | 1u << TALLY_COL_TOKENS_USED | 1u << TALLY_COL_COST};
  if (e->user != NOBODY) event.user_id = (tally_text){user_text(e->user), strlen(user_text(e->user))};
  (void)snprintf(service, sizeof service, "svc-%d", e->service % SERVICES);
  event.service_name = (tally_text){service, strlen(service)};
  if (e->metadata) {
    int n = snprintf(metadata, sizeof metadata, "{\"n\":%d}", e->serial);
    event.metadata = (tally_text){metadata, (size_t)n};
  }
  if (tally_batch_add(builder, &event, NULL)) abort();
}

static struct {
  void *bytes;
  size_t size;
} made[BATCHES];

static void make_all(void) {
  tally_batch *builder = tally_batch_new();
  if (!builder) abort();
  for (unsigned batch = 0; batch < BATCHES; batch++) {
    const void *bytes;
    tally_batch_reset(builder);
    for (unsigned row = 0; row < batch_rows(batch); row++) {
      struct event e = batch_event(batch, row);
      add(builder, &e);
    }
    if (tally_batch_finish(builder, &bytes, &made[batch].size, NULL)) abort();
    made[batch].bytes = malloc(made[batch].size);
    if (!made[batch].bytes) abort();
    memcpy(made[batch].bytes, bytes, made[batch].size);
  }
  tally_batch_free(builder);
}

void batch_bytes(unsigned batch, tally_append_item *item) {
  if (!made[0].bytes) make_all();
  item->bytes = made[batch].bytes;
  item->size = made[batch].size;
}
