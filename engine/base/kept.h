/* kept.h - large blocks that were freed and wait for the next call that wants as much; under mem.h, which
 * alone uses it.
 *
 * The heap maps a large block anew each time, and the system makes its pages when they are touched: for the
 * scratch of flushes and queries, which come and go several times a second, that takes longer than the
 * work on some columns. What is kept is not in any budget, so who owns the process says how much it may be
 * (mem_keep); without that nothing is kept. Any thread; no lock: a slot's block belongs to who swapped it
 * out. */
#ifndef BASE_KEPT_H
#define BASE_KEPT_H

#include <stdbool.h>
#include <stddef.h>

/* From now on blocks of at least `least` bytes may be kept, `most` bytes in all. Before other threads. */
void kept_allow(size_t least, size_t most);
/* Another `most`, which the next block that is put sees to. Any time. */
void kept_allow_most(size_t most);
/* A block of at least `size` bytes and at most a quarter more, with any content; NULL: none is kept. */
void *kept_take(size_t size);
/* The same with what `old` (NULL: nothing) holds, which is freed; NULL: `old` is as it was. */
void *kept_move(void *old, size_t size);
/* Keeps a block that the heap gave, the oldest others making room; false: it is to be freed. */
bool kept_put(void *block);
/* Gives back to the heap what is kept now. */
void kept_drop(void);

#endif
