/* runner.c - part of each unit test: the process that starts the tests and counts them is not searched for
 * leaks.
 *
 * Each test runs, and is searched, in a process of its own. The process above them all is Criterion's alone,
 * and now and then, by a race between its loop and its workers, ends with one worker's record still
 * allocated. */
#include <criterion/hooks.h>
#include <stdbool.h>

int __lsan_is_turned_off(void); /* <sanitizer/lsan_interface.h>; nobody calls it without LeakSanitizer */

static bool starts_tests;

ReportHook(PRE_ALL)(struct criterion_test_set *tests) {
  (void)tests;
  starts_tests = true;
}

__attribute__((visibility("default"))) int __lsan_is_turned_off(void) { return starts_tests; }
