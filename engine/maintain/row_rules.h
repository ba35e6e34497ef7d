/* row_rules.h - rows of vectors enter a memtable; rules drop or change them there. */
#ifndef MAINTAIN_ROW_RULES_H
#define MAINTAIN_ROW_RULES_H

#include "maintain/rewrite.h"
#include "scan/scan.h"

/* Copies rows of a vector that carries all columns, from *next on, until the vector ends or the memtable is
 * full; moves *next. */
void rows_take(struct memtable *m, const struct vector *v, uint32_t *next);
/* Applies the rules to the rows from `first` on. Adds to *dropped and *changed. */
void rows_apply(struct memtable *m, uint32_t first, const struct row_rule *rules, size_t count,
                uint64_t *dropped, uint64_t *changed);

#endif
