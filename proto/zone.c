/* zone.c - the zones of the system by name, and the cache of them; see zone.h. */
#include "proto/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define ZONE_DIRECTORY "/usr/share/zoneinfo"
#define ZONE_NAME_MAX 128u

/* ------------------------------------------------------------------ files */

static bool name_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("_+-.", c);
}

/* Parts between slashes: none empty, "." or "..". */
static bool name_is_safe(const char *name) {
  size_t part = 0, dots = 0, size = strlen(name);
  if (size > ZONE_NAME_MAX) return false;
  for (size_t i = 0; i <= size; i++) {
    if (name[i] == '/' || name[i] == '\0') {
      if (part == 0 || (part == dots && dots <= 2)) return false;
      part = dots = 0;
    } else if (name_character(name[i])) {
      part++;
      dots += name[i] == '.';
    } else {
      return false;
    }
  }
  return true;
}

static int code_of(int number) {
  return number == ENOMEM                                        ? TALLY_NO_MEMORY
         : number == EIO || number == EMFILE || number == ENFILE ? TALLY_IO
                                                                 : TALLY_NOT_FOUND;
}

/* The whole of an open file, *size bytes of at most ZONE_FILE_MAX. */
static int read_all(int file, void **bytes, size_t *size) {
  struct stat st;
  if (fstat(file, &st)) return code_of(errno);
  if (!S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > (off_t)ZONE_FILE_MAX) return TALLY_NOT_FOUND;
  *size = (size_t)st.st_size;
  *bytes = mem_alloc(*size);
  if (!*bytes) return TALLY_NO_MEMORY;
  size_t got = 0;
  while (got < *size) {
    ssize_t n = read(file, (uint8_t *)*bytes + got, *size - got);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      mem_free(*bytes);
      return n < 0 ? code_of(errno) : TALLY_IO; /* cut while it was read: being replaced */
    }
    got += (size_t)n;
  }
  return 0;
}

static int load(const char *name, struct zone **zone) {
  char path[sizeof ZONE_DIRECTORY + 1 + ZONE_NAME_MAX];
  void *bytes;
  size_t size;
  (void)snprintf(path, sizeof path, "%s/%s", ZONE_DIRECTORY, name);
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return code_of(errno);
  int code = read_all(file, &bytes, &size);
  (void)close(file);
  if (code) return code;
  code = zone_parse(bytes, size, zone);
  mem_free(bytes);
  return code;
}

/* ------------------------------------------------------------------ the cache */

struct entry {
  char name[ZONE_NAME_MAX + 1];
  struct zone *zone; /* NULL: free */
  uint64_t used;     /* the clock when it was last asked for */
};

static struct {
  pthread_mutex_t lock;
  uint64_t clock;
  struct entry entry[ZONE_CACHE];
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The entry of a name, or the one to be used for it: a free one, else the one not asked for the longest.
 * Locked. */
static struct entry *find(const char *name) {
  struct entry *victim = &cache.entry[0];
  for (size_t i = 0; i < ZONE_CACHE; i++) {
    struct entry *e = &cache.entry[i];
    if (e->zone && strcmp(e->name, name) == 0) return e;
    if (victim->zone && (!e->zone || e->used < victim->used)) victim = e;
  }
  return victim;
}

static int find_or_load(const char *name, struct entry **found) {
  struct entry *e = find(name);
  *found = e;
  if (e->zone && strcmp(e->name, name) == 0) return 0;
  struct zone *zone;
  int code = load(name, &zone);
  if (code) return code;
  zone_free(e->zone);
  e->zone = zone;
  (void)snprintf(e->name, sizeof e->name, "%s", name);
  return 0;
}

int zone_period(void *arg, const char *zone, int64_t at, tally_zone_period *period) {
  (void)arg;
  if (!zone || !name_is_safe(zone)) return TALLY_NOT_FOUND;
  struct entry *e;
  (void)pthread_mutex_lock(&cache.lock);
  int code = find_or_load(zone, &e);
  if (code == 0) {
    e->used = ++cache.clock;
    zone_at(e->zone, at, period);
  }
  (void)pthread_mutex_unlock(&cache.lock);
  return code;
}

void zone_forget(void) {
  (void)pthread_mutex_lock(&cache.lock);
  for (size_t i = 0; i < ZONE_CACHE; i++) {
    zone_free(cache.entry[i].zone);
    cache.entry[i] = (struct entry){0};
  }
  (void)pthread_mutex_unlock(&cache.lock);
}
