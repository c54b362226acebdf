#include "waiting.h"

#include "owned.h"

struct tf_waiting {
	uint32_t max, count;
	double due[]; /* a heap: the first is the earliest; count of max */
};

struct tf_waiting *tf_waiting_create(uint32_t max)
{
	struct tf_waiting *waiting = tf_owned_malloc(sizeof(*waiting) + max * sizeof(double));

	if (waiting == NULL)
		return NULL;
	waiting->max = max;
	waiting->count = 0;
	return waiting;
}

void tf_waiting_destroy(struct tf_waiting *waiting)
{
	tf_owned_free(waiting);
}

static void remove_first(struct tf_waiting *waiting)
{
	double last = waiting->due[--waiting->count];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= waiting->count)
			break;
		if (child + 1 < waiting->count && waiting->due[child + 1] < waiting->due[child])
			child++;
		if (waiting->due[child] >= last)
			break;
		waiting->due[i] = waiting->due[child];
		i = child;
	}
	waiting->due[i] = last;
}

int tf_waiting_add(struct tf_waiting *waiting, double now, double due)
{
	uint32_t i;

	while (waiting->count > 0 && waiting->due[0] <= now)
		remove_first(waiting);
	if (waiting->count == waiting->max)
		return 0;
	for (i = waiting->count++; i > 0 && waiting->due[(i - 1) / 2] > due; i = (i - 1) / 2)
		waiting->due[i] = waiting->due[(i - 1) / 2];
	waiting->due[i] = due;
	return 1;
}
