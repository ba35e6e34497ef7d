/* ints_format.h - what reading and writing of integer sequences share.
 *
 * The first byte: scheme in bits 0-2, exponent of the frame's scale in bits 3-6, bit 7: the frame has
 * exceptions. CONST has no frame; its upper bits are 0. */
#ifndef ENCODING_INTS_FORMAT_H
#define ENCODING_INTS_FORMAT_H

#include "encoding/ints.h"

#define DICT_MAX 4096u /* entries: they are decoded to the stack */

#define ALLOW(scheme) (1u << (scheme))
#define ALLOW_LEAF (ALLOW(INTS_CONST) | ALLOW(INTS_FOR) | ALLOW(INTS_DELTA)) /* entries of DICT */
#define ALLOW_RUN (ALLOW_LEAF | ALLOW(INTS_DICT))                            /* values of RLE */
#define ALLOW_ALL (ALLOW_RUN | ALLOW(INTS_RLE))

#endif
