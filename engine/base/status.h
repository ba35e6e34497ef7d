/* status.h - how a function of the engine fails.
 *
 * Every function that can fail returns 0 or a TALLY_* code and, before that, fills the tally_error
 * it was given (never NULL inside the engine) with a sentence: what was wrong, where, what to do.
 * A function that only passes a failure on leaves the error as it is; error_where() adds a place. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <tally.h>

/* Fills *error and returns code. The text is printf's. */
int fail(tally_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* TALLY_NO_MEMORY, saying what the memory was for. */
int fail_memory(tally_error *error, const char *what);
/* TALLY_CORRUPT; `check` names the check that found it, and must be unique in the source. */
int fail_corrupt(tally_error *error, const char *file, uint64_t offset, const char *check);
/* Puts "place: " before the text of *error. Returns its code. */
int error_where(tally_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
