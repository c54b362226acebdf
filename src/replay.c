#include "replay.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "capture_write.h"
#include "device/pcap.h"
#include "guard.h"
#include "interrupt.h"
#include "log.h"
#include "pipeline.h"
#include "privileges.h"
#include "script.h"
#include "tally.h"
#include "trial.h"
#include "user.h"

#define PROGRESS_NS 200000000 /* between two drawings of the bar */
#define BAR_WIDTH   40

struct replay {
	const struct tf_options *options;
	struct tf_script *script;
	struct tf_device *device; /* both sides */
	struct tf_capture *capture;
	int capture_file; /* of it, before it has begun; -1: none */
	struct tf_pipeline *pipeline;
	uint64_t drawn; /* uv_hrtime() of the last drawing of the bar, 0: there is none */
	int failed;	/* a code: OUT cannot be written, which has been said */
	int wants_right; /* a callback is for packets from the right only */
};

static void on_gone(void *arg, struct tf_device *device, int code)
{
	struct replay *replay = arg;

	replay->failed = code;
	tf_log(TF_LOG_ERROR, "%s", tf_pcap_error(device));
}

/* For files of a known size that take longer than a moment. */
static void draw_progress(struct replay *replay)
{
	uint64_t now = uv_hrtime(), at, size;
	char line[128];
	int filled;

	if (now - replay->drawn < PROGRESS_NS)
		return;
	replay->drawn = now;
	tf_pcap_progress(replay->device, &at, &size);
	if (size == 0)
		return;
	if (at > size)
		at = size;
	filled = (int)(at * BAR_WIDTH / size);
	snprintf(line, sizeof(line), "[%.*s%*s] %3d%%", filled,
		 "########################################", BAR_WIDTH - filled, "",
		 (int)(at * 100 / size));
	tf_log_transient(line);
}

static void list_callback(void *arg, const char *text)
{
	static const char from_right[] = ", from right";
	struct replay *replay = arg;
	size_t length = strlen(text), n = sizeof(from_right) - 1;

	replay->wants_right |= length > n && strcmp(text + length - n, from_right) == 0;
	tf_log(TF_LOG_INFO, "callback  %s", text);
}

/* IN as whoever we are, the others as whom the script will be; as tcpdump has it. */
static int open_files(struct replay *replay, struct tf_error *error)
{
	const struct tf_options *options = replay->options;
	struct tf_pcap_config config = {options->capture_in, options->capture_out,
					options->left_nets, options->left_net_count};
	int err = tf_pcap_open(&replay->device, &config, error);

	if (err < 0 || options->capture == NULL)
		return err;
	err = replay->capture_file = tf_capture_file(options->capture);
	if (err < 0)
		return tf_error_set(error, err, "--capture %s cannot be written%s: %s", options->capture, tf_user_text(),
				    uv_strerror(err));
	return tf_capture_prepare(&replay->capture, options->capture, NULL, tf_pcap_linktype(replay->device), 1,
				  error);
}

/* Its thread has the rights that are in force when it begins. */
static int begin_capture(struct replay *replay, struct tf_error *error)
{
	int file = replay->capture_file;

	replay->capture_file = -1;
	return replay->capture != NULL ? tf_capture_begin(replay->capture, file, NULL, error) : 0;
}

static int open_all(struct replay *replay, struct tf_error *error)
{
	const struct tf_options *options = replay->options;
	struct tf_side sides[2] = {{"left", "pcap", TF_IP_MAX}, {"right", "pcap", TF_IP_MAX}};
	struct tf_pipeline_config parts = {
		.verbose = options->verbose, .offline = 1, .gone = on_gone, .arg = replay};
	int err;

	err = open_files(replay, error);
	if (err == 0)
		err = tf_privileges_drop(options, error);
	if (err == 0)
		err = tf_script_create(&replay->script, options, error);
	if (err < 0)
		return err;
	tf_script_offline(replay->script, 1);
	tf_script_epoch(replay->script, tf_pcap_first(replay->device));
	err = tf_script_load(replay->script, sides, replay->device->link, error);
	if (err < 0)
		return err;
	tf_script_list(replay->script, list_callback, replay);
	err = begin_capture(replay, error);
	if (err < 0)
		return err;
	parts.capture = replay->capture;
	parts.script = replay->script;
	parts.device[TF_LEFT] = parts.device[TF_RIGHT] = replay->device;
	err = tf_pipeline_create(&replay->pipeline, &parts);
	if (err < 0)
		return tf_error_set(error, err, "out of memory");
	err = tf_script_start(replay->script, error);
	if (err == 0)
		tf_script_warn(replay->script);
	return err;
}

static void print_table(struct replay *replay)
{
	struct tf_tally tally = {0};

	tf_tally_add(&tally, replay->pipeline);
	tf_tally_print(&tally, 1);
	tf_tally_clear(&tally);
}

/* What the table does not say in words. */
static void last_lines(const struct replay *replay, const struct tf_stats *stats)
{
	const struct tf_direction *left = &stats->direction[TF_LEFT], *right = &stats->direction[TF_RIGHT];
	unsigned long long failed = left->errors.packets + right->errors.packets;

	if (failed > 0)
		tf_log(TF_LOG_WARNING, "a callback failed on %llu of %llu packets, which were %s (--on-error)", failed,
		       (unsigned long long)(left->in.packets + right->in.packets),
		       replay->options->on_error == TF_VERDICT_FORWARD ? "forwarded" : "dropped");
	if (replay->wants_right && left->in.packets > 0 && right->in.packets == 0)
		tf_log(TF_LOG_WARNING,
		       "no packet came from the right, for which there is a callback: --left-net NETWORK says whose "
		       "packets come from the left, and all others come from the right");
}

/* Every packet through the script, then the time that held packets need. The exit status. */
static int run(struct replay *replay)
{
	int show = isatty(STDERR_FILENO) && !replay->options->verbose && !replay->options->quiet;
	int count, err, status = TF_EXIT_OK;

	replay->drawn = uv_hrtime();
	do {
		count = tf_pipeline_pump(replay->pipeline, TF_LEFT);
		if (show)
			draw_progress(replay);
	} while (count > 0 && replay->failed == 0 && !tf_interrupted());
	tf_log_transient("");
	if (tf_interrupted()) {
		tf_log(TF_LOG_INFO, "interrupted: the rest of %s is not read",
		       replay->options->capture_in);
	} else if (count < 0 && replay->failed == 0) {
		tf_log(TF_LOG_ERROR, "%s", tf_pcap_error(replay->device));
		status = TF_EXIT_SYSTEM;
	}
	tf_pipeline_drain(replay->pipeline, tf_interrupted);
	tf_pipeline_give_up(replay->pipeline);
	tf_script_stop(replay->script, TF_GUARD_PATIENCE);
	tf_pipeline_tick(replay->pipeline); /* what on_stop sent */
	err = tf_pcap_finish(replay->device);
	if (err < 0 && replay->failed == 0)
		on_gone(replay, replay->device, err);
	if (replay->failed < 0)
		status = TF_EXIT_SYSTEM;
	if (tf_capture_stop(replay->capture) < 0)
		status = TF_EXIT_SYSTEM;
	replay->capture = NULL;
	if (tf_pcap_unseen(replay->device) > 0)
		tf_log(TF_LOG_WARNING,
		       "%llu packets, empty or longer than %d bytes, were passed on without the "
		       "script",
		       (unsigned long long)tf_pcap_unseen(replay->device), TF_PACKET_MAX);
	if (!replay->options->quiet)
		print_table(replay);
	last_lines(replay, tf_pipeline_stats(replay->pipeline));
	return status;
}

int tf_command_replay(const struct tf_options *options)
{
	struct replay replay = {.options = options, .capture_file = -1};
	struct tf_error error = {0};
	int err, status;

	tf_interrupt_catch();
	status = tf_trial_read(options);
	if (status != TF_EXIT_OK)
		return status;
	tf_guard_alarm(options->time_limit, NULL);
	err = open_all(&replay, &error);
	if (err == 0) {
		status = run(&replay);
	} else {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		status = tf_error_exit(err);
	}
	tf_capture_stop(replay.capture);
	if (replay.capture_file >= 0)
		tf_capture_file_close(replay.capture_file);
	tf_pipeline_destroy(replay.pipeline);
	if (replay.device != NULL)
		tf_device_close(replay.device);
	tf_script_destroy(replay.script);
	return status;
}
