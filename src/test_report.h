/* The results of `tunfilter test`: TAP while they come, JUnit's XML at the end. */
#ifndef TF_TEST_REPORT_H
#define TF_TEST_REPORT_H

#include <stdint.h>
#include <stdio.h>

/* A scenario, or a file that could not give any. */
struct tf_result {
	const char *file;
	char *title;	/* any bytes; the owner's */
	char *failure;	/* why not, on many lines; NULL: it passed, or nothing is to be told */
	double seconds; /* that it took; 0: not to be told */
	int line;	/* in the file; 0: none, or not to be told */
	int passed;
};

/* Begins TAP for so many results. */
void tf_tap_plan(FILE *out, uint32_t count);

/* The lines of result number i, from 1. */
void tf_tap_result(FILE *out, uint32_t i, const struct tf_result *result);

/* Writes them all as JUnit's XML, a test suite a file; equal files stand together. 0, or -1 with
 * errno. */
int tf_junit_write(FILE *out, const struct tf_result *results, uint32_t count);

#endif
