/* inside.h - the opaque types of <tally.h>, for the files of api/ alone. */
#ifndef API_INSIDE_H
#define API_INSIDE_H

#include "db/db.h"

struct tally_store {
  struct db *db;
};

#endif
