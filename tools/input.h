/* input.h - the bytes of one input: a file, or the standard input. */
#ifndef TOOLS_INPUT_H
#define TOOLS_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally.h>

struct input {
  const char *path; /* borrowed */
  const char *name; /* for messages: the path, or "standard input" */
  int descriptor;
  uint64_t size; /* 0: not known, as of a pipe */
  bool end;      /* all of it was read */
};

/* Whether the path could be opened: so that a typing error in the last FILE is found before the first one is
 * ingested. TALLY_NOT_FOUND or TALLY_IO. "-" always can. *size is 0 if it is not known. */
int input_check(const char *path, uint64_t *size, tally_error *error);
/* Opens it. Close with input_close. */
int input_open(const char *path, struct input *input, tally_error *error);
void input_close(struct input *input);
/* Reads up to `size` bytes, at least one unless *got is 0: then it is at its end. TALLY_CANCELLED if a signal
 * came that stop() knows of. */
int input_read(struct input *input, void *to, size_t size, size_t *got, bool (*stop)(void),
               tally_error *error);
/* Looks at the first bytes: TALLY_UNSUPPORTED for what is not text but compressed or UTF-16, with the cure.
 * *skip is the size of a byte order mark. */
int input_look(const struct input *input, const void *bytes, size_t size, size_t *skip, tally_error *error);

#endif
