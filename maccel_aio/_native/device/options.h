/* options.h - the "key=value&key=value" part of a device name. */
#ifndef MX_OPTIONS_H
#define MX_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

typedef struct mx_option {
  const char *key;
  double low, high; /* allowed, both included */
  int whole;        /* a whole number */
  double *value;
} mx_option;

/* Sets the values of the keys in `table` (`count` of them). Other keys are appended to `rest` in the same form, or are an
 * error that names the allowed ones when rest is NULL. */
int mx_options_parse(const char *text, const mx_option *table, int count, char *rest, size_t rest_bytes);
/* "a, b, c" */
void mx_options_list(const mx_option *table, int count, char *out, size_t out_bytes);
/* A device index; "" is 0. */
int mx_options_index(const char *text, int32_t *out);

#endif
