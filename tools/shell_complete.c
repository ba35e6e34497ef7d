/* shell_complete.c - completion of commands, options, columns and aggregates; see shell_complete.h. */
#include "tools/shell_complete.h"

#include "tools/command.h"

#include <string.h>

static const char *const columns[] = {"timestamp",   "user_id",      "service_name",  "endpoint",
                                      "method",      "request_size", "response_size", "duration_ms",
                                      "status_code", "tokens_used",  "cost",          "metadata",
                                      NULL};
static const char *const aggregates[] = {
    "count", "count:", "sum:",      "avg:",   "min:",       "max:", "p50:",
    "p95:",  "p99:",   "distinct:", "errors", "error_rate", NULL};
static const char *const orders[] = {"asc", "desc", "none", NULL};
static const char *const switches[] = {"on", "off", NULL};
static const char *const inputs[] = {"csv", "ndjson", NULL};
static const char *const durabilities[] = {"disk", "os", NULL};
static const char *const reactions[] = {"stop", "skip", NULL};
static const char *const units[] = {"us", "ms", "s", NULL};
static const char *const roundings[] = {"refuse", "half-even", NULL};
static const char *const escapes[] = {"\\connect", "\\format", "\\help", "\\quit",
                                      "\\timing",  "\\watch",  NULL};

/* What the value of an option may be. */
static const struct {
  const char *option;
  const char *const *values;
  bool list;
} option_values[] = {
    {"agg", aggregates, true},           {"columns", columns, true},  {"group-by", columns, true},
    {"order-by", columns, true},         {"where", columns, true},    {"ignore", columns, true},
    {"format", format_names, false},     {"order", orders, false},    {"input", inputs, false},
    {"on-error", reactions, false},      {"time-unit", units, false}, {"durability", durabilities, false},
    {"cost-rounding", roundings, false},
};

struct piece {
  const char *at;
  size_t size;
};

static bool piece_is(struct piece p, const char *text) {
  return strlen(text) == p.size && memcmp(p.at, text, p.size) == 0;
}

static void offer(struct completions *c, struct piece typed, const char *item) {
  if (strncmp(item, typed.at, typed.size) != 0 || c->count == COMPLETIONS_MAX) return;
  size_t common = strlen(item);
  if (c->count) {
    common = 0;
    while (common < c->common && item[common] == c->items[0][common]) common++;
  }
  c->common = common;
  c->items[c->count++] = item;
}

static void offer_all(struct completions *c, struct piece typed, const char *const *items) {
  c->typed = typed.size;
  for (; *items; items++) offer(c, typed, *items);
}

static void offer_commands(struct completions *c, struct piece typed) {
  c->typed = typed.size;
  for (const struct command *command = command_table; command->name; command++) {
    if (strcmp(command->name, "shell") != 0) offer(c, typed, command->name);
  }
}

static void offer_options(struct completions *c, struct piece typed, const struct command *command) {
  typed = (struct piece){typed.at + 2, typed.size - 2};
  c->typed = typed.size;
  for (const struct option *o = command->options; o->name; o++) offer(c, typed, o->name);
  offer(c, typed, "format");
  offer(c, typed, "help");
  offer(c, typed, "quiet");
}

/* The piece behind the last of these marks. */
static struct piece behind_last(struct piece p, const char *marks) {
  for (size_t i = p.size; i > 0; i--) {
    if (strchr(marks, p.at[i - 1])) return (struct piece){p.at + i, p.size - i};
  }
  return p;
}

static void offer_value(struct completions *c, struct piece typed, struct piece option) {
  for (size_t i = 0; i < sizeof option_values / sizeof *option_values; i++) {
    if (!piece_is(option, option_values[i].option)) continue;
    const char *const *values = option_values[i].values;
    c->goes_on = option_values[i].list;
    if (c->goes_on) typed = behind_last(typed, ",'\"");
    struct piece of = behind_last(typed, ":");
    bool aggregate_of = c->goes_on && of.at != typed.at;
    offer_all(c, aggregate_of ? of : typed, aggregate_of ? columns : values);
    return;
  }
}

/* The last three words of the command under the cursor, quotes not looked into; words[2] may be empty. */
static void last_words(const char *line, size_t size, struct piece *first, struct piece *previous,
                       struct piece *current) {
  *first = *previous = *current = (struct piece){line, 0};
  for (size_t i = 0; i < size;) {
    while (i < size && (line[i] == ' ' || line[i] == '\t')) i++;
    size_t start = i;
    while (i < size && line[i] != ' ' && line[i] != '\t') i++;
    *previous = *current;
    *current = (struct piece){line + start, i - start};
    if (!first->size) *first = *current;
  }
}

static void offer_escape_value(struct completions *c, struct piece first, struct piece typed) {
  if (piece_is(first, "\\format")) offer_all(c, typed, format_names);
  if (piece_is(first, "\\timing")) offer_all(c, typed, switches);
  if (piece_is(first, "\\help")) offer_commands(c, typed);
}

static const struct command *command_of(struct piece name) {
  for (const struct command *c = command_table; c->name; c++) {
    if (piece_is(name, c->name)) return c;
  }
  return NULL;
}

struct completions complete_line(const char *line, size_t size) {
  struct completions c = {0};
  struct piece first, previous, current;
  last_words(line, size, &first, &previous, &current);
  if (current.at == first.at) {
    if (current.size && *current.at == '\\') {
      offer_all(&c, current, escapes);
    } else {
      offer_commands(&c, current);
    }
    return c;
  }
  if (*first.at == '\\') {
    offer_escape_value(&c, first, current);
    return c;
  }
  const struct command *command = command_of(first);
  if (!command) return c;
  const char *equals = memchr(current.at, '=', current.size);
  bool option = current.size >= 2 && memcmp(current.at, "--", 2) == 0;
  if (option && equals) {
    struct piece value = {equals + 1, (size_t)(current.at + current.size - equals) - 1};
    offer_value(&c, value, (struct piece){current.at + 2, (size_t)(equals - current.at) - 2});
  } else if (option) {
    offer_options(&c, current, command);
  } else if (previous.size > 2 && memcmp(previous.at, "--", 2) == 0) {
    offer_value(&c, current, (struct piece){previous.at + 2, previous.size - 2});
    c.files = !c.count && command->run == command_ingest;
  } else {
    c.files = command->run == command_ingest;
  }
  return c;
}
