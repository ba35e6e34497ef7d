/* config_file.c - reading the settings file with libconfuse; see config.h.
 *
 * The file is a list of `name = value`, values quoted or not, comments from # to the end of the line. Every
 * key is declared to libconfuse as a string, so that sizes and durations are written as on the command line;
 * config_set checks them, and libconfuse knows the line. */
#include <confuse.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/status.h"
#include "server/config.h"

/* libconfuse hands its callbacks no argument of ours, so what is being read stands here: one file at a time.
 */
static struct {
  const char *path;
  struct config *config;
  enum config_from *from;
  tally_error *error;
  bool failed;
  bool ours; /* the fault is config_set's, which says what to do */
} reading;

/* The first fault is the one to report: later ones are often its consequences. */
static void report(cfg_t *cfg, const char *format, va_list args) {
  if (reading.failed) return;
  char text[400];
  (void)vsnprintf(text, sizeof text, format, args);
  reading.failed = true;
  (void)fail(reading.error, TALLY_CORRUPT, "%s:%d: %s%s", reading.path, cfg ? cfg->line : 0, text,
             reading.ours ? "" : " (write lines of `name = value`; tallyd --help lists the names)");
}

static int take_value(cfg_t *cfg, cfg_opt_t *option) {
  for (size_t i = 0; i < config_settings(); i++) {
    if (strcmp(option->name, config_name(i)) != 0) continue;
    tally_error reason;
    const char *text = cfg_opt_getnstr(option, 0);
    if (config_set(reading.config, i, text ? text : "", &reason) != TALLY_OK) {
      reading.ours = true;
      cfg_error(cfg, "%s: %s", option->name, reason.text);
      return -1;
    }
    reading.from[i] = CONFIG_FILE;
    return 0;
  }
  cfg_error(cfg, "%s is no setting", option->name);
  return -1;
}

static int parse(cfg_opt_t *options, FILE *file, tally_error *error) {
  cfg_t *cfg = cfg_init(options, CFGF_NONE);
  if (!cfg) return fail_memory(error, "the settings file");
  (void)cfg_set_error_function(cfg, report);
  for (size_t i = 0; i < config_settings(); i++) (void)cfg_set_validate_func(cfg, config_name(i), take_value);
  int result = cfg_parse_fp(cfg, file);
  (void)cfg_free(cfg);
  if (reading.failed) return error->code;
  if (result == CFG_SUCCESS) return TALLY_OK;
  return fail(error, TALLY_CORRUPT, "%s: it cannot be read as settings: write lines of `name = value`",
              reading.path);
}

/* A directory opens for reading but gives no settings, so it is told apart. */
static int open_file(const char *path, FILE **file, tally_error *error) {
  struct stat about;
  *file = fopen(path, "re");
  if (*file && fstat(fileno(*file), &about) == 0 && S_ISDIR(about.st_mode)) {
    (void)fclose(*file);
    *file = NULL;
    errno = EISDIR;
  }
  if (*file) return TALLY_OK;
  return fail(error, errno == ENOENT ? TALLY_NOT_FOUND : TALLY_IO,
              "the settings file %s cannot be read (%s): check its path and its permissions", path,
              strerror(errno));
}

int config_read_file(const char *path, struct config *config, enum config_from *from, tally_error *error) {
  size_t count = config_settings();
  cfg_opt_t *options = mem_zalloc(count + 1, sizeof *options);
  FILE *file;
  if (!options) return fail_memory(error, "the settings file");
  for (size_t i = 0; i < count; i++) options[i] = (cfg_opt_t)CFG_STR(config_name(i), NULL, CFGF_NONE);
  options[count] = (cfg_opt_t)CFG_END();
  int code = open_file(path, &file, error);
  if (code == TALLY_OK) {
    reading.path = path;
    reading.config = config;
    reading.from = from;
    reading.error = error;
    reading.failed = false;
    reading.ours = false;
    code = parse(options, file, error);
    (void)fclose(file);
  }
  mem_free(options);
  return code;
}
