/*
 * `tunfilter test`: all files are loaded once for their scenarios' titles, and once more for every
 * scenario that runs, so that none sees what another left behind.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guard.h"
#include "log.h"
#include "privileges.h"
#include "scenarios.h"
#include "script.h"
#include "system.h"
#include "test_report.h"
#include "user.h"

struct run {
	const struct tf_options *options;
	struct tf_result *results; /* count of them */
	uint32_t *numbers;	   /* of the scenarios in their files, from 0; or NO_SCENARIO */
	uint32_t count;
	FILE *tap;
	int err; /* of the system's, not a scenario's */
};

#define NO_SCENARIO UINT32_MAX

/* Takes a copy of title; failure is taken over. */
static void add(struct run *run, const char *file, const char *title, int line, uint32_t number,
		char *failure)
{
	struct tf_result *results = realloc(run->results, (run->count + 1) * sizeof(*results));
	uint32_t *numbers;

	if (results != NULL)
		run->results = results;
	numbers = realloc(run->numbers, (run->count + 1) * sizeof(*numbers));
	if (numbers != NULL)
		run->numbers = numbers;
	if (results == NULL || numbers == NULL || (title = strdup(title)) == NULL) {
		run->err = UV_ENOMEM;
		free(failure);
		return;
	}
	run->numbers[run->count] = number;
	run->results[run->count++] = (struct tf_result){file, (char *)title, failure, 0, line, 0};
}

/* A failure that is not a scenario's; the person reads it at once, too. */
static void add_problem(struct run *run, const char *file, const char *text)
{
	tf_log(TF_LOG_ERROR, "%s", text);
	add(run, file, file, 0, NO_SCENARIO, run->options->hide ? NULL : strdup(text));
}

static void collect(struct run *run, const char *file)
{
	struct tf_scenarios *scenarios = NULL;
	struct tf_error error = {0};
	uint32_t count;
	char text[256];

	if (tf_scenarios_open(&scenarios, run->options, file, &error) < 0) {
		add_problem(run, file, error.text);
		return;
	}
	count = tf_scenarios_count(scenarios);
	for (uint32_t i = 0; i < count; i++) {
		int line = 0;
		const char *title = tf_scenarios_title(scenarios, i, &line);

		add(run, file, title, line, i, NULL);
	}
	if (count == 0) {
		snprintf(text, sizeof(text), "%.200s: there is no scenario in it", file);
		add_problem(run, file, text);
	}
	tf_scenarios_close(scenarios);
}

/* Keeps, of the scenarios, those of that title; if there is none, those whose title has it in it.
 */
static void select_only(struct run *run, const char *only)
{
	uint32_t exact = 0, scenarios = 0, kept = 0;
	char text[256];

	for (uint32_t i = 0; i < run->count; i++)
		exact += run->numbers[i] != NO_SCENARIO && strcmp(run->results[i].title, only) == 0;
	for (uint32_t i = 0; i < run->count; i++) {
		struct tf_result *result = &run->results[i];

		if (run->numbers[i] != NO_SCENARIO) {
			if (exact ? strcmp(result->title, only) != 0
				  : strstr(result->title, only) == NULL) {
				free(result->title);
				continue;
			}
			scenarios++;
		}
		run->numbers[kept] = run->numbers[i];
		run->results[kept++] = *result;
	}
	run->count = kept;
	if (scenarios == 0) {
		snprintf(text, sizeof(text), "--only: no scenario has '%.200s' in its title", only);
		add_problem(run, "--only", text);
	}
}

static void run_one(struct run *run, uint32_t i)
{
	struct tf_result *result = &run->results[i];
	struct tf_scenarios *scenarios = NULL;
	struct tf_error error = {0};
	uint64_t start = uv_hrtime();

	if (tf_scenarios_open(&scenarios, run->options, result->file, &error) < 0)
		result->failure = strdup(error.text);
	else if (run->numbers[i] >= tf_scenarios_count(scenarios))
		result->failure = strdup("the file has fewer scenarios when it is loaded again");
	else
		result->passed = tf_scenarios_run(scenarios, run->numbers[i], &result->failure);
	tf_scenarios_close(scenarios);
	result->seconds = (double)(uv_hrtime() - start) / 1e9;
	if (run->options->hide) {
		result->seconds = result->line = 0;
		free(result->failure);
		result->failure = NULL;
	}
}

/* Where results go, for bail_out; -1 before that is known. */
static volatile sig_atomic_t tap_file = -1;

/* In a signal's handler, before the program ends: the word of TAP for that. */
static void bail_out(const char *what)
{
	char text[256];
	int length = snprintf(text, sizeof(text), "Bail out! A script %s\n", what);

	if (tap_file >= 0 && write(tap_file, text, (size_t)length) < 0)
		return;
}

/* The rules' syntax, once and aloud, before scenarios fail for it one by one. */
static void check_rules(const struct tf_options *options)
{
	struct tf_script *script = NULL;
	struct tf_error error = {0};

	if (tf_script_create(&script, options, &error) < 0)
		tf_log(TF_LOG_ERROR, "%s", error.text);
	tf_script_destroy(script);
}

/*
 * TAP has standard output for itself: what scripts print there goes to standard error, or nowhere
 * if scenarios are hidden. *aloud is the standard error to go back to, or -1.
 */
static int split_output(struct run *run, int *aloud)
{
	int out = dup(STDOUT_FILENO), none;

	*aloud = -1;
	run->tap = out >= 0 ? fdopen(out, "w") : NULL;
	tap_file = out;
	if (run->tap == NULL || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		return -1;
	if (!run->options->hide)
		return 0;
	none = open(tf_system_null, O_WRONLY);
	*aloud = dup(STDERR_FILENO);
	if (none < 0 || *aloud < 0 || dup2(none, STDOUT_FILENO) < 0 ||
	    dup2(none, STDERR_FILENO) < 0)
		return -1;
	close(none);
	return 0;
}

static int write_junit(const struct run *run, FILE *file)
{
	int failed = tf_junit_write(file, run->results, run->count) < 0;

	failed |= fclose(file) != 0;
	if (failed)
		tf_log(TF_LOG_ERROR, "%s: %s", run->options->junit, strerror(errno));
	return failed ? -1 : 0;
}

static uint32_t run_all(struct run *run)
{
	uint32_t failed = 0;

	tf_tap_plan(run->tap, run->count);
	for (uint32_t i = 0; i < run->count; i++) {
		if (run->numbers[i] != NO_SCENARIO)
			run_one(run, i);
		failed += !run->results[i].passed;
		tf_tap_result(run->tap, i + 1, &run->results[i]);
		fflush(run->tap); /* the next one may be the last */
	}
	fprintf(run->tap, "# %u passed, %u failed\n", run->count - failed, failed);
	return failed;
}

int tf_command_test(const struct tf_options *options)
{
	struct run run = {.options = options};
	struct tf_error error = {0};
	FILE *junit = NULL;
	int aloud = -1, status = TF_EXIT_SYSTEM;

	if (tf_privileges_become(options, &error) < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		return tf_error_exit(error.code);
	}
	if (options->junit != NULL && (junit = fopen(options->junit, "w")) == NULL) {
		tf_log(TF_LOG_ERROR, "%s cannot be written%s: %s", options->junit, tf_user_text(), strerror(errno));
		return TF_EXIT_SYSTEM;
	}
	tf_privileges_confine(options, !options->hide);
	tf_guard_alarm(options->time_limit, bail_out);
	check_rules(options);
	if (split_output(&run, &aloud) < 0) {
		tf_log(TF_LOG_ERROR, "standard output: %s", strerror(errno));
		goto done;
	}
	for (int i = 0; i < options->test_count; i++)
		collect(&run, options->tests[i]);
	if (options->only != NULL)
		select_only(&run, options->only);
	if (run.err == 0)
		status = run_all(&run) > 0 ? TF_EXIT_SCRIPT : TF_EXIT_OK;
	fflush(stdout);
	if (aloud >= 0)
		dup2(aloud, STDERR_FILENO);
	if (run.err < 0)
		tf_log(TF_LOG_ERROR, "out of memory");
	if (fflush(run.tap) != 0 || ferror(run.tap)) {
		tf_log(TF_LOG_ERROR, "standard output: %s", strerror(errno));
		status = TF_EXIT_SYSTEM;
	}
	if (junit != NULL && write_junit(&run, junit) < 0)
		status = TF_EXIT_SYSTEM;
	junit = NULL;
done:
	if (junit != NULL)
		fclose(junit);
	if (run.tap != NULL)
		fclose(run.tap);
	if (aloud >= 0)
		close(aloud);
	for (uint32_t i = 0; i < run.count; i++) {
		free(run.results[i].title);
		free(run.results[i].failure);
	}
	free(run.results);
	free(run.numbers);
	return status;
}
