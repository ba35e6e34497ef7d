/* Laws of base/kept.h, through mem.h. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/kept.h"
#include "base/mem.h"

#define MIB ((size_t)1 << 20)

Test(kept, nothing_is_kept_before_it_is_allowed) {
  void *block = mem_alloc(4 * MIB);
  cr_assert_not(kept_put(block));
  cr_assert_null(kept_take(4 * MIB));
  mem_free(block);
}

Test(kept, a_freed_block_comes_back_to_a_call_of_nearly_its_size_only) {
  mem_keep(MIB, 16 * MIB);
  void *block = mem_alloc(4 * MIB);
  mem_free(block);
  cr_assert_null(kept_take(2 * MIB), "it would be half empty");
  cr_assert_null(kept_take(5 * MIB), "it would not fit");
  cr_assert_null(kept_take(100), "small ones are the heap's");
  cr_assert_eq(mem_alloc(4 * MIB - 1000), block);
  cr_assert_null(kept_take(4 * MIB), "it has an owner now");
  mem_free(block);
}

Test(kept, no_more_is_kept_than_allowed_and_the_oldest_goes_first) {
  mem_keep(MIB, 10 * MIB);
  void *first = mem_alloc(4 * MIB), *second = mem_alloc(2 * MIB), *third = mem_alloc(9 * MIB / 2);
  void *huge = mem_alloc(6 * MIB);
  cr_assert_not(kept_put(huge), "one takes half of it at most");
  mem_free(huge);
  mem_free(first);
  mem_free(second);
  mem_free(third);
  cr_assert_eq(kept_take(4 * MIB), third, "the first made room");
  cr_assert_eq(kept_take(2 * MIB), second);
  cr_assert_null(kept_take(2 * MIB));
  free(second);
  free(third);
}

Test(kept, what_is_kept_can_be_given_back_and_room_is_made_by_it) {
  mem_keep(MIB, 12 * MIB);
  void *first = mem_alloc(4 * MIB), *second = mem_alloc(5 * MIB);
  mem_free(first);
  mem_free(second);
  mem_keep_none();
  cr_assert_null(kept_take(4 * MIB));
  cr_assert_null(kept_take(5 * MIB));
  void *third = mem_alloc(9 * MIB / 2), *fourth = mem_alloc(5 * MIB);
  mem_free(third);
  mem_free(fourth);
  cr_assert_eq(kept_take(9 * MIB / 2), third);
  cr_assert_eq(kept_take(5 * MIB), fourth, "what was given back is not counted any more");
  free(third);
  free(fourth);
}

Test(kept, another_most_holds_from_the_next_block_on) {
  mem_keep(MIB, 4 * MIB);
  void *first = mem_alloc(4 * MIB);
  cr_assert_not(kept_put(first), "half of it at most");
  mem_keep_most(16 * MIB);
  mem_free(first);
  cr_assert_eq(kept_take(4 * MIB), first);
  mem_free(first);
  mem_keep_most(13 * MIB / 2);
  void *second = mem_alloc(3 * MIB);
  mem_free(second);
  cr_assert_null(kept_take(4 * MIB), "the older one made room");
  cr_assert_eq(kept_take(3 * MIB), second);
  free(second);
}

Test(kept, an_array_that_grows_into_a_kept_block_keeps_what_it_holds) {
  mem_keep(MIB, 16 * MIB);
  void *block = mem_alloc(4 * MIB);
  mem_free(block);
  uint8_t *small = mem_alloc(1000);
  memset(small, 7, 1000);
  uint8_t *large = mem_realloc(small, 4 * MIB);
  cr_assert_eq(large, block);
  for (size_t i = 0; i < 1000; i++) cr_assert_eq(large[i], 7);
  uint8_t *less = mem_realloc(large, 2 * MIB);
  for (size_t i = 0; i < 1000; i++) cr_assert_eq(less[i], 7);
  mem_free(less);
}

#define THREADS 4
#define ROUNDS 20000

/* Fills its block with its own mark and finds it unchanged: nobody else has it. */
static void *use_blocks(void *arg) {
  uint8_t mark = (uint8_t)(uintptr_t)arg;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    size_t size = MIB / 4 + (i * 7919u + mark) % (MIB / 4);
    uint8_t *block = mem_alloc(size);
    block[0] = block[size - 1] = mark;
    memset(block + 100, mark, 64);
    for (size_t k = 100; k < 164; k++)
      if (block[k] != mark) return "another thread has this block";
    if (block[0] != mark || block[size - 1] != mark) return "another thread has this block";
    mem_free(block);
  }
  return NULL;
}

Test(kept, a_block_has_one_owner_among_threads) {
  pthread_t thread[THREADS];
  mem_keep(MIB / 4, 2 * MIB);
  for (uintptr_t t = 0; t < THREADS; t++)
    cr_assert_eq(pthread_create(&thread[t], NULL, use_blocks, (void *)(t + 1)), 0);
  for (uintptr_t t = 0; t < THREADS; t++) {
    void *problem;
    pthread_join(thread[t], &problem);
    cr_assert_null(problem, "%s", (char *)problem);
  }
}
