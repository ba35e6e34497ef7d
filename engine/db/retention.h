/* retention.h - what the files of retention share; for engine/db/retention*.c only. */
#ifndef DB_RETENTION_H
#define DB_RETENTION_H

#include "db/inside.h"

#define RETENTION_INPUTS 64u

/* The time, and whether it is trusted, at one look at all segments. */
struct retention_look {
  struct db *db;
  int64_t now;
  bool guarded;
};

/* The begin of the UTC day before which rows have reached a stage; INT64_MIN: none. */
int64_t retention_cut(const struct ages *a, enum retention_stage stage, int64_t now);
int64_t retention_cut_of_service(const struct retention_look *l, uint32_t service,
                                 enum retention_stage stage);
/* The least and the greatest cut of the services of a segment. */
void retention_cuts_of_segment(const struct retention_look *l, const struct segment *s,
                               enum retention_stage stage, int64_t *least, int64_t *most);
bool retention_all_before(const struct retention_look *l, const struct segment *s,
                          enum retention_stage stage);
/* Rules for the rows of the segments' services, before their cut or from it on; *rules is to be freed. */
int retention_rules(const struct retention_look *l, struct segment *const *s, size_t count,
                    enum retention_stage stage, bool before, enum row_action action, struct row_rule **rules,
                    size_t *rule_count, tally_error *error);
/* The cuts of a segment's services; change->cut is to be freed. */
int retention_change(const struct retention_look *l, const struct segment *s, enum retention_stage stage,
                     struct thin_change *change, tally_error *error);
/* Rows of a segment before the cuts of their services. */
int retention_count(const struct retention_look *l, struct segment *s, enum retention_stage stage,
                    uint64_t *rows, tally_error *error);

/* Segments of one month, and what is to be done with them. */
struct retention_piece {
  enum retention_stage stage;
  bool part; /* only some rows of the one segment */
  struct segment *input[RETENTION_INPUTS];
  size_t inputs;
  uint64_t rows;
};

/* The next piece in a month's segments; none: inputs is 0. */
int retention_choose(const struct retention_look *l, struct segment **s, size_t count,
                     struct retention_piece *w, tally_error *error);
int retention_do(const struct retention_look *l, struct segment **s, size_t count, struct retention_piece *w,
                 struct retention_report *report, tally_error *error);
/* Tells of all that is due in a month. */
int retention_tell(const struct retention_look *l, struct segment **s, size_t count,
                   int (*did)(void *arg, const struct retention_report *report), void *arg,
                   tally_error *error);

#endif
