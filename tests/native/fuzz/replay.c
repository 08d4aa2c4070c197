/* Gives every file of a folder to LLVMFuzzerTestOneInput once, so that what a fuzzer found stays a test with any
 * compiler. Exit 0: all survived; 77: no corpus. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) {
    perror(path);
    return 1;
  }
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  /* An allocation of exactly this size lets AddressSanitizer see a read past the end. */
  uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
  size_t got = data ? fread(data, 1, (size_t)size, file) : 0;
  fclose(file);
  if (data && got == (size_t)size) LLVMFuzzerTestOneInput(data, got);
  int failed = !data || got != (size_t)size;
  free(data);
  return failed;
}

int main(int argc, char **argv) {
  DIR *folder = argc > 1 ? opendir(argv[1]) : NULL;
  if (!folder) return 77;
  int files = 0, failed = 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
    failed += replay_file(path);
    files += 1;
  }
  closedir(folder);
  printf("%d files, %d failed\n", files, failed);
  return files == 0 ? 77 : failed != 0;
}
