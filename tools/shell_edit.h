/* shell_edit.h - the line editor of the shell: history, completion, Ctrl-C. */
#ifndef TOOLS_SHELL_EDIT_H
#define TOOLS_SHELL_EDIT_H

struct editor;

/* An editor on the terminal; NULL without memory. The history is kept in $XDG_STATE_HOME/tally_history or,
 * without that, in $HOME/.tally_history, readable by its owner alone; with neither it ends with the editor.
 */
struct editor *editor_open(void);
void editor_close(struct editor *editor);
/* A line without its line feed, to be given back with mem_free; NULL: end of input, an interrupt
 * (command_interrupted) or no memory. */
char *editor_read(struct editor *editor, const char *prompt);
/* Adds a command to the history and writes it to its file. */
void editor_remember(struct editor *editor, const char *text);

#endif
