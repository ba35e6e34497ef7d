/* mailbox.h - how threads hand what they have done back to the loop: letters, delivered in the order in which
 * they were posted.
 *
 * 1. mailbox_post may be called from any thread; `arrive` runs on the loop's thread.
 * 2. The mailbox owns no letter: it lives inside what was done, and is `arrive`'s from then on.
 * 3. What happened before the post is visible to `arrive`. */
#ifndef SERVER_MAILBOX_H
#define SERVER_MAILBOX_H

#include <uv.h>

struct letter {
  struct letter *next;
  void (*arrive)(struct letter *letter);
};

struct mailbox {
  uv_async_t async; /* its loop is the one letters arrive on */
  uv_mutex_t lock;
  struct letter *first, **last; /* under lock */
};

/* 0 or a libuv error. */
int mailbox_open(struct mailbox *mailbox, uv_loop_t *loop);
void mailbox_post(struct mailbox *mailbox, struct letter *letter);
/* Closes its handle; no thread posts any more. `mailbox` must live until the loop has run once more, then
 * mailbox_free. */
void mailbox_close(struct mailbox *mailbox);
void mailbox_free(struct mailbox *mailbox);

#endif
