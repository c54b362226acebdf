#include "classify.h"

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "predicate.h"
#include "segment.h"

enum { NEAR = 4, FEW = 4 };

/* A value, and the parts that its numbers fall into: the same for each test in one part. */
struct look {
	struct tf_value value;
	uint8_t exact;	 /* all tests are for equality: part i is points[i], part `count` the rest */
	uint32_t count;	 /* of points, rising; else part i is from points[i - 1] to below points[i] */
	uint32_t *points;
	uint32_t *table; /* of more than FEW exact ones: index + 1 by hash; 0: none */
	uint32_t shift;	 /* of the hash; the table has 2^(32 - shift) entries */
};

struct edge {
	struct state *to; /* NULL: free */
	uint32_t part;
};

/* What is known, and what is left to ask. Part count + 1 of a value: it cannot be had. */
struct state {
	const struct look *look;  /* what is asked next; NULL: nothing */
	struct state *near[NEAR]; /* by part; NULL: not made yet */
	struct edge *edges;	  /* for the other parts, by hash: edge_room of them, a power of 2 */
	uint32_t edge_count, edge_room;
	struct state *chain; /* in the same place of the table of states */
	uint32_t hash;
	uint32_t selected_count, open_count;
	uint32_t words[]; /* numbers of the selected, then the tests that are open */
};

struct tf_classifier {
	struct tf_graph graph;
	struct look *looks;   /* a value each; NULL before the first find */
	uint32_t *roots;      /* count first tests of programs */
	uint32_t *numbers;    /* their programs' */
	uint32_t count, room;
	struct state *start;  /* NULL: none is made */
	struct state **table; /* TABLE lists of states */
	size_t bytes;	      /* that states take */
	int failed;	      /* the looks could not be made */
	uint32_t *scratch;    /* 2 * count words */
};

#define TABLE 1024u

/* A packet as a program sees it. */
struct view {
	const uint8_t *bytes;
	uint32_t limit;	 /* bytes that can be read as they lie there; at most size */
	uint32_t size;
	uint32_t length; /* on the wire */
	struct tf_packet *packet;
};

static struct view view_of(struct tf_packet *packet, uint32_t prefix)
{
	struct view view = {.bytes = packet->data - prefix, .packet = packet};

	view.limit = view.size = packet->len + prefix;
	view.length = view.size + packet->missing;
	if (packet->flags & TF_CUT)
		view.limit = packet->payload;
	if (packet->flags & TF_PARTIAL && tf_checksum_offset(packet) < view.limit)
		view.limit = tf_checksum_offset(packet);
	return view;
}

/* Whether bytes that reach beyond the limit can be read; settles them if so. */
static int reveal(struct view *view, uint64_t at, uint32_t size)
{
	if (at + size > view->size)
		return 0;
	tf_settle_range(view->packet, (uint32_t)at, size);
	if (!(view->packet->flags & (TF_CUT | TF_PARTIAL)))
		view->limit = view->size;
	return 1;
}

static int evaluate(const struct tf_graph *graph, const struct tf_value *value, struct view *view,
		    uint32_t *result);

/* The values that are no plain fields. */
static int evaluate_rest(const struct tf_graph *graph, const struct tf_value *value,
			 struct view *view, uint32_t *result)
{
	uint32_t a, b;

	switch (value->form) {
	case TF_VALUE_CONST:
		*result = value->at;
		return 0;
	case TF_VALUE_LENGTH:
		*result = view->length;
		return 0;
	case TF_VALUE_ALU:
		if (evaluate(graph, &graph->values[value->a], view, &a) ||
		    evaluate(graph, &graph->values[value->b], view, &b))
			return -1;
		return tf_value_compute(value->op, a, b, result);
	}
	return -1;
}

/* What the value is for a packet: 0, or -1 if it cannot be had. */
static inline int evaluate(const struct tf_graph *graph, const struct tf_value *value,
			   struct view *view, uint32_t *result)
{
	uint64_t at = value->at;
	const uint8_t *bytes;
	uint32_t index;

	switch (value->form) {
	case TF_VALUE_FIELD:
		break;
	case TF_VALUE_BEHIND:
		if (value->base >= view->limit && !reveal(view, value->base, 1))
			return -1;
		at += (view->bytes[value->base] & 0xfu) * 4;
		break;
	case TF_VALUE_INDEX:
		if (evaluate(graph, &graph->values[value->a], view, &index))
			return -1;
		at += index;
		break;
	default:
		return evaluate_rest(graph, value, view, result);
	}
	if (at + value->size > view->limit && !reveal(view, at, value->size))
		return -1;
	bytes = view->bytes + at;
	if (value->size == 1)
		*result = bytes[0];
	else if (value->size == 2)
		*result = (uint32_t)bytes[0] << 8 | bytes[1];
	else
		*result = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
			  (uint32_t)bytes[2] << 8 | bytes[3];
	*result &= value->mask;
	return 0;
}

static inline uint32_t hash_word(uint32_t word)
{
	return word * 0x9e3779b1u;
}

/* Which of its parts a value's number is in. */
static inline uint32_t part_of(const struct look *look, uint32_t number)
{
	uint32_t low = 0, high = look->count;

	if (look->exact && look->count <= FEW) {
		while (low < look->count && look->points[low] != number)
			low++;
		return low;
	}
	if (look->exact) {
		uint32_t mask = UINT32_MAX >> look->shift;

		for (uint32_t i = hash_word(number) >> look->shift; look->table[i]; i = (i + 1) & mask)
			if (look->points[look->table[i] - 1] == number)
				return look->table[i] - 1;
		return look->count;
	}
	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (look->points[middle] <= number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The test behind this one, for a number in this part of its value. */
static uint32_t outcome(const struct look *look, const struct tf_test *test, uint32_t part)
{
	int holds;

	if (part > look->count)
		return TF_TEST_REJECT;
	if (look->exact)
		holds = part < look->count && look->points[part] == test->k;
	else if (test->least)
		holds = test->k == 0 || (part > 0 && look->points[part - 1] >= test->k);
	else
		holds = part > 0 ? look->points[part - 1] == test->k : test->k == 0;
	return holds ? test->yes : test->no;
}

struct tf_classifier *tf_classifier_create(void)
{
	return calloc(1, sizeof(struct tf_classifier));
}

static void forget_states(struct tf_classifier *classifier)
{
	for (uint32_t i = 0; classifier->table && i < TABLE; i++) {
		while (classifier->table[i]) {
			struct state *state = classifier->table[i];

			classifier->table[i] = state->chain;
			free(state->edges);
			free(state);
		}
	}
	classifier->start = NULL;
	classifier->bytes = 0;
}

void tf_classifier_destroy(struct tf_classifier *classifier)
{
	if (!classifier)
		return;
	forget_states(classifier);
	for (uint32_t i = 0; classifier->looks && i < classifier->graph.value_count; i++) {
		free(classifier->looks[i].points);
		free(classifier->looks[i].table);
	}
	free(classifier->looks);
	free(classifier->table);
	free(classifier->scratch);
	free(classifier->roots);
	free(classifier->numbers);
	tf_graph_free(&classifier->graph);
	free(classifier);
}

int tf_classifier_add(struct tf_classifier *classifier, const struct bpf_program *bpf,
		      uint32_t number)
{
	if (classifier->count == classifier->room) {
		uint32_t room = classifier->room ? classifier->room * 2 : 1;
		uint32_t *roots = realloc(classifier->roots, room * sizeof(*roots)), *numbers;

		if (!roots)
			return -1;
		classifier->roots = roots;
		numbers = realloc(classifier->numbers, room * sizeof(*numbers));
		if (!numbers)
			return -1;
		classifier->numbers = numbers;
		classifier->room = room;
	}
	classifier->roots[classifier->count] = TF_TEST_ACCEPT;
	classifier->numbers[classifier->count] = number;
	if (bpf && tf_graph_add(&classifier->graph, bpf, number, &classifier->roots[classifier->count]))
		return -1;
	classifier->count++;
	return 0;
}

static int compare_words(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int add_point(struct look *look, uint32_t *room, uint32_t point)
{
	if (look->count == *room) {
		uint32_t wanted = *room ? *room * 2 : 4;
		uint32_t *points = realloc(look->points, wanted * sizeof(*points));

		if (!points)
			return -1;
		look->points = points;
		*room = wanted;
	}
	look->points[look->count++] = point;
	return 0;
}

static int make_table(struct look *look)
{
	uint32_t mask;

	if (!look->exact || look->count <= FEW)
		return 0;
	look->shift = 31;
	while ((UINT32_MAX >> look->shift) + 1 < 2 * look->count)
		look->shift--;
	mask = UINT32_MAX >> look->shift;
	look->table = calloc((size_t)mask + 1, sizeof(*look->table));
	if (!look->table)
		return -1;
	for (uint32_t i = 0; i < look->count; i++) {
		uint32_t at = hash_word(look->points[i]) >> look->shift;

		while (look->table[at])
			at = (at + 1) & mask;
		look->table[at] = i + 1;
	}
	return 0;
}

/* The parts of every value, from all tests of it. */
static int make_looks(struct tf_classifier *classifier)
{
	struct tf_graph *graph = &classifier->graph;
	uint32_t *rooms = calloc(graph->value_count + 1, sizeof(*rooms));
	int status = -1;

	classifier->looks = calloc(graph->value_count + 1, sizeof(*classifier->looks));
	classifier->table = calloc(TABLE, sizeof(struct state *));
	classifier->scratch = malloc((2 * (size_t)classifier->count + 1) * sizeof(uint32_t));
	if (!rooms || !classifier->looks || !classifier->table || !classifier->scratch)
		goto out;
	for (uint32_t i = 0; i < graph->value_count; i++) {
		classifier->looks[i].value = graph->values[i];
		classifier->looks[i].exact = 1;
	}
	for (uint32_t i = TF_TEST_FIRST; i < graph->test_count; i++)
		if (graph->tests[i].least)
			classifier->looks[graph->tests[i].value].exact = 0;
	for (uint32_t i = TF_TEST_FIRST; i < graph->test_count; i++) {
		const struct tf_test *test = &graph->tests[i];
		struct look *look = &classifier->looks[test->value];

		if (add_point(look, &rooms[test->value], test->k))
			goto out;
		if (!look->exact && !test->least && test->k != UINT32_MAX &&
		    add_point(look, &rooms[test->value], test->k + 1))
			goto out;
	}
	for (uint32_t i = 0; i < graph->value_count; i++) {
		struct look *look = &classifier->looks[i];
		uint32_t kept = 0;

		if (look->count > 0)
			qsort(look->points, look->count, sizeof(*look->points), compare_words);
		for (uint32_t j = 0; j < look->count; j++)
			if (kept == 0 || look->points[kept - 1] != look->points[j])
				look->points[kept++] = look->points[j];
		look->count = kept;
		if (make_table(look))
			goto out;
	}
	status = 0;
out:
	free(rooms);
	return status;
}

/* The state that these words describe, made if it is new; NULL without memory. */
static struct state *state_of(struct tf_classifier *classifier, const uint32_t *words,
			      uint32_t selected_count, uint32_t open_count)
{
	const struct tf_test *tests = classifier->graph.tests;
	uint32_t count = selected_count + open_count, hash = selected_count, value = UINT32_MAX;
	size_t size = count * sizeof(*words);
	struct state *state;

	for (uint32_t i = 0; i < count; i++)
		hash = (hash ^ words[i]) * 0x01000193u;
	hash ^= hash >> 15;
	for (state = classifier->table[hash % TABLE]; state; state = state->chain)
		if (state->hash == hash && state->selected_count == selected_count &&
		    state->open_count == open_count && memcmp(state->words, words, size) == 0)
			return state;
	state = calloc(1, sizeof(*state) + size);
	if (!state)
		return NULL;
	/* Values are numbered as programs ask for them, so the lowest keeps programs together. */
	for (uint32_t i = selected_count; i < count; i++)
		if (tests[words[i]].value < value)
			value = tests[words[i]].value;
	if (open_count)
		state->look = &classifier->looks[value];
	state->selected_count = selected_count;
	state->open_count = open_count;
	memcpy(state->words, words, size);
	state->hash = hash;
	state->chain = classifier->table[hash % TABLE];
	classifier->table[hash % TABLE] = state;
	classifier->bytes += sizeof(*state) + size;
	return state;
}

static struct state *first_state(struct tf_classifier *classifier)
{
	uint32_t *selected = classifier->scratch, *open = selected + classifier->count;
	uint32_t selected_count = 0, open_count = 0;

	for (uint32_t i = 0; i < classifier->count; i++) {
		if (classifier->roots[i] == TF_TEST_ACCEPT)
			selected[selected_count++] = classifier->numbers[i];
		else if (classifier->roots[i] != TF_TEST_REJECT)
			open[open_count++] = classifier->roots[i];
	}
	memmove(selected + selected_count, open, open_count * sizeof(*open));
	return state_of(classifier, selected, selected_count, open_count);
}

/* Notes where a part of the state's value leads. 0, or -1 without memory. */
static int add_edge(struct tf_classifier *classifier, struct state *state, uint32_t part,
		    struct state *to)
{
	if (part < NEAR) {
		state->near[part] = to;
		return 0;
	}
	if (2 * state->edge_count >= state->edge_room) {
		uint32_t room = state->edge_room ? 2 * state->edge_room : 4;
		struct edge *edges = calloc(room, sizeof(*edges));

		if (!edges)
			return -1;
		for (uint32_t i = 0; i < state->edge_room; i++) {
			uint32_t at = state->edges[i].part & (room - 1);

			if (!state->edges[i].to)
				continue;
			while (edges[at].to)
				at = (at + 1) & (room - 1);
			edges[at] = state->edges[i];
		}
		classifier->bytes += (room - state->edge_room) * sizeof(*edges);
		free(state->edges);
		state->edges = edges;
		state->edge_room = room;
	}
	for (uint32_t at = part;; at++) {
		struct edge *edge = &state->edges[at & (state->edge_room - 1)];

		if (edge->to)
			continue;
		*edge = (struct edge){to, part};
		state->edge_count++;
		return 0;
	}
}

/* Where a part of the state's value leads, for the first time; NULL without memory. */
static struct state *advance(struct tf_classifier *classifier, struct state *state, uint32_t part)
{
	const struct tf_test *tests = classifier->graph.tests;
	const struct look *look = state->look;
	uint32_t value = (uint32_t)(look - classifier->looks), count = state->selected_count, open = 0;
	uint32_t *words = classifier->scratch, *left = words + classifier->count;
	const uint32_t *asked = state->words + count;
	struct state *to;

	memcpy(words, state->words, count * sizeof(*words));
	for (uint32_t i = 0; i < state->open_count; i++) {
		uint32_t test = asked[i], program = tests[test].program;

		while (test >= TF_TEST_FIRST && tests[test].value == value)
			test = outcome(look, &tests[test], part);
		if (test >= TF_TEST_FIRST) {
			left[open++] = test;
		} else if (test == TF_TEST_ACCEPT) {
			uint32_t at = count++;

			for (; at > 0 && words[at - 1] > program; at--)
				words[at] = words[at - 1];
			words[at] = program;
		}
	}
	memmove(words + count, left, open * sizeof(*left));
	to = state_of(classifier, words, count, open);
	return to && !add_edge(classifier, state, part, to) ? to : NULL;
}

static inline struct state *follow(const struct state *state, uint32_t part)
{
	if (part < NEAR)
		return state->near[part];
	for (uint32_t at = part; state->edge_room; at++) {
		const struct edge *edge = &state->edges[at & (state->edge_room - 1)];

		if (!edge->to || edge->part == part)
			return edge->to;
	}
	return NULL;
}

/* What the first find of all, or the first since there were too many states, has to make. */
static int begin(struct tf_classifier *classifier)
{
	if (!classifier->looks)
		classifier->failed = make_looks(classifier);
	if (classifier->failed)
		return -1;
	if (classifier->bytes > TF_CLASSIFIER_BYTES)
		forget_states(classifier);
	if (!classifier->start)
		classifier->start = first_state(classifier);
	return classifier->start ? 0 : -1;
}

int tf_classifier_find(struct tf_classifier *classifier, struct tf_packet *packet, uint32_t prefix,
		       struct tf_selected *selected)
{
	struct view view = view_of(packet, prefix);
	struct state *state = classifier->start;
	uint32_t number, part;

	if (!state || classifier->bytes > TF_CLASSIFIER_BYTES) {
		if (begin(classifier))
			return -1;
		state = classifier->start;
	}
	while (state->look) {
		struct state *next;

		if (evaluate(&classifier->graph, &state->look->value, &view, &number))
			part = state->look->count + 1;
		else
			part = part_of(state->look, number);
		next = follow(state, part);
		if (!next)
			next = advance(classifier, state, part);
		if (!next)
			return -1;
		state = next;
	}
	selected->count = state->selected_count;
	selected->numbers = state->words;
	return 0;
}
