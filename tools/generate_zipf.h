/* generate_zipf.h - ranks 1, 2, 3, … with probabilities proportional to rank^-1.05. */
#ifndef TOOLS_GENERATE_ZIPF_H
#define TOOLS_GENERATE_ZIPF_H

#include <stddef.h>

#include "tools/generate_random.h"

struct zipf {
  uint64_t *cumulative; /* of rank i + 1: the weights of the ranks up to it */
  uint32_t *guide;      /* where to look for the values of each slice */
  size_t count;
  unsigned shift; /* a slice is value >> shift */
};

/* False without memory. Free with zipf_free. */
bool zipf_init(struct zipf *zipf, size_t ranks, const struct random_tables *tables);
void zipf_free(struct zipf *zipf);
/* A random rank, from 1. */
uint64_t zipf_next(const struct zipf *zipf, struct random *random);

#endif
