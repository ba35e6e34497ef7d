/* mailbox.c - letters from threads to the loop; see mailbox.h. */
#include "server/mailbox.h"

#include <stddef.h>

/* Takes all letters at once: what is posted meanwhile wakes the loop again. */
static void deliver(uv_async_t *async) {
  struct mailbox *mailbox = async->data;
  uv_mutex_lock(&mailbox->lock);
  struct letter *letter = mailbox->first;
  mailbox->first = NULL;
  mailbox->last = &mailbox->first;
  uv_mutex_unlock(&mailbox->lock);
  while (letter) {
    struct letter *next = letter->next;
    letter->arrive(letter);
    letter = next;
  }
}

int mailbox_open(struct mailbox *mailbox, uv_loop_t *loop) {
  int result = uv_mutex_init(&mailbox->lock);
  if (result) return result;
  mailbox->first = NULL;
  mailbox->last = &mailbox->first;
  mailbox->async.data = mailbox;
  result = uv_async_init(loop, &mailbox->async, deliver);
  if (result) uv_mutex_destroy(&mailbox->lock);
  return result;
}

void mailbox_post(struct mailbox *mailbox, struct letter *letter) {
  letter->next = NULL;
  uv_mutex_lock(&mailbox->lock);
  *mailbox->last = letter;
  mailbox->last = &letter->next;
  /* Sent under the lock: once the letter has arrived, nobody uses the mailbox for it any more. */
  (void)uv_async_send(&mailbox->async);
  uv_mutex_unlock(&mailbox->lock);
}

void mailbox_close(struct mailbox *mailbox) { uv_close((uv_handle_t *)&mailbox->async, NULL); }
void mailbox_free(struct mailbox *mailbox) { uv_mutex_destroy(&mailbox->lock); }
