/* What a script was at when it did not come back, or crashed: said by a process that is about to end. */
#include <stdio.h>
#include <string.h>

#include "describe.h"
#include "script_state.h"

/* What runs outside of callbacks, in words. */
static const char *words_for(const char *doing)
{
	static const char *const words[][2] = {
		{"load", "its top level"},	   {"compile", "its top level"},
		{"on_start", "a function of tf.on_start"}, {"on_stop", "a function of tf.on_stop"},
		{"step", "a timer's function"},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(doing, words[i][0]) == 0)
			return words[i][1];
	return "the library";
}

static const char *dry;

void tf_script_dry(const char *packet)
{
	dry = packet;
}

void tf_script_last_words(struct tf_script *script, char *text, size_t size)
{
	const struct tf_context *context = &script->context;
	const struct tf_packet *packet = context->packet;
	const char *callback = tf_script_callback(script, context->callback);
	char line[512];
	size_t used;

	if (script->scenario != NULL) {
		snprintf(text, size, "%s: scenario '%.200s'", script->options->script, script->scenario);
		return;
	}
	if (script->doing == NULL) {
		snprintf(text, size, "%s", script->options->script);
		return;
	}
	if (*callback != '\0')
		snprintf(text, size, "%s", callback);
	else if (*script->doing != '\0')
		snprintf(text, size, "%s: %s", script->options->script, words_for(script->doing));
	else
		snprintf(text, size, "%s: between two callbacks", script->options->script);
	if (packet == NULL || context->batch == NULL)
		return;
	used = strlen(text);
	if (dry != NULL)
		snprintf(text + used, size - used, "\n\ton a dry run with %s", dry);
	else
		snprintf(text + used, size - used, "\n\tpacket %.0f from %s, %u bytes", packet->number,
			 packet->from == TF_LEFT ? "left" : "right", packet->len);
	/* What follows may fail where the packet was just being changed; then this much has been said. */
	tf_packet_describe(packet, line, sizeof(line));
	used = strlen(text);
	snprintf(text + used, size - used, ": %s", line);
	used = strlen(text);
	if (dry == NULL && !context->offline && context->batch->count > 1)
		snprintf(text + used, size - used, "\n\tlost with it, as they were read together: %u more",
			 context->batch->count - 1);
}

void tf_script_last_place(struct tf_script *script, char *text, size_t size)
{
	lua_Debug frame;

	text[0] = '\0';
	for (int level = 0; level < 32 && lua_getstack(script->L, level, &frame); level++) {
		lua_getinfo(script->L, "Sl", &frame);
		if (frame.currentline <= 0 || strncmp(frame.short_src, "[tunfilter]", 11) == 0)
			continue;
		snprintf(text, size, "%s:%d", frame.short_src, frame.currentline);
		return;
	}
}
