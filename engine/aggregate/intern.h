/* intern.h - texts as numbers, for the time of one query: values of metadata keys and whole metadata.
 *
 * Ids count from 1; 0 is NULL and never a text. Equal texts have equal ids. */
#ifndef AGGREGATE_INTERN_H
#define AGGREGATE_INTERN_H

#include <stddef.h>
#include <stdint.h>
#include <tally.h>

#include "base/budget.h"

struct intern_slot {
  uint32_t tag, id; /* upper half of the text's hash; 0: empty */
};

struct intern {
  struct budget *budget;
  struct intern_slot *slots;
  size_t slot_count; /* a power of two, 0 before the first text */
  uint64_t *at;      /* text of id i: bytes [at[i - 1], at[i]) */
  size_t at_capacity;
  char *bytes;
  size_t bytes_capacity;
  uint32_t count;
};

void intern_init(struct intern *intern, struct budget *budget);
void intern_free(struct intern *intern);
/* TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY. */
int intern_add(struct intern *intern, const char *text, size_t size, uint32_t *id, tally_error *error);
/* The text of an id from 1 to count; borrowed until the next intern_add. */
tally_text intern_text(const struct intern *intern, uint32_t id);

#endif
