#include "stage.h"

#include <stdlib.h>
#include <string.h>

#include "device/memory.h"
#include "guard.h"
#include "pipeline.h"

#define NOTE_MAX 16384 /* bytes of a note that are kept */
#define QUEUE 65536 /* packets that a scenario may let come out before it looks */

struct tf_stage {
	struct tf_options options;
	struct tf_script *script;
	struct tf_device *device[2];
	struct tf_pipeline *pipeline;
	double now; /* seconds */
	int stopped;
	struct tf_note notes[TF_NOTES]; /* note_count of them, with texts of malloc */
	uint32_t note_count;
};

static void add_note(struct tf_stage *stage, int error, const char *text, size_t length)
{
	char *copy;

	if (length > NOTE_MAX)
		length = NOTE_MAX;
	copy = stage->note_count < TF_NOTES ? malloc(length + 1) : NULL;
	if (copy == NULL)
		return;
	memcpy(copy, text, length);
	copy[length] = '\0';
	stage->notes[stage->note_count++] = (struct tf_note){copy, error};
}

static void on_log(void *arg, const char *line, size_t length)
{
	add_note(arg, 0, line, length);
}

static void on_error(void *arg, const char *text)
{
	add_note(arg, 1, text, strlen(text));
}

/* Memory devices stay. */
static void on_gone(void *arg, struct tf_device *device, int code)
{
	(void)arg;
	(void)device;
	(void)code;
}

static int open_devices(struct tf_stage *stage, uint8_t link, struct tf_error *error)
{
	struct tf_device_spec spec = {
		.kind = "memory", .queue = QUEUE, .netns_fd = -1, .link = link};
	int err = 0;

	for (int side = TF_LEFT; side <= TF_RIGHT && err == 0; side++) {
		spec.mtu = stage->options.device[side].mtu;
		strcpy(spec.name, side == TF_LEFT ? "left" : "right");
		err = tf_device_open(&stage->device[side], &spec, error);
	}
	return err;
}

static int start_script(struct tf_stage *stage, uint8_t link, struct tf_error *error)
{
	struct tf_pipeline_config config = {
		.verbose = stage->options.verbose, .offline = 1, .gone = on_gone};
	struct tf_listener listener = {on_log, on_error, stage};
	struct tf_side sides[2];
	int err;

	err = tf_script_create(&stage->script, &stage->options, error);
	if (err < 0)
		return err;
	tf_script_offline(stage->script, 0);
	tf_script_listen(stage->script, &listener);
	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		sides[side] = (struct tf_side){stage->device[side]->name, "memory",
					       stage->device[side]->mtu};
		config.device[side] = stage->device[side];
	}
	err = tf_script_load(stage->script, sides, link, error);
	if (err < 0)
		return err;
	config.script = stage->script;
	err = tf_pipeline_create(&stage->pipeline, &config);
	if (err < 0)
		return tf_error_set(error, err, "out of memory");
	err = tf_script_start(stage->script, error);
	if (err < 0)
		return err;
	tf_pipeline_tick(stage->pipeline); /* what on_start sent */
	return 0;
}

int tf_stage_create(struct tf_stage **out, const struct tf_options *options, uint8_t link,
		    struct tf_error *error)
{
	struct tf_stage *stage = calloc(1, sizeof(*stage));
	int err;

	if (stage == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	stage->options = *options;
	err = open_devices(stage, link, error);
	if (err == 0)
		err = start_script(stage, link, error);
	if (err < 0) {
		tf_stage_destroy(stage);
		return err;
	}
	*out = stage;
	return 0;
}

int tf_stage_inject(struct tf_stage *stage, int side, const void *bytes, uint32_t len)
{
	int err;

	tf_memory_clock(stage->device[side], (int64_t)(stage->now * 1e9 + 0.5));
	err = tf_memory_inject(stage->device[side], bytes, len);
	if (err == 0)
		tf_pipeline_pump(stage->pipeline, side);
	return err;
}

uint32_t tf_stage_take(struct tf_stage *stage, int side, void *bytes, double *time)
{
	uint32_t len = tf_memory_take(stage->device[side], bytes);

	*time = (double)tf_memory_taken(stage->device[side]) / 1e9;
	return len;
}

void tf_stage_advance(struct tf_stage *stage, double seconds)
{
	stage->now += seconds;
	tf_pipeline_advance(stage->pipeline, stage->now);
}

double tf_stage_now(const struct tf_stage *stage)
{
	return stage->now;
}

void tf_stage_stop(struct tf_stage *stage)
{
	if (stage->stopped)
		return;
	stage->stopped = 1;
	tf_script_stop(stage->script, TF_GUARD_PATIENCE);
	tf_pipeline_tick(stage->pipeline); /* what on_stop sent */
}

uint64_t tf_stage_refused(struct tf_stage *stage)
{
	const struct tf_stats *stats = tf_pipeline_stats(stage->pipeline);
	uint64_t count = 0;

	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		count += stats->direction[side].invalid + stats->direction[side].lost;
	return count;
}

const struct tf_note *tf_stage_notes(const struct tf_stage *stage, uint32_t *count)
{
	*count = stage->note_count;
	return stage->notes;
}

void tf_stage_forget(struct tf_stage *stage)
{
	while (stage->note_count > 0)
		free(stage->notes[--stage->note_count].text);
}

void tf_stage_destroy(struct tf_stage *stage)
{
	if (stage == NULL)
		return;
	tf_pipeline_destroy(stage->pipeline);
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		if (stage->device[side] != NULL)
			tf_device_close(stage->device[side]);
	tf_script_destroy(stage->script);
	tf_stage_forget(stage);
	free(stage);
}
