#include "choose.h"

#include <stdlib.h>

#include "classify.h"

struct callback {
	struct tf_expression *expression;
	uint8_t from;
};

/* For the packets of one link type and side. */
struct group {
	uint16_t linktype; /* tf_expression_linktype's */
	uint8_t from;
	struct tf_classifier *classifier; /* NULL without memory: all of them are loose */
	uint32_t *loose; /* loose_count callbacks, rising, whose expressions are looked at one by one */
	uint32_t loose_count;
};

struct tf_choice {
	struct callback *callbacks;
	uint32_t count, room;
	struct group *groups;
	uint32_t group_count;
};

struct tf_choice *tf_choice_create(void)
{
	return calloc(1, sizeof(struct tf_choice));
}

static void free_group(struct group *group)
{
	tf_classifier_destroy(group->classifier);
	free(group->loose);
}

void tf_choice_destroy(struct tf_choice *choice)
{
	if (!choice)
		return;
	for (uint32_t i = 0; i < choice->group_count; i++)
		free_group(&choice->groups[i]);
	free(choice->groups);
	free(choice->callbacks);
	free(choice);
}

int tf_choice_add(struct tf_choice *choice, struct tf_expression *expression, uint8_t from)
{
	if (choice->count == choice->room) {
		uint32_t room = choice->room ? choice->room * 2 : 64;
		struct callback *callbacks = realloc(choice->callbacks, room * sizeof(*callbacks));

		if (!callbacks)
			return -1;
		choice->callbacks = callbacks;
		choice->room = room;
	}
	choice->callbacks[choice->count++] = (struct callback){expression, from};
	return 0;
}

static int takes_side(const struct callback *callback, uint8_t from)
{
	return callback->from == TF_FROM_ANY || callback->from == from;
}

/* Fills a new group. 0, or -1 without memory for the list of the loose ones. */
static int fill(struct tf_choice *choice, struct group *group)
{
	group->loose = malloc((choice->count + 1) * sizeof(*group->loose));
	group->classifier = tf_classifier_create();
	if (!group->loose)
		return -1;
	for (uint32_t i = 0; i < choice->count; i++) {
		const struct callback *callback = &choice->callbacks[i];
		const struct bpf_program *program = NULL;

		if (!takes_side(callback, group->from))
			continue;
		if (callback->expression) {
			program = tf_expression_program(callback->expression, group->linktype);
			if (!program)
				continue;
		}
		if (!group->classifier || tf_classifier_add(group->classifier, program, i + 1))
			group->loose[group->loose_count++] = i + 1;
	}
	return 0;
}

static struct group *group_for(struct tf_choice *choice, uint16_t linktype, uint8_t from)
{
	struct group *groups, *group;

	for (uint32_t i = 0; i < choice->group_count; i++)
		if (choice->groups[i].linktype == linktype && choice->groups[i].from == from)
			return &choice->groups[i];
	groups = realloc(choice->groups, (choice->group_count + 1) * sizeof(*groups));
	if (!groups)
		return NULL;
	choice->groups = groups;
	group = &groups[choice->group_count];
	*group = (struct group){.linktype = linktype, .from = from};
	if (fill(choice, group)) {
		free_group(group);
		return NULL;
	}
	choice->group_count++;
	return group;
}

static uint32_t first_above(const struct tf_selected *selected, uint32_t after)
{
	uint32_t low = 0, high = selected->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (selected->numbers[middle] <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low < selected->count ? selected->numbers[low] : 0;
}

/* One by one, where there is no memory for better. */
static uint32_t next_of_all(const struct tf_choice *choice, struct tf_packet *packet, uint32_t after)
{
	for (uint32_t i = after; i < choice->count; i++) {
		const struct callback *callback = &choice->callbacks[i];

		if (takes_side(callback, packet->from) &&
		    (!callback->expression || tf_expression_match(callback->expression, packet)))
			return i + 1;
	}
	return 0;
}

uint32_t tf_choice_next(struct tf_choice *choice, struct tf_packet *packet, uint32_t after)
{
	uint16_t linktype = tf_expression_linktype(packet);
	struct group *group = group_for(choice, linktype, packet->from);
	struct tf_selected selected = {0, NULL};
	uint32_t next;

	if (!group || (group->classifier &&
		       tf_classifier_find(group->classifier, packet, linktype ? packet->prefix : 0, &selected)))
		return next_of_all(choice, packet, after);
	next = first_above(&selected, after);
	for (uint32_t i = 0; i < group->loose_count; i++) {
		uint32_t number = group->loose[i];
		struct tf_expression *expression = choice->callbacks[number - 1].expression;

		if (number <= after || (next && number > next))
			continue;
		if (!expression || tf_expression_match(expression, packet))
			return number;
	}
	return next;
}
