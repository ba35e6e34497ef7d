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
  bool little = before < resident() + server->config.memory / TRIM_LITTLE;
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

static bool grown(struct server *server) {
  const uint64_t now = uv_now(server->loop);
  if (now - server->measured < TRIM_MS) return false;
  server->measured = now;
  const size_t in_memory = resident();
  allow_kept(server, in_memory);
  if (in_memory <= server->config.memory || now - server->trimmed < (uint64_t)TRIM_MS * server->trim_rest)
    return false;
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
