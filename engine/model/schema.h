/* schema.h - the twelve columns of an event and their limits (contract, section 1).
 *
 * Columns are numbered TALLY_COL_* (tally.h). The four texts are the domains 0..3: each has a
 * dictionary of its own, and id 0 of a domain is NULL. */
#ifndef MODEL_SCHEMA_H
#define MODEL_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>
#include <tally.h>

#define COLUMNS TALLY_COLUMNS
#define DOMAINS 4
#define METADATA_BYTES (1u << 20) /* of one row */
#define METADATA_DEPTH 64

#define TIME_MAX INT64_C(253402300799999999)  /* 9999-12-31T23:59:59.999999Z */
#define COST_UNIT INT64_C(1000000000)         /* one, in units of 10^-9 */
#define COST_MAX INT64_C(9000000000000000000) /* 9,000,000,000 in units of 10^-9 */
#define DAY_US INT64_C(86400000000)

enum column_kind { KIND_TIME, KIND_TEXT, KIND_INT, KIND_COST, KIND_JSON };

static inline enum column_kind column_kind(int column) {
  return column == TALLY_COL_TIMESTAMP     ? KIND_TIME
         : column <= TALLY_COL_METHOD      ? KIND_TEXT
         : column <= TALLY_COL_TOKENS_USED ? KIND_INT
         : column == TALLY_COL_COST        ? KIND_COST
                                           : KIND_JSON;
}
/* Are its values wider than 32 bits? */
static inline bool column_wide(int column) {
  return column == TALLY_COL_TIMESTAMP || column == TALLY_COL_COST;
}
/* Text columns 1..4 are domains 0..3. */
static inline int column_domain(int column) { return column - TALLY_COL_USER_ID; }
static inline int domain_column(int domain) { return domain + TALLY_COL_USER_ID; }
/* The most characters of a text of this domain: 255, 100, 255, 10. */
uint32_t domain_characters(int domain);

#endif
