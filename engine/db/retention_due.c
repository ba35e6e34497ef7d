/* retention_due.c - which rows of a segment have reached a stage of retention. */
#include "base/mem.h"
#include "base/status.h"
#include "db/retention.h"
#include "maintain/order.h"
#include "maintain/reading.h"

#define SERVICE_DOMAIN column_domain(TALLY_COL_SERVICE_NAME)

static int64_t day_begin(int64_t us) { return us - ((us % DAY_US) + DAY_US) % DAY_US; }

int64_t retention_cut(const struct ages *a, enum retention_stage stage, int64_t now) {
  return a->age[stage] ? day_begin(now - a->age[stage]) : INT64_MIN;
}

int64_t retention_cut_of_service(const struct retention_look *l, uint32_t service,
                                 enum retention_stage stage) {
  struct retention *r = &l->db->retention;
  tally_text t = service ? catalog_text(l->db->catalog, SERVICE_DOMAIN, service) : (tally_text){NULL, 0};
  os_lock(&r->lock);
  int64_t cut = retention_cut(policy_ages(&r->policy, t.data, t.size), stage, l->now);
  os_unlock(&r->lock);
  return cut;
}

/* The least and the greatest cut of the services of a segment. */
void retention_cuts_of_segment(const struct retention_look *l, const struct segment *s,
                               enum retention_stage stage, int64_t *least, int64_t *most) {
  *least = INT64_MAX;
  *most = INT64_MIN;
  for (uint32_t i = 0; i < s->services; i++) {
    int64_t cut = retention_cut_of_service(l, s->span[i].service, stage);
    if (cut < *least) *least = cut;
    if (cut > *most) *most = cut;
  }
}

bool retention_all_before(const struct retention_look *l, const struct segment *s,
                          enum retention_stage stage) {
  int64_t least, most;
  retention_cuts_of_segment(l, s, stage, &least, &most);
  return s->info.max_timestamp < least;
}

/* Rules for the rows of a segment's services: before their cut, or from it on. */
int retention_rules(const struct retention_look *l, struct segment *const *s, size_t count,
                    enum retention_stage stage, bool before, enum row_action action, struct row_rule **rules,
                    size_t *rule_count, tally_error *error) {
  size_t n = 0;
  for (size_t i = 0; i < count; i++) n += s[i]->services;
  struct row_rule *r = mem_alloc((n + 1) * sizeof *r);
  if (!r) return fail_memory(error, "retention");
  *rule_count = 0;
  for (size_t i = 0; i < count; i++)
    for (uint32_t k = 0; k < s[i]->services; k++) {
      uint32_t service = s[i]->span[k].service;
      bool known = false;
      for (size_t j = 0; j < *rule_count && !known; j++) known = r[j].service == service;
      if (known) continue;
      int64_t cut = retention_cut_of_service(l, service, stage);
      r[(*rule_count)++] = (struct row_rule){.from = before ? INT64_MIN : cut,
                                             .to = before ? cut : INT64_MAX,
                                             .of_service = true,
                                             .service = service,
                                             .action = action};
    }
  *rules = r;
  return 0;
}

/* The cuts of a segment's services; change->cut is to be freed. */
int retention_change(const struct retention_look *l, const struct segment *s, enum retention_stage stage,
                     struct thin_change *change, tally_error *error) {
  struct thin_cut *cut = mem_alloc((s->services + 1) * sizeof *cut);
  if (!cut) return fail_memory(error, "retention");
  for (uint32_t i = 0; i < s->services; i++)
    cut[i] = (struct thin_cut){s->span[i].service, retention_cut_of_service(l, s->span[i].service, stage)};
  *change = (struct thin_change){.cut = cut, .cuts = s->services};
  return 0;
}

static int count_thinned(const struct retention_look *l, struct segment *s, enum retention_stage stage,
                         uint64_t *rows, tally_error *error) {
  struct thin_change change = {0};
  int result = retention_change(l, s, stage, &change, error);
  if (!result) result = thinned_before(l->db, s, &change, rows, error);
  mem_free((void *)change.cut);
  return result;
}

/* Rows of a segment before the cuts of their services. */
int retention_count(const struct retention_look *l, struct segment *s, enum retention_stage stage,
                    uint64_t *rows, tally_error *error) {
  int64_t least, most;
  *rows = 0;
  retention_cuts_of_segment(l, s, stage, &least, &most);
  if (s->info.min_timestamp >= most) return 0;
  if (s->info.thinned) return count_thinned(l, s, stage, rows, error);
  struct snapshot one = {.catalog = l->db->catalog, .segments = &s, .segment_count = 1};
  for (int d = 0; d < DOMAINS; d++) one.ids[d] = catalog_count(l->db->catalog, d);
  struct row_rule *rules = NULL;
  size_t count = 0;
  struct reading r = {0};
  int result = retention_rules(l, &s, 1, stage, true, ROW_DROP, &rules, &count, error);
  if (!result)
    result =
        reading_begin(&r, &one, s->info.min_timestamp, most,
                      1u << TALLY_COL_TIMESTAMP | 1u << TALLY_COL_SERVICE_NAME, &l->db->work_budget, error);
  while (!result && (result = reading_next(&r, error)) == TALLY_ROW) {
    const int64_t *time = r.vector->value[TALLY_COL_TIMESTAMP],
                  *service = r.vector->value[TALLY_COL_SERVICE_NAME];
    for (uint32_t i = 0, k = 0; i < r.vector->rows; i++) {
      while (rules[k].service != (uint32_t)service[i]) k = k + 1 < count ? k + 1 : 0;
      *rows += time[i] < rules[k].to;
    }
    result = 0;
  }
  reading_end(&r);
  mem_free(rules);
  return result;
}
