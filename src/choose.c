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
	/* Of the last packet that was looked at, until it is edited; group: NULL without memory. */
	const struct tf_packet *packet;
	const struct group *group;
	struct tf_selected selected;
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
	if (choice->count == TF_CHOICE_MAX)
		return -1;
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

/* The index of the first number above. */
static uint32_t place_above(const struct tf_selected *selected, uint32_t after)
{
	uint32_t low = 0, high = selected->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (selected->numbers[middle] <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint32_t bit_of(uint32_t number)
{
	return 1u << (number - 1) % TF_CHOICE_BLOCK;
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

/* Looks at a packet as it now is. */
static void look(struct tf_choice *choice, struct tf_packet *packet)
{
	uint16_t linktype = tf_expression_linktype(packet);
	struct group *group = group_for(choice, linktype, packet->from);

	choice->selected = (struct tf_selected){0, NULL};
	if (group && group->classifier &&
	    tf_classifier_find(group->classifier, packet, linktype ? packet->prefix : 0, &choice->selected))
		group = NULL;
	choice->packet = packet;
	choice->group = group;
	packet->flags &= (uint8_t)~TF_CHANGED;
}

uint32_t tf_choice_next(struct tf_choice *choice, struct tf_packet *packet, uint32_t after, uint32_t *mask)
{
	const struct tf_selected *selected = &choice->selected;
	const struct group *group;
	uint32_t next = 0, place;

	if (after == 0 || packet != choice->packet || packet->flags & TF_CHANGED)
		look(choice, packet);
	group = choice->group;
	if (!group) {
		next = next_of_all(choice, packet, after);
		*mask = next ? bit_of(next) : 0;
		return next;
	}
	place = place_above(selected, after);
	*mask = 0;
	if (place < selected->count)
		next = selected->numbers[place];
	for (uint32_t i = 0; i < group->loose_count; i++) {
		uint32_t number = group->loose[i];
		struct tf_expression *expression = choice->callbacks[number - 1].expression;

		if (number <= after || (next && number > next))
			continue;
		if (!expression || tf_expression_match(expression, packet)) {
			next = number;
			break;
		}
	}
	if (!next)
		return 0;
	*mask = bit_of(next);
	for (; !group->loose_count && place < selected->count; place++) {
		uint32_t number = selected->numbers[place];

		if ((number - 1) / TF_CHOICE_BLOCK != (next - 1) / TF_CHOICE_BLOCK)
			break;
		*mask |= bit_of(number);
	}
	return next;
}
