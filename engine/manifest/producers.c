/* producers.c - marks in a hash table by name; see producers.h. Bytes: docs/format/manifest.md, "Marks":
 * per producer: varint name size, name, varint epochs, per epoch (ascending) varint epoch, varint last
 * sequence, varint fingerprints, per fingerprint varint epoch, varint sequence, 16 bytes. */
#include "manifest/producers.h"

#include <stdatomic.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

struct epoch_mark {
  uint64_t epoch, sequence;
};

struct producer {
  char *name;
  size_t name_size;
  uint64_t hash;
  struct epoch_mark *mark; /* ascending epochs */
  size_t marks, mark_capacity;
  struct fingerprint *fingerprint; /* PRODUCER_FINGERPRINTS places by sequence modulo, or NULL */
  bool dirty;
  struct producer *next_dirty;
};

struct producers {
  struct producer **slot;
  size_t mask;
  atomic_size_t count; /* looked at from any thread */
  struct producer *dirty;
  struct budget *budget;
  uint64_t taken;
};

#define LIMIT_TEXT "the producers' marks have reached their share of the memory budget: raise --memory"

static int take(struct producers *p, uint64_t bytes, tally_error *error) {
  if (!budget_take(p->budget, bytes)) return fail(error, TALLY_MEMORY_LIMIT, LIMIT_TEXT);
  p->taken += bytes;
  return 0;
}

int producers_new(struct budget *budget, struct producers **producers, tally_error *error) {
  struct producers *p = mem_zalloc(1, sizeof *p);
  if (p) p->slot = mem_zalloc(64, sizeof(struct producer *));
  if (!p || !p->slot) {
    mem_free(p);
    return fail_memory(error, "the producers' marks");
  }
  p->mask = 63;
  p->budget = budget;
  *producers = p;
  return 0;
}

static void producer_free(struct producer *one) {
  if (!one) return;
  mem_free(one->name);
  mem_free(one->mark);
  mem_free(one->fingerprint);
  mem_free(one);
}

void producers_free(struct producers *p) {
  if (!p) return;
  for (size_t i = 0; i <= p->mask; i++) producer_free(p->slot[i]);
  mem_free((void *)p->slot);
  budget_give(p->budget, p->taken);
  mem_free(p);
}

size_t producers_count(const struct producers *p) { return atomic_load(&p->count); }

static struct producer *find(const struct producers *p, tally_text name) {
  uint64_t hash = hash64(name.data, name.size);
  for (size_t i = hash & p->mask; p->slot[i]; i = (i + 1) & p->mask) {
    struct producer *one = p->slot[i];
    if (one->hash == hash && one->name_size == name.size && memcmp(one->name, name.data, name.size) == 0)
      return one;
  }
  return NULL;
}

static const struct epoch_mark *mark_of(const struct producer *one, uint64_t epoch) {
  for (size_t i = one->marks; i-- > 0;)
    if (one->mark[i].epoch == epoch) return &one->mark[i];
  return NULL;
}

static bool conflicts(const struct producer *one, const struct batch_id *id) {
  if (!id->fingerprint || !one->fingerprint) return false;
  const struct fingerprint *f = &one->fingerprint[id->sequence % PRODUCER_FINGERPRINTS];
  return f->epoch == id->epoch && f->sequence == id->sequence &&
         memcmp(f->bytes, id->fingerprint, sizeof f->bytes) != 0;
}

enum mark_verdict producers_check(const struct producers *p, const struct batch_id *id, uint64_t *expected) {
  const struct producer *one = find(p, id->producer);
  uint64_t newest = one && one->marks ? one->mark[one->marks - 1].epoch : 0;
  const struct epoch_mark *mark = one ? mark_of(one, id->epoch) : NULL;
  if (mark && id->sequence <= mark->sequence) return conflicts(one, id) ? MARK_CONFLICT : MARK_DUPLICATE;
  if (id->epoch < newest) {
    *expected = newest;
    return MARK_STALE;
  }
  *expected = mark ? mark->sequence + 1 : 1;
  return id->sequence == *expected ? MARK_NEXT : MARK_GAP;
}

static int grow(struct producers *p, tally_error *error) {
  size_t slots = (p->mask + 1) * 2;
  int result = take(p, slots / 2 * sizeof(struct producer *), error);
  if (result) return result;
  struct producer **bigger = mem_zalloc(slots, sizeof *bigger);
  if (!bigger) return fail_memory(error, "the producers' marks");
  for (size_t i = 0; i <= p->mask; i++) {
    if (!p->slot[i]) continue;
    size_t k = p->slot[i]->hash & (slots - 1);
    while (bigger[k]) k = (k + 1) & (slots - 1);
    bigger[k] = p->slot[i];
  }
  mem_free((void *)p->slot);
  p->slot = bigger;
  p->mask = slots - 1;
  return 0;
}

static int add(struct producers *p, tally_text name, struct producer **out, tally_error *error) {
  int result = (atomic_load(&p->count) + 1) * 4 > (p->mask + 1) * 3 ? grow(p, error) : 0;
  if (!result) result = take(p, sizeof(struct producer) + name.size + 64, error);
  if (result) return result;
  struct producer *one = mem_zalloc(1, sizeof *one);
  if (one) one->name = mem_strndup(name.data, name.size);
  if (!one || !one->name) {
    producer_free(one);
    return fail_memory(error, "the producers' marks");
  }
  one->name_size = name.size;
  one->hash = hash64(name.data, name.size);
  size_t i = one->hash & p->mask;
  while (p->slot[i]) i = (i + 1) & p->mask;
  p->slot[i] = one;
  atomic_fetch_add(&p->count, 1);
  *out = one;
  return 0;
}

static int reserve_mark(struct producers *p, struct producer *one, tally_error *error) {
  if (one->marks < one->mark_capacity) return 0;
  size_t capacity = one->mark_capacity ? one->mark_capacity * 2 : 1;
  int result = take(p, (capacity - one->mark_capacity) * sizeof *one->mark, error);
  if (result) return result;
  struct epoch_mark *mark = mem_realloc_array(one->mark, capacity, sizeof *mark);
  if (!mark) return fail_memory(error, "the producers' marks");
  one->mark = mark;
  one->mark_capacity = capacity;
  return 0;
}

static void set_dirty(struct producers *p, struct producer *one) {
  if (one->dirty) return;
  one->dirty = true;
  one->next_dirty = p->dirty;
  p->dirty = one;
}

/* Room for fingerprints, where the budget has it. */
static bool remembers(struct producers *p, struct producer *one) {
  tally_error ignored;
  if (one->fingerprint) return true;
  if (take(p, PRODUCER_FINGERPRINTS * sizeof *one->fingerprint, &ignored)) return false;
  one->fingerprint = mem_zalloc(PRODUCER_FINGERPRINTS, sizeof *one->fingerprint);
  return one->fingerprint != NULL;
}

int producers_accept(struct producers *p, const struct batch_id *id, struct mark_undo *undo,
                     tally_error *error) {
  struct producer *one = find(p, id->producer);
  int result = one ? 0 : add(p, id->producer, &one, error);
  if (!result) result = reserve_mark(p, one, error);
  if (result) return result;
  *undo = (struct mark_undo){.producer = one};
  struct epoch_mark *newest = one->marks ? &one->mark[one->marks - 1] : NULL;
  if (newest && newest->epoch == id->epoch) {
    undo->sequence = newest->sequence;
    newest->sequence = id->sequence;
  } else {
    undo->new_epoch = true;
    one->mark[one->marks++] = (struct epoch_mark){id->epoch, id->sequence};
  }
  if (id->fingerprint && remembers(p, one)) {
    struct fingerprint *f = &one->fingerprint[id->sequence % PRODUCER_FINGERPRINTS];
    undo->changed_fingerprint = true;
    undo->fingerprint = *f;
    *f = (struct fingerprint){.epoch = id->epoch, .sequence = id->sequence};
    memcpy(f->bytes, id->fingerprint, sizeof f->bytes);
  }
  set_dirty(p, one);
  return 0;
}

void producers_undo(struct producers *p, const struct mark_undo *undo) {
  (void)p;
  struct producer *one = undo->producer;
  struct epoch_mark *newest = &one->mark[one->marks - 1];
  uint64_t sequence = newest->sequence;
  if (undo->new_epoch)
    one->marks--;
  else
    newest->sequence = undo->sequence;
  if (undo->changed_fingerprint) one->fingerprint[sequence % PRODUCER_FINGERPRINTS] = undo->fingerprint;
}

tally_mark producers_mark(const struct producers *p, tally_text name, uint64_t epoch) {
  const struct producer *one = find(p, name);
  if (!one || !one->marks) return (tally_mark){0, 0};
  if (!epoch) return (tally_mark){one->mark[one->marks - 1].epoch, one->mark[one->marks - 1].sequence};
  const struct epoch_mark *mark = mark_of(one, epoch);
  return (tally_mark){epoch, mark ? mark->sequence : 0};
}

/* ------------------------------------------------------------------ bytes */

static void write_one(const struct producer *one, struct buffer *out) {
  write_varint(out, one->name_size);
  buffer_append(out, one->name, one->name_size);
  write_varint(out, one->marks);
  for (size_t i = 0; i < one->marks; i++) {
    write_varint(out, one->mark[i].epoch);
    write_varint(out, one->mark[i].sequence);
  }
  size_t n = 0;
  for (size_t i = 0; one->fingerprint && i < PRODUCER_FINGERPRINTS; i++)
    n += one->fingerprint[i].sequence != 0;
  write_varint(out, n);
  for (size_t i = 0; n && i < PRODUCER_FINGERPRINTS; i++) {
    const struct fingerprint *f = &one->fingerprint[i];
    if (!f->sequence) continue;
    write_varint(out, f->epoch);
    write_varint(out, f->sequence);
    buffer_append(out, f->bytes, sizeof f->bytes);
  }
}

void producers_write(struct producers *p, bool all, struct buffer *out) {
  if (all) {
    for (size_t i = 0; i <= p->mask; i++)
      if (p->slot[i] && p->slot[i]->marks) write_one(p->slot[i], out);
    return;
  }
  while (p->dirty) {
    struct producer *one = p->dirty;
    p->dirty = one->next_dirty;
    one->dirty = false;
    if (one->marks) write_one(one, out);
  }
}

static int bad(tally_error *error) { return fail(error, TALLY_CORRUPT, "producer marks"); }

static int read_one(struct producers *p, struct reader *r, tally_error *error) {
  size_t size = (size_t)read_varint(r);
  const uint8_t *name = read_bytes(r, size);
  if (!name || size == 0 || size > 400) return bad(error);
  tally_text text = {(const char *)name, size};
  struct producer *one = find(p, text);
  int result = one ? 0 : add(p, text, &one, error);
  if (result) return result;
  one->marks = 0;
  uint64_t epochs = read_varint(r), before = 0;
  if (epochs == 0) return bad(error); /* a producer is known by what is in */
  for (uint64_t i = 0; i < epochs && !r->bad; i++) {
    struct epoch_mark mark = {read_varint(r), 0};
    mark.sequence = read_varint(r);
    if (mark.epoch <= before || !mark.sequence) return bad(error);
    before = mark.epoch;
    if ((result = reserve_mark(p, one, error)) != 0) return result;
    one->mark[one->marks++] = mark;
  }
  uint64_t fingerprints = read_varint(r);
  for (uint64_t i = 0; i < fingerprints && !r->bad; i++) {
    struct fingerprint f = {read_varint(r), 0, {0}};
    f.sequence = read_varint(r);
    const uint8_t *bytes = read_bytes(r, sizeof f.bytes);
    if (!bytes || !f.sequence) return bad(error);
    memcpy(f.bytes, bytes, sizeof f.bytes);
    if (remembers(p, one)) one->fingerprint[f.sequence % PRODUCER_FINGERPRINTS] = f;
  }
  return r->bad ? bad(error) : 0;
}

int producers_read(struct producers *p, const void *bytes, size_t size, tally_error *error) {
  struct reader r = reader_make(bytes, size);
  int result = 0;
  while (!result && reader_left(&r)) result = read_one(p, &r, error);
  return result;
}
