/* shell_edit.c - libedit; see shell_edit.h.
 *
 * libedit's own signal handling is not used: it would send signals to the whole process group. Ours only sets
 * a flag and makes the read of a character return. */
#include "tools/shell_edit.h"

#include "base/mem.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/shell_complete.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_SIZE 1000
#define PATH_BYTES 4096u

struct editor {
  EditLine *edit;
  History *history;
  const char *prompt;
  char path[PATH_BYTES]; /* of the history; empty: none */
};

static struct editor *editor_of(EditLine *edit) {
  struct editor *e = NULL;
  el_get(edit, EL_CLIENTDATA, &e);
  return e;
}

static char *show_prompt(EditLine *edit) {
  static char text[64];
  (void)snprintf(text, sizeof text, "%s", editor_of(edit)->prompt);
  return text;
}

/* One character of the terminal: 1, 0 at the end, -1 at an interrupt or error. */
static int read_character(EditLine *edit, wchar_t *character) {
  (void)edit;
  mbstate_t state = {0};
  for (;;) {
    char byte;
    if (!interrupt_wait_input(STDIN_FILENO)) return -1;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return (int)n;
    size_t used = mbrtowc(character, &byte, 1, &state);
    if (used == (size_t)-2) continue; /* not whole yet */
    if (used != (size_t)-1) return 1;
    memset(&state, 0, sizeof state); /* no character: dropped */
  }
}

/* ---- completion */

static void insert_rest(EditLine *edit, const struct completions *c) {
  char text[128];
  int size = (int)(c->common - c->typed);
  bool whole = c->count == 1 && !c->goes_on;
  (void)snprintf(text, sizeof text, "%.*s%s", size, c->items[0] + c->typed, whole ? " " : "");
  (void)el_insertstr(edit, text);
}

static void list_items(const struct completions *c) {
  (void)fputc('\n', stdout);
  for (size_t i = 0; i < c->count; i++) (void)fprintf(stdout, "%s%s", i ? "  " : "", c->items[i]);
  (void)fputc('\n', stdout);
}

static unsigned char complete_here(EditLine *edit, int key) {
  const LineInfo *line = el_line(edit);
  struct completions c = complete_line(line->buffer, (size_t)(line->cursor - line->buffer));
  if (c.files) return _el_fn_complete(edit, key);
  if (!c.count) return CC_REFRESH_BEEP;
  if (c.count == 1 || c.common > c.typed) {
    insert_rest(edit, &c);
    return CC_REFRESH;
  }
  list_items(&c);
  return CC_REDISPLAY;
}

/* ---- history */

static void find_history(struct editor *e) {
  const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
  int n = 0;
  if (state && *state == '/') {
    n = snprintf(e->path, sizeof e->path, "%s/tally_history", state);
  } else if (home && *home) {
    n = snprintf(e->path, sizeof e->path, "%s/.tally_history", home);
  }
  if (n >= (int)sizeof e->path) e->path[0] = '\0';
}

static void load_history(struct editor *e) {
  HistEvent event;
  history(e->history, &event, H_SETSIZE, HISTORY_SIZE);
  history(e->history, &event, H_SETUNIQUE, 1);
  find_history(e);
  if (e->path[0]) history(e->history, &event, H_LOAD, e->path);
}

void editor_remember(struct editor *e, const char *text) {
  HistEvent event;
  history(e->history, &event, H_ENTER, text);
  if (!e->path[0]) return;
  int fd = open(e->path, O_WRONLY | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) return; /* a shell without a place for its history still works */
  close(fd);
  history(e->history, &event, H_SAVE, e->path);
}

/* ---- the editor */

static void use_utf8(void) {
  if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) (void)setlocale(LC_CTYPE, "C.UTF-8");
}

static void bind_keys(EditLine *edit) {
  el_set(edit, EL_EDITOR, "emacs");
  /* The narrow form would leak copies of the two texts. */
  el_wset(edit, EL_ADDFN, L"tally-complete", L"complete commands, options, columns", complete_here);
  el_set(edit, EL_BIND, "^I", "tally-complete", NULL);
  el_set(edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
}

struct editor *editor_open(void) {
  struct editor *e = mem_zalloc(1, sizeof *e);
  if (!e) return NULL;
  use_utf8();
  e->edit = el_init("tally", stdin, stdout, stderr);
  e->history = history_init();
  if (!e->edit || !e->history) {
    editor_close(e);
    return NULL;
  }
  el_set(e->edit, EL_CLIENTDATA, e);
  el_set(e->edit, EL_PROMPT, show_prompt);
  el_set(e->edit, EL_SIGNAL, 0);
  el_set(e->edit, EL_GETCFN, read_character);
  el_set(e->edit, EL_HIST, history, e->history);
  bind_keys(e->edit);
  load_history(e);
  (void)el_source(e->edit, NULL); /* the user's ~/.editrc */
  return e;
}

void editor_close(struct editor *e) {
  if (!e) return;
  if (e->history) history_end(e->history);
  if (e->edit) el_end(e->edit);
  mem_free(e);
}

char *editor_read(struct editor *e, const char *prompt) {
  e->prompt = prompt;
  el_resize(e->edit);
  int size = 0;
  const char *line = el_gets(e->edit, &size);
  if (!line || size <= 0) return NULL;
  size_t length = strlen(line);
  if (length && line[length - 1] == '\n') length--;
  return mem_strndup(line, length);
}
