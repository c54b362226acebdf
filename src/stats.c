#include "stats.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "packet.h"
#include "text.h"

/*
 * A row's name, then packets and bytes of each direction, each in a column with a space before it:
 * 79 characters while numbers have at most 13 and 17 digits. Longer ones widen their line.
 */
enum { NAME_WIDTH = 15, PACKETS_WIDTH = 13, BYTES_WIDTH = 17 };
enum { TITLE_MAX = PACKETS_WIDTH + 1 + BYTES_WIDTH };

/* Copies a device's name as printable ASCII; one of more than max characters ends in "~". */
static void add_name(struct tf_text *text, const char *name, size_t max)
{
	size_t length = strlen(name), i;

	for (i = 0; i < length && i < max; i++) {
		char c = name[i];

		if (i == max - 1 && length > max)
			c = '~';
		else if (c <= ' ' || c > '~')
			c = '?';
		tf_text_add(text, "%c", c);
	}
}

static void add_title(struct tf_text *text, const char *from, const char *to)
{
	static const char arrow[] = " > ";
	size_t room = TITLE_MAX - strlen(arrow);
	size_t max = strlen(from) + strlen(to) <= room ? room : room / 2;
	char title[TITLE_MAX + 1];
	struct tf_text part;

	tf_text_begin(&part, title, sizeof(title));
	add_name(&part, from, max);
	tf_text_add(&part, "%s", arrow);
	add_name(&part, to, max);
	tf_text_add(text, " %*s", TITLE_MAX, title);
}

static const struct tf_count *count_at(const struct tf_stats *stats, int side, size_t offset)
{
	return (const struct tf_count *)((const char *)&stats->direction[side] + offset);
}

static void add_counts(struct tf_text *text, const char *name, const struct tf_stats *stats,
		       size_t offset)
{
	int side;

	tf_text_add(text, "%-*s", NAME_WIDTH, name);
	for (side = 0; side < 2; side++) {
		const struct tf_count *count = count_at(stats, side, offset);

		tf_text_add(text, " %*" PRIu64 " %*" PRIu64, PACKETS_WIDTH, count->packets,
			    BYTES_WIDTH, count->bytes);
	}
	tf_text_add(text, "\n");
}

/* A row of packets whose bytes nobody counts. */
static void add_packets(struct tf_text *text, const char *name, uint64_t left, uint64_t right)
{
	if (left == 0 && right == 0)
		return;
	tf_text_add(text, "%-*s %*" PRIu64 " %*s %*" PRIu64 " %*s\n", NAME_WIDTH, name,
		    PACKETS_WIDTH, left, BYTES_WIDTH, "-", PACKETS_WIDTH, right, BYTES_WIDTH, "-");
}

static void add_rates(struct tf_text *text, const struct tf_stats *stats, double elapsed)
{
	double seconds = elapsed > stats->since ? elapsed - stats->since : elapsed;

	tf_text_add(text, "%-*s", NAME_WIDTH, "in/s");
	for (int side = 0; side < 2; side++) {
		const struct tf_count *in = &stats->direction[side].in, *before = &stats->before[side];

		tf_text_add(text, " %*.0f %*.0f", PACKETS_WIDTH, (double)(in->packets - before->packets) / seconds,
			    BYTES_WIDTH, (double)(in->bytes - before->bytes) / seconds);
	}
	tf_text_add(text, "\n%-*s %*.1f\n", NAME_WIDTH, "seconds", PACKETS_WIDTH, elapsed);
}

static void add_count(struct tf_count *sum, const struct tf_count *one)
{
	sum->packets += one->packets;
	sum->bytes += one->bytes;
}

static uint64_t left_over(uint64_t in, uint64_t rest)
{
	return in > rest ? in - rest : 0;
}

void tf_stats_settle(struct tf_stats *stats)
{
	if (!(stats->number >= 0 && stats->number < 0x1p53)) /* whoever had these was out of its mind */
		stats->number = 0;
	for (int side = 0; side < 2; side++) {
		struct tf_direction *d = &stats->direction[side];
		const struct tf_count *parts[] = {&d->forwarded, &d->dropped, &d->replied, &d->held, &d->errors};
		struct tf_count judged = {0, 0};

		d->in.packets += d->waiting.packets;
		d->in.bytes += d->waiting.bytes;
		d->waiting = judged;
		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
			judged.packets += parts[i]->packets;
			judged.bytes += parts[i]->bytes;
		}
		if (d->in.packets <= judged.packets)
			continue;
		d->errors.packets += d->in.packets - judged.packets;
		d->errors.bytes += left_over(d->in.bytes, judged.bytes); /* scripts change lengths */
	}
}

void tf_stats_add(struct tf_stats *sum, const struct tf_stats *one)
{
	for (int side = 0; side < 2; side++) {
		struct tf_direction *to = &sum->direction[side];
		const struct tf_direction *from = &one->direction[side];

		add_count(&to->in, &from->in);
		add_count(&to->forwarded, &from->forwarded);
		add_count(&to->dropped, &from->dropped);
		add_count(&to->replied, &from->replied);
		add_count(&to->held, &from->held);
		add_count(&to->errors, &from->errors);
		add_count(&to->sent, &from->sent);
		add_count(&to->malformed, &from->malformed);
		to->invalid += from->invalid;
		to->lost += from->lost;
		to->kernel_dropped += from->kernel_dropped;
		to->crowded += from->crowded;
	}
	sum->callback_errors += one->callback_errors;
	if (sum->started == 0 || one->started < sum->started)
		sum->started = one->started;
}

size_t tf_stats_table(const struct tf_stats *stats, const char *left, const char *right,
		      double elapsed, char *text, size_t size)
{
	static const struct {
		const char *name;
		size_t offset;
		int always; /* shown even if it is 0 in both directions */
	} rows[] = {
		{"in", offsetof(struct tf_direction, in), 1},
		{"forwarded", offsetof(struct tf_direction, forwarded), 1},
		{"dropped", offsetof(struct tf_direction, dropped), 1},
		{"replied", offsetof(struct tf_direction, replied), 0},
		{"held", offsetof(struct tf_direction, held), 0},
		{"errors", offsetof(struct tf_direction, errors), 0},
		{"sent", offsetof(struct tf_direction, sent), 0},
		{"malformed", offsetof(struct tf_direction, malformed), 0},
	};
	const struct tf_direction *there = &stats->direction[TF_LEFT];
	const struct tf_direction *back = &stats->direction[TF_RIGHT];
	struct tf_text table;
	size_t i;

	tf_text_begin(&table, text, size);
	tf_text_add(&table, "%-*s", NAME_WIDTH, "direction");
	add_title(&table, left, right);
	add_title(&table, right, left);
	tf_text_add(&table, "\n%-*s", NAME_WIDTH, "");
	for (i = 0; i < 2; i++)
		tf_text_add(&table, " %*s %*s", PACKETS_WIDTH, "packets", BYTES_WIDTH, "bytes");
	tf_text_add(&table, "\n");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].always || count_at(stats, TF_LEFT, rows[i].offset)->packets > 0 ||
		    count_at(stats, TF_RIGHT, rows[i].offset)->packets > 0)
			add_counts(&table, rows[i].name, stats, rows[i].offset);
	add_packets(&table, "invalid", there->invalid, back->invalid);
	add_packets(&table, "lost", there->lost, back->lost);
	add_packets(&table, "kernel-dropped", there->kernel_dropped + there->crowded,
		    back->kernel_dropped + back->crowded);
	if (elapsed > 0)
		add_rates(&table, stats, elapsed);
	if (stats->callback_errors > 0)
		tf_text_add(&table, "%-*s %*" PRIu64 "\n", NAME_WIDTH, "callback-errors",
			    PACKETS_WIDTH, stats->callback_errors);
	return table.len;
}
