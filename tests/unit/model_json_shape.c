/* Laws of model/json_shape.h: what a shape says is what a parse says. */
#include <criterion/criterion.h>
#include <string.h>

#include "model/json.h"
#include "model/json_shape.h"
#include "unit/model_random.h"

static const char *const sources[] = {
    "{\"region\":\"eu-west-1\",\"req\":\"0087f677\"}",
    "{\"trace\":\"0087f677c0a2cf3f80a5\",\"pod\":\"frontend-579b\",\"us\":11209}",
    "{\"a\":0,\"b\":-10,\"c\":1.05,\"d\":-0.5e+07,\"e\":20E-10}",
    "{ \"n\" : [ 10 , 0 , 305 , -7 , 1e5 ] , \"t\" : true }",
    "{\"deep\":{\"er\":[{\"x\":null},{\"y\":\"  \"}]},\"z\":90}",
    "{\"escape\":\"a\\nb\",\"count\":17}",
    "{\"caf\xC3\xA9\":\"\xE2\x82\xAC 10\",\"n\":10}",
    "{\"exactly 16\":10}",
    "{\"x\":\"1234567890\"}",
    "{\"long\":\"012345678901234567890123456789012345678901234567890123456789\",\"n\":1234567890}",
};
#define SOURCES (sizeof sources / sizeof *sources)

/* The byte at a place becomes any, mostly one that JSON cares about. */
static void change(char *text, size_t size) {
  static const char alphabet[] = "{}[]\"\"\\:,0019ae-+. \n\x7F\x80\xC3\x01";
  const size_t place = random_below(size);
  text[place] = random_below(4) ? alphabet[random_below(sizeof alphabet - 1)] : (char)random_below(256);
}

static bool is_accepted(struct json_shapes *shapes, const char *text, size_t size) {
  size_t at = 0, expected_at = 0;
  char *copy = malloc(size); /* so that reading behind the end is noticed */
  memcpy(copy, text, size);
  const char *expected = json_object_check(copy, size, &expected_at),
             *wrong = json_shapes_check(shapes, copy, size, &at);
  cr_assert_eq(wrong, expected, "%.*s: %s", (int)size, text, wrong ? wrong : "accepted");
  if (wrong) cr_assert_eq(at, expected_at);
  free(copy);
  return !wrong;
}

Test(model_json_shape, says_of_every_text_what_a_parse_says) {
  random_start();
  struct json_shapes shapes;
  unsigned alike = 0, others = 0;
  for (int round = 0; round < 300000; round++) {
    const char *source = sources[random_below(SOURCES)];
    const size_t size = strlen(source);
    char text[160];
    json_shapes_clear(&shapes);
    cr_assert(is_accepted(&shapes, source, size));
    memcpy(text, source, size);
    for (uint64_t changes = 1 + random_below(3); changes; changes--) change(text, size);
    const bool accepted = is_accepted(&shapes, text, size);
    alike += accepted && shapes.of[size % JSON_SHAPES].misses == 0;
    others += !accepted;
  }
  cr_assert(alike > 20000 && others > 20000, "%u alike, %u refused", alike, others);
}

Test(model_json_shape, a_shape_follows_its_source_and_is_given_up_where_there_is_none) {
  struct json_shapes shapes;
  char text[64];
  json_shapes_clear(&shapes);
  for (int i = 0; i < 100; i++) { /* other values: one parse */
    int size = snprintf(text, sizeof text, "{\"id\":\"%08x\",\"us\":%d}", i * 77777, 10000 + i);
    cr_assert(is_accepted(&shapes, text, (size_t)size));
    cr_assert_eq(shapes.of[size % (int)JSON_SHAPES].misses, i == 0);
  }
  json_shapes_clear(&shapes);
  for (int i = 0; i < 100; i++) { /* other keys' order in turns: none is like the one before */
    int size = snprintf(text, sizeof text, i % 2 ? "{\"id\":%d,\"us\":\"%d\"}" : "{\"us\":\"%d\",\"id\":%d}",
                        10 + i % 90, 10 + i % 90);
    cr_assert(is_accepted(&shapes, text, (size_t)size));
    cr_assert_eq(shapes.of[size % (int)JSON_SHAPES].misses, i < 8 ? (unsigned)i + 1 : 8);
  }
}

Test(model_json_shape, the_first_of_several_digits_does_not_become_a_zero) {
  struct json_shapes shapes;
  json_shapes_clear(&shapes);
  cr_assert(is_accepted(&shapes, "{\"number\":1234.50}", 18));
  cr_assert(is_accepted(&shapes, "{\"number\":9000.00}", 18));
  cr_assert_eq(shapes.of[18 % JSON_SHAPES].misses, 0);
  cr_assert_not(is_accepted(&shapes, "{\"number\":0234.50}", 18));
  cr_assert_not(is_accepted(&shapes, "{\"number\":12345.0e", 18));
  json_shapes_clear(&shapes);
  cr_assert(is_accepted(&shapes, "{\"number\":[7,-3]}", 17));
  cr_assert(is_accepted(&shapes, "{\"number\":[0,-0]}", 17));
  cr_assert_eq(shapes.of[17 % JSON_SHAPES].misses, 0);
}

Test(model_json_shape, a_text_of_another_size_is_parsed) {
  static const char text[] = "{\"a\":\"0123456789\",\"b\":\"01234567\"}";
  struct json_shapes shapes;
  for (size_t size = JSON_SHAPE_LEAST; size < sizeof text - 1; size++) {
    json_shapes_clear(&shapes);
    cr_assert(is_accepted(&shapes, text, sizeof text - 1));
    shapes.of[size % JSON_SHAPES] = shapes.of[(sizeof text - 1) % JSON_SHAPES];
    cr_assert_not(is_accepted(&shapes, text, size), "the first %zu bytes", size);
  }
}
