/* relief.c - see relief.h. */
#include "server/relief.h"

#include <malloc.h>
#include <stddef.h>

#include "base/status.h"

static void send_to_rest(struct server *server, struct session_answer *mine) {
  mine->relieving = true;
  server->relieving++;
  session_away(mine);
  answer_rest(&mine->answer, &server->queries);
}

/* Work of the upkeep's threads holds no memory of queries. */
static bool of_queries(const struct session_answer *mine) {
  return mine->answer.type == MESSAGE_QUERY || mine->answer.type == MESSAGE_EVENTS;
}

static void rest_all(struct server *server) {
  for (struct session *session = server->sessions; session; session = session->next) {
    if (!session->first_answer || !session_blocked(session)) continue;
    for (struct session_answer *mine = session->first_answer; mine; mine = mine->next)
      if (!mine->away && !mine->answer.rested && of_queries(mine)) send_to_rest(server, mine);
  }
}

static struct session_answer *longest_unread(struct server *server) {
  struct session_answer *found = NULL;
  uint64_t now = uv_now(server->loop);
  for (struct session *session = server->sessions; session; session = session->next) {
    if (!session->first_answer || !session_blocked(session) || now - session->active < RELIEF_MS) continue;
    if (found && found->session->active <= session->active) continue;
    for (struct session_answer *mine = session->first_answer; mine; mine = mine->next)
      if (!mine->away && mine->answer.type == MESSAGE_QUERY) found = mine;
  }
  return found;
}

static void give_up_one(struct server *server) {
  struct session_answer *mine = longest_unread(server);
  if (!mine) return;
  tally_error reason;
  (void)fail(&reason, TALLY_SNAPSHOT_EXPIRED,
             "the answer was not read while others needed its memory: run the query again, read its rows "
             "faster, or raise --memory");
  mine->relieving = true;
  server->relieving++;
  session_away(mine);
  answer_give_up(&mine->answer, &reason, &server->queries);
}

/* Does an answer hold memory that it will give back when it goes on? */
static bool others_work(struct server *server) {
  for (struct session *session = server->sessions; session; session = session->next)
    for (struct session_answer *mine = session->first_answer; mine; mine = mine->next)
      if (mine->begun && !mine->answer.rested && of_queries(mine)) return true;
  return false;
}

bool relief_wait(struct server *server, struct session_answer *mine) {
  if (mine->tries++ >= RELIEF_TRIES) return false;
  rest_all(server);
  if (!server->relieving) give_up_one(server);
  if (!server->relieving && !others_work(server)) return false;
  session_away(mine);
  mine->next_starved = server->starved;
  server->starved = mine;
  return true;
}

static void begin_anew(struct server *server) {
  struct session_answer *starved = server->starved;
  server->starved = NULL;
  for (struct session_answer *next; starved; starved = next) {
    next = starved->next_starved;
    answer_again(&starved->answer);
    session_pull(starved);
  }
}

void relief_came(struct server *server, struct session_answer *mine) {
  mine->relieving = false;
  if (--server->relieving == 0) begin_anew(server);
}

static void trim(struct job *job) {
  struct server *server = (struct server *)(void *)((char *)job - offsetof(struct server, trim));
  (void)malloc_trim(0);
  atomic_store(&server->trimming, false);
}

static void trim_if_due(struct server *server) {
  if (!server->trim_due || server->relieving || atomic_load(&server->trimming)) return;
  server->trim_due = false;
  server->trim.run = trim;
  atomic_store(&server->trimming, true);
  workers_submit(&server->upkeep, &server->trim, false);
}

void relief_sweep(struct server *server) {
  trim_if_due(server);
  if (!server->starved || server->relieving) return;
  rest_all(server);
  if (!server->relieving) begin_anew(server);
}
