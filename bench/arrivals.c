/* arrivals.c - how long appends take that arrive at a fixed rate, whatever the server does meanwhile.
 *
 * usage: bench_arrivals --server HOST:PORT --csv FILE [--rate APPENDS] [--seconds N] [--connections N]
 *                       [--rows N] [--durability disk|os]
 * Appends of --rows events (1,000) are due at start + i / rate, and each one's latency counts from when it
 * was due, not from when it could be sent: where the server stands still, all that fell due meanwhile have
 * waited. A free connection takes the next one that is due. With a rate of 0 each connection appends as fast
 * as it is answered, and latencies count from the sending. Prints "ready" when the batches are made and the
 * connections are there, then one JSON object. */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bench/report.h"
#include "bench/workload.h"
#include "proto/client.h"

#define CONNECTIONS_MOST 64u
#define BATCHES_MOST 1000u /* made; then they are sent again */

struct arrivals {
  const char *server, *csv;
  double rate, seconds;
  uint32_t connections, rows;
  enum tally_durability durability;
  struct workload_batches batches;
  atomic_uint_fast64_t next; /* the number of the append that is taken next */
  double start;
};

struct connection {
  struct arrivals *all;
  struct client *client;
  pthread_t thread;
  double *latency;
  size_t count, space;
  uint64_t rows;
};

static void take_arguments(struct arrivals *a, int argc, char **argv) {
  static const struct option options[] = {
      {"server", required_argument, NULL, 's'},      {"csv", required_argument, NULL, 'c'},
      {"rate", required_argument, NULL, 'r'},        {"seconds", required_argument, NULL, 't'},
      {"connections", required_argument, NULL, 'n'}, {"rows", required_argument, NULL, 'w'},
      {"durability", required_argument, NULL, 'd'},  {0}};
  int option;
  while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (option == 's') a->server = optarg;
    if (option == 'c') a->csv = optarg;
    if (option == 'r') a->rate = strtod(optarg, NULL);
    if (option == 't') a->seconds = strtod(optarg, NULL);
    if (option == 'n') a->connections = (uint32_t)strtoul(optarg, NULL, 10);
    if (option == 'w') a->rows = (uint32_t)strtoul(optarg, NULL, 10);
    if (option == 'd') a->durability = strcmp(optarg, "os") == 0 ? TALLY_OS : TALLY_DISK;
    if (option == '?') give_up("usage: bench_arrivals --server HOST:PORT --csv FILE [--rate APPENDS]", NULL);
  }
  if (!a->server || !a->csv) give_up("--server and --csv are needed", NULL);
  if (a->connections < 1 || a->connections > CONNECTIONS_MOST) give_up("--connections is from 1 to 64", NULL);
  if (a->rows < 1 || a->rows > TALLY_BATCH_ROWS) give_up("--rows is from 1 to 65536", NULL);
}

static void append(struct connection *c, uint64_t number) {
  const struct workload_batches *w = &c->all->batches;
  const struct ingest_batch *batch = w->batch[number % w->count];
  tally_append_options options = {.durability = c->all->durability};
  tally_receipt receipt;
  tally_error error;
  if (client_submit(c->client, batch->bytes.data, batch->bytes.size, &options, &error))
    give_up("cannot send", &error);
  if (client_receive(c->client, &receipt, &error)) give_up("a batch was refused", &error);
  c->rows += receipt.rows;
}

static void keep(struct connection *c, double latency) {
  if (c->count == c->space) {
    c->space = 2 * c->space + 1024;
    c->latency = mem_realloc_array(c->latency, c->space, sizeof *c->latency);
    if (!c->latency) give_up("no memory for latencies", NULL);
  }
  c->latency[c->count++] = latency;
}

static void *work(void *arg) {
  struct connection *c = arg;
  struct arrivals *a = c->all;
  for (;;) {
    uint64_t number = atomic_fetch_add(&a->next, 1);
    double due = a->rate > 0 ? a->start + (double)number / a->rate : seconds_now();
    if (due >= a->start + a->seconds) return NULL;
    wait_until(due);
    append(c, number);
    keep(c, seconds_now() - due);
  }
}

static void print(const struct arrivals *a, const struct connection *c, double seconds) {
  uint64_t rows = 0;
  for (uint32_t i = 0; i < a->connections; i++) rows += c[i].rows;
  printf("{\"rows\": %" PRIu64 ", \"seconds\": %.6f, \"latencies_ms\": [", rows, seconds);
  const char *between = "";
  for (uint32_t i = 0; i < a->connections; i++)
    for (size_t k = 0; k < c[i].count; k++, between = ", ") printf("%s%.3f", between, c[i].latency[k] * 1e3);
  puts("]}");
}

int main(int argc, char **argv) {
  struct arrivals a = {.seconds = 10, .connections = 16, .rows = 1000, .durability = TALLY_DISK};
  struct connection connection[CONNECTIONS_MOST] = {0};
  tally_error error;
  take_arguments(&a, argc, argv);
  workload_batches(a.csv, a.rows, BATCHES_MOST, &a.batches);
  if (!a.batches.count) give_up("the CSV has no rows", NULL);
  for (uint32_t i = 0; i < a.connections; i++) {
    connection[i].all = &a;
    if (client_open(a.server, NULL, &connection[i].client, &error)) give_up("cannot connect", &error);
  }
  puts("ready");
  (void)fflush(stdout);
  a.start = seconds_now();
  for (uint32_t i = 0; i < a.connections; i++)
    if (pthread_create(&connection[i].thread, NULL, work, &connection[i])) give_up("no threads", NULL);
  for (uint32_t i = 0; i < a.connections; i++) (void)pthread_join(connection[i].thread, NULL);
  print(&a, connection, seconds_now() - a.start);
  for (uint32_t i = 0; i < a.connections; i++) {
    client_close(connection[i].client);
    mem_free(connection[i].latency);
  }
  workload_batches_free(&a.batches);
  return 0;
}
