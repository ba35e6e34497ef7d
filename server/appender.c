/* appender.c - group commit; see appender.h. */
#include "server/appender.h"

#include "base/mem.h"
#include "base/status.h"

/* Waits for entries and takes all of them; NULL when the thread is to end. */
static struct entry *take_all(struct appender *appender) {
  uv_mutex_lock(&appender->lock);
  while (!appender->first && !appender->stopping) uv_cond_wait(&appender->filled, &appender->lock);
  struct entry *entries = appender->first;
  appender->first = NULL;
  appender->last = &appender->first;
  uv_mutex_unlock(&appender->lock);
  return entries;
}

/* Appends the batches of entries[0..count) with one call and sends each home. */
static void append_group(struct appender *appender, size_t count) {
  if (!count) return;
  for (size_t i = 0; i < count; i++) {
    const struct message_append *append = &appender->entries[i]->append;
    appender->items[i] = (tally_append_item){
        .bytes = append->batch, .size = append->batch_size, .options = message_append_options(append)};
  }
  appender->store->operations->append(appender->store, appender->items, count);
  for (size_t i = 0; i < count; i++) {
    struct entry *entry = appender->entries[i];
    entry->result = appender->items[i].result;
    entry->receipt = appender->items[i].receipt;
    if (entry->result != TALLY_OK) entry->error = appender->items[i].error;
    mailbox_post(appender->mailbox, &entry->letter);
  }
}

/* Everything but a batch: in its place between the groups. */
static void do_other(struct appender *appender, struct entry *entry) {
  if (entry->kind == ENTRY_MARK)
    entry->result = appender->store->operations->mark(appender->store, entry->mark.producer,
                                                      entry->mark.epoch, &entry->marked, &entry->error);
  mailbox_post(appender->mailbox, &entry->letter);
}

/* A refused batch or a mark ends the group before it, so that everything comes home in order. */
static void do_all(struct appender *appender, struct entry *entry) {
  size_t count = 0;
  while (entry) {
    struct entry *next = entry->next; /* a posted entry is no longer ours */
    if (entry->kind == ENTRY_APPEND) {
      appender->entries[count++] = entry;
      if (count == APPENDER_GROUP) {
        append_group(appender, count);
        count = 0;
      }
    } else {
      append_group(appender, count);
      count = 0;
      do_other(appender, entry);
    }
    entry = next;
  }
  append_group(appender, count);
}

static void run(void *arg) {
  struct entry *entries;
  while ((entries = take_all(arg))) do_all(arg, entries);
}

static int start_thread(struct appender *appender) {
  int result = uv_mutex_init(&appender->lock);
  if (result) return result;
  result = uv_cond_init(&appender->filled);
  if (result == 0) {
    result = uv_thread_create(&appender->thread, run, appender);
    if (result == 0) return 0;
    uv_cond_destroy(&appender->filled);
  }
  uv_mutex_destroy(&appender->lock);
  return result;
}

static void free_arrays(struct appender *appender) {
  mem_free(appender->items);
  mem_free(appender->entries);
}

int appender_start(struct appender *appender, struct store *store, struct mailbox *mailbox,
                   tally_error *error) {
  *appender = (struct appender){.store = store, .mailbox = mailbox};
  appender->last = &appender->first;
  appender->items = mem_zalloc(APPENDER_GROUP, sizeof *appender->items);
  appender->entries = mem_zalloc(APPENDER_GROUP, sizeof *appender->entries);
  if (!appender->items || !appender->entries) {
    free_arrays(appender);
    return fail_memory(error, "the appender");
  }
  int result = start_thread(appender);
  if (result == 0) return TALLY_OK;
  free_arrays(appender);
  return fail(error, TALLY_NO_MEMORY, "the appender's thread cannot start: %s", uv_strerror(result));
}

void appender_submit(struct appender *appender, struct entry *entry) {
  entry->next = NULL;
  uv_mutex_lock(&appender->lock);
  *appender->last = entry;
  appender->last = &entry->next;
  uv_mutex_unlock(&appender->lock);
  uv_cond_signal(&appender->filled); /* without the lock, which whoever wakes wants at once */
}

void appender_stop(struct appender *appender) {
  uv_mutex_lock(&appender->lock);
  appender->stopping = true;
  uv_cond_signal(&appender->filled);
  uv_mutex_unlock(&appender->lock);
  (void)uv_thread_join(&appender->thread);
  uv_cond_destroy(&appender->filled);
  uv_mutex_destroy(&appender->lock);
  free_arrays(appender);
}
