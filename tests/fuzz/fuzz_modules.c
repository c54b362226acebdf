/*
 * Every header accessor and every module, from Lua, on hostile packets: nothing throws.
 * Input: link type, then packets (on_stage.h).
 */
#include "on_stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz fuzz = {bytes, bytes + size};
	struct tf_options options;
	struct tf_error error = {0};
	struct tf_stage *stage = NULL;
	const struct tf_note *notes;
	uint32_t count;
	char *argv[] = {(char *)"tunfilter", (char *)"check", (char *)FUZZ_FOLDER "/modules.lua"};

	tf_log_setup(TF_LOG_ERROR, 0);
	if (tf_options_parse(&options, 3, argv, &error) < 0 ||
	    tf_stage_create(&stage, &options, (uint8_t)(fuzz_take(&fuzz, 1) % 2), &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		abort();
	}
	fuzz_packets(stage, &fuzz);
	tf_stage_advance(stage, 100);
	tf_stage_stop(stage);
	notes = tf_stage_notes(stage, &count);
	for (uint32_t i = 0; i < count; i++) {
		if (notes[i].error)
			fprintf(stderr, "%s\n", notes[i].text);
		fuzz_check(!notes[i].error, "no callback throws");
	}
	tf_stage_destroy(stage);
	tf_options_free(&options);
	return 0;
}
