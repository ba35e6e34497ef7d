/* main.c - the program `tally`: makes its surroundings safe and runs the command line. */
#include "tools/command.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* A file of the store must never become descriptor 0, 1 or 2. What was closed reads and writes nothing. */
static void occupy_standard_descriptors(void) {
  for (int fd; (fd = open("/dev/null", O_RDONLY)) >= 0;) {
    if (fd > STDERR_FILENO) {
      close(fd);
      return;
    }
  }
}

int main(int argc, char **argv) {
  occupy_standard_descriptors();
  /* A reader of the output that goes away is seen as EPIPE, so that an open store is still closed. */
  signal(SIGPIPE, SIG_IGN);
  const char *no_color = getenv("NO_COLOR");
  struct globals globals = {.no_color = no_color && *no_color};
  return command_main(&globals, argc, argv);
}
