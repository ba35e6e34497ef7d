/* Cursors of <tally.h>: how they end. */
#include <criterion/criterion.h>
#include <string.h>
#include <tally.h>

#include "support/temporary.h"

Test(api, a_cursor_that_is_cancelled_or_late_ends_with_its_code_and_stays_ended) {
  struct temporary t = temporary_make();
  tally_error e;
  tally_options o;
  tally_options_init(&o);
  o.create = true;
  tally_store *store;
  cr_assert_eq(tally_open(t.path, &o, &store, &e), 0);
  tally_cursor *c;
  tally_query q;
  tally_query_init(&q);
  cr_assert_eq(tally_query_open(store, &q, &c, &e), 0);
  tally_cursor_cancel(c);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_CANCELLED);
  cr_assert_eq(tally_cursor_next(c, &e), TALLY_CANCELLED);
  tally_cursor_close(c);
  q.where_count = 1;
  const char *where[] = {"no_such_column = 1"};
  q.where = where;
  cr_assert_eq(tally_query_open(store, &q, &c, &e), TALLY_USAGE);
  cr_assert_null(c);
  cr_assert_not_null(strstr(e.text, "no_such_column"), "%s", e.text);
  cr_assert_eq(tally_close(store, &e), 0);
  temporary_remove(&t);
}
