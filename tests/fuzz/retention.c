/* retention.c - fuzzes the file of retention's ages: what is read is written again with the same bytes. The
 * first byte of an input says what it is: a file, or the text of an age. */
#include <stdlib.h>

#include "base/hash.h"
#include "disk/disk.h"
#include "fuzz/fuzz.h"
#include "maintain/policy.h"
#include "model/schema.h"

#define STORE "/s"

static void fuzz_age(const uint8_t *data, size_t size) {
  char text[24], *age = fuzz_line(&data, &size);
  int64_t us, again;
  tally_error e = {0};
  if (age && !age_parse(age, &us, &e)) {
    require(us >= 0 && us % DAY_US == 0, "an age of whole days");
    age_text(us, text);
    require(!age_parse(text, &again, &e) && again == us, "'%s' is read again", text);
  }
  free(age);
}

static void compare(void *arg, const char *path, const uint8_t *bytes, size_t size) {
  const struct buffer *file = arg;
  (void)path;
  require(size == file->size && memcmp(bytes, file->data, size) == 0, "the file is written as it was read");
}

static void fuzz_policy(const uint8_t *data, size_t size) {
  struct disk *disk = disk_new(1);
  const struct os *os = disk_os(disk);
  struct os_file *file;
  struct policy p;
  tally_error e = {0};
  if (os->mkdir(os, STORE) || os->open(os, STORE "/RETENTION", OS_CREATE, &file) ||
      os->write(os, file, data, size, 0))
    abort();
  os->close(os, file);
  fuzz_bound(2u << 20, 32, size); /* the largest file is read whole */
  int result = policy_load(os, STORE, &p, &e);
  require(!result || result == TALLY_CORRUPT || result == TALLY_VERSION, "%d: %s", result, e.text);
  if (!result) {
    struct buffer before = {(uint8_t *)(uintptr_t)data, size, size, false};
    require(policy_save(os, STORE, &p, &e) == 0, "%s", e.text);
    disk_each(disk, STORE, compare, &before);
    for (uint32_t i = 0; i < p.services; i++) {
      const char *name = p.service[i].service;
      require(policy_ages(&p, name, strlen(name)) == &p.service[i].ages, "the ages of a service are its own");
    }
    policy_free(&p);
  }
  fuzz_unbound();
  disk_free(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  if (*data == 'a')
    fuzz_age(data + 1, size - 1);
  else
    fuzz_policy(data + 1, size - 1);
  return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max);
  if (size > 17 && *data != 'a' && fuzz_draw(&seed, 16)) {
    struct digest d = digest_of(data + 1, size - 17, 0);
    memcpy(data + size - 16, d.bytes, 16);
  }
  return size;
}
