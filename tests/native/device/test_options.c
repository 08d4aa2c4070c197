/* "key=value&key=value": what is taken, what is passed on, what is refused and how. */
#include "options.h"

#include "../common/check.h"
#include "maccel.h"

static double rate, count;
static const mx_option table[] = {{"rate", 0, 1, 0, &rate}, {"count", 1, 10, 1, &count}};

static int parse(const char *text, char *rest, size_t bytes) {
  rate = count = -1;
  return mx_options_parse(text, table, 2, rest, bytes);
}

static void values_are_set(void) {
  CHECK_INT(parse("rate=0.25&count=10", NULL, 0), MACCEL_OK);
  CHECK(rate == 0.25 && count == 10);
  CHECK_INT(parse("", NULL, 0), MACCEL_OK);
  CHECK(rate == -1);
  CHECK_INT(parse("count=2&", NULL, 0), MACCEL_OK);
}

static void values_out_of_range_are_refused_with_the_range(void) {
  const char *bad[] = {"rate=2", "rate=-1",   "rate=",   "rate",     "rate=nan",
                       "rate=x", "count=1.5", "count=0", "count=11", "count=inf"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    CHECK_INT(parse(bad[i], NULL, 0), MACCEL_E_INVALID);
    CHECK(strstr(maccel_last_error(), " from "));
  }
}

static void other_keys_are_refused_or_passed_on(void) {
  CHECK_INT(parse("speed=3", NULL, 0), MACCEL_E_INVALID);
  CHECK(strstr(maccel_last_error(), "speed"));
  CHECK(strstr(maccel_last_error(), "rate, count"));
  char rest[32] = "";
  CHECK_INT(parse("speed=3&rate=1&colour", rest, sizeof rest), MACCEL_OK);
  CHECK_TEXT(rest, "speed=3&colour");
  CHECK(rate == 1);
  char small[8] = "";
  CHECK_INT(parse("speed=3&colour=red", small, sizeof small), MACCEL_E_INVALID);
  CHECK_INT(parse("a_key_that_is_much_longer_than_any_key_has_a_right_to_be_in_a_name_of_a_device_"
                  "that_somebody_types=1",
                  NULL, 0),
            MACCEL_E_INVALID);
}

static void an_index_is_a_small_number(void) {
  int32_t index = -1;
  CHECK_INT(mx_options_index("", &index), MACCEL_OK);
  CHECK_INT(index, 0);
  CHECK_INT(mx_options_index("12", &index), MACCEL_OK);
  CHECK_INT(index, 12);
  const char *bad[] = {"-1", "1.5", "x", "0x1", "1e3", "10000", " 1"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    CHECK_INT(mx_options_index(bad[i], &index), MACCEL_E_INVALID);
}

int main(void) {
  values_are_set();
  values_out_of_range_are_refused_with_the_range();
  other_keys_are_refused_or_passed_on();
  an_index_is_a_small_number();
  return 0;
}
