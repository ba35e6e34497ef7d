/* json_shape.h - texts like one that was checked before.
 *
 * Metadata of one source is alike: the same keys, other values, and often of the same length. A text is as
 * valid as one of its size that was accepted if they differ only in plain bytes inside of strings, and in
 * digits that no rule but "a digit" is about. This is told without a parse. Never allocates. */
#ifndef MODEL_JSON_SHAPE_H
#define MODEL_JSON_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#define JSON_SHAPES 16u /* one for each size modulo this */
#define JSON_SHAPE_LEAST 16u
#define JSON_SHAPE_MOST 128u /* bytes of a text; others are parsed each time */

struct json_shapes {
  struct json_shape {
    uint32_t size;   /* 0: none yet */
    uint32_t misses; /* that followed each other: a source without a shape is not asked for long */
    char text[JSON_SHAPE_MOST];
    signed char low[JSON_SHAPE_MOST], high[JSON_SHAPE_MOST]; /* what else may stand there */
  } of[JSON_SHAPES];
};

/* Forgets all; before the first check, unless it is zeroed. */
void json_shapes_clear(struct json_shapes *shapes);
/* What json_object_check says of the text. */
const char *json_shapes_check(struct json_shapes *shapes, const char *text, size_t size, size_t *offset);

#endif
