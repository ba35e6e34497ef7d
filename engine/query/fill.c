/* fill.c - see fill.h. */
#include "query/fill.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define ALIVE_EACH 4096u /* buckets between looks at the deadline */

static int too_many(uint64_t groups, uint64_t buckets, tally_error *error) {
  return fail(error, TALLY_TOO_LARGE,
              "--fill would give %" PRIu64 " groups in each of %" PRIu64
              " buckets, more than %u rows: take a larger bucket, a shorter range or fewer groups",
              groups, buckets, FILL_ROWS);
}

/* The keys found, without their buckets. A query without group columns has one group, found or not. */
static int found_groups(const struct plan *plan, const struct tally_up *total, struct groups *found,
                        tally_error *error) {
  uint32_t number;
  uint64_t key[GROUP_COLUMNS + 1] = {0};
  struct key_part bucket = plan->layout.part[0];
  int rc = plan->request->group_count ? 0 : groups_add(found, key, &number, error);
  for (uint32_t g = 0; g < total->groups.count && !rc; g++) {
    const uint64_t *old = groups_key(&total->groups, g);
    for (size_t w = 0; w < plan->layout.words; w++) key[w] = old[w];
    if (bucket.bits) key[bucket.word] ^= key_code(old, bucket) << bucket.shift;
    rc = groups_add(found, key, &number, error);
  }
  return rc;
}

static int fill_group(const struct plan *plan, struct tally_up *total, const uint64_t *found, uint64_t first,
                      uint64_t last, tally_error *error) {
  int rc = 0;
  for (uint64_t bucket = first; bucket <= last && !rc; bucket++) {
    uint64_t key[GROUP_COLUMNS + 1];
    uint32_t number;
    for (size_t w = 0; w < plan->layout.words; w++) key[w] = found[w];
    key_put(key, plan->layout.part[0], bucket);
    if (bucket % ALIVE_EACH == 0 && (rc = plan_alive(plan->environment, error)) != 0) break;
    rc = groups_add(&total->groups, key, &number, error);
  }
  return rc;
}

int fill_groups(const struct plan *plan, struct tally_up *total, tally_error *error) {
  const struct request *r = plan->request;
  if (r->from >= r->to || !plan->has_map) return 0;
  uint64_t first = bucket_map_number(&plan->buckets, r->from),
           last = bucket_map_number(&plan->buckets, r->to - 1);
  struct groups found;
  int rc = groups_init(&found, plan->layout.words, 0, plan->environment->budget, error);
  if (!rc) rc = found_groups(plan, total, &found, error);
  uint64_t buckets = last - first + 1;
  if (!rc && found.count && buckets > FILL_ROWS / found.count) rc = too_many(found.count, buckets, error);
  for (uint32_t g = 0; g < found.count && !rc; g++)
    rc = fill_group(plan, total, groups_key(&found, g), first, last, error);
  groups_free(&found);
  return rc ? rc : execute_grow(plan, total, error);
}
