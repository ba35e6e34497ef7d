/* heap.c - counts the blocks that the engine and the tests have from the heap: the program is linked with
 * --wrap, so that what is not freed shows. */
#include <stddef.h>

#include "faults/world.h"

long heap_live;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *p);

void *__wrap_malloc(size_t size) {
  void *p = __real_malloc(size);
  heap_live += p != NULL;
  return p;
}

void *__wrap_calloc(size_t count, size_t size) {
  void *p = __real_calloc(count, size);
  heap_live += p != NULL;
  return p;
}

void *__wrap_realloc(void *old, size_t size) {
  void *p = __real_realloc(old, size);
  heap_live += !old && p;
  return p;
}

void __wrap_free(void *p) {
  heap_live -= p != NULL;
  __real_free(p);
}
