/* pace.c - see pace.h. */
#include "os/pace.h"

#include "base/status.h"
#include "os/thread.h"

#define SLICE_US 20000 /* a sleep this long at most goes by before `stop` is looked at */
#define SECOND_US UINT64_C(1000000)

static bool stopped(const struct pace *p) { return p->stop && atomic_load(p->stop); }

static int64_t cost_us(uint64_t bytes, uint64_t rate) {
  uint64_t whole = bytes / rate * SECOND_US, part = bytes % rate;
  return (int64_t)(whole + (part > UINT64_MAX / SECOND_US ? SECOND_US : part * SECOND_US / rate));
}

int pace_take(struct pace *p, uint64_t bytes, tally_error *error) {
  if (!p) return 0;
  if (p->taken) atomic_fetch_add(p->taken, bytes);
  if (p->rate && !stopped(p)) {
    int64_t now = p->os->monotonic(p->os);
    for (; now < p->due && !stopped(p); now = p->os->monotonic(p->os))
      os_sleep(p->due - now < SLICE_US ? p->due - now : SLICE_US);
    if (p->due < now) p->due = now; /* time that was not used is not saved up */
    p->due += cost_us(bytes, p->rate);
  }
  return stopped(p) ? fail(error, TALLY_CANCELLED, "cancelled by the caller") : 0;
}
