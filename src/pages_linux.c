#include "pages.h"

#include <stdint.h>
#include <sys/mman.h>

#define LARGE ((uintptr_t)2 << 20)

void tf_pages_large(void *block, size_t size)
{
	uintptr_t start = ((uintptr_t)block + LARGE - 1) & ~(LARGE - 1), end = ((uintptr_t)block + size) & ~(LARGE - 1);

	if (start < end)
		madvise((void *)start, end - start, MADV_HUGEPAGE);
}
