/* fuzz.h - what the fuzz targets share: properties, a bound on memory, files in memory, and mutating one part
 * of an input so that lengths and checksums can be made right again.
 *
 * A target is LLVMFuzzerTestOneInput; where its input carries checksums it has a mutator of its own
 * (LLVMFuzzerCustomMutator), which changes an input and seals it, so that the fuzzer gets behind the seals.
 * Its inputs are then the very bytes of the files and frames that the project writes. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/budget.h"
#include "base/bytes.h"
#include "os/os.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

/* A property of the target that does not hold: says so and ends the process, so that the input is kept. */
#define require(holds, ...)                                                                                  \
  do {                                                                                                       \
    if (!(holds)) fuzz_broken(__FILE__, __LINE__, __VA_ARGS__);                                              \
  } while (0)
_Noreturn void fuzz_broken(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* From now on no allocation of the engine may be larger than `fixed` + `factor` x the input's size. */
void fuzz_bound(size_t fixed, size_t factor, size_t size);
/* No bound. */
void fuzz_unbound(void);
/* A budget that nobody's need is too large for: the bound is fuzz_bound's. fuzz_budget_end: all was given
 * back. */
void fuzz_budget(struct budget *budget);
void fuzz_budget_end(struct budget *budget);

/* A disk with one file, for reading: whatever path is opened, these are its bytes. */
const struct os *fuzz_file(const uint8_t *data, size_t size);

/* Random numbers of a mutator's seed. */
static inline uint32_t fuzz_draw(unsigned *seed, uint32_t below) {
  *seed = *seed * 1664525u + 1013904223u;
  return (uint32_t)(((uint64_t)(*seed >> 8) * below) >> 24);
}
/* Mutates data[from, to) of an input of *size bytes, at most `max`, and moves what is behind it. Returns the
 * part's new end. `keep`: the part's size stays. */
size_t fuzz_mutate(uint8_t *data, size_t *size, size_t max, size_t from, size_t to, bool keep);
/* Puts a copy of data[from, to) behind it, or takes it out. False if there is no room. */
bool fuzz_repeat(uint8_t *data, size_t *size, size_t max, size_t from, size_t to);
void fuzz_cut(uint8_t *data, size_t *size, size_t from, size_t to);

/* The next line of an input of lines: NULL at the end; NUL-terminated in a copy that is freed with free. */
char *fuzz_line(const uint8_t **data, size_t *size);

#endif
