/* order_parse.c - the text of --order-by; see request.h.
 *
 *   KEY [asc|desc], …      KEY: a group column or an aggregate as written, or bucket */
#include "base/status.h"
#include "query/request.h"

/* Takes a last word asc or desc off the text. */
static bool take_direction(struct piece *text, const char *word) {
  struct piece last = {text->end, text->end};
  while (last.at > text->at && !is_space(last.at[-1])) last.at--;
  if (last.at == text->at || !piece_is(last, word)) return false;
  *text = piece_trim((struct piece){text->at, last.at});
  return true;
}

static bool find_key(struct piece name, const struct request *request, struct order_key *key) {
  for (size_t i = 0; i < request->group_count; i++)
    if (piece_equal(name, request->group[i].name)) {
      *key = (struct order_key){ORDER_GROUP, i, key->descending};
      return true;
    }
  for (size_t i = 0; i < request->output_count; i++)
    if (piece_equal(name, request->output[i].name)) {
      *key = (struct order_key){ORDER_OUTPUT, i, key->descending};
      return true;
    }
  key->what = ORDER_BUCKET;
  return request->has_bucket && piece_is(name, "bucket");
}

static int no_key(struct piece name, const struct request *request, tally_error *error) {
  char keys[256];
  struct buffer list = {.data = (uint8_t *)keys, .capacity = sizeof keys};
  const char *comma = "";
  if (request->has_bucket) {
    buffer_text(&list, "bucket");
    comma = ", ";
  }
  size_t count = request->group_count + request->output_count;
  for (size_t i = 0; i < count; i++) {
    struct piece key =
        i < request->group_count ? request->group[i].name : request->output[i - request->group_count].name;
    if (sizeof keys - list.size < piece_size(key) + 8) break;
    buffer_text(&list, comma);
    buffer_append(&list, key.at, piece_size(key));
    comma = ", ";
  }
  return fail(error, TALLY_USAGE,
              "'" PIECE_FORMAT
              "' is not a column of the answer; its columns are %.*s, each with an optional asc or "
              "desc behind it",
              PIECE_ARGS(name), (int)list.size, keys);
}

static int parse_key(struct piece text, const struct request *request, struct order_key *key,
                     tally_error *error) {
  struct piece whole = text;
  *key = (struct order_key){0};
  if (find_key(text, request, key)) return 0;
  key->descending = take_direction(&text, "desc");
  if (!key->descending) take_direction(&text, "asc");
  return find_key(text, request, key) ? 0 : no_key(whole, request, error);
}

int request_order(const char *text, struct request *request, tally_error *error) {
  struct piece list = piece_of(text), item;
  request->order = arena_alloc(&request->arena, piece_items(list), sizeof *request->order, error);
  if (!request->order) return error->code;
  for (bool done = false; piece_item(&list, &done, &item);) {
    int rc = parse_key(item, request, &request->order[request->order_count++], error);
    if (rc) return error_where(error, "--order-by '" PIECE_FORMAT "'", PIECE_ARGS(item));
  }
  return 0;
}
