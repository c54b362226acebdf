#include "owned.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "allocator.h"

/* Before each block. */
struct head {
	alignas(max_align_t) struct tf_allocator *owner; /* NULL: nobody counts */
	size_t size;
};

static void *begin(struct head *head, struct tf_allocator *owner, size_t size)
{
	if (head == NULL) {
		tf_allocator_count(owner, size, 0);
		return NULL;
	}
	head->owner = owner;
	head->size = size;
	return head + 1;
}

void *tf_owned_malloc(size_t size)
{
	struct tf_allocator *owner = tf_allocator_in_use();

	tf_allocator_count(owner, 0, size);
	return begin(malloc(sizeof(struct head) + size), owner, size);
}

void *tf_owned_calloc(size_t count, size_t size)
{
	struct tf_allocator *owner = tf_allocator_in_use();

	if (size != 0 && count > (SIZE_MAX - sizeof(struct head)) / size)
		return NULL;
	tf_allocator_count(owner, 0, count * size);
	return begin(calloc(1, sizeof(struct head) + count * size), owner, count * size);
}

void tf_owned_add(void *block, size_t more)
{
	struct head *head = (struct head *)block - 1;

	tf_allocator_count(head->owner, 0, more);
	head->size += more;
}

void tf_owned_free(void *block)
{
	struct head *head;

	if (block == NULL)
		return;
	head = (struct head *)block - 1;
	tf_allocator_count(head->owner, head->size, 0);
	free(head);
}
