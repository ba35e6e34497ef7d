/* list.h - rows of NUL-terminated cells, one after the other, behind a cursor: ready from the start, or made
 * when the cursor comes to them. */
#ifndef API_LIST_H
#define API_LIST_H

#include "api/inside.h"
#include "base/bytes.h"

#define LIST_COLUMNS 8u

struct list {
  const tally_result_column *column; /* static */
  size_t columns;                    /* at most LIST_COLUMNS */
  struct buffer cells;
  size_t at;
  /* Where more comes from; NULL: there is no more. TALLY_ROW: it has worked, and may have added rows;
   * TALLY_OK: that was all. */
  int (*more)(void *source, struct list *list, tally_error *error);
  void (*end)(void *source);
  void *source;
};

void list_text(struct list *l, const char *text);
void list_number(struct list *l, uint64_t number);

/* Throws the rows away and makes more, if there are. */
int list_refill(struct list *l, tally_error *error);

/* A cursor over an empty list of these columns. NULL without memory. */
tally_cursor *cursor_of_list(const tally_result_column *columns, size_t count, struct list **list,
                             tally_error *error);
/* Hands the cursor over if the list was filled well; closes it else. `result` is that of the filling. */
int cursor_finish_list(tally_cursor *c, int result, tally_cursor **cursor, tally_error *error);

#endif
