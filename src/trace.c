#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "describe.h"
#include "log.h"
#include "parse.h"
#include "system.h"

#define LINE 512

struct tf_trace {
	char (*lines)[LINE]; /* one a packet of the batch: how it was when it was read */
};

static const char *const sides[] = { "left", "right" };

int tf_trace_create(struct tf_trace **out, uint32_t budget)
{
	struct tf_trace *trace = calloc(1, sizeof(*trace));

	if (trace == NULL)
		return UV_ENOMEM;
	trace->lines = calloc(budget, LINE);
	if (trace->lines == NULL) {
		free(trace);
		return UV_ENOMEM;
	}
	*out = trace;
	return 0;
}

void tf_trace_destroy(struct tf_trace *trace)
{
	if (trace == NULL)
		return;
	free(trace->lines);
	free(trace);
}

void tf_trace_before(struct tf_trace *trace, uint32_t i, const struct tf_packet *packet)
{
	tf_packet_describe(packet, trace->lines[i], LINE);
}

/* Prints "12:00:01.123456 from > to  text  word note", the word in a colour on a terminal. */
static void print(int64_t stamp, const char *from, const char *to, const char *text, const char *word,
		  const char *colour, const char *note)
{
	struct tm tm = { 0 };
	char line[2 * LINE];
	int length;

	tf_system_local_time(stamp / 1000000000, &tm);
	length = snprintf(line, sizeof(line), "%02d:%02d:%02d.%06d %5s > %-5s  %s  %s%s%s%s%s\n", tm.tm_hour,
			  tm.tm_min, tm.tm_sec, (int) (stamp % 1000000000 / 1000), from, to, text,
			  tf_log_colour() ? colour : "", word, tf_log_colour() ? "\033[0m" : "",
			  note[0] ? " by " : "", note);
	if (length >= (int) sizeof(line)) {
		length = sizeof(line) - 1;
		line[length - 1] = '\n';
	}
	tf_log_write(line, (unsigned long) length);
}

void tf_trace_after(struct tf_trace *trace, uint32_t i, const struct tf_packet *packet,
		    const struct tf_script *script)
{
	const char *from = sides[packet->from], *to = sides[!packet->from];
	const char *word = "drop", *colour = "\033[31m";
	char now[LINE];
	int goes_on = packet->verdict == TF_VERDICT_FORWARD || packet->verdict == TF_VERDICT_REPLY;

	if (packet->verdict == TF_VERDICT_FORWARD) {
		word = "forward";
		colour = "\033[32m";
	} else if (packet->verdict == TF_VERDICT_REPLY) {
		word = "reply";
		colour = "\033[36m";
	} else if (packet->verdict == TF_VERDICT_HOLD) {
		word = "hold";
		colour = "\033[33m";
	}
	if (packet->flags & TF_FAILED) {
		word = packet->verdict == TF_VERDICT_FORWARD ? "error, forward" : "error, drop";
		colour = "\033[35m";
	}
	print(packet->stamp, from, to, trace->lines[i], word, colour, tf_script_callback(script, packet->callback));
	if (!goes_on || !(packet->flags & TF_EDITED))
		return;
	tf_packet_describe(packet, now, sizeof(now));
	print(packet->stamp, "", packet->verdict == TF_VERDICT_REPLY ? from : to, now, "edited", "\033[33m", "");
}

void tf_trace_sent(struct tf_trace *trace, struct tf_packet *packet, int side)
{
	char text[LINE];

	(void) trace;
	tf_parse(packet);
	tf_packet_describe(packet, text, sizeof(text));
	print(packet->stamp, "", sides[side], text, "sent", "\033[34m", "");
}
