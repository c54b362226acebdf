/*
 * In front of the program (LD_PRELOAD): of all memory that one of its processes asks for, whoever in it asks, the
 * system refuses the Nth request, and those after it up to the Mth. TF_REFUSE is "WHO:N:M": WHO is "0" for the process
 * that was started, "01" for its first child (by fork), "012" for the second one of that. A refusal is told on standard
 * error.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic long asked;
static long first, last; /* 0: nothing is refused */
static char who[16], self[16] = "0";
static int children, told;

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void *(*next_mmap)(void *, size_t, int, int, int, off_t);
static void *(*next_mremap)(void *, size_t, size_t, int, ...);

/* What dlsym asks for while it is asked for calloc. */
static char early[65536];
static size_t early_used;

static void count_child(void)
{
	children++;
}

static void begin_child(void)
{
	size_t depth = strlen(self);

	if (depth + 1 < sizeof(self))
		self[depth] = (char)('0' + (children < 9 ? children : 9));
	children = 0;
	asked = 0;
}

static void find_next(void)
{
	next_malloc = dlsym(RTLD_NEXT, "malloc");
	next_realloc = dlsym(RTLD_NEXT, "realloc");
	next_calloc = dlsym(RTLD_NEXT, "calloc");
	next_mmap = dlsym(RTLD_NEXT, "mmap");
	next_mremap = dlsym(RTLD_NEXT, "mremap");
}

__attribute__((constructor)) static void begin(void)
{
	const char *what = getenv("TF_REFUSE");

	if (what == NULL || sscanf(what, "%15[0-9]:%ld:%ld", who, &first, &last) != 3)
		return;
	unsetenv("LD_PRELOAD"); /* what it starts has all it wants */
	pthread_atfork(count_child, NULL, begin_child);
}

static int refused(void)
{
	static const char text[] = "refused\n";
	long n;

	if (first <= 0 || strcmp(who, self) != 0)
		return 0;
	n = atomic_fetch_add(&asked, 1) + 1;
	if (n < first || n > last)
		return 0;
	if (!told++ && write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		return 1;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	if (next_malloc == NULL)
		find_next();
	return refused() ? NULL : next_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	if (next_calloc == NULL) {
		void *block = early + early_used;

		early_used += (count * size + 15) & ~(size_t)15;
		if (early_used > sizeof(early))
			abort();
		return block;
	}
	return refused() ? NULL : next_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
	if (next_realloc == NULL)
		find_next();
	return refused() ? NULL : next_realloc(block, size);
}

void free(void *block)
{
	static void (*next_free)(void *);

	if ((char *)block >= early && (char *)block < early + sizeof(early))
		return;
	if (next_free == NULL)
		next_free = dlsym(RTLD_NEXT, "free");
	next_free(block);
}

void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
	if (next_mmap == NULL)
		find_next();
	return refused() ? MAP_FAILED : next_mmap(address, size, protection, flags, file, offset);
}

void *mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
	return mmap(address, size, protection, flags, file, offset);
}

void *mremap(void *address, size_t before, size_t after, int flags, ...)
{
	va_list more;
	void *where;

	va_start(more, flags);
	where = flags & MREMAP_FIXED ? va_arg(more, void *) : NULL;
	va_end(more);
	if (next_mremap == NULL)
		find_next();
	if (after > before && refused())
		return MAP_FAILED;
	return next_mremap(address, before, after, flags, where);
}
