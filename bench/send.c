/* send.c - how fast a server takes ready batches: makes them in memory, then times the sending alone, from
 * the first batch until the last receipt.
 *
 * usage: bench_send --server HOST:PORT --csv FILE [--producer NAME] [--durability disk|os] [--rate N]
 * Prints "ready" when the batches are made, then one JSON object. Batches are those of `tally ingest`, 16,384
 * rows each, sent pipelined over one connection, each with the producer's sequence and a fingerprint; with a
 * rate, at most N events a second. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"
#include "bench/workload.h"
#include "proto/client.h"

struct send {
  const char *server, *csv;
  tally_append_options append;
  double rate; /* events a second; 0: as fast as it goes */
};

static void take_arguments(struct send *s, int argc, char **argv) {
  static const struct option options[] = {
      {"server", required_argument, NULL, 's'},   {"csv", required_argument, NULL, 'c'},
      {"producer", required_argument, NULL, 'p'}, {"durability", required_argument, NULL, 'd'},
      {"rate", required_argument, NULL, 'r'},     {0}};
  int option;
  while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (option == 's') s->server = optarg;
    if (option == 'c') s->csv = optarg;
    if (option == 'r') s->rate = strtod(optarg, NULL);
    if (option == 'p') s->append.producer = optarg;
    if (option == 'd') s->append.durability = strcmp(optarg, "os") == 0 ? TALLY_OS : TALLY_DISK;
    if (option == '?') give_up("usage: bench_send --server HOST:PORT --csv FILE [--producer NAME]", NULL);
  }
  if (!s->server || !s->csv) give_up("--server and --csv are needed", NULL);
}

static void receive(struct client *client, uint64_t *rows) {
  tally_receipt receipt;
  tally_error error;
  if (client_receive(client, &receipt, &error)) give_up("a batch was refused", &error);
  if (receipt.duplicate) give_up("a batch was in already: the store must be new", NULL);
  *rows += receipt.rows;
}

struct took {
  double seconds, processor; /* until everything is acknowledged; of this process */
};

static struct took send_all(struct client *client, const struct send *s, const struct workload_batches *w) {
  tally_error error;
  uint64_t rows = 0, sent = 0;
  double start = seconds_now(), processor = processor_seconds_now();
  for (size_t i = 0; i < w->count; i++) {
    const struct ingest_batch *b = w->batch[i];
    tally_append_options append = s->append;
    append.sequence = i + 1;
    append.has_fingerprint = append.producer != NULL;
    memcpy(append.fingerprint, b->fingerprint, sizeof append.fingerprint);
    if (s->rate > 0) wait_until(start + (double)sent / s->rate);
    sent += b->rows;
    if (client_under_way(client) == client_window(client)) receive(client, &rows);
    if (client_submit(client, b->bytes.data, b->bytes.size, &append, &error)) give_up("cannot send", &error);
  }
  while (client_under_way(client)) receive(client, &rows);
  struct took took = {seconds_now() - start, processor_seconds_now() - processor};
  if (rows != w->rows) give_up("receipts and batches differ in rows", NULL);
  return took;
}

int main(int argc, char **argv) {
  struct send s = {.append = {.epoch = 1, .durability = TALLY_DISK}};
  struct workload_batches w;
  struct client *client;
  tally_error error;
  take_arguments(&s, argc, argv);
  workload_batches(s.csv, BENCH_BATCH_ROWS, SIZE_MAX, &w);
  if (client_open(s.server, NULL, &client, &error)) give_up("cannot connect", &error);
  size_t window = client_window(client);
  puts("ready");
  (void)fflush(stdout);
  struct took took = send_all(client, &s, &w);
  client_close(client);
  printf("{\"rows\": %" PRIu64 ", \"batches\": %zu, \"bytes\": %" PRIu64
         ", \"window\": %zu, \"seconds\": %.6f, \"processor_seconds\": %.6f}\n",
         w.rows, w.count, w.bytes, window, took.seconds, took.processor);
  workload_batches_free(&w);
  return 0;
}
