/* The command line: what a person asked for. */
#ifndef TF_OPTIONS_H
#define TF_OPTIONS_H

#include "device.h"
#include "error.h"

enum tf_command {
	TF_COMMAND_RUN,
	TF_COMMAND_LAB,
	TF_COMMAND_ENTER,
	TF_COMMAND_REPLAY,
	TF_COMMAND_TEST,
	TF_COMMAND_CHECK,
	TF_COMMAND_DOCTOR,
	TF_COMMAND_HELP,
	TF_COMMAND_VERSION
};

enum { TF_WORKERS_MAX = 64, TF_SPIN_MAX = 1000000 };

/* --set KEY=VALUE, in the order given; a later one of the same key wins. */
struct tf_setting {
	const char *key; /* not 0-terminated: key_len bytes */
	size_t key_len;	 /* at least 1 */
	const char *value;
};

struct tf_options {
	enum tf_command command;
	const char *script; /* path of RULES.lua, as written; NULL where the command takes none */
	struct tf_device_spec device[2]; /* TF_LEFT, TF_RIGHT; a plain tun where nothing was said */
	int on_error;	    /* TF_VERDICT_DROP or TF_VERDICT_FORWARD */
	struct tf_setting *settings;
	size_t setting_count;
	int unsafe;	      /* --unsafe */
	int no_offload;	      /* --no-offload; in device, too */
	uint32_t time_limit;   /* --time-limit: ms, 0: none */
	uint32_t memory_limit; /* --memory-limit: MB of Lua's memory, 0: none */
	int no_reload;	       /* --no-reload */
	const char *user;      /* --user: a name, or NULL */
	double stats_seconds; /* --stats: seconds between tables, 0: only at the end */
	unsigned workers;     /* --workers: 1 to 64 */
	unsigned worker;      /* which of them a script is of, from 0 */
	uint32_t spin_us;     /* --spin: microseconds */
	int verbose;	      /* -v: a line a packet */
	int quiet;	      /* -q: warnings and errors only */
	const char *on_right; /* lab: shell command for the right host, or NULL */
	const char *capture;  /* --capture: a pcapng file to write, or NULL */
	uint64_t seed;	      /* --seed, of tf.random */
	int seeded;	      /* --seed was given */
	int jit;		     /* check: --jit */
	const char *capture_in;	     /* replay: IN; check: IN or NULL */
	const char *capture_out;     /* replay: OUT, or NULL */
	struct tf_prefix *left_nets; /* replay: --left-net, left_net_count of them */
	uint32_t left_net_count;
	char **tests; /* test: test_count scenario files */
	int test_count;
	char **words; /* tf_options_parse's own */
	const char *junit; /* test: --junit FILE, or NULL */
	const char *only;  /* test: --only NAME, or NULL */
	int hide;	   /* test: --hide */
	int side;	      /* enter: TF_LEFT or TF_RIGHT */
	int lab_pid;	      /* enter: --lab PID, 0: the only one */
	char **command_argv;  /* lab, enter: what stands behind --, NULL-terminated; NULL: a shell */
};

/*
 * Reads argv. 0, or TF_EOPTION with a sentence: the word at fault, what is allowed, and where help
 * is. Strings point into argv. Free with tf_options_free in either case.
 */
int tf_options_parse(struct tf_options *options, int argc, char **argv, struct tf_error *error);
void tf_options_free(struct tf_options *options);

/* The text of --help. */
extern const char tf_options_help[];

#endif
