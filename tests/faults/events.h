/* events.h - the batches of the scripted workload: what is in each follows from its number alone. */
#ifndef FAULTS_EVENTS_H
#define FAULTS_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#define BATCHES 40u
#define BEFORE_RETENTION                                                                                     \
  24u            /* batches up to here have events that will be dropped, and of the users below              \
                  */
#define ERASED 0 /* users */
#define RENAMED 1
#define USERS 5
#define NOBODY USERS /* user_id NULL */
#define SERVICES 3
#define PRODUCERS 3

enum age { AGE_DROPPED, AGE_THINNED, AGE_ARCHIVED, AGE_NEW }; /* what retention does to an event */

struct event {
  int32_t serial; /* request_size: tells the event among all others */
  int32_t user, service, tokens;
  int64_t timestamp, cost;
  enum age age;
  bool metadata;
};

unsigned batch_rows(unsigned batch);
struct event batch_event(unsigned batch, unsigned row);
struct event event_of(int32_t serial);
bool serial_exists(int32_t serial);
const char *user_text(int32_t user);

/* Who sends it: -1 has no producer. */
int batch_producer(unsigned batch);
const char *producer_text(int producer);
void batch_name(unsigned batch, tally_append_options *options);
/* The batch's bytes, which are made once and stay. */
void batch_bytes(unsigned batch, tally_append_item *item);

#endif
