/* policy.c - see policy.h. The file: u32 magic "TLRT", u16 version, u16 0, i64 seen, 3 x i64 ages of the
 * store, u32 services, then of each u16 size, its bytes, 3 x i64; at the end XXH3-128 of all before it. */
#include "maintain/policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"
#include "model/schema.h"

#define POLICY_FILE "RETENTION"
#define POLICY_TEMPORARY "RETENTION.new"
#define POLICY_MAGIC 0x54524C54u
#define POLICY_VERSION 0x8001u /* development */
#define POLICY_BYTES (1u << 20)
#define SERVICES_MOST 2000u
#define YEARS_MOST 10000

const char *const stage_name[STAGES] = {"archive", "thin", "drop"};

static bool ages_empty(const struct ages *a) {
  return a->age[STAGE_ARCHIVE] == 0 && a->age[STAGE_THIN] == 0 && a->age[STAGE_DROP] == 0;
}

bool policy_empty(const struct policy *p) {
  for (uint32_t i = 0; i < p->services; i++)
    if (!ages_empty(&p->service[i].ages)) return false;
  return ages_empty(&p->store);
}

int age_parse(const char *text, int64_t *age, tally_error *error) {
  char *end;
  *age = 0;
  if (strcmp(text, "never") == 0) return 0;
  errno = 0;
  long long n = strtoll(text, &end, 10);
  int64_t days = strcmp(end, "d") == 0 ? 1 : strcmp(end, "w") == 0 ? 7 : strcmp(end, "y") == 0 ? 365 : 0;
  if (errno || text[0] < '0' || text[0] > '9' || !days || n < 1 || n > YEARS_MOST * 365 / days)
    return fail(error, TALLY_USAGE,
                "'%.40s' is no age: write whole days, weeks or years (30d, 12w, 1y), or never", text);
  *age = n * days * DAY_US;
  return 0;
}

void age_text(int64_t age, char text[24]) {
  if (age)
    (void)snprintf(text, 24, "%" PRId64 "d", age / DAY_US);
  else
    (void)snprintf(text, 24, "never");
}

static struct service_ages *find(const struct policy *p, const char *service, size_t size) {
  for (uint32_t i = 0; i < p->services; i++)
    if (strlen(p->service[i].service) == size && memcmp(p->service[i].service, service, size) == 0)
      return &p->service[i];
  return NULL;
}

const struct ages *policy_ages(const struct policy *p, const char *service, size_t size) {
  const struct service_ages *own = service ? find(p, service, size) : NULL;
  return own ? &own->ages : &p->store;
}

/* Archived before thinned before gone. */
static bool in_order(const struct ages *a) {
  int64_t before = 0;
  for (int s = 0; s < STAGES; s++) {
    if (a->age[s] == 0) continue;
    if (a->age[s] < 0 || a->age[s] % DAY_US || a->age[s] <= before) return false;
    before = a->age[s];
  }
  return true;
}

static int remove_service(struct policy *p, struct service_ages *own, tally_error *error) {
  if (!own)
    return fail(error, TALLY_NOT_FOUND, "this service has no ages of its own: see `tally retention show`");
  memmove(own, own + 1, (size_t)(p->service + p->services - own - 1) * sizeof *own);
  p->services--;
  return 0;
}

int policy_set(struct policy *p, const char *service, const struct ages *ages, tally_error *error) {
  if (ages && !in_order(ages))
    return fail(error, TALLY_USAGE,
                "rows are archived, then thinned, then gone: give ages that rise in this order");
  if (!service) {
    p->store = ages ? *ages : (struct ages){{0}};
    return 0;
  }
  size_t size = strlen(service);
  struct service_ages *own = find(p, service, size);
  if (!ages) return remove_service(p, own, error);
  if (size >= sizeof own->service)
    return fail(error, TALLY_USAGE, "a service's name has at most 100 characters");
  if (!own) {
    if (p->services == SERVICES_MOST)
      return fail(error, TALLY_TOO_LARGE, "at most %u services have ages of their own", SERVICES_MOST);
    struct service_ages *grown = mem_realloc_array(p->service, p->services + 1, sizeof *grown);
    if (!grown) return fail_memory(error, "a policy");
    p->service = grown;
    own = &p->service[p->services++];
    memcpy(own->service, service, size + 1);
  }
  own->ages = *ages;
  return 0;
}

int policy_copy(struct policy *to, const struct policy *from, tally_error *error) {
  *to = *from;
  to->service = NULL;
  if (!from->services) return 0;
  to->service = mem_realloc_array(NULL, from->services, sizeof *to->service);
  if (!to->service) {
    *to = (struct policy){.service = NULL};
    return fail_memory(error, "a policy");
  }
  memcpy(to->service, from->service, from->services * sizeof *to->service);
  return 0;
}

void policy_free(struct policy *p) {
  mem_free(p->service);
  *p = (struct policy){.service = NULL};
}

/* ------------------------------------------------------------------ the file */

static void write_ages(struct buffer *b, const struct ages *a) {
  for (int s = 0; s < STAGES; s++) write64(b, (uint64_t)a->age[s]);
}

static struct ages read_ages(struct reader *r) {
  struct ages a;
  for (int s = 0; s < STAGES; s++) a.age[s] = (int64_t)read64(r);
  return a;
}

static const char no_memory[] = "memory";

/* NULL; or the check that failed; or no_memory, with *error set. *version: the file's, where its checksum is
 * right. */
static const char *decode(const void *bytes, size_t size, struct policy *p, uint16_t *version,
                          tally_error *error) {
  if (size < 24 + sizeof(struct digest)) return "it is whole";
  size -= sizeof(struct digest);
  struct digest d = digest_of(bytes, size, 0);
  if (!digest_equal(&d, (const uint8_t *)bytes + size)) return "checksum";
  struct reader r = reader_make(bytes, size);
  if (read32(&r) != POLICY_MAGIC) return "header";
  *version = read16(&r);
  if (*version != POLICY_VERSION) return "version";
  if (read16(&r)) return "header";
  p->seen = (int64_t)read64(&r);
  p->store = read_ages(&r);
  uint32_t services = read32(&r);
  if (r.bad || !in_order(&p->store) || services > SERVICES_MOST) return "ages of the store";
  for (uint32_t i = 0; i < services; i++) {
    char name[401];
    uint16_t n = read16(&r);
    const uint8_t *text = n < sizeof name ? read_bytes(&r, n) : NULL;
    struct ages a = read_ages(&r);
    if (r.bad || !text || memchr(text, 0, n)) return "ages of a service";
    memcpy(name, text, n);
    name[n] = '\0';
    if (find(p, name, n)) return "a service stands once";
    int result = policy_set(p, name, &a, error);
    if (result) return result == TALLY_NO_MEMORY ? no_memory : "ages of a service";
  }
  return reader_left(&r) ? "nothing follows" : NULL;
}

int policy_load(const struct os *os, const char *store, struct policy *p, tally_error *error) {
  *p = (struct policy){.service = NULL};
  char *path = mem_path(store, POLICY_FILE);
  uint8_t *bytes = mem_alloc(POLICY_BYTES);
  struct os_file *file = NULL;
  size_t got = 0;
  int result = path && bytes ? 0 : fail_memory(error, "a policy");
  int number = result ? 0 : os->open(os, path, OS_READ, &file);
  if (!result && !number) number = os->read(os, file, bytes, POLICY_BYTES, 0, &got);
  if (file) os->close(os, file);
  if (!result && number && os_fail(error, number, "read", path) != TALLY_NOT_FOUND) result = error->code;
  if (!result && !number) {
    uint16_t version = POLICY_VERSION;
    const char *wrong = decode(bytes, got, p, &version, error);
    if (wrong) policy_free(p);
    if (version != POLICY_VERSION)
      result = fail(error, TALLY_VERSION,
                    "%s has format version %u, this program reads %u: use the version that wrote it", path,
                    version, POLICY_VERSION);
    else if (wrong == no_memory)
      result = error->code;
    else if (wrong)
      result = fail_corrupt(error, path, 0, wrong);
  }
  mem_free(bytes);
  mem_free(path);
  return result;
}

static int write_file(const struct os *os, const char *path, const struct buffer *b, tally_error *error) {
  struct os_file *file = NULL;
  (void)os->unlink(os, path); /* what a crash left */
  int number = os->open(os, path, OS_CREATE, &file);
  if (number) return os_fail(error, number, "create", path);
  number = os->write(os, file, b->data, b->size, 0);
  if (!number) number = os->sync(os, file);
  os->close(os, file);
  if (!number) return 0;
  (void)os->unlink(os, path);
  return os_fail(error, number, "write", path);
}

int policy_save(const struct os *os, const char *store, const struct policy *p, tally_error *error) {
  struct buffer b = {0};
  write32(&b, POLICY_MAGIC);
  write16(&b, POLICY_VERSION);
  write16(&b, 0);
  write64(&b, (uint64_t)p->seen);
  write_ages(&b, &p->store);
  write32(&b, p->services);
  for (uint32_t i = 0; i < p->services; i++) {
    write16(&b, (uint16_t)strlen(p->service[i].service));
    buffer_text(&b, p->service[i].service);
    write_ages(&b, &p->service[i].ages);
  }
  if (!b.failed) {
    struct digest d = digest_of(b.data, b.size, 0);
    buffer_append(&b, d.bytes, sizeof d.bytes);
  }
  char *path = mem_path(store, POLICY_FILE), *temporary = mem_path(store, POLICY_TEMPORARY);
  int result = path && temporary && !b.failed ? 0 : fail_memory(error, "a policy");
  if (!result) result = write_file(os, temporary, &b, error);
  if (!result) {
    int number = os->rename(os, temporary, path);
    if (!number) number = os->sync_directory(os, store);
    if (number) result = os_fail(error, number, "replace", path);
  }
  mem_free(path);
  mem_free(temporary);
  buffer_free(&b);
  return result;
}
