#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

#define MAX_PAIR 96

void mx_options_list(const mx_option *table, int count, char *out, size_t out_bytes) {
  size_t at = 0;
  out[0] = 0;
  for (int i = 0; i < count && at < out_bytes; i++)
    at += (size_t)snprintf(out + at, out_bytes - at, "%s%s", i ? ", " : "", table[i].key);
}

static int unknown(const char *key, const mx_option *table, int count) {
  char allowed[200];
  mx_options_list(table, count, allowed, sizeof allowed);
  return mx_fail(MACCEL_E_INVALID, "unknown device option \"%s\"; allowed are %s", key,
                 count ? allowed : "none");
}

static int set(const mx_option *option, const char *text) {
  char *end = NULL;
  double value = strtod(text, &end);
  int number = *text && !*end && value >= option->low && value <= option->high; /* NaN fails both */
  if (number && option->whole) number = value == (double)(int64_t)value;
  MX_RETURN_IF(!number, MACCEL_E_INVALID, "device option %s is \"%s\"; allowed are %s from %g to %g",
               option->key, text, option->whole ? "whole numbers" : "numbers", option->low, option->high);
  *option->value = value;
  return MACCEL_OK;
}

static int append(char *rest, size_t rest_bytes, const char *pair) {
  size_t used = strlen(rest);
  int wrote = snprintf(rest + used, rest_bytes - used, "%s%s", used ? "&" : "", pair);
  MX_RETURN_IF(wrote < 0 || (size_t)wrote >= rest_bytes - used, MACCEL_E_INVALID,
               "the device options are too long");
  return MACCEL_OK;
}

static int parse_pair(char *pair, const mx_option *table, int count, char *rest, size_t rest_bytes) {
  char whole[MAX_PAIR];
  memcpy(whole, pair, strlen(pair) + 1);
  char *equals = strchr(pair, '=');
  if (equals) *equals = 0;
  for (int i = 0; i < count; i++)
    if (strcmp(pair, table[i].key) == 0) return set(&table[i], equals ? equals + 1 : "");
  return rest ? append(rest, rest_bytes, whole) : unknown(pair, table, count);
}

int mx_options_parse(const char *text, const mx_option *table, int count, char *rest, size_t rest_bytes) {
  while (*text) {
    char pair[MAX_PAIR];
    size_t bytes = strcspn(text, "&");
    MX_RETURN_IF(bytes >= sizeof pair, MACCEL_E_INVALID, "a device option is longer than %d characters",
                 MAX_PAIR - 1);
    memcpy(pair, text, bytes);
    pair[bytes] = 0;
    MX_FORWARD(parse_pair(pair, table, count, rest, rest_bytes));
    text += bytes;
    if (*text == '&') text++;
  }
  return MACCEL_OK;
}

int mx_options_index(const char *text, int32_t *out) {
  *out = 0;
  if (!*text) return MACCEL_OK;
  double value = 0;
  const mx_option option = {.key = "index", .low = 0, .high = 9999, .whole = 1, .value = &value};
  MX_RETURN_IF(text[strspn(text, "0123456789")] || set(&option, text) != MACCEL_OK, MACCEL_E_INVALID,
               "\"%s\" is not a device index (0 to 9999)", text);
  *out = (int32_t)value;
  return MACCEL_OK;
}
