/* ingest_fake.h - a store in memory behind tools/backend.h, which can lose connections, refuse rows and
 * forget.
 *
 * It keeps the laws of the real one: a batch is in or not; a repeat is a duplicate, with another fingerprint
 * a conflict; a gap is refused. The rows of the tests have distinct timestamps, so it can count each of them.
 */
#ifndef TESTS_INGEST_FAKE_H
#define TESTS_INGEST_FAKE_H

#include "tools/backend.h"

#define FAKE_ROWS 200000u
#define FAKE_BATCHES 4096u

struct fake {
  /* what is in */
  uint8_t times[FAKE_ROWS]; /* how often the row of that timestamp is in */
  uint64_t rows;
  uint64_t mark;
  uint8_t fingerprints[FAKE_BATCHES][16];
  uint32_t batch_rows[FAKE_BATCHES];
  /* what it refuses */
  int64_t latest, oldest; /* timestamps outside of these are refused; 0: no limit */
  /* how it fails: one in so many calls; 0: never */
  uint64_t lose_before, lose_after, busy;
  uint64_t lose_again;  /* asking for the mark after a loss */
  uint64_t unreachable; /* of one in so many times reconnecting fails */
  uint64_t random;
  uint64_t window;
  /* what happened */
  uint64_t submissions, losses, most_under_way;
};

extern struct fake fake;

/* Empties it, with a window of 4, and takes the seed from TALLY_SEED. */
void fake_start(void);
/* A new connection, as a new process has it. */
void fake_connect(void);
/* The backend to give to the sender. */
struct backend *fake_backend(void);

#endif
