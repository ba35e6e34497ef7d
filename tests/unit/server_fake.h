/* server_fake.h - a store in memory for the server's tests, with a hand on what a real one does by itself:
 * the WAL can be held (appends wait), answers can be endless, slow or stuck.
 *
 * QUERY: `limit` rows of (n, text of `TEXT` bytes, given by group_by as a number). tz "stuck": the first row
 * never comes until the cursor is cancelled. aggregates "fail": TALLY_OVERFLOW after the rows. from "refuse":
 * TALLY_USAGE at once. tz "hungry": TALLY_MEMORY_LIMIT as long as no cursor has rested. TALLY_AT_ONCE:
 * TALLY_BUSY, but with tz "quick" from the rows it would give. EVENTS: the same with limit alone; columns
 * "hungry": TALLY_MEMORY_LIMIT at row 5 as long as no cursor has rested. VERIFY: stuck. STATS: one row. JOB:
 * a row a word; "long": until the store is interrupted. */
#ifndef UNIT_SERVER_FAKE_H
#define UNIT_SERVER_FAKE_H

#include <stdatomic.h>
#include <uv.h>

#include "server/store.h"

struct fake {
  struct store store;
  uv_mutex_t lock;
  uv_cond_t changed;
  bool held;               /* appends wait; under lock */
  bool loose;              /* nothing is stuck; under lock */
  _Atomic uint64_t groups; /* calls of append */
  _Atomic uint64_t batches, bytes;
  _Atomic uint64_t rows;   /* that cursors have given */
  _Atomic int open, stuck; /* cursors; those, and jobs, that wait for a cancel or an interruption */
  _Atomic bool interrupted;
  _Atomic uint64_t timeout; /* of the last request for rows */
  _Atomic int flushes;
  _Atomic int rests; /* calls of rest */
  _Atomic int tries; /* requests with TALLY_AT_ONCE; those that were given rows */
  _Atomic int quick;
};

void fake_init(struct fake *fake);
void fake_hold(struct fake *fake, bool held);
/* What is stuck goes on as if it was cancelled (true), or may be stuck again. */
void fake_loosen(struct fake *fake, bool loose);
/* Waits until the value is at least `least`; false after ten seconds. */
bool fake_wait(_Atomic uint64_t *value, uint64_t least);
bool fake_wait_int(_Atomic int *value, int wanted);

#endif
