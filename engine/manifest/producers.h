/* producers.h - the marks of producers: which batches are in, for ever (contract, section 2).
 *
 * A producer has epochs, each with the last sequence that is in; sequences of an epoch are in without
 * a hole. The newest 64 fingerprints of a producer are remembered while the budget has room. One thread
 * (the writer's role). */
#ifndef MANIFEST_PRODUCERS_H
#define MANIFEST_PRODUCERS_H

#include <tally.h>

#include "base/budget.h"
#include "base/bytes.h"

#define PRODUCER_FINGERPRINTS 64u

struct producers;
struct producer;

enum mark_verdict { MARK_NEXT, MARK_DUPLICATE, MARK_GAP, MARK_STALE, MARK_CONFLICT };

struct batch_id {
  tally_text producer;
  uint64_t epoch, sequence;
  const uint8_t *fingerprint; /* 16 bytes or NULL */
};

/* How to take an accepted batch back. */
struct mark_undo {
  struct producer *producer;
  bool new_epoch, changed_fingerprint;
  uint64_t sequence; /* before */
  struct fingerprint {
    uint64_t epoch, sequence;
    uint8_t bytes[16];
  } fingerprint; /* before */
};

int producers_new(struct budget *budget, struct producers **producers, tally_error *error);
void producers_free(struct producers *producers);
/* What a batch with this id is. *expected: with MARK_GAP the next sequence, with MARK_STALE the newest epoch.
 */
enum mark_verdict producers_check(const struct producers *p, const struct batch_id *id, uint64_t *expected);
/* Takes a batch in (its verdict is MARK_NEXT). TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int producers_accept(struct producers *p, const struct batch_id *id, struct mark_undo *undo,
                     tally_error *error);
/* Takes it out again; in the reverse order of acceptance. */
void producers_undo(struct producers *p, const struct mark_undo *undo);
/* epoch 0: the newest. */
tally_mark producers_mark(const struct producers *p, tally_text producer, uint64_t epoch);
size_t producers_count(const struct producers *p); /* any thread */

/* Appends the whole state of the producers that changed since the last call (or of `all`) and forgets that
 * they changed. */
void producers_write(struct producers *p, bool all, struct buffer *out);
/* Takes over states written so: they replace what is there of the same producers. TALLY_CORRUPT without a
 * text of its own. */
int producers_read(struct producers *p, const void *bytes, size_t size, tally_error *error);

#endif
