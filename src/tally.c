#include "tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "text.h"

/* A name of tf.counter's 40 bytes, each of which may be escaped as \x00. */
struct tf_tally_counter {
	char name[4 * 40 + 1];
	double value;
};

/* The table before: what had come in by then. */
static struct {
	struct tf_count in[2];
	double time; /* of uv_hrtime(), seconds; 0: there was none */
} last;

/* The counters of one script, while they are added. */
struct adding {
	struct tf_tally *tally;
	uint32_t next; /* where the next one stands, if this script has the same as the last */
};

static struct tf_tally_counter *find(struct tf_tally *tally, const char *name, uint32_t guess)
{
	struct tf_tally_counter *counters = tally->counters;

	if (guess < tally->count && !strcmp(counters[guess].name, name))
		return &counters[guess];
	for (uint32_t i = 0; i < tally->count; i++)
		if (!strcmp(counters[i].name, name))
			return &counters[i];
	if (tally->count == tally->room) {
		uint32_t room = 2 * tally->room + 16;

		counters = realloc(counters, room * sizeof(*counters));
		if (!counters)
			return NULL;
		tally->counters = counters;
		tally->room = room;
	}
	counters += tally->count++;
	snprintf(counters->name, sizeof(counters->name), "%s", name);
	counters->value = 0;
	return counters;
}

static void add_counter(void *arg, const char *name, double value)
{
	struct adding *adding = arg;
	struct tf_tally_counter *counter = find(adding->tally, name, adding->next++);

	if (counter)
		counter->value += value;
}

void tf_tally_add(struct tf_tally *tally, struct tf_pipeline *pipeline)
{
	struct adding adding = {tally, 0};

	tf_stats_add(&tally->stats, tf_pipeline_stats(pipeline));
	tf_script_counters(tf_pipeline_script(pipeline), add_counter, &adding);
}

void tf_tally_mark(const struct tf_tally *tally)
{
	for (int side = 0; side < 2; side++)
		last.in[side] = tally->stats.direction[side].in;
	last.time = (double)uv_hrtime() / 1e9;
}

void tf_tally_print(struct tf_tally *tally, int whole)
{
	double elapsed = (double)uv_hrtime() / 1e9 - tally->stats.started;
	char text[4096];
	size_t length;

	if (!whole && last.time > tally->stats.started) {
		memcpy(tally->stats.before, last.in, sizeof(last.in));
		tally->stats.since = last.time - tally->stats.started;
	}
	tf_tally_mark(tally);
	length = tf_stats_table(&tally->stats, "left", "right", elapsed, text, sizeof(text));
	tf_log_write(text, length);
	for (uint32_t i = 0; i < tally->count; i++) {
		int used = snprintf(text, sizeof(text), "counter  %-40s %.14g\n",
				    tally->counters[i].name, tally->counters[i].value);

		tf_text_clean(text, (size_t)used);
		tf_log_write(text, (unsigned long)used);
	}
}

void tf_tally_clear(struct tf_tally *tally)
{
	free(tally->counters);
	memset(tally, 0, sizeof(*tally));
}
