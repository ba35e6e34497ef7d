/* explain.c - --explain: the query is answered, and its rows tell how: (measure, value). */
#include "base/status.h"
#include "model/decimal.h"
#include "query/answer.h"

enum measured {
  SEGMENTS,
  SEGMENTS_PRUNED,
  SEGMENTS_TOTALS,
  SEGMENTS_RUNS,
  SEGMENTS_ROLLUPS,
  SEGMENTS_MIXED,
  SEGMENTS_READ,
  MEMTABLES,
  MEMTABLES_READ,
  MEMTABLE_ROWS,
  CHUNKS,
  CHUNKS_PRUNED,
  CHUNKS_READ,
  HOUR_ENTRIES,
  DAY_ENTRIES,
  USER_SETS,
  BLOCKS_READ,
  ROWS_READ,
  ROWS_MATCHED,
  GROUPS,
  ROWS_ANSWERED,
  MEMORY,
  TIME,
  MEASURED
};

static const char *const names[MEASURED] = {
    [SEGMENTS] = "segments",
    [SEGMENTS_PRUNED] = "segments pruned",
    [SEGMENTS_TOTALS] = "segments answered from totals",
    [SEGMENTS_RUNS] = "segments answered from runs",
    [SEGMENTS_ROLLUPS] = "segments answered from rollups",
    [SEGMENTS_MIXED] = "segments answered from rollups and rows",
    [SEGMENTS_READ] = "segments read",
    [MEMTABLES] = "memtables",
    [MEMTABLES_READ] = "memtables read",
    [MEMTABLE_ROWS] = "memtable rows",
    [CHUNKS] = "chunks",
    [CHUNKS_PRUNED] = "chunks pruned",
    [CHUNKS_READ] = "chunks read",
    [HOUR_ENTRIES] = "hour rollup entries",
    [DAY_ENTRIES] = "day rollup entries",
    [USER_SETS] = "sets of a day's users",
    [BLOCKS_READ] = "blocks read",
    [ROWS_READ] = "rows read",
    [ROWS_MATCHED] = "rows matched",
    [GROUPS] = "groups",
    [ROWS_ANSWERED] = "rows of the answer",
    [MEMORY] = "memory bytes",
    [TIME] = "time us",
};

int explain_columns(struct answer *answer, tally_error *error) {
  int rc = answer_columns(answer, 2, error);
  if (!rc) rc = answer_cells(answer, 1, error);
  if (rc) return rc;
  answer->result.column[0] = (tally_result_column){"measure", TALLY_TYPE_TEXT};
  answer->result.column[1] = (tally_result_column){"value", TALLY_TYPE_INT};
  return 0;
}

/* Parts are the segments, then the memtables. An empty range has no parts: all are pruned. */
static uint64_t count_parts(const struct answer *answer, bool segments, enum part_way way) {
  const struct snapshot *snapshot = answer->environment.snapshot;
  uint64_t count = 0;
  if (!answer->plan.part)
    return way == PART_PRUNED ? (segments ? snapshot->segment_count : snapshot->memtable_count) : 0;
  for (size_t i = 0; i < answer->plan.part_count; i++)
    count += (i < snapshot->segment_count) == segments && answer->plan.part[i].way == way;
  return count;
}

static uint64_t count_runs(const struct answer *answer) {
  uint64_t count = 0;
  for (size_t i = 0; i < answer->plan.part_count; i++)
    count += answer->plan.part[i].way == PART_INDEX && answer->plan.part[i].level == INDEX_RUN;
  return count;
}

static uint64_t count_ragged(const struct answer *answer) {
  uint64_t count = 0;
  for (size_t i = 0; i < answer->plan.part_count; i++)
    count += answer->plan.part[i].way == PART_ROLLUP && plan_ragged(&answer->plan.part[i]);
  return count;
}

static uint64_t measure(const struct answer *answer, enum measured which) {
  const struct scan_stats *stats = &answer->total.stats;
  const struct query_environment *environment = &answer->environment;
  switch (which) {
  case SEGMENTS:
    return environment->snapshot->segment_count;
  case SEGMENTS_PRUNED:
    return count_parts(answer, true, PART_PRUNED);
  case SEGMENTS_TOTALS:
    return count_parts(answer, true, PART_INDEX) - count_runs(answer);
  case SEGMENTS_RUNS:
    return count_runs(answer);
  case SEGMENTS_ROLLUPS:
    return count_parts(answer, true, PART_ROLLUP) - count_ragged(answer);
  case SEGMENTS_MIXED:
    return count_ragged(answer);
  case SEGMENTS_READ:
    return count_parts(answer, true, PART_ROWS);
  case MEMTABLES:
    return environment->snapshot->memtable_count;
  case MEMTABLES_READ:
    return count_parts(answer, false, PART_ROWS);
  case MEMTABLE_ROWS:
    return stats->memtable_rows;
  case CHUNKS:
    return stats->chunks;
  case CHUNKS_PRUNED:
    return stats->chunks_pruned;
  case CHUNKS_READ:
    return stats->chunks_read;
  case HOUR_ENTRIES:
    return stats->rollup_entries[ROLLUP_HOUR] + stats->rollup_entries[ROLLUP_USER_HOUR];
  case DAY_ENTRIES:
    return stats->rollup_entries[ROLLUP_DAY] + stats->rollup_entries[ROLLUP_USER_DAY];
  case USER_SETS:
    return stats->user_sets;
  case BLOCKS_READ:
    return stats->blocks_read;
  case ROWS_READ:
    return stats->rows_read;
  case ROWS_MATCHED:
    return stats->rows_matched;
  case GROUPS:
    return answer->total.groups.count;
  case ROWS_ANSWERED:
    return answer->ordering.count;
  case MEMORY:
    return budget_used(environment->budget);
  case TIME:
    return (uint64_t)(environment->os->monotonic(environment->os) - answer->started);
  case MEASURED:
    break;
  }
  return 0;
}

int explain_next(struct result *result, tally_error *error) {
  struct answer *answer = (struct answer *)result;
  int rc = answer->planned ? 0 : answer_execute(answer, error);
  if (rc) return rc;
  if (answer->at == MEASURED) return TALLY_OK;
  enum measured which = (enum measured)answer->at++;
  buffer_clear(&answer->text);
  int128_print(&answer->text, (int128)measure(answer, which));
  if (answer->text.failed) return fail_memory(error, "a row of the answer");
  result->cells[0] = (tally_text){names[which], piece_size(piece_of(names[which]))};
  result->cells[1] = (tally_text){(const char *)answer->text.data, answer->text.size};
  return TALLY_ROW;
}
