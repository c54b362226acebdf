#include "outputs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "capture_write.h"
#include "user.h"

/* What a file of ours begins with. */
static const char *const captures[] = {"\xa1\xb2\xc3\xd4", "\xd4\xc3\xb2\xa1", "\xa1\xb2\x3c\x4d",
				       "\x4d\x3c\xb2\xa1", "\x0a\x0d\x0d\x0a", NULL};
static const char *const reports[] = {"<?xm", NULL};

struct output {
	const char *name; /* of the option or word */
	const char *path; /* NULL: there is none */
	const char *what; /* the file is else */
	const char *const *begins;
};

static int same(const char *one, const char *other)
{
	return strcmp(one, other) == 0 || tf_capture_same_file(one, other);
}

/* As user.h's user: others' files are not to be told apart. What cannot be read is left to who writes. */
static int is_work(const struct output *output)
{
	char head[4];
	struct stat found;
	FILE *file = NULL;
	size_t length = 0;

	if (stat(output->path, &found) < 0 || !S_ISREG(found.st_mode) || tf_user_lend() < 0)
		return 0;
	file = fopen(output->path, "rb");
	if (file != NULL) {
		length = fread(head, 1, sizeof(head), file);
		fclose(file);
	}
	tf_user_return();
	for (size_t i = 0; output->begins[i] != NULL; i++)
		if (length == sizeof(head) && memcmp(head, output->begins[i], sizeof(head)) == 0)
			return 0;
	return length > 0;
}

static int refuse(const struct output *output, const char *path, const char *what, struct tf_error *error)
{
	if (path == NULL || !same(output->path, path))
		return 0;
	return tf_error_set(error, TF_EOPTION, "%s would write over %s, %s: give it another name", output->name,
			    strcmp(output->path, "-") == 0 ? "standard output" : output->path, what);
}

int tf_outputs_check(const struct tf_options *options, struct tf_error *error)
{
	const struct output outputs[] = {
		{"OUT", options->capture_out, "no capture", captures},
		{"--capture", options->capture, "no capture", captures},
		{"--junit", options->junit, "no report", reports},
	};
	int err = 0;

	for (const struct output *output = outputs; output < outputs + 3 && err == 0; output++) {
		if (output->path == NULL)
			continue;
		err = refuse(output, options->script, "the script", error);
		if (err == 0 && strcmp(output->path, "-") != 0)
			err = refuse(output, options->capture_in, "which is read", error);
		for (int i = 0; i < options->test_count && err == 0; i++)
			err = refuse(output, options->tests[i], "a file of scenarios", error);
		for (const struct output *other = outputs; other < output && err == 0; other++)
			err = refuse(output, other->path, "which is written, too", error);
		if (err == 0 && is_work(output))
			err = tf_error_set(error, TF_EOPTION,
					   "%s would write over %s, which is %s: remove it first, or give another name",
					   output->name, output->path, output->what);
	}
	return err;
}
