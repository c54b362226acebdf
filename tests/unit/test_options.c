#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "options.h"

enum { WORDS = 16 };

/* Cuts a command line at spaces; '_' stands for a space within a word. */
static int cut(char *line, char *argv[WORDS + 1])
{
	int argc = 0;

	for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
		assert_true(argc < WORDS);
		for (char *c = word; *c; c++)
			if (*c == '_')
				*c = ' ';
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	return argc;
}

static char buffer[512];
static char *argv[WORDS + 1];
static struct tf_options options;

/* Reads the line into options, which the caller frees. */
static void take(const char *line)
{
	struct tf_error error;

	snprintf(buffer, sizeof(buffer), "tunfilter %s", line);
	if (tf_options_parse(&options, cut(buffer, argv), argv, &error))
		fail_msg("%s: %s", line, error.text);
}

static void reads_commands(void **state)
{
	static const struct {
		const char *line;
		enum tf_command command;
		const char *script;
	} cases[] = {
		{"rules.lua", TF_COMMAND_RUN, "rules.lua"},
		{"run rules.lua", TF_COMMAND_RUN, "rules.lua"},
		{"run run", TF_COMMAND_RUN, "run"},
		{"run lab", TF_COMMAND_RUN, "lab"},
		{"./rules", TF_COMMAND_RUN, "./rules"},
		{"lab rules.lua", TF_COMMAND_LAB, "rules.lua"},
		{"-v lab rules.lua", TF_COMMAND_LAB, "rules.lua"},
		{"lab -v rules.lua", TF_COMMAND_LAB, "rules.lua"},
		{"lab rules.lua -v", TF_COMMAND_LAB, "rules.lua"},
		{"lab rules.lua -- run x", TF_COMMAND_LAB, "rules.lua"},
		{"check rules.lua", TF_COMMAND_CHECK, "rules.lua"},
		{"enter left", TF_COMMAND_ENTER, NULL},
		{"doctor", TF_COMMAND_DOCTOR, NULL},
		{"help", TF_COMMAND_HELP, NULL},
		{"--help", TF_COMMAND_HELP, NULL},
		{"-h", TF_COMMAND_HELP, NULL},
		{"lab --help", TF_COMMAND_HELP, NULL},
		{"lab --stats 2 -h x y z", TF_COMMAND_HELP, NULL},
		{"--version", TF_COMMAND_VERSION, NULL},
		{"-V", TF_COMMAND_VERSION, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		take(cases[i].line);
		assert_int_equal(options.command, cases[i].command);
		if (cases[i].script)
			assert_string_equal(options.script, cases[i].script);
		else
			assert_null(options.script);
		tf_options_free(&options);
	}
}

static void reads_options(void **state)
{
	(void)state;
	take("rules.lua");
	assert_int_equal(options.on_error, TF_VERDICT_DROP);
	assert_string_equal(options.device[TF_LEFT].kind, "tun");
	assert_string_equal(options.device[TF_RIGHT].kind, "tun");
	assert_string_equal(options.device[TF_RIGHT].name, "");
	assert_int_equal(options.device[TF_RIGHT].netns_fd, -1);
	assert_int_equal(options.unsafe + options.verbose + options.quiet + options.lab_pid, 0);
	assert_true(options.stats_seconds == 0);
	assert_int_equal(options.workers, 1);
	assert_int_equal(options.spin_us, 0);
	assert_false(options.device[TF_LEFT].no_offload || options.device[TF_RIGHT].no_offload);
	assert_int_equal(options.setting_count, 0);
	assert_null(options.on_right);
	assert_null(options.command_argv);
	tf_options_free(&options);

	take("--left tap:in,mtu=1400 rules.lua --right=tap:out,address=10.0.0.1/24 --on-error "
	     "forward "
	     "--stats 2.5 --no-offload --unsafe --verbose");
	assert_string_equal(options.device[TF_LEFT].kind, "tap");
	assert_string_equal(options.device[TF_LEFT].name, "in");
	assert_int_equal(options.device[TF_LEFT].mtu, 1400);
	assert_string_equal(options.device[TF_RIGHT].name, "out");
	assert_int_equal(options.device[TF_RIGHT].address_count, 1);
	assert_int_equal(options.on_error, TF_VERDICT_FORWARD);
	assert_true(options.stats_seconds == 2.5);
	assert_int_equal(options.unsafe, 1);
	assert_true(options.device[TF_LEFT].no_offload && options.device[TF_RIGHT].no_offload);
	assert_int_equal(options.verbose, 1);
	assert_int_equal(options.quiet, 0);
	tf_options_free(&options);

	take("-q --workers 64 --spin 1000000 rules.lua --stats=86400 --on-error=forward --on-error=drop --left tap --left "
	     "tun");
	assert_int_equal(options.quiet, 1);
	assert_true(options.stats_seconds == 86400);
	assert_int_equal(options.workers, 64);
	assert_int_equal(options.device[TF_RIGHT].queues, 64);
	assert_int_equal(options.spin_us, 1000000);
	assert_int_equal(options.on_error, TF_VERDICT_DROP);
	assert_string_equal(options.device[TF_LEFT].kind, "tun");
	tf_options_free(&options);
}

static void reads_settings(void **state)
{
	static const struct {
		const char *key, *value;
	} expected[] = {{"port", "80"}, {"text", "a=b c"}, {"empty", ""}, {"port", "-1"}};

	(void)state;
	take("check --set port=80 --set=text=a=b_c rules.lua --set empty= --set port=-1");
	assert_int_equal(options.setting_count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(options.settings[i].key_len, strlen(expected[i].key));
		assert_memory_equal(options.settings[i].key, expected[i].key,
				    strlen(expected[i].key));
		assert_string_equal(options.settings[i].value, expected[i].value);
	}
	tf_options_free(&options);
}

static void reads_hosts_and_commands(void **state)
{
	(void)state;
	take("lab rules.lua --on-right nc_-l_80 -- curl -v --help http://right");
	assert_string_equal(options.on_right, "nc -l 80");
	assert_int_equal(options.verbose, 0);
	assert_string_equal(options.command_argv[0], "curl");
	assert_string_equal(options.command_argv[3], "http://right");
	assert_null(options.command_argv[4]);
	tf_options_free(&options);

	take("lab rules.lua --");
	assert_null(options.command_argv);
	tf_options_free(&options);

	take("enter left");
	assert_int_equal(options.side, TF_LEFT);
	assert_int_equal(options.lab_pid, 0);
	assert_null(options.command_argv);
	tf_options_free(&options);

	take("enter right --lab 4711 -- id -u");
	assert_int_equal(options.side, TF_RIGHT);
	assert_int_equal(options.lab_pid, 4711);
	assert_string_equal(options.command_argv[0], "id");
	tf_options_free(&options);
}

static void refuses(void **state)
{
	static const struct {
		const char *line;
		const char *words; /* that the sentence has; | between several */
	} cases[] = {
		{"", "no script|tunfilter lab rules.lua"},
		{"run", "run needs a script"},
		{"lab", "lab needs a script|tunfilter lab rules.lua"},
		{"check -q", "check needs a script"},
		{"enter", "enter needs a host|tunfilter enter left"},
		{"lba rules.lua", "'lba'|neither a command nor a script|did you mean lab?"},
		{"docter", "'docter'|did you mean doctor?"},
		{"bogus rules.lua in.pcap", "'bogus'|neither a command"},
		{"-", "'-'"},
		{"a.lua b.lua", "'b.lua' is one word too many for run"},
		{"a.lua b c d e f", "'b' is one word too many"},
		{"lab rules.lua ping right", "'ping'|a command goes behind --"},
		{"enter left id", "'id'|a command goes behind --"},
		{"doctor now", "'now' is one word too many for doctor"},
		{"rules.lua -- ping right", "run takes no command behind --|lab and enter"},
		{"check rules.lua --", "check takes no command"},
		{"enter lef", "left or right, not 'lef'"},
		{"enter Right", "left or right, not 'Right'"},
		{"rules.lua --stat 3", "unknown option '--stat'|did you mean --stats?"},
		{"rules.lua --verbos", "'--verbos'|did you mean --verbose?"},
		{"rules.lua --onerror=drop", "'--onerror=drop'|did you mean --on-error?"},
		{"rules.lua -version", "'-version'|did you mean --version?"},
		{"rules.lua --frobnicate x", "unknown option '--frobnicate'; see"},
		{"rules.lua -x", "unknown option '-x'"},
		{"rules.lua -vq", "unknown option '-vq' (one by one: -v -q)"},
		{"rules.lua -vx", "unknown option '-vx'; see"},
		{"rules.lua -v=1", "unknown option '-v=1'"},
		{"rules.lua --=1", "unknown option '--=1'"},
		{"rules.lua --unsafe=yes", "--unsafe takes no value|'--unsafe=yes'"},
		{"rules.lua --left", "--left needs a value|DEV"},
		{"rules.lua --left --right tap", "--left needs a value"},
		{"rules.lua --left=", "--left needs a value"},
		{"rules.lua --left wifi", "--left: |\"wifi\"|tun"},
		{"rules.lua --right tun,mtu=1", "--right: |mtu=1"},
		{"rules.lua --set", "--set needs a value|KEY=VALUE"},
		{"rules.lua --set port", "KEY=VALUE|'port'"},
		{"rules.lua --set =80", "KEY=VALUE|'=80'"},
		{"rules.lua --on-error pass", "drop or forward, not 'pass'"},
		{"rules.lua --on-error dro", "not 'dro'"},
		{"rules.lua --workers 0", "1 to 64, not '0'"},
		{"rules.lua --workers 65", "not '65'"},
		{"rules.lua --workers 2x", "not '2x'"},
		{"check rules.lua --workers 2", "--workers is not an option of check, but of run, lab"},
		{"rules.lua --spin 1000001", "0 to 1000000, not '1000001'"},
		{"rules.lua --spin -1", "not '-1'"},
		{"rules.lua --stats 0", "0.001 to 86400, not '0'"},
		{"rules.lua --stats -1", "not '-1'"},
		{"rules.lua --stats 86401", "not '86401'"},
		{"rules.lua --stats 1s", "not '1s'"},
		{"rules.lua --stats nan", "not 'nan'"},
		{"rules.lua --stats 0x10", "not '0x10'"},
		{"rules.lua --stats 1e3", "not '1e3'"},
		{"rules.lua --stats .", "not '.'"},
		{"rules.lua --stats 1.2.3", "not '1.2.3'"},
		{"enter left --lab 0", "process id of a lab, not '0'"},
		{"enter left --lab -5", "not '-5'"},
		{"enter left --lab 12x", "not '12x'"},
		{"enter left --lab 99999999999", "not '99999999999'"},
		{"rules.lua --on-right nc", "--on-right is not an option of run, but of lab"},
		{"lab rules.lua --lab 3", "--lab is not an option of lab, but of enter"},
		{"enter left --stats 3", "--stats is not an option of enter, but of run, lab"},
		{"check rules.lua -v", "--verbose is not an option of check, but of run"},
		{"doctor -q", "--quiet is not an option of doctor, but of run"},
		{"rules.lua -v -q", "--verbose and --quiet"},
		{"rules.lua --left tap --right tun", "--left is a tap and --right a tun|same kind"},
		{"lab rules.lua --left tun --right tap", "same kind"},
		{"check rules.lua --left tun --right tap", "same kind"},
		{"rules.lua --left tun:a --right tun:a", "both a"},
		{"rules.lua --left tun:a,netns=x --right tun:a,netns=x", "both a"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tf_error error = {0};
		char words[128], *rest = words;
		int status;

		snprintf(buffer, sizeof(buffer), "tunfilter %s", cases[i].line);
		status = tf_options_parse(&options, cut(buffer, argv), argv, &error);
		tf_options_free(&options);
		if (status != TF_EOPTION)
			fail_msg("%s: status %d", cases[i].line, status);
		assert_int_equal(error.code, TF_EOPTION);
		assert_null(strchr(error.text, '\n'));
		snprintf(words, sizeof(words), "%s|; see `tunfilter --help`", cases[i].words);
		for (char *word; (word = strsep(&rest, "|"));)
			if (!strstr(error.text, word))
				fail_msg("%s: \"%s\" has no \"%s\"", cases[i].line, error.text,
					 word);
	}
}

/* A word without a dot is a script if there is such a file. */
static void takes_a_file_for_a_script(void **state)
{
	char folder[] = "/tmp/test_options.XXXXXX", back[4096];
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_non_null(getcwd(back, sizeof(back)));
	assert_int_equal(chdir(folder), 0);
	file = fopen("docter", "w");
	assert_non_null(file);
	fclose(file);
	take("docter");
	assert_int_equal(options.command, TF_COMMAND_RUN);
	assert_string_equal(options.script, "docter");
	tf_options_free(&options);
	unlink("docter");
	assert_int_equal(chdir(back), 0);
	rmdir(folder);
}

static void bears_any_words(void **state)
{
	static char word[10001];
	struct tf_error error;

	(void)state;
	memset(word, 'a', sizeof(word) - 1);
	for (int shape = 0; shape < 4; shape++) {
		char *words[] = {(char *)"tunfilter", word, word, word, word, NULL};

		memcpy(word, (const char *[]){"aa", "--", "-a", "%s"}[shape], 2);
		assert_int_equal(tf_options_parse(&options, 5, words, &error), TF_EOPTION);
		tf_options_free(&options);
		assert_int_equal(tf_options_parse(&options, 5, words, NULL), TF_EOPTION);
		tf_options_free(&options);
	}
	assert_int_equal(tf_options_parse(&options, 0, (char *[]){NULL}, &error), TF_EOPTION);
	tf_options_free(&options);
}

/* Whoever asks for help sees every option, on a terminal of 80 columns. */
static void helps(void **state)
{
	static const char *const words[] = {
		"run",	   "lab",	 "enter", "check",     "doctor",  "--left",
		"--right", "--on-error", "--set", "--unsafe",  "--stats", "--verbose",
		"--quiet", "--on-right", "--lab", "--version", "--help",  "-v,",
		"-q,",	   "-h,",	 "-V,",	  "--no-offload"};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strstr(tf_options_help, words[i]))
			fail_msg("help lacks %s", words[i]);
	for (const char *line = tf_options_help; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_commands),  cmocka_unit_test(reads_options),
		cmocka_unit_test(reads_settings),  cmocka_unit_test(reads_hosts_and_commands),
		cmocka_unit_test(refuses),	   cmocka_unit_test(takes_a_file_for_a_script),
		cmocka_unit_test(bears_any_words), cmocka_unit_test(helps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
