/* input.c - see input.h. */
#include "tools/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"

static bool is_standard(const char *path) { return strcmp(path, "-") == 0; }

static int cannot_open(tally_error *error, const char *path, int number) {
  return fail(error, number == ENOENT ? TALLY_NOT_FOUND : TALLY_IO, "cannot open %s: %s: correct its name%s",
              path, strerror(number), number == EACCES ? " or its permissions" : "");
}

int input_check(const char *path, uint64_t *size, tally_error *error) {
  struct input input;
  int code = input_open(path, &input, error);
  *size = 0;
  if (code) return code;
  *size = input.size;
  input_close(&input);
  return TALLY_OK;
}

int input_open(const char *path, struct input *input, tally_error *error) {
  *input = (struct input){.path = path, .name = path, .descriptor = STDIN_FILENO};
  if (is_standard(path)) {
    input->name = "standard input";
  } else {
    input->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would make it wait */
    if (input->descriptor < 0) return cannot_open(error, path, errno);
  }
  struct stat status;
  if (fstat(input->descriptor, &status)) {
    int number = errno;
    input_close(input);
    return cannot_open(error, path, number);
  }
  if (S_ISDIR(status.st_mode)) {
    input_close(input);
    return fail(error, TALLY_IO, "%s is a directory: name the files in it", input->name);
  }
  if (!is_standard(path)) {
    int flags = fcntl(input->descriptor, F_GETFL);
    (void)fcntl(input->descriptor, F_SETFL, flags & ~O_NONBLOCK);
  }
  if (S_ISREG(status.st_mode) && status.st_size > 0) input->size = (uint64_t)status.st_size;
  return TALLY_OK;
}

void input_close(struct input *input) {
  if (input->descriptor > STDIN_FILENO) (void)close(input->descriptor);
  input->descriptor = -1;
}

int input_read(struct input *input, void *to, size_t size, size_t *got, bool (*stop)(void),
               tally_error *error) {
  for (;;) {
    if (stop && stop()) return fail(error, TALLY_CANCELLED, "interrupted");
    ssize_t n = read(input->descriptor, to, size);
    if (n >= 0) {
      *got = (size_t)n;
      input->end = n == 0;
      return TALLY_OK;
    }
    if (errno != EINTR)
      return fail(error, TALLY_IO, "cannot read %s: %s: check the file and its disk", input->name,
                  strerror(errno));
  }
}

/* Does the text start with these bytes? */
static bool starts(const void *bytes, size_t size, const char *magic, size_t magic_size) {
  return size >= magic_size && memcmp(bytes, magic, magic_size) == 0;
}

static int compressed(tally_error *error, const struct input *input, const char *format, const char *tool) {
  return fail(error, TALLY_UNSUPPORTED,
              "%s is compressed with %s, which is not read here: say `%s %s | tally ingest -`", input->name,
              format, tool, is_standard(input->path) ? "FILE" : input->path);
}

int input_look(const struct input *input, const void *bytes, size_t size, size_t *skip, tally_error *error) {
  *skip = 0;
  if (starts(bytes, size, "\xEF\xBB\xBF", 3)) *skip = 3;
  if (starts(bytes, size, "\x1F\x8B", 2)) return compressed(error, input, "gzip", "zcat");
  if (starts(bytes, size, "\x28\xB5\x2F\xFD", 4)) return compressed(error, input, "zstd", "zstdcat");
  if (starts(bytes, size, "BZh", 3)) return compressed(error, input, "bzip2", "bzcat");
  if (starts(bytes, size,
             "\xFD"
             "7zXZ",
             5))
    return compressed(error, input, "xz", "xzcat");
  if (starts(bytes, size, "\xFF\xFE", 2) || starts(bytes, size, "\xFE\xFF", 2))
    return fail(error, TALLY_UNSUPPORTED,
                "%s is UTF-16, which is not read here: say `iconv -f UTF-16 -t UTF-8 %s | tally ingest -`",
                input->name, is_standard(input->path) ? "FILE" : input->path);
  return TALLY_OK;
}
