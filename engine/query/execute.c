/* execute.c - see execute.h. */
#include "query/execute.h"

#include <string.h>

#include "aggregate/grow.h"
#include "base/status.h"
#include "os/thread.h"
#include "query/worker.h"

#define THREADS 2
/* Rows, runs and entries: starting a thread and merging costs as much as reading some ten thousand of them.
 */
#define THREAD_WORK 200000
#define LONG_WORK 50000 /* takes longer than what is to be done at once: not worth the beginning */

int execute_grow(const struct plan *plan, struct tally_up *up, tally_error *error) {
  int rc = 0;
  for (size_t i = 0; i < plan->state_count && !rc; i++)
    rc = accumulator_grow(&up->state[i], up->groups.count, error);
  return rc;
}

int execute_seal(const struct plan *plan, struct tally_up *up, tally_error *error) {
  int rc = 0;
  for (size_t i = 0; i < plan->state_count && !rc; i++) rc = accumulator_seal(&up->state[i], error);
  return rc;
}

int execute_result(const struct plan *plan, const struct tally_up *total, size_t output, uint32_t group,
                   struct number *number, tally_error *error) {
  size_t done;
  return execute_results(plan, total, output, &group, 1, number, &done, error);
}

int execute_results(const struct plan *plan, const struct tally_up *total, size_t output,
                    const uint32_t *group, size_t count, struct number *number, size_t *done,
                    tally_error *error) {
  const struct output *o = &plan->request->output[output];
  int rc = aggregate_results(&o->aggregate, &total->state[plan->output_state[output]], group, count,
                             total->state[plan->rows_state].rows, number, done, error);
  return rc ? error_where(error, PIECE_FORMAT, PIECE_ARGS(o->name)) : 0;
}

void execute_free(const struct plan *plan, struct tally_up *up) {
  struct budget *budget = plan->environment->budget;
  for (size_t i = 0; up->state && i < plan->state_count; i++) accumulator_free(&up->state[i]);
  if (up->state) grow_free(budget, up->state, plan->state_count * sizeof *up->state);
  groups_free(&up->groups);
  source_set_free(&up->sources);
  *up = (struct tally_up){0};
}

/* ------------------------------------------------------------------ threads */

/* What no thread has taken yet. */
struct queue {
  struct task *task;
  size_t count, stride; /* so many follow each other for one thread */
  _Atomic size_t next;  /* of those */
  bool apart;           /* no group comes to two of them, so none to both threads */
  atomic_bool failed;   /* a thread has: the others may stop */
};

struct thread {
  const struct plan *plan;
  struct queue *queue;
  struct worker worker;
  bool shares; /* there is another one to merge with */
  int result;
  tally_error error;
  struct os_thread handle;
};

/* The next task for a thread, which has taken those up to `end`; NULL: there is none. */
static const struct task *next_task(struct queue *q, size_t *at, size_t *end) {
  if (*at == *end) {
    size_t index = atomic_fetch_add(&q->next, 1);
    if (index >= q->count / q->stride) return NULL;
    *at = index * q->stride;
    *end = *at + q->stride;
  }
  return &q->task[(*at)++];
}

static void *run(void *arg) {
  struct thread *t = arg;
  const struct task *task;
  size_t at = 0, end = 0;
  t->result = worker_init(&t->worker, t->plan, &t->error);
  while (!t->result && !atomic_load(&t->queue->failed) && (task = next_task(t->queue, &at, &end)))
    t->result = worker_task(&t->worker, task, &t->error);
  /* What merging needs sorted is sorted by its own thread. */
  if (!t->result && t->shares) t->result = execute_seal(t->plan, &t->worker.up, &t->error);
  if (t->result) atomic_store(&t->queue->failed, true);
  return NULL;
}

/* One user's rows are found through the index: what a part has says nothing of the work. */
static bool one_user(const struct request *r) {
  for (size_t i = 0; i < r->where_count; i++)
    if (r->where[i].ref.column == TALLY_COL_USER_ID && r->where[i].op == OP_EQ) return true;
  return false;
}

static bool much_work(const struct plan *plan, uint64_t least) {
  return plan->work >= least && !one_user(plan->request);
}

static size_t thread_count(const struct plan *plan) {
  return much_work(plan, THREAD_WORK) && os_cores() > 1 ? THREADS : 1;
}

/* ------------------------------------------------------------------ tasks */

#define PIECES 4u             /* that rows of one part are cut into for two threads */
#define SERVICE_PIECES 32u    /* that services are shared out in */
#define PIECE_CHUNKS_LEAST 4u /* a piece has at least so many chunks */
#define PIECES_OF_PARTS 8u    /* more parts than this share themselves out evenly enough */

/* A part whose rows are those of its services one after the other, or whose runs are. */
static bool part_by_service(const struct plan *plan, size_t part) {
  const struct plan_part *p = &plan->part[part];
  return p->way == PART_PRUNED || (p->way == PART_INDEX && p->level == INDEX_RUN) ||
         (p->way == PART_ROWS && part < plan->environment->snapshot->segment_count);
}

/* Is the largest piece of services at most about half of the rows? */
static bool pieces_even(const struct plan *plan, uint32_t pieces) {
  const struct snapshot *snapshot = plan->environment->snapshot;
  uint64_t rows[SERVICE_PIECES] = {0}, all = 0, most = 0;
  for (size_t i = 0; i < plan->part_count; i++) {
    if (plan->part[i].way == PART_PRUNED) continue;
    const struct segment *s = snapshot->segments[i];
    for (uint32_t k = 0; k < s->services; k++)
      if (scan_has_service(plan->scan, s->span[k].service))
        rows[s->span[k].service % pieces] += s->span[k].rows;
  }
  for (uint32_t i = 0; i < pieces; i++) {
    all += rows[i];
    if (rows[i] > most) most = rows[i];
  }
  return most <= all / 2 + all / 16;
}

/* Pieces of services, where groups are by service: then each thread has groups of its own, and as it reads a
 * piece of the services in all parts before the next one, those groups lie near each other. 0: parts are
 * better shared otherwise. */
static uint32_t service_pieces(const struct plan *plan, size_t threads) {
  const struct request *r = plan->request;
  const uint32_t services = plan->environment->snapshot->ids[column_domain(TALLY_COL_SERVICE_NAME)] + 1;
  const uint32_t pieces = services < SERVICE_PIECES ? services : SERVICE_PIECES;
  bool by_service = false;
  for (size_t i = 0; i < r->group_count; i++) by_service |= r->group[i].ref.column == TALLY_COL_SERVICE_NAME;
  bool may = threads == THREADS && by_service && plan_by_columns(plan) && !plan_filling(r);
  for (size_t i = 0; i < plan->part_count && may; i++) may = part_by_service(plan, i);
  return may && pieces_even(plan, pieces) ? pieces : 0;
}

static uint32_t pieces_of(const struct plan *plan, size_t part, size_t parts, size_t threads) {
  uint64_t most = scan_part_rows(plan->scan, part) / (PIECE_CHUNKS_LEAST * CHUNK_ROWS);
  if (threads == 1 || parts > PIECES_OF_PARTS || plan->part[part].way != PART_ROWS || most < 2) return 1;
  return most < PIECES ? (uint32_t)most : PIECES;
}

/* The tasks of all parts that are not pruned. */
static int list_tasks(const struct plan *plan, size_t threads, struct queue *queue, size_t *allocated,
                      tally_error *error) {
  const uint32_t services = service_pieces(plan, threads);
  size_t parts = 0;
  for (size_t i = 0; i < plan->part_count; i++) parts += plan->part[i].way != PART_PRUNED;
  queue->apart = services > 0;
  queue->stride = queue->apart && parts ? parts : 1;
  *allocated = parts * (queue->apart ? services : PIECES);
  queue->task =
      grow_array(plan->environment->budget, NULL, 0, *allocated, sizeof *queue->task, "list of tasks", error);
  if (!queue->task) return error->code;
  for (uint32_t service = 0; service < (queue->apart ? services : 1); service++)
    for (size_t i = 0; i < plan->part_count; i++) {
      if (plan->part[i].way == PART_PRUNED) continue;
      uint32_t pieces = queue->apart ? 1 : pieces_of(plan, i, parts, threads);
      for (uint32_t piece = 0; piece < pieces; piece++)
        queue->task[queue->count++] =
            queue->apart ? (struct task){i, service, services, true} : (struct task){i, piece, pieces, false};
    }
  return 0;
}

/* ------------------------------------------------------------------ merging */

/* Ids of the interned texts of `from` in `into`; map has room for from->count + 1. */
static int merge_texts(struct intern *into, const struct intern *from, uint32_t *map, tally_error *error) {
  map[0] = 0;
  for (uint32_t id = 1; id <= from->count; id++) {
    tally_text text = intern_text(from, id);
    int rc = intern_add(into, text.data, text.size, &map[id], error);
    if (rc) return rc;
  }
  return 0;
}

/* Group numbers of `from` in `into`. */
static int merge_groups(struct groups *into, const struct groups *from, uint32_t *map, tally_error *error) {
  int rc = 0;
  bool same = false;
  if (from->words == 1 && from->count) { /* keys follow each other as those of a vector do */
    rc = groups_add_all(into, from->keys, from->count, from->count, map, &same, error);
    for (uint32_t g = 1; same && g < from->count; g++) map[g] = map[0];
    return rc;
  }
  for (uint32_t g = 0; g < from->count && !rc; g++)
    rc = groups_add(into, groups_key(from, g), &map[g], error);
  return rc;
}

/* The same where codes of interned texts become those of `into`. */
static int merge_interned(const struct plan *plan, struct groups *into, const struct groups *from,
                          const uint32_t *texts, uint32_t *map, tally_error *error) {
  int rc = 0;
  for (uint32_t g = 0; g < from->count && !rc; g++) {
    const uint64_t *old = groups_key(from, g);
    uint64_t key[GROUP_COLUMNS + 1] = {0};
    for (size_t i = 0; i < plan->layout.parts; i++) {
      struct key_part part = plan->layout.part[i];
      uint64_t code = key_code(old, part);
      bool interned =
          i >= plan->request->has_bucket && plan->group_source[i - plan->request->has_bucket] != NO_SOURCE;
      key_put(key, part, interned ? texts[code] : code);
    }
    rc = groups_add(into, key, &map[g], error);
  }
  return rc;
}

/* The same where none is in both, and no text is interned. */
static int append_groups(struct groups *into, const struct groups *from, uint32_t *map, tally_error *error) {
  uint32_t first = into->count;
  int rc = groups_append(into, from->keys, from->count, error);
  for (uint32_t g = 0; !rc && g < from->count; g++) map[g] = first + g;
  return rc;
}

/* The first output that uses a state, for messages. */
static const struct output *output_of(const struct plan *plan, size_t state) {
  size_t i = 0;
  while (plan->output_state[i] != state) i++;
  return &plan->request->output[i];
}

static int merge_states(const struct plan *plan, struct tally_up *into, struct tally_up *from,
                        const uint32_t *texts, const uint32_t *groups, tally_error *error) {
  for (size_t i = 0; i < plan->state_count; i++) {
    bool interned = source_interned(plan->source[plan->state[i].source].kind);
    int rc = accumulator_merge(&into->state[i], &from->state[i], groups, interned ? texts : NULL, error);
    if (rc == TALLY_OVERFLOW) return error_where(error, PIECE_FORMAT, PIECE_ARGS(output_of(plan, i)->name));
    if (rc) return rc;
  }
  return 0;
}

static int merge(const struct plan *plan, struct tally_up *into, struct tally_up *from, bool apart,
                 tally_error *error) {
  struct budget *budget = plan->environment->budget;
  size_t texts_count = (size_t)from->sources.intern.count + 1, groups_count = from->groups.count;
  uint32_t *texts = grow_array(budget, NULL, 0, texts_count, sizeof *texts, "merging of threads", error);
  uint32_t *groups =
      texts ? grow_array(budget, NULL, 0, groups_count, sizeof *groups, "merging of threads", error) : NULL;
  int rc = groups ? merge_texts(&into->sources.intern, &from->sources.intern, texts, error) : error->code;
  if (!rc)
    rc = apart                   ? append_groups(&into->groups, &from->groups, groups, error)
         : plan_by_columns(plan) ? merge_groups(&into->groups, &from->groups, groups, error)
                                 : merge_interned(plan, &into->groups, &from->groups, texts, groups, error);
  if (!rc) rc = execute_grow(plan, into, error);
  if (!rc) rc = merge_states(plan, into, from, texts, groups, error);
  if (texts) grow_free(budget, texts, texts_count * sizeof *texts);
  if (groups) grow_free(budget, groups, groups_count * sizeof *groups);
  return rc;
}

static void add_stats(struct scan_stats *to, const struct scan_stats *from) {
  to->chunks += from->chunks;
  to->chunks_pruned += from->chunks_pruned;
  to->chunks_read += from->chunks_read;
  to->memtable_rows += from->memtable_rows;
  to->rows_read += from->rows_read;
  to->rows_matched += from->rows_matched;
  to->blocks_read += from->blocks_read;
  for (int level = 0; level < ROLLUP_LEVELS; level++)
    to->rollup_entries[level] += from->rollup_entries[level];
  to->user_sets += from->user_sets;
}

/* ------------------------------------------------------------------ the whole */

/* Runs the threads; the first one is the caller's, and so is what a thread that could not start has to do. */
static int run_all(struct thread *threads, size_t count, tally_error *error) {
  bool started[THREADS] = {false};
  for (size_t i = 1; i < count; i++)
    started[i] = os_thread_start_elsewhere(&threads[i].handle, run, &threads[i]) == 0;
  run(&threads[0]);
  for (size_t i = 1; i < count; i++) {
    if (started[i])
      os_thread_join(&threads[i].handle);
    else
      run(&threads[i]);
  }
  for (size_t i = 0; i < count; i++)
    if (threads[i].result) {
      *error = threads[i].error;
      return threads[i].result;
    }
  return 0;
}

/* Merges into the first thread's. */
static int finish(const struct plan *plan, struct thread *threads, size_t count, struct tally_up *total,
                  tally_error *error) {
  struct tally_up *up = &threads[0].worker.up;
  int rc = 0;
  for (size_t i = 1; i < count && !rc; i++)
    rc = merge(plan, up, &threads[i].worker.up, threads[0].queue->apart, error);
  uint64_t no_key = 0;
  uint32_t one;
  bool single = !plan->request->has_bucket && plan->request->group_count == 0;
  if (!rc && single) rc = groups_add(&up->groups, &no_key, &one, error);
  if (!rc) rc = execute_grow(plan, up, error);
  for (size_t i = 0; i < count; i++)
    if (threads[i].worker.scanner) add_stats(&up->stats, scanner_stats(threads[i].worker.scanner));
  if (threads[0].queue->apart) up->stats.chunks_pruned = up->stats.chunks - up->stats.chunks_read;
  *total = *up;
  *up = (struct tally_up){0};
  return rc;
}

int execute(const struct plan *plan, struct tally_up *total, tally_error *error) {
  struct queue queue = {0};
  struct thread threads[THREADS] = {0};
  size_t count = thread_count(plan), tasks;
  *total = (struct tally_up){0};
  if (plan->environment->at_once && much_work(plan, LONG_WORK))
    return fail(error, TALLY_BUSY, "there are %llu rows to read", (unsigned long long)plan->work);
  int rc = list_tasks(plan, count, &queue, &tasks, error);
  for (size_t i = 0; i < count; i++)
    threads[i] = (struct thread){.plan = plan, .queue = &queue, .shares = count > 1};
  if (!rc) rc = run_all(threads, count, error);
  if (!rc) rc = finish(plan, threads, count, total, error);
  for (size_t i = 0; i < count; i++) worker_free(&threads[i].worker);
  if (queue.task) grow_free(plan->environment->budget, queue.task, tasks * sizeof *queue.task);
  return rc;
}
