/* seeds.c - writes inputs to begin fuzzing with, into a folder with one folder a target, which are there:
 * the files of the small store and the files given on the command line, each for the target of its kind, and
 * messages of every type.      usage: fuzz_seeds FOLDER [GOLDEN FILE...] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/small_store.h"
#include "proto/message.h"
#include "wal/format.h"

static const char *folder;
static unsigned seeds;

static void save(const char *target, const uint8_t *first, size_t first_size, const void *bytes,
                 size_t size) {
  char path[600];
  (void)snprintf(path, sizeof path, "%s/%s/seed-%03u", folder, target, seeds++);
  FILE *file = fopen(path, "wb");
  if (!file || fwrite(first, 1, first_size, file) != first_size || fwrite(bytes, 1, size, file) != size) {
    perror(path);
    exit(1);
  }
  (void)fclose(file);
}

/* The batches in a WAL, as inputs of their own. */
static void save_batches(const uint8_t *bytes, size_t size) {
  struct wal_header header;
  uint16_t version;
  if (size < WAL_HEADER || wal_header_read(bytes, &header, &version)) return;
  for (size_t at = WAL_HEADER; at + WAL_RECORD_HEAD + WAL_TRAILER <= size;) {
    struct wal_record r;
    uint32_t length = load32(bytes + at);
    if (length < WAL_RECORD_HEAD + WAL_TRAILER || length > size - at ||
        wal_record_read(bytes + at, length, &header, at, &r))
      return;
    save("batch", NULL, 0, r.batch, r.batch_size);
    at += length;
  }
}

/* The ages of one service twice, under another name. */
static void save_two_services(const uint8_t *bytes, size_t size) {
  enum { SERVICES = 40, FIRST = 44, SEAL = 16 };
  uint8_t two[256];
  size_t one = size - FIRST - SEAL;
  if (size + one > sizeof two || one < 4) return;
  memcpy(two, bytes, size);
  memcpy(two + FIRST + one, bytes + FIRST, one);
  two[FIRST + one + 2]++;
  store32(two + SERVICES, 2);
  struct digest d = digest_of(two, size + one - SEAL, 0);
  memcpy(two + size + one - SEAL, d.bytes, SEAL);
  save("retention", (const uint8_t *)"p", 1, two, size + one);
}

static void save_file(const char *path, const uint8_t *bytes, size_t size) {
  const char *name = strrchr(path, '/'), *dot = strrchr(path, '.');
  name = name ? name + 1 : path;
  if (dot && strcmp(dot, ".seg") == 0) {
    save("segment", NULL, 0, bytes, size);
  } else if (dot && strcmp(dot, ".wal") == 0) {
    while (size > WAL_HEADER + 64 && bytes[size - 64] == 0 && bytes[size - 1] == 0)
      size--; /* space not used */
    save("wal", NULL, 0, bytes, size);
    save_batches(bytes, size);
  } else if (strncmp(name, "MANIFEST", 8) == 0) {
    save("manifest", NULL, 0, bytes, size);
  } else if (strcmp(name, "catalog") == 0) {
    save("catalog", NULL, 0, bytes, size);
  } else if (strcmp(name, "RETENTION") == 0) {
    save("retention", (const uint8_t *)"p", 1, bytes, size);
    save_two_services(bytes, size);
  }
}

static void save_golden(const char *path) {
  static uint8_t bytes[1 << 20];
  FILE *file = fopen(path, "rb");
  if (!file) {
    perror(path);
    exit(1);
  }
  size_t size = fread(bytes, 1, sizeof bytes, file);
  (void)fclose(file);
  save_file(path, bytes, size);
}

/* A frame by itself as a message, and behind a greeting as a session. */
static void save_frame(const struct buffer *hello, const struct buffer *frame) {
  save("messages", frame->data + 5, 1, frame->data + FRAME_HEADER, frame->size - FRAME_HEADER);
  if (frame->data[5] < MESSAGE_WELCOME) save("frames", hello->data, hello->size, frame->data, frame->size);
}

static void save_messages(void) {
  static const char *const where[] = {"service_name = chat", "cost > 0.5"}, *const words[] = {"erase", "ann"};
  struct buffer hello = {0}, b = {0};
  tally_error e = {0};
  struct message_hello h = {.lowest = FRAME_VERSION, .highest = FRAME_VERSION, .name = "seed"};
  struct message_welcome w = {.version = FRAME_VERSION, .frame_bytes = FRAME_BYTES, .name = "tallyd"};
  tally_append_options o = {.producer = "p", .epoch = 1, .sequence = 2, .has_fingerprint = true};
  tally_query q = {
      .from = "now-7d", .bucket = "1h", .group_by = "60", .limit = 3, .where = where, .where_count = 2};
  tally_query stuck = {.limit = 1, .tz = "stuck"};
  tally_scan s = {.columns = "cost", .limit = 2, .where = where, .where_count = 1};
  tally_receipt receipt = {.rows = 3};
  tally_mark mark = {1, 2};
  struct message_end end = {.rows = 4}, partial = {4, 1, 2};
  tally_result_column columns[] = {{"n", TALLY_TYPE_INT}, {"text", TALLY_TYPE_TEXT}};
  struct message_rows_writer rows;
  tally_text cells[] = {{"1", 1}, {NULL, 0}, {"", 0}};
  (void)message_put_hello(&hello, 1, &h, &e);
  save_frame(&(struct buffer){0}, &hello);
#define SAVE(put) (buffer_clear(&b), (void)(put), save_frame(&hello, &b))
  SAVE(message_put_welcome(&b, 1, &w, &e));
  SAVE(message_put_append(&b, 2, &o, "batch", 5, &e));
  SAVE(message_put_append(&b, 2, NULL, "gap", 3, &e));
  SAVE(message_put_mark(&b, 3, "producer", 1, &e));
  SAVE(message_put_query(&b, 4, &q, &e));
  SAVE(message_put_query(&b, 5, &stuck, &e));
  SAVE(message_put_events(&b, 6, &s, &e));
  SAVE(message_put_job(&b, 7, words, 2, &e));
  for (uint8_t type = MESSAGE_PING; type <= MESSAGE_CANCEL; type++)
    if (type == MESSAGE_PING || (type >= MESSAGE_STATS && type <= MESSAGE_CANCEL))
      SAVE(message_put_empty(&b, type, 5, &e));
  SAVE(message_put_appended(&b, 8, &receipt, &e));
  SAVE(message_put_marked(&b, 9, &mark, &e));
  SAVE(message_put_columns(&b, 10, columns, 2, &e));
  SAVE((message_rows_begin(&rows, &b, 11, 3), message_rows_add(&rows, cells, &e),
        message_rows_end(&rows, &e)));
  SAVE(message_put_end(&b, 12, &end, &e));
  SAVE(message_put_end(&b, 12, &partial, &e));
  (void)snprintf(e.text, sizeof e.text, "no");
  e.code = TALLY_GAP;
  SAVE(message_put_error(&b, 13, &e, &e));
  buffer_clear(&b); /* a session of several */
  (void)message_put_query(&b, 5, &stuck, &e);
  (void)message_put_empty(&b, MESSAGE_CANCEL, 5, &e);
  (void)message_put_append(&b, 6, &o, "batch", 5, &e);
  (void)message_put_empty(&b, MESSAGE_FLUSH, 7, &e);
  save("frames", hello.data, hello.size, b.data, b.size);
  buffer_free(&b);
  buffer_free(&hello);
}

int main(int argc, char **argv) {
  struct small_files files;
  if (argc < 2) return 2;
  folder = argv[1];
  small_store_files(false, &files);
  for (size_t i = 0; i < files.count; i++)
    if (strncmp(files.file[i].path, SMALL_STORE, sizeof SMALL_STORE - 1) == 0)
      save_file(files.file[i].path, files.file[i].bytes, files.file[i].size);
  small_files_free(&files);
  for (int i = 2; i < argc; i++) save_golden(argv[i]);
  save_messages();
  printf("%u inputs\n", seeds);
  return 0;
}
