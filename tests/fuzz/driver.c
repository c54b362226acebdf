/*
 * Runs a fuzz target over files and folders, without a fuzzer: what is in the corpus and what once
 * broke something stays an ordinary test. Each input is run as it is, and cut off and changed in a
 * few places, the same ones every time.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { CHANGES = 20 };

static unsigned runs;

static void run(const uint8_t *bytes, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1); /* a read behind it is seen */

	memcpy(exact, bytes, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	runs++;
}

static void run_file(const char *path)
{
	static uint8_t bytes[1 << 20];
	FILE *file = fopen(path, "rb");
	size_t size;
	uint64_t seed = 88172645463325252u;

	if (!file) {
		perror(path);
		exit(2);
	}
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	run(bytes, size);
	for (int i = 0; i < CHANGES && size > 0; i++) {
		size_t at;
		uint8_t was;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		at = (size_t)(seed >> 16) % size;
		was = bytes[at];
		bytes[at] = (uint8_t)(seed >> 8);
		run(bytes, i % 4 ? size : at);
		bytes[at] = was;
	}
}

static void run_path(const char *path)
{
	struct stat status;
	struct dirent **names;
	int count;

	if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
		run_file(path);
		return;
	}
	count = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		char below[4096];

		snprintf(below, sizeof(below), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			run_path(below);
		free(names[i]);
	}
	free(names);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	printf("%u inputs\n", runs);
	return runs == 0; /* an empty corpus proves nothing */
}
