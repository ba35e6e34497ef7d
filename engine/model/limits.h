/* limits.h - the limits of one value, and the sentence that refuses it: what the batch builder and
 * batch_check have in common, so that both refuse the same values in the same words.
 *
 * Each returns 0 or TALLY_INVALID_ROW with row, column and text filled. The text starts with
 * "row N (counted from 0), column NAME: ". */
#ifndef MODEL_LIMITS_H
#define MODEL_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "model/schema.h"

/* From 0 to TIME_MAX and at most `latest` (the store's clock and max_future; INT64_MAX: no clock). */
int limit_time(int64_t row, int64_t us, int64_t latest, tally_error *error);
/* UTF-8 with no NUL byte, at most the column's count of characters. */
int limit_text(int64_t row, int column, const char *data, size_t size, tally_error *error);
int limit_int(int64_t row, int column, int64_t value, tally_error *error);
int limit_cost(int64_t row, int64_t units, tally_error *error);
/* At most METADATA_BYTES, one JSON object. */
int limit_metadata(int64_t row, const char *data, size_t size, tally_error *error);
/* Refuses a value for a reason of the batch's bytes, not of the value. */
int limit_refuse(int64_t row, int column, tally_error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
