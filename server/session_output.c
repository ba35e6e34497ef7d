/* session_output.c - what a session sends: replies, gathered until the loop is about to wait, and frames of
 * rows, each written from where its worker made it. */
#include "base/mem.h"
#include "server/log.h"
#include "server/session.h"

struct output {
  uv_write_t write;
  struct session *session;
  struct buffer bytes;
  bool rows;
};

static void output_free(struct output *output) {
  buffer_free(&output->bytes);
  mem_free(output);
}

static void on_written(uv_write_t *write, int status) {
  struct output *output = write->data;
  struct session *session = output->session;
  *(output->rows ? &session->unsent_rows : &session->unsent_replies) -= output->bytes.size;
  session->writes--;
  session->active = uv_now(session->server->loop);
  if (session->state == SESSION_ENDING) session->since = session->active;
  output_free(output);
  if (status < 0 && session->state != SESSION_CLOSED) {
    char peer[64];
    session_peer(session, peer, sizeof peer);
    log_peer(LOG_DEBUG, "%s: sending failed: %s", peer, uv_strerror(status));
    session_close(session);
  }
  session_mark(session);
}

/* Takes `bytes` over and leaves it empty. */
static void send_bytes(struct session *session, struct buffer *bytes, bool rows) {
  struct output *output = mem_alloc(sizeof *output);
  if (!output) {
    buffer_free(bytes);
    session_close(session);
    return;
  }
  *output = (struct output){.session = session, .bytes = *bytes, .rows = rows};
  output->write.data = output;
  *bytes = (struct buffer){0};
  uv_buf_t piece = uv_buf_init((char *)output->bytes.data, (unsigned)output->bytes.size);
  *(rows ? &session->unsent_rows : &session->unsent_replies) += output->bytes.size;
  session->writes++;
  if (uv_write(&output->write, (uv_stream_t *)&session->tcp, &piece, 1, on_written) == 0) return;
  *(rows ? &session->unsent_rows : &session->unsent_replies) -= output->bytes.size;
  session->writes--;
  output_free(output);
  session_close(session);
}

void session_put_done(struct session *session, int code) {
  if (code != TALLY_OK) session_close(session); /* no memory for a few bytes */
}

void session_put_error(struct session *session, uint64_t id, const tally_error *reason) {
  tally_error error;
  session_put_done(session, message_put_error(&session->replies, id, reason, &error));
}

void session_flush(struct session *session) {
  if (!session->replies.size) return;
  if (session->state == SESSION_CLOSED || session->state == SESSION_LINGERING)
    buffer_free(&session->replies);
  else
    send_bytes(session, &session->replies, false);
}

void session_send_rows(struct session *session, struct buffer *bytes) {
  if (session->state == SESSION_CLOSED || session->state == SESSION_LINGERING || !bytes->size) {
    buffer_free(bytes);
    return;
  }
  session_flush(session); /* what came before goes out before */
  if (session->state != SESSION_CLOSED) send_bytes(session, bytes, true);
}
