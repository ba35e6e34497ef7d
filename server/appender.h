/* appender.h - the one thread that appends: whatever has queued while the last group was being synced is the
 * next group, so many small batches share one synchronisation (group commit).
 *
 * 1. Entries are done and come home to the loop in the order in which they were submitted: receipts of one
 *    connection keep the order of its requests. So a batch that was refused before it got here still goes
 *    through the queue, and a MARK sees every batch submitted before it.
 * 2. The queue is bounded by those who submit: a window of entries a connection, and the intake's bytes.
 * 3. The bytes of a batch are read here and freed on the loop, when the entry has come home. */
#ifndef SERVER_APPENDER_H
#define SERVER_APPENDER_H

#include "proto/message.h"
#include "server/mailbox.h"
#include "server/store.h"

#define APPENDER_GROUP 1024u /* most batches of one group */

enum entry_kind {
  ENTRY_APPEND,
  ENTRY_MARK,
  ENTRY_REFUSED /* `result` and `error` are set already */
};

/* The owner fills kind, id and the request, and letter.arrive for the way home. */
struct entry {
  struct letter letter;
  struct entry *next;
  enum entry_kind kind;
  uint64_t id;
  struct message_append append; /* append.batch points into chunk or copy */
  struct message_mark mark;
  /* the answer */
  int result;
  tally_receipt receipt;
  tally_mark marked;
  tally_error error;
};

struct appender {
  struct store *store;
  struct mailbox *mailbox;
  uv_mutex_t lock;
  uv_cond_t filled;
  struct entry *first, **last; /* under lock */
  bool stopping;               /* under lock */
  tally_append_item *items;    /* APPENDER_GROUP of them; the thread's */
  struct entry **entries;
  uv_thread_t thread;
};

int appender_start(struct appender *appender, struct store *store, struct mailbox *mailbox,
                   tally_error *error);
void appender_submit(struct appender *appender, struct entry *entry);
/* Does what is queued, then ends and joins the thread. */
void appender_stop(struct appender *appender);

#endif
