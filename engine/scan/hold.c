/* hold.c - budgeted memory; see hold.h. */
#include "scan/hold.h"

#include "base/mem.h"
#include "base/status.h"

struct held {
  struct held *next;
  size_t size; /* with this head */
};

#define HEAD ((sizeof(struct held) + 15) & ~(size_t)15)

static int over_budget(tally_error *error, size_t size) {
  return fail(error, TALLY_MEMORY_LIMIT,
              "the query needs %zu more bytes than its share of the memory: narrow its range, or raise the "
              "store's memory",
              size);
}

static int take(struct hold *h, size_t size, bool zeroed, void **to, tally_error *error) {
  size_t bytes;
  if (__builtin_add_overflow(size, HEAD, &bytes)) return fail_memory(error, "a scan");
  if (!budget_take(h->budget, bytes)) return over_budget(error, bytes);
  struct held *held = zeroed ? mem_zalloc(1, bytes) : mem_alloc(bytes);
  if (!held) {
    budget_give(h->budget, bytes);
    return fail_memory(error, "a scan");
  }
  held->size = bytes;
  held->next = h->list;
  h->list = held;
  *to = (uint8_t *)held + HEAD;
  return 0;
}

int hold_alloc(struct hold *h, size_t count, size_t size, void **to, tally_error *error) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return fail_memory(error, "a scan");
  return take(h, bytes, true, to, error);
}

int hold_take(struct hold *h, size_t size, void **to, tally_error *error) {
  return take(h, size, false, to, error);
}

void hold_free(struct hold *h) {
  for (struct held *held = h->list, *next; held; held = next) {
    next = held->next;
    budget_give(h->budget, held->size);
    mem_free(held);
  }
  h->list = NULL;
}

int hold_reserve(struct hold *h, struct buffer *b, size_t capacity, tally_error *error) {
  if (capacity <= b->capacity) return 0;
  size_t more = capacity - b->capacity;
  if (more < b->capacity / 2) more = b->capacity / 2; /* few steps to any size */
  if (!budget_take(h->budget, more)) return over_budget(error, more);
  uint8_t *data = mem_realloc(b->data, b->capacity + more);
  if (!data) {
    budget_give(h->budget, more);
    return fail_memory(error, "a scan's texts");
  }
  b->data = data;
  b->capacity += more;
  return 0;
}

void hold_buffer_free(struct hold *h, struct buffer *b) {
  budget_give(h->budget, b->capacity);
  buffer_free(b);
}
