/* What the fuzz targets share: taking values from the fuzzer's bytes, and saying what is broken. */
#ifndef TF_FUZZ_H
#define TF_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What every target implements; input is of this length, and the answer is 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* The bytes that are left; taking more than there are gives zeros. */
struct fuzz {
	const uint8_t *at, *end;
};

static inline uint32_t fuzz_left(const struct fuzz *fuzz)
{
	return (uint32_t)(fuzz->end - fuzz->at);
}

/* A number of 1 to 4 bytes. */
static inline uint32_t fuzz_take(struct fuzz *fuzz, int width)
{
	uint32_t value = 0;

	while (width-- > 0)
		value = value << 8 | (fuzz->at < fuzz->end ? *fuzz->at++ : 0);
	return value;
}

/* The next n bytes, or as many as there are, in a block of their own that ends where they do. */
static inline uint8_t *fuzz_block(struct fuzz *fuzz, uint32_t *n)
{
	uint8_t *block;

	if (*n > fuzz_left(fuzz))
		*n = fuzz_left(fuzz);
	block = malloc(*n ? *n : 1);
	if (*n)
		memcpy(block, fuzz->at, *n);
	fuzz->at += *n;
	return block;
}

/* Ends the program: the fuzzer keeps the input. */
#define fuzz_check(condition, what)                                                                \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, what, #condition); \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
