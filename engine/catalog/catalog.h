/* catalog.h - text <-> id, one dictionary a domain (user, service, endpoint, method), for the life of
 * the store. docs/format/catalog.md has the file's bytes.
 *
 * Ids count from 1 in each domain; 0 is NULL and never a text; an id is never used again. Texts with
 * ids are kept in memory (budgeted); catalog_persist appends the new ones to the file and syncs it,
 * and must have returned before a manifest edit publishes rows that use them. One writer (intern,
 * persist); any number of readers (find, text) beside it. */
#ifndef CATALOG_CATALOG_H
#define CATALOG_CATALOG_H

#include <tally.h>

#include "base/budget.h"
#include "model/schema.h"
#include "os/pace.h"

struct catalog;

#define CATALOG_NONE UINT32_MAX /* catalog_find: the text has no id */

/* Opens the catalog file of directory `path` and loads what was published: `count` texts a domain. Texts
 * in the file beyond those are not published (a crash came between) and are cut off; fewer are damage. */
int catalog_open(const struct os *os, const char *path, const uint32_t count[DOMAINS], struct budget *budget,
                 struct catalog **catalog, tally_error *error);
void catalog_close(struct catalog *catalog);

/* The ids of `count` texts (text i is sizes[i] bytes, one after the other; sizes are u16, unaligned, as in a
 * batch's dictionary): new ones for texts that have none. On failure (TALLY_MEMORY_LIMIT, TALLY_NO_MEMORY)
 * some texts may have got ids, which does no harm. Writer only. */
int catalog_intern(struct catalog *catalog, int domain, uint32_t count, const uint8_t *sizes,
                   const char *texts, uint32_t *ids, tally_error *error);
/* The id of a text, or CATALOG_NONE. */
uint32_t catalog_find(struct catalog *catalog, int domain, const char *text, size_t size);
/* The text of an id (1..catalog_count) that the caller got from the catalog or a snapshot. Lives as long as
 * the catalog. */
tally_text catalog_text(const struct catalog *catalog, int domain, uint32_t id);
/* For texts in no order: asks the processor for what catalog_text will read, a while before; for the place of
 * the bytes first, and a while later for the bytes. */
void catalog_expect_place(const struct catalog *catalog, int domain, uint32_t id);
void catalog_expect_text(const struct catalog *catalog, int domain, uint32_t id);
/* Ids given out so far: 1..count. */
uint32_t catalog_count(const struct catalog *catalog, int domain);
/* Writes and syncs the texts that are not in the file yet; *count tells how many it now holds. */
int catalog_persist(struct catalog *catalog, uint32_t count[DOMAINS], tally_error *error);
/* Forgets a text, everything about it persisted before: the file is written anew without it and takes the old
 * one's place; the text gets a new id if it comes again. Rows may not have the id any more. The bytes in
 * memory stay until catalog_scrub, for readers that still hold the text. Writer; nobody persists meanwhile.
 * After TALLY_IO the store takes no more writes. */
int catalog_erase(struct catalog *catalog, int domain, uint32_t id, tally_error *error);
/* Overwrites the bytes of an erased text in memory, when no reader holds it. */
void catalog_scrub(struct catalog *catalog, int domain, uint32_t id);
uint64_t catalog_file_size(const struct catalog *catalog);
/* Checks the blocks of a catalog file: of its first *end bytes all, or with `count` those that hold so many
 * texts a domain. *end: where they end, or on failure the offset of the block at fault. */
int catalog_check(const struct os *os, struct os_file *file, const char *path, const uint32_t count[DOMAINS],
                  uint64_t *end, struct pace *pace, tally_error *error);

#endif
