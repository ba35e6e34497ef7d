/* mem.c - the heap; see mem.h. */
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/kept.h"

int (*mem_test_hook)(size_t size);

static int allowed(size_t size) { return !mem_test_hook || mem_test_hook(size); }

void mem_keep(size_t least, size_t most) { kept_allow(least, most); }

void mem_keep_most(size_t most) { kept_allow_most(most); }

void mem_keep_none(void) { kept_drop(); }

void *mem_alloc(size_t size) {
  if (!allowed(size)) return NULL;
  void *block = kept_take(size);
  return block ? block : malloc(size ? size : 1);
}

void *mem_zalloc(size_t count, size_t size) {
  size_t bytes;
  if (!allowed(size)) return NULL;
  void *block = __builtin_mul_overflow(count, size, &bytes) ? NULL : kept_take(bytes);
  return block ? memset(block, 0, bytes) : calloc(count ? count : 1, size ? size : 1);
}

void *mem_realloc(void *old, size_t size) {
  if (!allowed(size)) return NULL;
  void *block = kept_move(old, size);
  return block ? block : realloc(old, size ? size : 1);
}

void *mem_realloc_array(void *old, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
  return mem_realloc(old, bytes);
}

void mem_free(void *p) {
  if (p && !kept_put(p)) free(p);
}

char *mem_strndup(const char *text, size_t size) {
  char *copy = size < SIZE_MAX ? mem_alloc(size + 1) : NULL;
  if (!copy) return NULL;
  if (size) memcpy(copy, text, size);
  copy[size] = '\0';
  return copy;
}

char *mem_path(const char *folder, const char *name) {
  size_t first = strlen(folder), second = strlen(name);
  char *path = mem_alloc(first + second + 2);
  if (!path) return NULL;
  memcpy(path, folder, first);
  path[first] = '/';
  memcpy(path + first + 1, name, second + 1);
  return path;
}

char *mem_parent(const char *path) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  while (n > 0 && path[n - 1] != '/') n--;
  while (n > 1 && path[n - 1] == '/') n--;
  return n ? mem_strndup(path, n) : mem_strndup(".", 1);
}
