/* answer.c - pulls rows and prints them; see answer.h.
 *
 * With an error before the first row nothing is printed; after it what came is printed and said to be
 * incomplete. A reader of the output that goes away ends the answer quietly and is no failure. */
#include "tools/answer.h"

#include "base/mem.h"
#include "base/status.h"
#include "tools/interrupt.h"
#include "tools/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static size_t terminal_width(void) {
  struct winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col) return size.ws_col;
  uint64_t columns = 0;
  const char *text = getenv("COLUMNS");
  return text && command_number(text, &columns) && columns <= 10000 ? (size_t)columns : 0;
}

static struct printer_options choose_output(const struct globals *globals) {
  const char *term = getenv("TERM");
  bool terminal = isatty(STDOUT_FILENO) == 1;
  struct printer_options o = {.format = globals->format, .terminal = terminal};
  if (o.format == FORMAT_DEFAULT) o.format = terminal ? FORMAT_TABLE : FORMAT_TSV;
  o.color = terminal && !globals->no_color && term && *term && strcmp(term, "dumb") != 0;
  o.width = terminal ? terminal_width() : 0;
  return o;
}

static int start_answer(struct backend *backend, const struct request *request, struct rows **rows,
                        tally_error *error) {
  switch (request->kind) {
  case ANSWER_QUERY:
    return backend_query(backend, request->query, rows, error);
  case ANSWER_EVENTS:
    return backend_events(backend, request->scan, rows, error);
  case ANSWER_STATS:
    return backend_stats(backend, rows, error);
  case ANSWER_JOB:
    return backend_job(backend, request->words, request->word_count, rows, error);
  case ANSWER_VERIFY:
  default:
    return backend_verify(backend, rows, error);
  }
}

static int open_output(const struct globals *globals, const struct rows *rows, struct printer **printer,
                       tally_error *error) {
  size_t count = rows_columns(rows);
  tally_result_column *columns = mem_zalloc(count, sizeof *columns);
  if (!columns) return fail_memory(error, "the output");
  for (size_t i = 0; i < count; i++) columns[i] = rows_column(rows, i);
  struct printer_options options = choose_output(globals);
  int code = printer_open(STDOUT_FILENO, &options, columns, count, printer, error);
  mem_free(columns);
  return code;
}

/* Prints the rows up to their end or an error; between them the watch may say how far the next one is.
 * *broken: the error is the output's, not the store's. */
static int pull_rows(struct rows *rows, struct printer *printer, struct watch *watch, uint64_t *printed,
                     bool *broken, tally_error *error) {
  size_t count = rows_columns(rows);
  tally_text *cells = mem_zalloc(count, sizeof *cells);
  if (!cells) return fail_memory(error, "the output");
  int code = 0;
  while (code == 0 && (code = rows_next(rows, error)) == TALLY_ROW) {
    for (size_t i = 0; i < count; i++) cells[i] = rows_cell(rows, i);
    watch_pause(watch, true);
    code = printer_row(printer, cells, error);
    watch_pause(watch, false);
    *broken = code != 0;
    *printed += code == 0;
    if (code == 0) continue;
  }
  mem_free(cells);
  return code;
}

/* Finishes the output and says what went wrong; returns an exit code. */
static int end_output(const char *command, struct printer *printer, uint64_t printed, bool broken, int code,
                      const tally_error *error) {
  tally_error late = {0};
  int finished = broken || (code != 0 && printed == 0) ? 0 : printer_finish(printer, code == 0, &late);
  if ((broken && code == TALLY_CLOSED) || finished == TALLY_CLOSED) return EXIT_DONE;
  int exit_code = EXIT_DONE;
  if (code != 0) exit_code = command_failure(command, error);
  if (finished != 0) exit_code = command_failure(command, &late);
  if (code != 0 && printed > 0) {
    command_complain("the output is incomplete: it ends after %llu rows", (unsigned long long)printed);
  }
  return code != 0 && printed > 0 ? EXIT_FAILED : exit_code;
}

/* An answer that lacks something does not pass for a whole one. */
static void say_left_out(const struct rows *rows) {
  uint64_t segments = 0, held = 0;
  rows_left_out(rows, &segments, &held);
  if (segments)
    command_complain("warning: the answer is partial: %llu damaged segment%s with %llu rows %s left out; "
                     "`tally verify` lists the damage",
                     (unsigned long long)segments, segments == 1 ? "" : "s", (unsigned long long)held,
                     segments == 1 ? "was" : "were");
}

static int print_rows(struct globals *globals, const char *command, struct rows *rows, struct watch *watch,
                      uint64_t *printed) {
  tally_error error = {0};
  struct printer *printer = NULL;
  watch_pause(watch, true);
  if (open_output(globals, rows, &printer, &error) != 0) return command_failure(command, &error);
  watch_pause(watch, false);
  bool broken = false;
  int code = command_interrupted() ? fail(&error, TALLY_CANCELLED, "the query was cancelled")
                                   : pull_rows(rows, printer, watch, printed, &broken, &error);
  watch_stop(watch);
  int exit_code = end_output(command, printer, *printed, broken, code, &error);
  printer_close(printer);
  if (code == 0) say_left_out(rows);
  return exit_code;
}

/* Each row's first cell, a line each. */
static int print_bare(const char *command, struct rows *rows, uint64_t *printed) {
  tally_error error = {0};
  int code;
  while ((code = rows_next(rows, &error)) == TALLY_ROW) {
    tally_text t = rows_cell(rows, 0);
    (void)fwrite(t.data, 1, t.size, stdout);
    (void)fputc('\n', stdout);
    ++*printed;
  }
  if (code != 0) return command_failure(command, &error);
  if (fflush(stdout) != 0) {
    command_complain("cannot write the output");
    return EXIT_FAILED;
  }
  return EXIT_DONE;
}

static int ask(struct globals *globals, const char *command, struct backend *backend,
               const struct request *request, uint64_t *printed) {
  tally_error error = {0};
  struct rows *rows = NULL;
  command_catch_interrupts(true);
  interrupt_cancels(backend);
  struct watch watch;
  watch_start(&watch, request->kind == ANSWER_JOB && !globals->quiet, command, backend);
  int code = start_answer(backend, request, &rows, &error);
  if (code != 0 || request->bare) watch_stop(&watch);
  int exit_code;
  if (code != 0)
    exit_code = command_failure(command, &error);
  else
    exit_code = request->bare ? print_bare(command, rows, printed)
                              : print_rows(globals, command, rows, &watch, printed);
  watch_stop(&watch);
  if (rows) rows_close(rows);
  interrupt_cancels(NULL);
  command_catch_interrupts(false);
  return exit_code;
}

int answer_print(struct globals *globals, const char *command, const struct request *request,
                 uint64_t *rows) {
  tally_error error = {0};
  struct backend *backend = NULL;
  uint64_t printed = 0;
  if (command_backend(globals, false, &backend, &error) != 0) return command_failure(command, &error);
  int exit_code = ask(globals, command, backend, request, &printed);
  if (rows) *rows = printed;
  int closed = command_backend_done(globals, backend, &error);
  if (closed != 0 && exit_code == EXIT_DONE) exit_code = command_failure(command, &error);
  return exit_code;
}
