/* batch_unpack.h - the packed parts of a batch, made plain for batch_open.c.
 *
 * Afterwards a column is what it would be in a batch that is not packed: an array of one width, and for texts
 * sizes and bytes of the dictionary's entries. */
#ifndef MODEL_BATCH_UNPACK_H
#define MODEL_BATCH_UNPACK_H

#include "model/batch.h"

struct packed_column {
  const uint8_t *values, *dictionary; /* NULL: not packed */
  uint32_t values_size, dictionary_size;
};

/* Room in scratch->values for all columns; false without memory. */
bool batch_unpack_begin(struct batch_scratch *scratch, uint32_t rows,
                        const struct packed_column packed[COLUMNS]);
/* Unpacks a column's values: rows integers of `size` bytes. False if they are not that. */
bool batch_unpack_values(struct batch_scratch *scratch, uint32_t rows, int column,
                         const struct packed_column *packed, struct batch_column *to);
/* Unpacks a column's dictionary of to->entries entries of to->texts_size bytes together.
 * TALLY_INVALID_BATCH (without words), TALLY_NO_MEMORY. */
int batch_unpack_dictionary(struct batch_scratch *scratch, int column, const struct packed_column *packed,
                            struct batch_column *to);

#endif
