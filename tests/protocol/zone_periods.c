/* zone_periods.c - for test_zones.py: lines "ZONE INSTANT" in, lines "CODE OFFSET START END" out. */
#include <inttypes.h>
#include <stdio.h>

#include "proto/zone.h"

int main(void) {
  char name[200];
  int64_t at;
  while (scanf("%199s %" SCNd64, name, &at) == 2) {
    tally_zone_period period = {0};
    int code = zone_period(NULL, name, at, &period);
    printf("%d %d %" PRId64 " %" PRId64 "\n", code, period.offset, period.start, period.end);
  }
  zone_forget();
  return 0;
}
