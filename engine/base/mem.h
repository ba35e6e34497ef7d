/* mem.h - the one door to the heap, so that tests can make any allocation fail.
 *
 * All return NULL without memory; sizes that overflow count as "without memory". */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);
void *mem_zalloc(size_t count, size_t size); /* zeroed */
void *mem_realloc(void *old, size_t size);
/* Array growth: room for count elements of `size` bytes, NULL on overflow. */
void *mem_realloc_array(void *old, size_t count, size_t size);
void mem_free(void *p);
/* For who owns the process, before it has threads: freed blocks of at least `least` bytes, `most` bytes in
 * all, are kept for the next mem_alloc of nearly their size (kept.h). None are without this call. */
void mem_keep(size_t least, size_t most);
void mem_keep_most(size_t most);                      /* from now on; any thread */
void mem_keep_none(void);                             /* frees what is kept now; any thread */
char *mem_strndup(const char *text, size_t size);     /* NUL-terminated copy */
char *mem_path(const char *folder, const char *name); /* folder/name */
/* The directory above, in text; "." and "/" where there is none. */
char *mem_parent(const char *path);

/* For tests: called before each allocation with its size; returning 0 makes it fail. NULL: none.
 * Set it while no other thread allocates. */
extern int (*mem_test_hook)(size_t size);

#endif
