/* place.h - where a segment's file lives: segments/<yyyy-mm>/<16 hex digits>.seg in the store's directory. */
#ifndef SEGMENT_PLACE_H
#define SEGMENT_PLACE_H

#include "segment/segment.h"

/* The path of a segment's file; NULL without memory. Free with mem_free. */
char *place_path(const char *store, const struct segment_info *info);
/* Makes the directories above a segment's file, and makes them durable. */
int place_make(const struct os *os, const char *store, const struct segment_info *info, tally_error *error);
/* Makes the file's directory entry durable. */
int place_sync(const struct os *os, const char *store, const struct segment_info *info, tally_error *error);
/* The first and the last microsecond of a month; false if it is not a month of 1970..9999. */
bool place_month(int32_t month, int64_t *first, int64_t *last);

#endif
