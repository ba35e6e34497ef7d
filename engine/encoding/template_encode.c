/* template_encode.c - finding the templates of a list of strings and writing them; see template.h.
 *
 * First all rows are cut and numbered; then templates too rare to pay give their rows to the one that fits
 * everything; then the values of each column are brought together and encoded. A row is first tried with the
 * template before it and with the one that last came after that: the hash table is for the others. */
#include "base/hash.h"
#include "encoding/template.h"

#define SLOTS (4 * TEMPLATES_MAX)
#define RARE 3u   /* rows that a template must have */
#define LOOK 256u /* rows after which there must not be a template for every second one */
#define WHOLE 0u  /* the template that fits everything */
#define ABSENT UINT32_MAX

struct template {
  uint32_t literal, literal_size; /* in the buffer of literals */
  uint32_t hash, places;
  uint32_t rows, successor;
  uint32_t number; /* in the encoding; ABSENT: not in it */
};

struct column {
  uint64_t identity; /* of the places that share it */
  uint64_t bytes;
  uint32_t values, number; /* number: in the encoding; ABSENT: not in it */
  uint64_t at;             /* where the next offset goes */
  uint64_t byte;           /* and the next value */
};

/* What is known of the list. */
struct finder {
  const struct text_list *list;
  struct texts_templates *buffers;
  uint32_t templates, columns;
  struct template template[TEMPLATES_MAX];
  struct column column[COLUMNS_MAX];
  uint16_t slots[SLOTS]; /* number of template + 1; 0: empty */
  struct place places[TEMPLATES_MAX][PLACES_MAX];
  uint16_t column_of[TEMPLATES_MAX][PLACES_MAX];
  struct cut cut;
};

/* ---- cutting the rows ---- */

/* The column of a place: places of different templates share it if key, kind and length are the same, and
 * there are as many of the same before them in their template. ABSENT: there are too many columns. */
static uint32_t column_of(struct finder *f, const struct place *places, uint32_t i) {
  const struct place *p = &places[i];
  uint64_t before = 0;
  for (uint32_t k = 0; k < i; k++)
    before += places[k].key == p->key && places[k].kind == p->kind && places[k].length == p->length;
  uint64_t identity = (uint64_t)p->key << 32 | (uint64_t)p->length << 16 | (uint64_t)p->kind << 8 | before;
  for (uint32_t c = 0; c < f->columns; c++)
    if (f->column[c].identity == identity) return c;
  if (f->columns == COLUMNS_MAX) return ABSENT;
  f->column[f->columns] = (struct column){.identity = identity, .number = ABSENT};
  return f->columns++;
}

static bool same_template(const struct finder *f, const struct template *t, uint32_t hash,
                          const struct cut *cut) {
  return t->hash == hash && t->literal_size == cut->literal_size && t->places == cut->count &&
         memcmp(f->buffers->literals.data + t->literal, cut->literal, cut->literal_size) == 0 &&
         memcmp(f->places[t - f->template], cut->places, cut->count * sizeof *cut->places) == 0;
}

/* The template of f->cut, added if it is new; ABSENT if there are too many. */
static uint32_t number_template(struct finder *f) {
  const struct cut *cut = &f->cut;
  uint32_t hash = (uint32_t)(hash64(cut->literal, cut->literal_size) ^
                             hash64(cut->places, cut->count * sizeof *cut->places));
  uint32_t slot = hash % SLOTS;
  for (; f->slots[slot]; slot = (slot + 1) % SLOTS)
    if (same_template(f, &f->template[f->slots[slot] - 1], hash, cut)) return f->slots[slot] - 1u;
  if (f->templates == TEMPLATES_MAX || !buffer_reserve(&f->buffers->literals, cut->literal_size))
    return ABSENT;
  uint32_t n = f->templates;
  for (uint32_t i = 0; i < cut->count; i++) {
    uint32_t c = column_of(f, cut->places, i);
    if (c == ABSENT) return ABSENT;
    f->column_of[n][i] = (uint16_t)c;
  }
  f->template[n] = (struct template){
      (uint32_t)f->buffers->literals.size, cut->literal_size, hash, cut->count, 0, n, ABSENT};
  buffer_append(&f->buffers->literals, cut->literal, cut->literal_size);
  memcpy(f->places[n], cut->places, cut->count * sizeof *cut->places);
  f->slots[slot] = (uint16_t)++f->templates;
  return n;
}

static bool matches(const struct finder *f, uint32_t template, const char *text, size_t size,
                    struct span *spans) {
  const struct template *t = &f->template[template];
  return template_match((const char *)f->buffers->literals.data + t->literal, t->literal_size,
                        f->places[template], t->places, text, size, spans);
}

/* The template of a text, whose values go to spans. */
static uint32_t find_template(struct finder *f, uint32_t last, const char *text, size_t size,
                              struct span *spans) {
  if (matches(f, last, text, size, spans)) return last;
  uint32_t next = f->template[last].successor;
  if (next != last && matches(f, next, text, size, spans)) return next;
  template_cut(text, size, &f->cut);
  uint32_t n = number_template(f);
  if (n == ABSENT) {
    spans[0] = (struct span){0, (uint32_t)size};
    return WHOLE;
  }
  memcpy(spans, f->cut.spans, f->cut.count * sizeof *spans);
  f->template[last].successor = n;
  return n;
}

/* Cuts all rows: their templates to buffers->rows, their values to buffers->spans. False without memory, or
 * (and then *hopeless) if the rows have little in common. */
static bool cut_rows(struct finder *f, bool *hopeless) {
  const struct text_list *l = f->list;
  buffer_clear(&f->buffers->rows);
  buffer_clear(&f->buffers->spans);
  buffer_clear(&f->buffers->literals);
  uint16_t *rows = (uint16_t *)(void *)buffer_add(&f->buffers->rows, l->count * sizeof *rows);
  if (!rows || !buffer_reserve(&f->buffers->literals, 1)) return false;
  template_cut(NULL, SIZE_MAX, &f->cut); /* larger than any text: the template that fits everything */
  uint32_t last = number_template(f);
  for (uint32_t i = 0; i < l->count; i++) {
    struct buffer *spans = &f->buffers->spans;
    if (!buffer_reserve(spans, PLACES_MAX * sizeof(struct span))) return false;
    if (text_size(l, i) > UINT32_MAX) return *hopeless = true, false;
    last = find_template(f, last, text_of(l, i), text_size(l, i),
                         (struct span *)(void *)(spans->data + spans->size));
    rows[i] = (uint16_t)last;
    f->template[last].rows++;
    spans->size += f->template[last].places * sizeof(struct span);
    if (i == LOOK && f->templates > LOOK / 2) return *hopeless = true, false;
  }
  return !f->buffers->literals.failed;
}

/* Leaves out what is rare. False if little is left. */
static bool choose_templates(struct finder *f) {
  uint32_t number = 0;
  for (uint32_t t = WHOLE + 1; t < f->templates; t++)
    if (f->template[t].rows < RARE) f->template[WHOLE].rows += f->template[t].rows;
  for (uint32_t t = 0; t < f->templates; t++)
    if (f->template[t].rows >= (t == WHOLE ? 1 : RARE)) f->template[t].number = number++;
  return f->template[WHOLE].rows <= f->list->count - f->list->count / 8;
}

/* ---- bringing the values of a column together ---- */

/* A row's template and values, as they will be encoded. */
struct row {
  const struct span *spans;
  const uint16_t *columns;
  uint32_t template, count;
};

/* Row i; *next is where its spans are, and goes behind them. A row of a template that is left out is whole.
 */
static struct row row_of(const struct finder *f, uint32_t i, const struct span **next, struct span *whole) {
  uint32_t t = ((const uint16_t *)(const void *)f->buffers->rows.data)[i];
  struct row row = {*next, f->column_of[t], t, f->template[t].places};
  *next += row.count;
  if (f->template[t].number == ABSENT) {
    *whole = (struct span){0, (uint32_t)text_size(f->list, i)};
    row = (struct row){whole, f->column_of[WHOLE], WHOLE, 1};
  }
  return row;
}

/* Copies the values to b->bytes, column after column, and their offsets to b->at. */
static bool fill_columns(struct finder *f, struct texts_level *b) {
  const struct span *first = (const struct span *)(const void *)f->buffers->spans.data, *next = first;
  struct span whole;
  uint64_t offsets = 0, total = 0;
  for (uint32_t i = 0; i < f->list->count; i++) {
    struct row row = row_of(f, i, &next, &whole);
    for (uint32_t k = 0; k < row.count; k++) {
      f->column[row.columns[k]].values++;
      f->column[row.columns[k]].bytes += row.spans[k].size;
    }
  }
  for (uint32_t c = 0; c < f->columns; c++) {
    f->column[c].at = offsets;
    f->column[c].byte = total;
    offsets += f->column[c].values + (uint64_t)1;
    total += f->column[c].bytes;
  }
  buffer_clear(&b->at);
  buffer_clear(&b->bytes);
  uint64_t *at = (uint64_t *)(void *)buffer_add(&b->at, offsets * sizeof *at);
  uint8_t *bytes = text_room(&b->bytes, total);
  if (!at || !bytes) return false;
  next = first;
  for (uint32_t i = 0; i < f->list->count; i++) {
    struct row row = row_of(f, i, &next, &whole);
    const char *text = text_of(f->list, i);
    for (uint32_t k = 0; k < row.count; k++) {
      struct column *c = &f->column[row.columns[k]];
      at[c->at++] = c->byte;
      copy_few(bytes + c->byte, text + row.spans[k].start, row.spans[k].size);
      c->byte += row.spans[k].size;
    }
  }
  for (uint32_t c = 0; c < f->columns; c++) at[f->column[c].at] = f->column[c].byte;
  return true;
}

/* ---- writing ---- */

struct writer {
  struct finder *f;
  struct buffer *out;
  struct ints_scratch *scratch;
  struct buffer *part, *numbers; /* working memory */
};

static int64_t *room_for_numbers(struct writer *w, size_t n) {
  buffer_clear(w->numbers);
  int64_t *numbers = (int64_t *)(void *)buffer_add(w->numbers, n * sizeof *numbers);
  w->out->failed |= !numbers;
  return numbers;
}

static void write_numbers(struct writer *w, const int64_t *v, uint32_t n) {
  buffer_clear(w->part);
  ints_encode(v, n, w->part, w->scratch);
  w->out->failed |= w->part->failed;
  write_part(w->out, w->part);
}

static void write_texts(struct writer *w, const struct text_list *list) {
  buffer_clear(w->part);
  text_list_encode(list, TEXT_ALLOW_COLUMN, 1, w->part, w->scratch);
  w->out->failed |= w->part->failed;
  write_part(w->out, w->part);
}

/* The literals of the templates in the encoding, which are the lowest numbers first. */
static void write_literals(struct writer *w) {
  const struct finder *f = w->f;
  struct buffer *bytes = &f->buffers->columns;
  uint64_t at[TEMPLATES_MAX + 1] = {0};
  uint32_t n = 0;
  buffer_clear(bytes);
  buffer_reserve(bytes, 1);
  for (uint32_t t = 0; t < f->templates; t++) {
    const struct template *template = &f->template[t];
    if (template->number == ABSENT) continue;
    buffer_append(bytes, f->buffers->literals.data + template->literal, template->literal_size);
    at[++n] = bytes->size;
  }
  w->out->failed |= bytes->failed;
  if (!bytes->failed) write_texts(w, &(struct text_list){at, n, (const char *)bytes->data});
}

/* How many places each template has, where they are, and their columns, which get their numbers here. Returns
 * the number of columns. */
static uint32_t number_columns(struct finder *f) {
  uint32_t columns = 0;
  for (uint32_t t = 0; t < f->templates; t++)
    for (uint32_t i = 0; f->template[t].number != ABSENT && i < f->template[t].places; i++) {
      struct column *c = &f->column[f->column_of[t][i]];
      if (c->number == ABSENT) c->number = columns++;
    }
  return columns;
}

static void write_places(struct writer *w) {
  const struct finder *f = w->f;
  int64_t counts[TEMPLATES_MAX], *gaps = room_for_numbers(w, (size_t)2 * TEMPLATES_MAX * PLACES_MAX);
  if (!gaps) return;
  int64_t *columns = gaps + (size_t)TEMPLATES_MAX * PLACES_MAX;
  uint32_t n = 0, places = 0;
  for (uint32_t t = 0; t < f->templates; t++) {
    const struct template *template = &f->template[t];
    if (template->number == ABSENT) continue;
    counts[n++] = template->places;
    for (uint32_t i = 0; i < template->places; i++) {
      gaps[places] = (int64_t)f->places[t][i].position - (i ? (int64_t)f->places[t][i - 1].position : 0);
      columns[places++] = f->column[f->column_of[t][i]].number;
    }
  }
  write_numbers(w, counts, n);
  if (places == 0) return;
  write_numbers(w, gaps, places);
  write_numbers(w, columns, places);
}

static void write_rows(struct writer *w) {
  const struct finder *f = w->f;
  const uint16_t *rows = (const uint16_t *)(const void *)f->buffers->rows.data;
  int64_t *numbers = room_for_numbers(w, f->list->count);
  if (!numbers) return;
  for (uint32_t i = 0; i < f->list->count; i++) {
    uint32_t n = f->template[rows[i]].number;
    numbers[i] = n == ABSENT ? f->template[WHOLE].number : n;
  }
  write_numbers(w, numbers, f->list->count);
}

/* Columns have their numbers by first use, which is not the order in which they were found. */
static void write_columns(struct writer *w, uint32_t count, const struct texts_level *b) {
  uint16_t by_number[COLUMNS_MAX];
  for (uint32_t c = 0; c < w->f->columns; c++)
    if (w->f->column[c].number != ABSENT) by_number[w->f->column[c].number] = (uint16_t)c;
  for (uint32_t n = 0; n < count; n++) {
    const struct column *c = &w->f->column[by_number[n]];
    const uint64_t *end =
        (const uint64_t *)(const void *)b->at.data + c->at; /* fill_columns() left it there */
    write_texts(w, &(struct text_list){end - c->values, c->values, (const char *)b->bytes.data});
  }
}

static bool write_all(struct finder *f, struct texts_level *b, struct buffer *out,
                      struct ints_scratch *scratch) {
  struct writer w = {f, out, scratch, &b->nested, &b->numbers};
  uint32_t templates = 0, columns = number_columns(f);
  for (uint32_t t = 0; t < f->templates; t++) templates += f->template[t].number != ABSENT;
  write8(out, TEXT_TEMPLATE);
  write_varint(out, templates);
  write_varint(out, columns);
  write_literals(&w);
  write_places(&w);
  write_rows(&w);
  write_columns(&w, columns, b);
  return !out->failed;
}

bool template_encode(const struct text_list *list, struct buffer *out, struct ints_scratch *scratch) {
  struct buffer *room = &scratch->templates.templates;
  buffer_clear(room);
  struct finder *f = (struct finder *)(void *)buffer_add(room, sizeof *f);
  if (!f) return false;
  f->list = list;
  f->buffers = &scratch->templates;
  f->templates = f->columns = 0;
  memset(f->slots, 0, sizeof f->slots);
  bool hopeless = false;
  if (!cut_rows(f, &hopeless)) return hopeless;
  if (!choose_templates(f)) return true;
  struct texts_level *b = &scratch->texts[0];
  return fill_columns(f, b) && write_all(f, b, out, scratch);
}
