#include "replay.h"

#include <stdio.h>
#include <unistd.h>
#include <uv.h>

#include "device/pcap.h"
#include "log.h"
#include "pipeline.h"
#include "script.h"

#define PROGRESS_NS 200000000 /* between two drawings of the bar */
#define BAR_WIDTH   40

struct progress {
	int shown;
	uint64_t last; /* uv_hrtime() of the last drawing */
};

static void no_device_goes(void *arg, struct tf_device *device, int code)
{
	/* The replay's own loop sees every code. */
	(void) arg;
	(void) device;
	(void) code;
}

/* On a terminal, for files of a known size that take longer than a moment. */
static void draw_progress(struct progress *progress, const struct tf_device *device)
{
	uint64_t now = uv_hrtime(), at, size;
	char line[128];
	int filled, n;

	if (progress->last == 0)
		progress->last = now;
	if (now - progress->last < PROGRESS_NS)
		return;
	progress->last = now;
	tf_pcap_progress(device, &at, &size);
	if (size == 0)
		return;
	if (at > size)
		at = size;
	filled = (int) (at * BAR_WIDTH / size);
	n = snprintf(line, sizeof(line), "\r[%.*s%*s] %3d%%", filled, "########################################",
		     BAR_WIDTH - filled, "", (int) (at * 100 / size));
	tf_log_write(line, (unsigned long) n);
	progress->shown = 1;
}

static void clear_progress(struct progress *progress)
{
	static const char blank[] = "\r\033[K";

	if (progress->shown)
		tf_log_write(blank, sizeof(blank) - 1);
}

static void list_callback(void *arg, const char *text)
{
	(void) arg;
	tf_log(TF_LOG_INFO, "callback  %s", text);
}

/* Every packet through the script, then the time that held packets need. 0, or a device's code. */
static int run(struct tf_pipeline *pipeline, const struct tf_device *device, int show_progress)
{
	struct progress progress = { 0 };
	int count;

	do {
		count = tf_pipeline_pump(pipeline, TF_LEFT);
		if (show_progress)
			draw_progress(&progress, device);
	} while (count > 0);
	clear_progress(&progress);
	tf_pipeline_drain(pipeline);
	return count;
}

int tf_command_replay(const struct tf_options *options)
{
	static const char *const names[2] = { "left", "right" };
	struct tf_pcap_config config = { options->capture_in, options->capture_out, options->left_nets,
					 options->left_net_count };
	struct tf_side sides[2] = { { names[0], "pcap", TF_IP_MAX }, { names[1], "pcap", TF_IP_MAX } };
	struct tf_pipeline_config parts = { .verbose = options->verbose, .offline = 1, .gone = no_device_goes };
	struct tf_error error = { 0 };
	struct tf_script *script = NULL;
	struct tf_device *device = NULL;
	struct tf_pipeline *pipeline = NULL;
	struct tf_capture *capture = NULL;
	int err, status;

	err = tf_script_create(&script, options, &error);
	if (err < 0)
		goto fail;
	tf_script_offline(script);
	err = tf_pcap_open(&device, &config, &error);
	if (err < 0)
		goto fail;
	err = tf_script_load(script, sides, device->link, &error);
	if (err < 0)
		goto fail;
	if (!options->quiet)
		tf_script_list(script, list_callback, NULL);
	if (options->capture != NULL) {
		err = tf_capture_start(&capture, options->capture, names, tf_pcap_linktype(device), 1, &error);
		if (err < 0)
			goto fail;
	}
	parts.capture = capture;
	parts.script = script;
	parts.device[TF_LEFT] = parts.device[TF_RIGHT] = device;
	err = tf_pipeline_create(&pipeline, &parts);
	if (err < 0) {
		tf_error_set(&error, err, "out of memory");
		goto fail;
	}
	err = tf_script_start(script, &error);
	if (err < 0)
		goto fail;

	err = run(pipeline, device, isatty(2) && !options->verbose && !options->quiet);
	tf_script_stop(script);
	tf_pipeline_tick(pipeline); /* what on_stop sent */
	status = TF_EXIT_OK;
	if (tf_pcap_finish(device) < 0 || err < 0) {
		tf_log(TF_LOG_ERROR, "%s", tf_pcap_error(device));
		status = TF_EXIT_SYSTEM;
	}
	if (tf_capture_stop(capture, &error) < 0) {
		tf_log(TF_LOG_ERROR, "%s", error.text);
		status = TF_EXIT_SYSTEM;
	}
	capture = NULL;
	if (tf_pcap_unseen(device) > 0)
		tf_log(TF_LOG_WARNING, "%llu packets, empty or longer than %d bytes, were passed on without the script",
		       (unsigned long long) tf_pcap_unseen(device), TF_PACKET_MAX);
	if (!options->quiet)
		tf_pipeline_print(pipeline);
	goto done;

fail:
	tf_log(TF_LOG_ERROR, "%s", error.text);
	status = tf_error_exit(err);
done:
	tf_capture_stop(capture, NULL);
	tf_pipeline_destroy(pipeline);
	if (device != NULL)
		tf_device_close(device);
	tf_script_destroy(script);
	return status;
}
