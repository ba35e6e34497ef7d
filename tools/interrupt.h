/* interrupt.h - Ctrl-C and SIGTERM as a flag and as the cancellation of a query; the rest is in command.h. */
#ifndef TOOLS_INTERRUPT_H
#define TOOLS_INTERRUPT_H

#include <stdbool.h>

struct backend;

/* An interrupt cancels the answer of this backend; NULL: of none any more (before the backend is closed). */
void interrupt_cancels(struct backend *backend);
/* For the shell, between its commands: forgets an interrupt, but not SIGTERM. */
void interrupt_forget(void);
/* SIGTERM or SIGHUP came. */
bool interrupt_terminated(void);
/* Waits until the descriptor can be read (or is at its end): true. An interrupt, also one that came before,
 * ends the wait: false. Only while interrupts are caught. */
bool interrupt_wait_input(int descriptor);
/* In the shell any number of Ctrl-C is taken. */
void interrupt_in_shell(bool shell);

#endif
