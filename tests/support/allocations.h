/* allocations.h - a number of allocations goes well, then each fails (base/mem.h). */
#ifndef SUPPORT_ALLOCATIONS_H
#define SUPPORT_ALLOCATIONS_H

#include "base/mem.h"

static int allocations_left; /* below 0: one has failed */
static int allocations_end(size_t size) {
  (void)size;
  return allocations_left-- > 0;
}

/* Until allocations_again. */
static inline void allocations_stop_after(int count) {
  allocations_left = count;
  mem_test_hook = allocations_end;
}
static inline void allocations_again(void) { mem_test_hook = NULL; }

#endif
