/* Laws of model/json.h. */
#include <criterion/criterion.h>
#include <string.h>

#include "model/json.h"
#include "unit/model_random.h"

static const char *const valid[] = {
    "{}",
    " \t\r\n{ \t\r\n} \t\r\n",
    "{\"a\":1}",
    "{ \"a\" : 1 , \"b\" : [ ] , \"c\" : { } }",
    "{\"\":\"\"}",
    "{\"a\":[1,2,[3,[4]],{\"b\":[{}]}]}",
    "{\"a\":true,\"b\":false,\"c\":null}",
    "{\"n\":[0,-0,1,-1,10,1.5,-0.5,1e5,1E+5,1e-5,0e0,0.0e00,123456789012345678901234567890]}",
    "{\"e\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u0000\\uD83D\\uDE00\\ud800\"}",
    "{\"\\u0061\":1}",
    "{\"k\":\"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"}",
    "{\"caf\xC3\xA9\":1}",
    "{\"x\":\"0123456789abcdef0123456789abcdef\x7F\"}",
    "{\"a\":1,\"a\":2}",
};

static const struct {
  const char *text;
  size_t at;
} invalid[] = {
    {"", 0},
    {" ", 1},
    {"null", 0},
    {"[]", 0},
    {"\"a\"", 0},
    {"1", 0},
    {"{", 1},
    {"}", 0},
    {"{}}", 2},
    {"{} x", 3},
    {"{}{}", 2},
    {"{,}", 1},
    {"{\"a\"}", 4},
    {"{\"a\":}", 5},
    {"{\"a\" 1}", 5},
    {"{\"a\":1,}", 7},
    {"{\"a\":1 \"b\":2}", 7},
    {"{\"a\":1", 6},
    {"{\"a\":1]", 6},
    {"{\"a\":[1}", 7},
    {"{\"a\":[1,]}", 8},
    {"{\"a\":[,1]}", 6},
    {"{\"a\":[1 2]}", 8},
    {"{\"a\":[\"b\":1]}", 9},
    {"{a:1}", 1},
    {"{'a':1}", 1},
    {"{1:1}", 1},
    {"{\"a\":01}", 6},
    {"{\"a\":+1}", 5},
    {"{\"a\":.5}", 5},
    {"{\"a\":5.}", 7},
    {"{\"a\":-}", 6},
    {"{\"a\":1e}", 7},
    {"{\"a\":1e+}", 8},
    {"{\"a\":0x1}", 6},
    {"{\"a\":NaN}", 5},
    {"{\"a\":tru}", 5},
    {"{\"a\":True}", 5},
    {"{\"a\":truefalse}", 9},
    {"{\"a\":nul", 5},
    {"{\"a\":\"b}", 8},
    {"{\"a\":\"b\\\"}", 10},
    {"{\"a\":\"\\x\"}", 6},
    {"{\"a\":\"\\u12g4\"}", 6},
    {"{\"a\":\"\\u12", 6},
    {"{\"a\":\"\\", 6},
    {"{\"a\":\"\n\"}", 6},
    {"{\"a\":\"tab\there\"}", 9},
    {"{\"a\":\"0123456789abcdef\x1f\"}", 22},
    {"{\"a\":\"\x80\"}", 6},
    {"{\"a\":\"x\xC3\"}", 7},
    {"{\"a\":\"\xC0\x80\"}", 6},
    {"{\"a\":\"\xED\xA0\x80\"}", 6},
    {"{\"a\":\"\xF4\x90\x80\x80\"}", 6},
    {"{\"a\":\"ok\xC3\xA9\xFF\"}", 10},
    {"\xEF\xBB\xBF{}", 0},
    {"{\"a\":1}//", 7},
    {"{/**/}", 1},
    {"{\"a\":1\xC2\xA0}", 6},
};

Test(model_json, accepts_exactly_the_objects_of_rfc_8259) {
  size_t at;
  for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) {
    const char *wrong = json_object_check(valid[i], strlen(valid[i]), &at);
    cr_assert_null(wrong, "%s: %s at %zu", valid[i], wrong, at);
    for (size_t cut = 0; cut < strlen(valid[i]); cut++) { /* no proper prefix is one, but for space behind */
      if (strspn(valid[i] + cut, " \t\r\n") == strlen(valid[i] + cut)) continue;
      char *copy = strndup(valid[i], cut); /* so that reading behind the end is noticed */
      cr_assert(json_object_check(copy, cut, &at), "%s cut at %zu", valid[i], cut);
      free(copy);
    }
  }
  for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
    cr_assert(json_object_check(invalid[i].text, strlen(invalid[i].text), &at), "%s", invalid[i].text);
    cr_assert_eq(at, invalid[i].at, "%s: at %zu", invalid[i].text, at);
  }
  cr_assert(json_object_check("{\"a\":\"\0\"}", 9, &at));
  cr_assert(json_object_check("{\"a\":1\0}", 8, &at));
  cr_assert(json_object_check("{}\0", 3, &at));
}

/* Strings of all lengths and places of the special byte: no vector step skips it. */
Test(model_json, finds_every_special_byte_at_every_place) {
  size_t at;
  char text[128];
  for (size_t length = 0; length < 70; length++)
    for (size_t special = 0; special < length; special++)
      for (int byte = 0; byte < 256; byte++) {
        memset(text, 'x', sizeof text);
        memcpy(text, "{\"a\":\"", 6);
        text[6 + special] = (char)byte;
        memcpy(text + 6 + length, "\"}", 2);
        bool fine = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
        if (length > 20 && fine && byte != 0x7F && byte != ' ') continue;
        cr_assert_eq(!json_object_check(text, length + 8, &at), fine, "byte %d at %zu of %zu", byte, special,
                     length);
        if (!fine && byte < 0x20) cr_assert_eq(at, 6 + special);
      }
}

static size_t nested(char *text, int levels, char open, char close) {
  size_t n = 0;
  n += (size_t)sprintf(text, "{\"a\":");
  for (int i = 1; i < levels; i++) n += (size_t)sprintf(text + n, open == '{' ? "{\"a\":" : "%c", open);
  n += (size_t)sprintf(text + n, "1");
  for (int i = 1; i < levels; i++) text[n++] = close;
  text[n++] = '}';
  return n;
}

Test(model_json, allows_64_levels) {
  char text[1024];
  size_t at;
  cr_assert_null(json_object_check(text, nested(text, 64, '{', '}'), &at));
  cr_assert_null(json_object_check(text, nested(text, 64, '[', ']'), &at));
  cr_assert(json_object_check(text, nested(text, 65, '{', '}'), &at));
  cr_assert(json_object_check(text, nested(text, 65, '[', ']'), &at));
  /* siblings do not count */
  char wide[4096];
  int n = sprintf(wide, "{\"a\":[");
  for (int i = 0; i < 200; i++) n += sprintf(wide + n, "[{}],");
  n += sprintf(wide + n, "1]}");
  cr_assert_null(json_object_check(wide, (size_t)n, &at));
}

/* `path` is dot-separated; a component of one byte 0x01 is the empty key. */
static struct json_value find(const char *text, const char *path) {
  struct json_key keys[8];
  size_t depth = 0, at;
  cr_assert_null(json_object_check(text, strlen(text), &at), "%s", text);
  for (const char *p = path; *p;) {
    size_t size = strcspn(p, ".");
    keys[depth++] = size == 1 && *p == 1 ? (struct json_key){p, 0} : (struct json_key){p, size};
    p += size + (p[size] == '.');
  }
  return json_find(text, strlen(text), keys, depth);
}

static const struct {
  const char *text, *path;
  enum json_kind kind;
  const char *data;
} finds[] = {
    {"{\"a\":1}", "a", JSON_NUMBER, "1"},
    {"{\"a\":1}", "b", JSON_ABSENT, ""},
    {"{}", "a", JSON_ABSENT, ""},
    {"{\"a\":1}", "", JSON_OTHER, "{\"a\":1}"},
    {" { \"a\" : -1.5e3 , \"b\" : 2 } ", "a", JSON_NUMBER, "-1.5e3"},
    {" { \"a\" : 1 , \"b\" : 2 } ", "b", JSON_NUMBER, "2"},
    {"{\"ab\":1,\"a\":2}", "a", JSON_NUMBER, "2"},
    {"{\"a\":\"x y\"}", "a", JSON_STRING, "x y"},
    {"{\"a\":\"\"}", "a", JSON_STRING, ""},
    {"{\"a\":\"q\\\"}\"}", "a", JSON_STRING, "q\\\"}"},
    {"{\"a\":null}", "a", JSON_NULL, "null"},
    {"{\"a\":true}", "a", JSON_OTHER, "true"},
    {"{\"a\":false }", "a", JSON_OTHER, "false"},
    {"{\"a\":[1, {\"b\":\"]\"}] }", "a", JSON_OTHER, "[1, {\"b\":\"]\"}]"},
    {"{\"a\":{\"b\":1}}", "a", JSON_OTHER, "{\"b\":1}"},
    {"{\"a\":{\"b\":1}}", "a.b", JSON_NUMBER, "1"},
    {"{\"a\":{\"b\":{\"c\":\"x\"}}}", "a.b.c", JSON_STRING, "x"},
    {"{\"a\":[{\"b\":1}]}", "a.b", JSON_ABSENT, ""},
    {"{\"a\":\"{\\\"b\\\":1}\"}", "a.b", JSON_ABSENT, ""},
    {"{\"a\":1}", "a.b", JSON_ABSENT, ""},
    {"{\"x\":{\"a\":1}}", "a", JSON_ABSENT, ""},
    {"{\"x\":\"\\\"a\\\":1\",\"a\":2}", "a", JSON_NUMBER, "2"},
    {"{\"x\":\"\\\\\",\"a\":2}", "a", JSON_NUMBER, "2"},
    {"{\"a\":1,\"a\":2}", "a", JSON_NUMBER, "2"},
    {"{\"a\":1,\"a\":null}", "a", JSON_NULL, "null"},
    {"{\"a\":{\"b\":1},\"a\":{}}", "a.b", JSON_ABSENT, ""},
    {"{\"a\":{},\"a\":{\"b\":1,\"b\":3}}", "a.b", JSON_NUMBER, "3"},
    {"{\"\\u0061\":1}", "a", JSON_NUMBER, "1"},
    {"{\"a\":1,\"\\u0061\":2}", "a", JSON_NUMBER, "2"},
    {"{\"\\u0061\":1}", "ab", JSON_ABSENT, ""},
    {"{\"\\u0061b\":1}", "a", JSON_ABSENT, ""},
    {"{\"a\\/b\":1}", "a/b", JSON_NUMBER, "1"},
    {"{\"\\n\":1}", "\n", JSON_NUMBER, "1"},
    {"{\"\\ud83d\\ude00\":1}", "\xF0\x9F\x98\x80", JSON_NUMBER, "1"},
    {"{\"caf\\u00e9\":1}", "caf\xC3\xA9", JSON_NUMBER, "1"},
    {"{\"caf\xC3\xA9\":1}", "caf\xC3\xA9", JSON_NUMBER, "1"},
    {"{\"\\u20ac\":1}", "\xE2\x82\xAC", JSON_NUMBER, "1"},
    {"{\"\\ud800\":1}", "\xED\xA0\x80", JSON_ABSENT, ""},
    {"{\"\\u0000\":1,\"a\":2}", "a", JSON_NUMBER, "2"},
    {"{\"a\\u0000\":1}", "a", JSON_ABSENT, ""},
    {"{\"a\\tb\":1}", "a", JSON_ABSENT, ""},
    {"{\"\":7}", "\x01", JSON_NUMBER, "7"},
    {"{\"\":{\"\":8}}", "\x01.\x01", JSON_NUMBER, "8"},
};

Test(model_json, finds_the_last_of_a_key_at_every_level) {
  for (size_t i = 0; i < sizeof finds / sizeof *finds; i++) {
    struct json_value v = find(finds[i].text, finds[i].path);
    cr_assert_eq(v.kind, finds[i].kind, "%s: %s", finds[i].text, finds[i].path);
    cr_assert_eq(v.size, strlen(finds[i].data), "%s: %s", finds[i].text, finds[i].path);
    cr_assert(!v.size || memcmp(v.data, finds[i].data, v.size) == 0, "%s: %s", finds[i].text, finds[i].path);
    cr_assert_eq(v.escaped, v.kind == JSON_STRING && strchr(finds[i].data, '\\'), "%s", finds[i].text);
  }
}

static const struct {
  const char *inside, *text; /* NULL: it has no meaning as text */
} escapes[] = {
    {"", ""},
    {"plain", "plain"},
    {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
    {"a\\u0041b", "aAb"},
    {"\\u007f\\u0080\\u07FF\\u0800\\uFFFF", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF"},
    {"\\ud800\\udc00\\uDBFF\\uDFFF", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"},
    {"\\uD83D\\uDE00!", "\xF0\x9F\x98\x80!"},
    {"caf\xC3\xA9", "caf\xC3\xA9"},
    {"\\u0000", NULL},
    {"x\\ud800", NULL},
    {"\\ud800x", NULL},
    {"\\ud800\\n", NULL},
    {"\\ud800\\u0041", NULL},
    {"\\ud800\\ud800\\udc00", NULL},
    {"\\udc00", NULL},
    {"\\udc00\\ud800", NULL},
};

Test(model_json, unescapes_what_is_text) {
  for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
    size_t size = strlen(escapes[i].inside), got;
    char *in = malloc(size + 1), *out = malloc(size + 1);
    memcpy(in, escapes[i].inside, size);
    in = realloc(in, size ? size : 1); /* exactly as large as promised */
    out = realloc(out, size ? size : 1);
    bool text = json_unescape(in, size, out, &got);
    cr_assert_eq(text, escapes[i].text != NULL, "%s", escapes[i].inside);
    if (text) {
      cr_assert_eq(got, strlen(escapes[i].text), "%s", escapes[i].inside);
      cr_assert(memcmp(out, escapes[i].text, got) == 0, "%s", escapes[i].inside);
    }
    free(in);
    free(out);
  }
}

/* Random bytes, mostly JSON's own: whatever is accepted can be walked and searched. */
Test(model_json, never_reads_outside) {
  random_start();
  static const char alphabet[] = "{}[]\"\"\"\\:,,u0a1e-.tn \xC3\xA9\x01";
  size_t at;
  int accepted = 0;
  for (int i = 0; i < 300000; i++) {
    size_t size = random_below(24);
    char *text = malloc(size + 1);
    for (size_t j = 0; j < size; j++) text[j] = alphabet[random_below(sizeof alphabet - 1)];
    if (size > 6 && i % 4) {
      memcpy(text, "{\"a\":", 5);
      text[size - 1] = '}';
    }
    text = realloc(text, size ? size : 1);
    if (!json_object_check(text, size, &at)) {
      struct json_key key = {"a", 1};
      struct json_value v = json_find(text, size, &key, 1);
      cr_assert(v.kind == JSON_ABSENT || (v.data > text && v.data + v.size < text + size));
      char out[24];
      size_t out_size;
      if (v.kind == JSON_STRING && json_unescape(v.data, v.size, out, &out_size))
        cr_assert_leq(out_size, v.size);
      accepted++;
    } else {
      cr_assert_leq(at, size);
    }
    free(text);
  }
  cr_assert_gt(accepted, 1000);
}
