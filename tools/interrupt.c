/* interrupt.c - signals; see command.h and interrupt.h. The handler touches nothing but lock-free atomics and
 * backend_cancel, which is safe in handlers. */
#include "tools/interrupt.h"

#include "tools/command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>

static volatile sig_atomic_t interrupted, terminated, in_shell;
static _Atomic(struct backend *) cancelled;
static int depth;

static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
enum { CAUGHT = sizeof caught / sizeof *caught };
static struct sigaction before[CAUGHT];

static void on_signal(int signal) {
  bool again = signal == SIGINT ? interrupted && !in_shell : terminated;
  if (again) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
    raise(signal); /* is delivered when the handler returns */
    return;
  }
  interrupted = 1;
  if (signal != SIGINT) terminated = 1;
  struct backend *backend = atomic_load(&cancelled);
  if (backend) backend_cancel(backend);
}

void command_catch_interrupts(bool on) {
  if (on && depth++ == 0) {
    interrupted = 0;
    struct sigaction action = {.sa_handler = on_signal};
    for (int i = 0; i < CAUGHT; i++) sigaction(caught[i], &action, &before[i]);
  } else if (!on && --depth == 0) {
    for (int i = 0; i < CAUGHT; i++) sigaction(caught[i], &before[i], NULL);
  }
}

bool command_interrupted(void) { return interrupted || terminated; }

/* The signals are blocked between the look at the flag and the wait, so none falls in between. */
bool interrupt_wait_input(int descriptor) {
  sigset_t signals, old;
  sigemptyset(&signals);
  for (int i = 0; i < CAUGHT; i++) sigaddset(&signals, caught[i]);
  sigprocmask(SIG_BLOCK, &signals, &old);
  int ready = 0;
  while (!command_interrupted() && ready <= 0) {
    struct pollfd wait = {.fd = descriptor, .events = POLLIN};
    ready = ppoll(&wait, 1, NULL, &old);
    if (ready < 0 && errno != EINTR) break; /* the read tells what is wrong */
  }
  sigprocmask(SIG_SETMASK, &old, NULL);
  return !command_interrupted();
}

void interrupt_cancels(struct backend *backend) { atomic_store(&cancelled, backend); }
void interrupt_forget(void) { interrupted = 0; }
bool interrupt_terminated(void) { return terminated; }
void interrupt_in_shell(bool shell) { in_shell = shell; }
