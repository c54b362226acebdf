/* Large pages, for tables that are looked at here and there: each look is a walk through fewer of the processor's own. */
#ifndef TF_PAGES_H
#define TF_PAGES_H

#include <stddef.h>

/* Memory that was just allocated, and not written to, is to be in large pages where the system has them. No more than a wish. */
void tf_pages_large(void *block, size_t size);

#endif
