/* trim.c - see trim.h. */
#include "server/trim.h"

#include <malloc.h>
#include <stddef.h>

#include "base/mem.h"

/* 0 where the system does not tell. */
static size_t resident(void) {
  size_t bytes;
  return uv_resident_set_memory(&bytes) == 0 ? bytes : 0;
}

static void trim(struct job *job) {
  struct server *server = (struct server *)(void *)((char *)job - offsetof(struct server, trim));
  size_t before = resident();
  mem_keep_none();
  (void)malloc_trim(0);
  server->trim_left = resident();
  bool little = before < server->trim_left + server->config.memory / TRIM_LITTLE;
  if (!little)
    server->trim_rest = 1;
  else if (server->trim_rest < TRIM_REST_MOST)
    server->trim_rest *= 2;
  atomic_store(&server->trimming, false);
}

/* Large queries' blocks are kept where there is room for them. */
static void allow_kept(const struct server *server, size_t in_memory) {
  const size_t memory = server->config.memory, least = memory / KEPT_LEAST, most = memory / KEPT_MOST;
  size_t room = in_memory && in_memory < memory ? (memory - in_memory) / 2 : 0;
  mem_keep_most(room < least ? least : room > most ? most : room);
}

/* There is something to give back: beyond `memory`, and either time has passed or the process has grown. */
static bool worth_it(const struct server *server, size_t in_memory, uint64_t now) {
  const size_t memory = server->config.memory;
  return in_memory > memory && (now - server->trimmed >= (uint64_t)TRIM_MS * server->trim_rest ||
                                in_memory >= server->trim_left + memory / TRIM_LITTLE);
}

static bool grown(struct server *server) {
  const uint64_t now = uv_now(server->loop);
  const size_t in_memory = resident();
  allow_kept(server, in_memory);
  if (!worth_it(server, in_memory, now)) return false;
  server->trimmed = now;
  return true;
}

void trim_sweep(struct server *server) {
  if (atomic_load(&server->trimming)) return;
  server->trim_due |= grown(server);
  if (!server->trim_due || server->relieving) return;
  server->trim_due = false;
  server->trim.run = trim;
  atomic_store(&server->trimming, true);
  workers_submit(&server->upkeep, &server->trim, false);
}
