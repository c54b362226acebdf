#include "pages.h"

void tf_pages_large(void *block, size_t size)
{
	(void)block;
	(void)size;
}
