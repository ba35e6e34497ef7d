/* query_ordering.c - the order of groups by any keys, of values of any width and with NULLs, against a sort
 * of the printed rows; and what a limit leaves of it. */
#include "base/hash.h"
#include "base/int128.h"
#include "query_fixture.h"

#define ROWS_MOST 600
#define COLUMNS_MOST 8

static uint64_t state;
static uint64_t below(uint64_t n) { return hash_mix(state += 0x9E3779B97F4A7C15u) % n; }

/* Costs are small, of all sizes, or so large that the sums of groups lie further apart than a word holds. */
static void add_rows(struct fixture *f, uint64_t rows, unsigned width) {
  for (uint64_t i = 0; i < rows; i++) {
    char line[256], user[16] = "", cost[32] = "", tokens[16] = "";
    if (below(20)) snprintf(user, sizeof user, "%s%x", below(9) ? "user" : "", (unsigned)below(60));
    uint64_t units = hash_mix(i + state) >> (64 - width);
    if (below(8))
      snprintf(cost, sizeof cost, "%s%" PRIu64 ".%09" PRIu64, below(2) ? "-" : "", units / 1000000000,
               units % 1000000000);
    if (below(5)) snprintf(tokens, sizeof tokens, "%d", (int)below(40) - 20);
    snprintf(line, sizeof line, "2024-02-0%dT10:00:00Z|%s|s%d|e|GET|1|2|3|%d|%s|%s|", 1 + (int)below(4), user,
             (int)below(3), 200 + (int)below(4) * 100, tokens, cost);
    fixture_add(f, (int)below(3), line);
  }
}

struct line {
  const char *text;
  size_t number;
  const char *cell[COLUMNS_MOST];
};

/* Cuts a text at each `end` into at most `most` pieces. */
static size_t cut(char *text, char end, const char **piece, size_t most) {
  size_t n = 0;
  while (*text) {
    char *stop = strchr(text, end);
    cr_assert_lt(n, most);
    piece[n++] = text;
    if (!stop) break;
    *stop = '\0';
    text = stop + 1;
  }
  return n;
}

/* A printed number in units of 10^-9. */
static int128 number_of(const char *text) {
  bool negative = *text == '-', point = false;
  int128 value = 0;
  int decimals = 0;
  for (text += negative; *text; text++) {
    point |= *text == '.';
    if (*text == '.') continue;
    value = value * 10 + (*text - '0');
    decimals += point;
  }
  for (; decimals < 9; decimals++) value *= 10;
  return negative ? -value : value;
}

struct wish {
  int column;
  bool descending, is_number;
};
static struct wish wish[4];
static int wishes;

static int compare(const void *a, const void *b) {
  const struct line *x = a, *y = b;
  for (int i = 0; i < wishes; i++) {
    const char *p = x->cell[wish[i].column], *q = y->cell[wish[i].column];
    bool p_null = strcmp(p, "\\N") == 0, q_null = strcmp(q, "\\N") == 0;
    if (p_null != q_null) return p_null ? 1 : -1; /* last, whatever the direction */
    if (p_null) continue;
    int order = strcmp(p, q);
    if (wish[i].is_number) {
      int128 m = number_of(p), n = number_of(q);
      order = (m > n) - (m < n);
    }
    if (order) return wish[i].descending ? -order : order;
  }
  return x->number < y->number ? -1 : 1;
}

static const char *const names[] = {"bucket",   "user_id", "status_code",     "tokens_used",
                                    "sum:cost", "count",   "max:tokens_used", "avg:cost"};

/* Chooses what to order by; writes it as --order-by takes it. */
static void choose(char *text) {
  *text = '\0';
  wishes = 1 + (int)below(3);
  for (int i = 0; i < wishes; i++) {
    int column = (int)below(COLUMNS_MOST);
    wish[i] = (struct wish){column, below(2), column >= 2};
    sprintf(text + strlen(text), "%s%s%s", i ? "," : "", names[column],
            wish[i].descending ? " desc"
            : below(2)         ? " asc"
                               : "");
  }
}

static void check_limits(struct fixture *f, tally_query query, const struct line *lines, size_t n) {
  for (int i = 0; i < 3; i++) {
    size_t limit = 1 + (size_t)below(i ? n + 5 : 12), got;
    query.limit = limit;
    char *text = fixture_query(f, &query);
    const char *row[ROWS_MOST + 1];
    got = cut(text, '\n', row, ROWS_MOST + 1) - 1;
    cr_assert_eq(got, limit < n ? limit : n, "%s", text);
    for (size_t r = 0; r < got; r++)
      cr_assert_str_eq(row[r + 1], lines[r].text, "limit %zu, row %zu, by %s", limit, r, query.order_by);
    free(text);
  }
}

static void check_orders(struct fixture *f) {
  tally_query query = {.from = "2024-02-01",
                       .to = "2024-02-08",
                       .bucket = "1d",
                       .group_by = "user_id,status_code,tokens_used",
                       .aggregates = "sum:cost,count,max:tokens_used,avg:cost",
                       .limit = TALLY_NO_LIMIT};
  char order_by[128];
  for (int round = 0; round < 12; round++) {
    struct line lines[ROWS_MOST + 1];
    const char *plain[ROWS_MOST + 1];
    choose(order_by);
    query.order_by = NULL;
    char *text = fixture_query(f, &query);
    size_t n = cut(text, '\n', plain, ROWS_MOST + 1) - 1;
    char *copies[ROWS_MOST];
    for (size_t i = 0; i < n; i++) {
      lines[i] = (struct line){.text = plain[i + 1], .number = i};
      copies[i] = strdup(plain[i + 1]);
      cr_assert_eq(cut(copies[i], '|', lines[i].cell, COLUMNS_MOST), COLUMNS_MOST);
    }
    static const struct wish by_default[] = {
        {0, false, false}, {1, false, false}, {2, false, true}, {3, false, true}};
    int chosen = wishes;
    struct wish kept[4];
    memcpy(kept, wish, sizeof kept);
    for (wishes = 0; wishes < 4; wishes++) wish[wishes] = by_default[wishes];
    for (size_t i = 1; i < n; i++)
      cr_assert_lt(compare(&lines[i - 1], &lines[i]), 0, "row %zu is out of the default order: %s", i,
                   lines[i].text);
    memcpy(wish, kept, sizeof kept);
    wishes = chosen;
    qsort(lines, n, sizeof *lines, compare);
    query.order_by = order_by;
    query.limit = TALLY_NO_LIMIT;
    check_limits(f, query, lines, n);
    for (size_t i = 0; i < n; i++) free(copies[i]);
    free(text);
  }
}

Test(ordering, any_keys_of_any_width_with_nulls_and_a_limit_order_as_a_sort_of_the_printed_rows) {
  static const unsigned widths[] = {1, 20, 44, 53, 62};
  const char *seed = getenv("TALLY_SEED");
  state = seed ? strtoull(seed, NULL, 0) : 5;
  fprintf(stderr, "TALLY_SEED=%" PRIu64 "\n", state);
  for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
    for (uint64_t rows = 1; rows <= ROWS_MOST; rows = rows * 5 + 20) {
      struct fixture f;
      fixture_open(&f, 32u << 20);
      add_rows(&f, rows, widths[w]);
      check_orders(&f);
      fixture_close(&f);
    }
}
