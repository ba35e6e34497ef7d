/* shell_complete.h - what may stand at the cursor of a shell line. Pure: no terminal. */
#ifndef TOOLS_SHELL_COMPLETE_H
#define TOOLS_SHELL_COMPLETE_H

#include <stdbool.h>
#include <stddef.h>

#define COMPLETIONS_MAX 64u

struct completions {
  const char *items[COMPLETIONS_MAX]; /* those that begin with what is typed; static storage */
  size_t count;
  size_t typed;  /* bytes before the cursor that an item replaces */
  size_t common; /* bytes that all items begin with */
  bool files;    /* names of files may stand here instead */
  bool goes_on;  /* a list: no space is due behind an item */
};

/* Completions at the end of `line` (size bytes: the part before the cursor). */
struct completions complete_line(const char *line, size_t size);

#endif
