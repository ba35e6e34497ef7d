/* store_damage.c - every single-bit flip and every truncation of every file of a small store, and pieces of
 * it swapped, repeated and zeroed, one at a time: the store refuses, or its check finds it, or it does no
 * harm. Never another answer, never a crash, never an allocation that a whole store does not make too.
 *
 * What a store that was not closed may do besides: a bad record of its WAL with no whole one behind it, which
 * alone would say that it was confirmed, reads as the torn tail of a crash. Then the answers are those of the
 * records before it, the stats tell of it, and its bytes are kept beside the WAL. If the bytes that are left
 * are those of a store that never had the record, nothing can tell.
 *
 *   store_damage [--bits N] [FILE...]     every Nth bit (1: all); FILE: only the files whose path contains it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/inside.h"
#include "base/hash.h"
#include "base/mem.h"
#include "disk/small_answers.h"
#include "disk/small_store.h"
#include "maintain/restore.h"
#include "wal/format.h"

#define PIECE 64u
#define RESTORED "/restored"

enum outcome { REFUSED, LEFT_OUT, FOUND, TORN, NOTHING_TELLS, HARMLESS, WRONG, OUTCOMES };
static const char *const outcome_name[OUTCOMES] = {"store refused", "answers refused", "found by the check",
                                                   "read as torn",  "nothing tells",   "harmless",
                                                   "WRONG"};

/* ------------------------------------------------------------------ the check and the stats */

/* The faults that the check finds, or a code; *named: one of them is in that file. */
static int faults(tally_store *s, const char *file, bool *named) {
  tally_cursor *c;
  tally_error e;
  int n = 0, result = tally_verify_open(s, 0, &c, &e);
  while (!result && (result = tally_cursor_next(c, &e)) == TALLY_ROW) {
    *named |= strstr(tally_cursor_cell(c, 0).data, file) != NULL;
    n++;
    result = 0;
  }
  tally_cursor_close(c);
  return result ? result : n;
}

static bool recovery_is_told(tally_store *s) {
  tally_cursor *c;
  tally_error e;
  bool told = false;
  if (tally_stats_open(s, &c, &e)) return false;
  while (tally_cursor_next(c, &e) == TALLY_ROW)
    told |= strcmp(tally_cursor_cell(c, 0).data, "recovery") == 0 &&
            strstr(tally_cursor_cell(c, 1).data, "torn") != NULL;
  tally_cursor_close(c);
  return told;
}

/* ------------------------------------------------------------------ memory */

static size_t largest, allowed;
static int note_size(size_t size) {
  if (size > largest) largest = size;
  return 1;
}

/* ------------------------------------------------------------------ one case */

static struct small_files files;
#define RECORDS 4u
static struct small_answers sound, with[RECORDS]; /* with[n]: with the first n records of the WAL alone */
/* The WAL's records in its whole file: record i is [start[i], start[i + 1]). */
static size_t records, start[RECORDS + 1];
static uint8_t *whole_wal;
static unsigned files_damaged;

struct damaged {
  size_t file;
  const char *what;
  size_t at;
  char said[1200];
};

static enum outcome wrong(struct damaged *d, const char *why, const char *text) {
  (void)snprintf(d->said, sizeof d->said, "%s: %s", why, text);
  return WRONG;
}

static const char *name_of(size_t file) { return strrchr(files.file[file].path, '/') + 1; }
static bool is_wal(size_t file) { return strstr(files.file[file].path, ".wal") != NULL; }

struct torn_bytes {
  const struct small_file *wal;
  bool whole;
};
static void see_torn(void *arg, const char *path, const uint8_t *bytes, size_t size) {
  struct torn_bytes *k = arg;
  if (!strstr(path, ".torn")) return;
  for (size_t skip = 0; skip <= k->wal->size && !k->whole; skip++) /* from some place to the end */
    k->whole = size == k->wal->size - skip && memcmp(bytes, k->wal->bytes + skip, size) == 0 && size >= 1;
}

/* The first record that is not whole, and is there a whole one behind it? */
static size_t first_bad(const struct small_file *f, bool *whole_behind) {
  size_t bad = records;
  *whole_behind = false;
  for (size_t i = 0; i < records; i++) {
    bool whole = f->size >= start[i + 1] &&
                 memcmp(f->bytes + start[i], whole_wal + start[i], start[i + 1] - start[i]) == 0;
    if (!whole && bad == records) bad = i;
    *whole_behind |= whole && i > bad;
  }
  return bad;
}

/* The same as of a store that never had more: nothing but zeros. */
static bool never_had_it(const struct small_file *f, size_t from) {
  for (size_t i = from; i < f->size; i++)
    if (f->bytes[i]) return false;
  return f->size >= from;
}

/* A store with that WAL has opened. */
static enum outcome judge_wal(struct damaged *d, tally_store *s, struct disk *disk,
                              const struct small_answers *a) {
  const struct small_file *f = &files.file[d->file];
  bool whole_behind, told = recovery_is_told(s);
  size_t bad = first_bad(f, &whole_behind);
  if (whole_behind) return wrong(d, "a record is bad that the next one confirms", "and the store opens");
  if (!small_all_same(a, &with[bad])) return wrong(d, "another answer than that of the records before", "");
  if (never_had_it(f, start[bad])) return bad == records ? HARMLESS : NOTHING_TELLS;
  if (!told) return wrong(d, "bytes behind the records", "and nobody tells of them");
  struct torn_bytes k = {f, false};
  disk_each(disk, SMALL_STORE, see_torn, &k);
  return k.whole ? TORN : wrong(d, "the torn bytes", "are not kept");
}

static enum outcome judge(struct damaged *d, tally_store *s, struct disk *disk, bool closed) {
  struct small_answers a;
  bool refused = false, named = false;
  small_ask(s, &a);
  if (is_wal(d->file) && !closed) return judge_wal(d, s, disk, &a);
  for (int q = 0; q < SMALL_QUESTIONS; q++) {
    if (small_same(&a, &sound, q)) continue;
    if (a.result[q] != TALLY_CORRUPT) return wrong(d, "another answer", a.text[q]);
    if (!strstr(a.text[q], name_of(d->file))) return wrong(d, "refused without the file's name", a.text[q]);
    refused = true;
  }
  int found = faults(s, name_of(d->file), &named);
  if (found < 0) return wrong(d, "the check", "fails");
  if (refused && !named) return wrong(d, "the check", "does not name what answers name");
  return refused ? LEFT_OUT : named ? FOUND : HARMLESS;
}

static bool names_damage(const struct damaged *d, int result, const char *text) {
  return (result == TALLY_CORRUPT || result == TALLY_VERSION || result == TALLY_NOT_FOUND) &&
         (strstr(text, name_of(d->file)) ||
          (is_wal(d->file) && (strstr(text, "wal/") || strstr(text, "the WAL of"))) ||
          (strstr(name_of(d->file), "MANIFEST") && strstr(text, "wal/")));
}

static enum outcome open_damaged(struct damaged *d, bool closed) {
  struct disk *disk = disk_new(1);
  tally_store s;
  tally_error e = {0};
  small_files_put(&files, SMALL_STORE, disk);
  int result = small_store_open(disk, SMALL_STORE, &s.db, &e);
  enum outcome o = REFUSED;
  if (!result) {
    o = judge(d, &s, disk, closed);
    (void)db_close(s.db, &e); /* a store with damage may refuse */
  } else if (!names_damage(d, result, e.text)) {
    o = wrong(d, "the store is refused without the file's name", e.text);
  }
  disk_free(disk);
  return o;
}

/* A restore copies nothing that is damaged. */
static enum outcome restore_damaged(struct damaged *d, const struct small_answers *expected) {
  struct disk *disk = disk_new(1);
  struct budget budget;
  tally_store s;
  tally_error e = {0};
  struct small_answers a;
  struct copier to = {.os = disk_os(disk), .store = RESTORED, .budget = &budget};
  small_files_put(&files, SMALL_BACKUP, disk);
  budget_init(&budget, 256u << 20, NULL);
  if (cache_new(1u << 20, &budget, &to.cache, &e)) abort();
  enum outcome o = HARMLESS;
  int result = restore(&to, SMALL_BACKUP, &e);
  cache_free(to.cache);
  if (result) {
    o = names_damage(d, result, e.text) ? REFUSED
                                        : wrong(d, "a restore fails without the file's name", e.text);
  } else if (small_store_open(disk, RESTORED, &s.db, &e)) {
    o = wrong(d, "a restored store does not open", e.text);
  } else {
    small_ask(&s, &a);
    if (!small_all_same(&a, expected)) o = wrong(d, "a restored store answers otherwise", "");
    (void)db_close(s.db, &e);
  }
  disk_free(disk);
  return o;
}

/* ------------------------------------------------------------------ all cases of a file */

enum kind { CLOSED, NOT_CLOSED, BACKUP };
static const char *const kind_name[] = {"closed", "not closed", "backup"};

struct tally_of_cases {
  enum kind kind;
  unsigned count[OUTCOMES], harmless_shown, wrong_shown;
};

static void one(struct tally_of_cases *t, struct damaged *d) {
  largest = 0;
  mem_test_hook = note_size;
  enum outcome o = t->kind == BACKUP ? restore_damaged(d, &sound) : open_damaged(d, t->kind == CLOSED);
  mem_test_hook = NULL;
  if (o != WRONG && largest > allowed) o = wrong(d, "an allocation that a whole store does not make", "");
  t->count[o]++;
  if (o == WRONG && t->wrong_shown++ < 5)
    printf("FAILED: %s (%s): %s %zu: %s\n", files.file[d->file].path, kind_name[t->kind], d->what, d->at,
           d->said);
  if (o == HARMLESS && t->harmless_shown++ < 3 && getenv("TALLY_VERBOSE"))
    printf("harmless: %s (%s): %s %zu\n", files.file[d->file].path, kind_name[t->kind], d->what, d->at);
}

static void pieces(struct tally_of_cases *t, size_t file, const uint8_t *whole, size_t size) {
  struct small_file *f = &files.file[file];
  for (size_t a = 0; a + PIECE <= size; a += PIECE) {
    struct damaged d = {.file = file, .what = "zeroed from", .at = a};
    memset(f->bytes + a, 0, PIECE);
    if (memcmp(f->bytes, whole, size) != 0) one(t, &d);
    memcpy(f->bytes, whole, size);
    for (size_t b = 0; b + PIECE <= size; b += PIECE) {
      d.what = "repeated at";
      memcpy(f->bytes + b, whole + a, PIECE);
      if (memcmp(f->bytes, whole, size) != 0) one(t, &d);
      d.what = "swapped with";
      memcpy(f->bytes + a, whole + b, PIECE);
      if (a < b && memcmp(f->bytes, whole, size) != 0) one(t, &d);
      memcpy(f->bytes, whole, size);
    }
  }
}

static void damage_file(struct tally_of_cases *t, size_t file, unsigned step) {
  struct small_file *f = &files.file[file];
  size_t size = f->size;
  uint8_t *whole = malloc(size);
  if (!whole) abort();
  memcpy(whole, f->bytes, size);
  for (size_t bit = 0; bit < 8 * size; bit += step) {
    struct damaged d = {.file = file, .what = "bit", .at = bit};
    f->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    one(t, &d);
    f->bytes[bit / 8] = whole[bit / 8];
  }
  for (f->size = 0; f->size < size; f->size++) {
    struct damaged d = {.file = file, .what = "cut to", .at = f->size};
    one(t, &d);
  }
  pieces(t, file, whole, size);
  free(whole);
}

/* ------------------------------------------------------------------ the whole */

/* Answers of the files as they are; `path` is a store. */
static void learn(const char *path, struct small_answers *a) {
  struct disk *disk = disk_new(1);
  tally_store s;
  tally_error e = {0};
  small_files_put(&files, path, disk);
  largest = 0;
  mem_test_hook = note_size;
  if (small_store_open(disk, path, &s.db, &e)) {
    printf("FAILED: the whole store does not open: %s\n", e.text);
    exit(1);
  }
  small_ask(&s, a);
  for (int q = 0; q < SMALL_QUESTIONS; q++)
    if (a->result[q]) {
      printf("FAILED: question %d of the whole store: %s\n", q, a->text[q]);
      exit(1);
    }
  bool named;
  if (faults(&s, "", &named) != 0) abort();
  (void)db_close(s.db, &e);
  mem_test_hook = NULL;
  allowed = largest;
  disk_free(disk);
}

/* What the store says with the first records of its WAL alone; then the WAL ends in zeros, as a crash leaves
 * it. */
static void learn_wal(void) {
  struct small_file *f = NULL;
  for (size_t i = 0; i < files.count; i++)
    if (is_wal(i) && strncmp(files.file[i].path, SMALL_STORE, sizeof SMALL_STORE - 1) == 0)
      f = &files.file[i];
  if (!f) abort();
  size_t end = WAL_HEADER;
  for (records = 0; end + 8 < f->size && load32(f->bytes + end); records++) {
    if (records == RECORDS) abort();
    start[records] = end;
    end += load32(f->bytes + end);
  }
  start[records] = end;
  for (size_t n = 0; n <= records; n++) {
    f->size = start[n];
    learn(SMALL_STORE, &with[n]);
  }
  f->size = end + 32;
  f->bytes = realloc(f->bytes, f->size);
  whole_wal = malloc(f->size);
  if (!f->bytes || !whole_wal) abort();
  memset(f->bytes + end, 0, 32);
  memcpy(whole_wal, f->bytes, f->size);
}

/* Each file in a process of its own, two at a time. Returns the number of failed files. */
static unsigned damage_all(enum kind kind, unsigned step, char *const *only, int count) {
  const char *folder = kind == BACKUP ? SMALL_BACKUP : SMALL_STORE;
  unsigned failed = 0, running = 0;
  for (size_t i = 0; i < files.count || running;) {
    if (i < files.count && running < 2) {
      bool wanted = strncmp(files.file[i].path, folder, strlen(folder)) == 0 && count == 0;
      for (int k = 0; k < count; k++)
        wanted |=
            strncmp(files.file[i].path, folder, strlen(folder)) == 0 && strstr(files.file[i].path, only[k]);
      /* segments and the policy are the same, closed or not */
      if (kind == CLOSED && (strstr(files.file[i].path, ".seg") || strstr(files.file[i].path, "RETENTION")))
        wanted = false;
      size_t file = i++;
      if (!wanted) continue;
      (void)fflush(stdout);
      pid_t child = fork();
      if (child < 0) abort();
      running++;
      files_damaged += child != 0;
      if (child) continue;
      struct tally_of_cases t = {.kind = kind};
      damage_file(&t, file, step);
      printf("%s: %s (%s), %zu bytes:", t.count[WRONG] ? "FAILED" : "ok", files.file[file].path,
             kind_name[kind], files.file[file].size);
      for (int o = 0; o < OUTCOMES; o++)
        if (t.count[o]) printf(" %u %s,", t.count[o], outcome_name[o]);
      printf("\n");
      (void)fflush(stdout);
      _exit(t.count[WRONG] != 0);
    }
    int status;
    if (wait(&status) < 0) abort();
    running--;
    if (!WIFEXITED(status)) printf("FAILED: a case crashed (status %d)\n", status);
    failed += !WIFEXITED(status) || WEXITSTATUS(status);
  }
  return failed;
}

int main(int argc, char **argv) {
  unsigned step = 1, failed = 0;
  int first = 1;
  if (argc > 2 && strcmp(argv[1], "--bits") == 0) {
    step = (unsigned)strtoul(argv[2], NULL, 10);
    first = 3;
  }
  if (!step) return 2;
  for (int kind = CLOSED; kind <= BACKUP; kind++) {
    small_store_files(kind == CLOSED, &files);
    if (kind == NOT_CLOSED) learn_wal();
    learn(kind == BACKUP ? SMALL_BACKUP : SMALL_STORE, &sound);
    if (kind == BACKUP) allowed = 256u << 20; /* a restore has other needs than a store */
    failed += damage_all((enum kind)kind, step, argv + first, argc - first);
    small_files_free(&files);
  }
  printf("%u passed, %u failed\n", files_damaged - failed, failed);
  return failed != 0;
}
