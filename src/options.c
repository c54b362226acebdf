#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packet.h"

const char tf_options_help[] =
	"tunfilter joins two virtual network devices through a Lua script.\n"
	"\n"
	"  tunfilter [run] RULES.lua [options]              until interrupted\n"
	"  tunfilter lab RULES.lua [options] [-- COMMAND]   two hosts, left and right,\n"
	"                                                   joined by the filter; no root\n"
	"  tunfilter enter left|right [-- COMMAND]          inside a running lab\n"
	"  tunfilter replay RULES.lua IN.pcap [OUT.pcap]    the same script on a capture\n"
	"  tunfilter test RULES.lua TESTS.lua...            scenarios for a script\n"
	"  tunfilter check RULES.lua                        show it a packet of each kind\n"
	"  tunfilter check --jit RULES.lua [IN.pcap]        what of it runs compiled\n"
	"  tunfilter doctor                                 what this machine lacks\n"
	"\n"
	"  --left DEV, --right DEV    tun[:NAME] or tap[:NAME], then any of ,mtu=BYTES\n"
	"                             ,address=IP/BITS ,netns=NAME|PID ,queue=PACKETS\n"
	"  --on-error drop|forward    for packets whose callback failed; drop if not said\n"
	"  --set KEY=VALUE            for the script, in tf.args; may be repeated\n"
	"  --stats SECONDS            print the table of counters every so often\n"
	"  --time-limit MS            how long a script may take; 1000, 0: any time\n"
	"  --no-offload               take one wire packet at a time from the system\n"
	"  --memory-limit MB          what Lua may have of memory; 256, 0: any\n"
	"  --workers N                1 to 64 threads, each with a queue of both\n"
	"                             devices and a script of its own\n"
	"  --spin MICROSECONDS        look for packets so long before sleeping\n"
	"  --no-reload                do not load the script again when it was saved\n"
	"  --user NAME                as whom the script runs: root has it do so\n"
	"  --unsafe                   give the script all of Lua, ffi and os included\n"
	"  -v, --verbose              print a line a packet\n"
	"  -q, --quiet                print warnings and errors only\n"
	"  --on-right COMMAND         lab: run a server on the right host\n"
	"  --lab PID                  enter: which lab, where several run\n"
	"  --capture FILE.pcapng      write what came in, what went out, the verdicts\n"
	"  --seed N                   for tf.random, so that a run can be repeated\n"
	"  --left-net NETWORK         replay: packets from there come from the left\n"
	"  --junit FILE --only NAME --hide    test: a report; one scenario; no details\n"
	"  -h, --help  -V, --version\n"
	"\n"
	"  tunfilter lab rules.lua -v -- ping -c 3 right\n"
	"  sudo tunfilter rules.lua --left tun:in,netns=blue --right tun:out,netns=green\n"
	"\n"
	"Exit status: 0 done, 1 the script, 2 the command line, 3 the device or system.\n"
	"The manual is tunfilter(1).\n";

enum {
	RUN = 1 << TF_COMMAND_RUN,
	REPLAY = 1 << TF_COMMAND_REPLAY,
	TEST = 1 << TF_COMMAND_TEST,
	LAB = 1 << TF_COMMAND_LAB,
	ENTER = 1 << TF_COMMAND_ENTER,
	CHECK = 1 << TF_COMMAND_CHECK,
	ANY = -1
};

static const char *const command_names[] = {
	[TF_COMMAND_RUN] = "run",     [TF_COMMAND_LAB] = "lab",	      [TF_COMMAND_ENTER] = "enter",
	[TF_COMMAND_REPLAY] = "replay", [TF_COMMAND_TEST] = "test",
	[TF_COMMAND_CHECK] = "check", [TF_COMMAND_DOCTOR] = "doctor", [TF_COMMAND_HELP] = "help",
	[TF_COMMAND_VERSION] = NULL};

enum option {
	LEFT,
	RIGHT,
	ON_ERROR,
	SET,
	UNSAFE,
	NO_OFFLOAD,
	JIT,
	TIME_LIMIT,
	MEMORY_LIMIT,
	NO_RELOAD,
	USER,
	STATS,
	WORKERS,
	SPIN,
	VERBOSE,
	QUIET,
	ON_RIGHT,
	LAB_PID,
	CAPTURE,
	SEED,
	LEFT_NET,
	JUNIT,
	ONLY,
	HIDE,
	HELP_,
	VERSION,
	OPTIONS
};

static const struct {
	const char *letter; /* "-v", or NULL */
	const char *value;  /* what stands behind it, for messages; NULL: nothing */
	int commands;	    /* that take it */
} rules[OPTIONS] = {
	[LEFT] = {NULL, "DEV", RUN | LAB | TEST | CHECK},
	[RIGHT] = {NULL, "DEV", RUN | LAB | TEST | CHECK},
	[ON_ERROR] = {NULL, "drop or forward", RUN | LAB | REPLAY | TEST},
	[SET] = {NULL, "KEY=VALUE", RUN | LAB | REPLAY | TEST | CHECK},
	[UNSAFE] = {NULL, NULL, RUN | LAB | REPLAY | TEST | CHECK},
	[NO_OFFLOAD] = {NULL, NULL, RUN | LAB},
	[JIT] = {NULL, NULL, CHECK},
	[TIME_LIMIT] = {NULL, "MS", RUN | LAB | REPLAY | TEST | CHECK},
	[MEMORY_LIMIT] = {NULL, "MB", RUN | LAB | REPLAY | TEST | CHECK},
	[NO_RELOAD] = {NULL, NULL, RUN | LAB},
	[USER] = {NULL, "NAME", RUN | LAB},
	[STATS] = {NULL, "SECONDS", RUN | LAB},
	[WORKERS] = {NULL, "N", RUN | LAB},
	[SPIN] = {NULL, "MICROSECONDS", RUN | LAB},
	[VERBOSE] = {"-v", NULL, RUN | LAB | REPLAY | TEST},
	[QUIET] = {"-q", NULL, RUN | LAB | REPLAY | CHECK},
	[CAPTURE] = {NULL, "FILE.pcapng", RUN | LAB | REPLAY},
	[SEED] = {NULL, "N", RUN | LAB | REPLAY | TEST | CHECK},
	[LEFT_NET] = {NULL, "NETWORK", REPLAY},
	[JUNIT] = {NULL, "FILE", TEST},
	[ONLY] = {NULL, "NAME", TEST},
	[HIDE] = {NULL, NULL, TEST},
	[ON_RIGHT] = {NULL, "COMMAND", LAB},
	[LAB_PID] = {NULL, "PID", ENTER},
	[HELP_] = {"-h", NULL, ANY},
	[VERSION] = {"-V", NULL, ANY},
};

static const char *const option_names[OPTIONS + 1] = {
	[LEFT] = "--left",	 [RIGHT] = "--right",	[ON_ERROR] = "--on-error",
	[SET] = "--set",	 [UNSAFE] = "--unsafe", [STATS] = "--stats",
	[WORKERS] = "--workers", [SPIN] = "--spin",
	[VERBOSE] = "--verbose", [QUIET] = "--quiet",	[ON_RIGHT] = "--on-right",
	[LAB_PID] = "--lab",	 [CAPTURE] = "--capture", [SEED] = "--seed",
	[LEFT_NET] = "--left-net", [JUNIT] = "--junit", [ONLY] = "--only",
	[HIDE] = "--hide",	 [HELP_] = "--help",	[VERSION] = "--version",
	[TIME_LIMIT] = "--time-limit", [MEMORY_LIMIT] = "--memory-limit",
	[NO_RELOAD] = "--no-reload", [USER] = "--user",
	[NO_OFFLOAD] = "--no-offload",
	[JIT] = "--jit",
	[OPTIONS] = NULL};

/* What the arguments were, before the command is known. */
struct words {
	char **plain; /* plain_count words that are no options; the first may be a command */
	int plain_count;
	int seen;	 /* 1 << enum option */
	char **behind;	 /* what follows "--", or NULL */
};

/* " (did you mean --stats?)", or "" */
static const char *hint(char text[64], const char *word, const char *const *known)
{
	const char *guess = tf_error_nearest(word, known);

	text[0] = 0;
	if (guess)
		snprintf(text, 64, " (did you mean %s?)", guess);
	return text;
}

/* A whole number from least to most; 0 is allowed too. */
static int set_limit(uint32_t *limit, const char *name, const char *value, unsigned long least,
		     unsigned long most, const char *unit, struct tf_error *error)
{
	unsigned long number = strtoul(value, NULL, 10);

	if (strspn(value, "0123456789") != strlen(value) || strlen(value) > 9 || number > most ||
	    (number > 0 && number < least))
		return tf_error_set(error, TF_EOPTION, "%s takes %s from %lu to %lu, or 0, not '%.200s'",
				    name, unit, least, most, value);
	*limit = (uint32_t)number;
	return 0;
}

static int set_value(struct tf_options *options, enum option option, const char *name, char *value,
		     struct tf_error *error)
{
	static const char digits[] = "0123456789";
	char *end;
	int status;

	switch (option) {
	case LEFT:
	case RIGHT:
		status = tf_device_spec_parse(&options->device[option == LEFT ? TF_LEFT : TF_RIGHT],
					      value, error);
		if (status)
			return tf_error_set(error, status, "%s: %s", name,
					    error ? error->text : "");
		return 0;
	case ON_ERROR:
		if (!strcmp(value, "drop"))
			options->on_error = TF_VERDICT_DROP;
		else if (!strcmp(value, "forward"))
			options->on_error = TF_VERDICT_FORWARD;
		else
			return tf_error_set(error, TF_EOPTION,
					    "%s takes drop or forward, not '%.200s'", name, value);
		return 0;
	case SET:
		end = strchr(value, '=');
		if (!end || end == value)
			return tf_error_set(error, TF_EOPTION,
					    "%s takes KEY=VALUE, such as port=80, not '%.200s'",
					    name, value);
		options->settings[options->setting_count++] =
			(struct tf_setting){value, (size_t)(end - value), end + 1};
		return 0;
	case STATS:
		options->stats_seconds = strtod(value, &end);
		if (*end || strspn(value, "0123456789.") != strlen(value) ||
		    !(options->stats_seconds >= 0.001 && options->stats_seconds <= 86400))
			return tf_error_set(error, TF_EOPTION,
					    "%s takes seconds from 0.001 to 86400, not '%.200s'",
					    name, value);
		return 0;
	case WORKERS:
		options->workers = (unsigned)strtoul(value, NULL, 10);
		if (strspn(value, digits) != strlen(value) || strlen(value) > 4 ||
		    options->workers < 1 || options->workers > TF_WORKERS_MAX)
			return tf_error_set(error, TF_EOPTION,
					    "%s takes a number of threads from 1 to %d, not '%.200s'",
					    name, TF_WORKERS_MAX, value);
		return 0;
	case SPIN:
		options->spin_us = (uint32_t)strtoul(value, NULL, 10);
		if (strspn(value, digits) != strlen(value) || strlen(value) > 8 ||
		    options->spin_us > TF_SPIN_MAX)
			return tf_error_set(error, TF_EOPTION,
					    "%s takes microseconds from 0 to %d, not '%.200s'", name,
					    TF_SPIN_MAX, value);
		return 0;
	case LAB_PID:
		options->lab_pid = atoi(value);
		if (strspn(value, digits) != strlen(value) || strlen(value) > 9 ||
		    !options->lab_pid)
			return tf_error_set(error, TF_EOPTION,
					    "%s takes the process id of a lab, not '%.200s'", name,
					    value);
		return 0;
	case SEED:
		options->seed = strtoull(value, NULL, 10);
		options->seeded = 1;
		if (strspn(value, digits) != strlen(value) || strlen(value) > 15)
			return tf_error_set(error, TF_EOPTION,
					    "%s takes a whole number of at most 15 digits, not '%.200s'",
					    name, value);
		return 0;
	case LEFT_NET:
		status = tf_prefix_parse(&options->left_nets[options->left_net_count++], value);
		if (status)
			return tf_error_set(error, TF_EOPTION,
					    "%s takes an address or a network, such as 10.0.0.0/8, not "
					    "'%.200s'",
					    name, value);
		return 0;
	case ON_RIGHT:
		options->on_right = value;
		return 0;
	case CAPTURE:
		options->capture = value;
		return 0;
	case JUNIT:
		options->junit = value;
		return 0;
	case ONLY:
		options->only = value;
		return 0;
	case HIDE:
		options->hide = 1;
		return 0;
	case TIME_LIMIT:
		return set_limit(&options->time_limit, name, value, 10, 3600000, "milliseconds", error);
	case MEMORY_LIMIT:
		return set_limit(&options->memory_limit, name, value, 16, 65536, "megabytes", error);
	case NO_RELOAD:
		options->no_reload = 1;
		return 0;
	case USER:
		options->user = value;
		return 0;
	case NO_OFFLOAD:
		options->no_offload = 1;
		return 0;
	case JIT:
		options->jit = 1;
		return 0;
	case UNSAFE:
		options->unsafe = 1;
		return 0;
	case VERBOSE:
		options->verbose = 1;
		return 0;
	case QUIET:
		options->quiet = 1;
		return 0;
	default:
		return 0;
	}
}

/* One option at argv[*i], which moves on over a value of its own. */
static int read_option(struct tf_options *options, struct words *words, char **argv, int *i,
		       struct tf_error *error)
{
	char *word = argv[*i], *value = strncmp(word, "--", 2) ? NULL : strchr(word, '=');
	size_t len = value ? (size_t)(value - word) : strlen(word);
	char name[32], text[64];
	int option;

	snprintf(name, sizeof(name), "%.*s", (int)len, word);
	for (option = 0; option < OPTIONS; option++)
		if (!strcmp(name, option_names[option]) ||
		    (rules[option].letter && !strcmp(name, rules[option].letter)))
			break;
	if (option == OPTIONS && word[1] != '-' && word[2] && strspn(word + 1, "vqhV") == strlen(word + 1))
		return tf_error_set(error, TF_EOPTION, "unknown option '%.200s' (one by one: -%c -%c)", word, word[1],
				    word[2]);
	if (option == OPTIONS)
		return tf_error_set(error, TF_EOPTION, "unknown option '%.200s'%s", word,
				    hint(text, name, option_names));
	words->seen |= 1 << option;
	if (!rules[option].value && value)
		return tf_error_set(error, TF_EOPTION, "%s takes no value, as in '%.200s'", name,
				    word);
	if (value) {
		value++;
	} else if (rules[option].value) {
		value = argv[*i + 1];
		if (value && !strncmp(value, "--", 2))
			value = NULL;
		else if (value)
			++*i;
	}
	if (rules[option].value && !(value && *value))
		return tf_error_set(error, TF_EOPTION, "%s needs a value: %s", name,
				    rules[option].value);
	return set_value(options, (enum option)option, name, value, error);
}

static int is_file(const char *path)
{
	FILE *file = fopen(path, "r");

	if (file)
		fclose(file);
	return file != NULL;
}

/* Takes the command word off the plain words, where the first is one. */
static int read_command(struct tf_options *options, struct words *words, struct tf_error *error)
{
	const char *word = words->plain[0];
	char text[64];

	if (words->seen & 1 << HELP_) {
		options->command = TF_COMMAND_HELP;
		return 0;
	}
	if (words->seen & 1 << VERSION) {
		options->command = TF_COMMAND_VERSION;
		return 0;
	}
	if (!words->plain_count)
		return tf_error_set(error, TF_EOPTION,
				    "no script was given, as in `tunfilter lab rules.lua`");
	for (int i = 0; command_names[i]; i++) {
		if (strcmp(word, command_names[i]))
			continue;
		options->command = (enum tf_command)i;
		words->plain++;
		words->plain_count--;
		return 0;
	}
	/* Without a command word it is a script, unless it looks like a misspelt command. */
	if (!strpbrk(word, "./\\") && !is_file(word))
		return tf_error_set(error, TF_EOPTION,
				    "'%.200s' is neither a command nor a script%s", word,
				    hint(text, word, command_names));
	return 0;
}

/* The words that belong to the command: a script, a side, a command to run. */
static int read_words(struct tf_options *options, const struct words *words, struct tf_error *error)
{
	const char *name = command_names[options->command];
	int bit = 1 << options->command, wanted = bit & (RUN | LAB | ENTER | CHECK) ? 1 : 0, most;

	if (bit & (REPLAY | TEST))
		wanted = 2;
	most = bit == TEST ? words->plain_count : bit == REPLAY ? 3 : wanted;
	if (options->jit)
		most = 2;
	if (words->plain_count < wanted)
		return tf_error_set(error, TF_EOPTION, "%s needs %s, as in `tunfilter %s`", name,
				    bit == ENTER    ? "a host"
				    : bit == REPLAY ? "a script and a capture"
				    : bit == TEST   ? "a script and a file of scenarios"
						    : "a script",
				    bit == ENTER    ? "enter left"
				    : bit == LAB    ? "lab rules.lua"
				    : bit == REPLAY ? "replay rules.lua in.pcap out.pcap"
				    : bit == TEST   ? "test rules.lua scenarios.lua"
				    : bit == CHECK  ? "check rules.lua"
						    : "run rules.lua");
	if (words->plain_count > most)
		return tf_error_set(error, TF_EOPTION, "'%.200s' is one word too many for %s%s",
				    words->plain[most], name,
				    bit & (LAB | ENTER) ? ": a command goes behind --" : "");
	if (words->behind && !(bit & (LAB | ENTER)))
		return tf_error_set(error, TF_EOPTION,
				    "%s takes no command behind --, lab and enter do", name);
	if (words->behind && *words->behind)
		options->command_argv = words->behind;
	if (bit != ENTER) {
		options->script = wanted ? words->plain[0] : NULL;
		if (bit == REPLAY) {
			options->capture_in = words->plain[1];
			options->capture_out = words->plain_count > 2 ? words->plain[2] : NULL;
		} else if (bit == CHECK) {
			options->capture_in = words->plain_count > 1 ? words->plain[1] : NULL;
		} else if (bit == TEST) {
			options->tests = words->plain + 1;
			options->test_count = words->plain_count - 1;
		}
		return 0;
	}
	options->side = strcmp(words->plain[0], "left") ? TF_RIGHT : TF_LEFT;
	if (options->side == TF_RIGHT && strcmp(words->plain[0], "right"))
		return tf_error_set(error, TF_EOPTION, "enter takes left or right, not '%.200s'",
				    words->plain[0]);
	return 0;
}

static int check_seen(const struct tf_options *options, int seen, struct tf_error *error)
{
	for (int option = 0; option < OPTIONS; option++) {
		char takers[64] = "";

		if (!(seen & 1 << option) || rules[option].commands & 1 << options->command)
			continue;
		for (int i = 0; command_names[i]; i++)
			if (rules[option].commands & 1 << i)
				snprintf(takers + strlen(takers), sizeof(takers) - strlen(takers),
					 "%s%s", *takers ? ", " : "", command_names[i]);
		return tf_error_set(error, TF_EOPTION, "%s is not an option of %s, but of %s",
				    option_names[option], command_names[options->command], takers);
	}
	if (options->verbose && options->quiet)
		return tf_error_set(error, TF_EOPTION, "--verbose and --quiet exclude each other");
	return 0;
}

/* What two devices that were asked for cannot both be. Lab has a namespace a side. */
static int check_devices(const struct tf_options *options, int seen, struct tf_error *error)
{
	const struct tf_device_spec *left = &options->device[TF_LEFT], *right = &options->device[TF_RIGHT];

	if (!(seen & 1 << LEFT) || !(seen & 1 << RIGHT))
		return 0;
	if (tf_device_spec_link(left) != tf_device_spec_link(right))
		return tf_error_set(error, TF_EOPTION, "--left is a %s and --right a %s: give both the same kind",
				    left->kind, right->kind);
	if (options->command == TF_COMMAND_RUN && left->name[0] && !strcmp(left->name, right->name) &&
	    !strcmp(left->netns, right->netns))
		return tf_error_set(error, TF_EOPTION, "--left and --right are both %s: each needs a name of its own",
				    left->name);
	return 0;
}

static int parse(struct tf_options *options, int argc, char **argv, struct tf_error *error)
{
	struct words words = {0};
	int status;

	*options = (struct tf_options){
		.on_error = TF_VERDICT_DROP, .time_limit = 1000, .memory_limit = 256};
	options->workers = 1;
	options->settings = calloc((size_t)argc + 1, sizeof(*options->settings));
	options->left_nets = calloc((size_t)argc + 1, sizeof(*options->left_nets));
	words.plain = options->words = calloc((size_t)argc + 1, sizeof(*words.plain));
	if (!options->settings || !options->left_nets || !words.plain)
		return tf_error_set(error, UV_ENOMEM, "no memory for the command line");
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		status = tf_device_spec_parse(&options->device[side], tf_device_usual_kind(), error);
		if (status)
			return status;
	}
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--")) {
			words.behind = argv + i + 1;
			break;
		}
		if (argv[i][0] == '-' && argv[i][1]) {
			status = read_option(options, &words, argv, &i, error);
			if (status)
				return status;
			continue;
		}
		words.plain[words.plain_count++] = argv[i];
	}
	status = read_command(options, &words, error);
	if (status || options->command == TF_COMMAND_HELP || options->command == TF_COMMAND_VERSION)
		return status;
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		options->device[side].no_offload = options->no_offload;
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		options->device[side].queues = options->workers;
	status = check_seen(options, words.seen, error);
	if (!status)
		status = check_devices(options, words.seen, error);
	return status ? status : read_words(options, &words, error);
}

int tf_options_parse(struct tf_options *options, int argc, char **argv, struct tf_error *error)
{
	int status = parse(options, argc, argv, error);

	if (status == TF_EOPTION && error)
		tf_error_set(error, status, "%s; see `tunfilter --help`", error->text);
	return status;
}

void tf_options_free(struct tf_options *options)
{
	free(options->settings);
	free(options->left_nets);
	free(options->words);
	options->settings = NULL;
	options->left_nets = NULL;
	options->words = NULL;
	options->setting_count = 0;
}
