#include "watch_linux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES	    256
#define NAME_SIZE   1024
#define HAPPENINGS                                                                                   \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_MOVE_SELF | \
	 IN_DELETE_SELF | IN_ONLYDIR)

/* What tells one state of a file from another. */
struct print {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec written;
};

struct tf_watch {
	int fd;
	size_t count;
	struct {
		char name[NAME_SIZE];
		struct print print; /* all 0: it is not there */
		int filled;	    /* something was in it once */
	} files[FILES];
};

static struct print print_of(const char *name)
{
	struct print print;
	struct stat now;

	memset(&print, 0, sizeof(print));
	if (stat(name, &now) < 0)
		return print;
	print.device = now.st_dev;
	print.inode = now.st_ino;
	print.size = now.st_size;
	print.written = now.st_mtim;
	return print;
}

static int same(const struct print *a, const struct print *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->written.tv_sec == b->written.tv_sec && a->written.tv_nsec == b->written.tv_nsec;
}

struct tf_watch *tf_watch_create(void)
{
	struct tf_watch *watch = calloc(1, sizeof(*watch));

	if (watch != NULL && (watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) < 0) {
		free(watch);
		watch = NULL;
	}
	return watch;
}

void tf_watch_destroy(struct tf_watch *watch)
{
	if (watch == NULL)
		return;
	close(watch->fd);
	free(watch);
}

int tf_watch_fd(const struct tf_watch *watch)
{
	return watch->fd;
}

/* 0, or -1: it is not there. */
static int watch_folder(struct tf_watch *watch, const char *name)
{
	char folder[NAME_SIZE];
	char *slash;

	strcpy(folder, name);
	slash = strrchr(folder, '/');
	if (slash == NULL)
		strcpy(folder, ".");
	else
		slash[slash == folder] = '\0';
	/* One that cannot be watched goes without: SIGHUP does. */
	return inotify_add_watch(watch->fd, folder, HAPPENINGS) < 0 && errno == ENOENT ? -1 : 0;
}

/* Where the file is, and where a link leads: what it leads to is written there. */
static int watch_name(struct tf_watch *watch, const char *name)
{
	char real[4096];

	if (realpath(name, real) != NULL && strlen(real) < NAME_SIZE)
		watch_folder(watch, real);
	return watch_folder(watch, name);
}

static void add(struct tf_watch *watch, const char *name)
{
	for (size_t i = 0; i < watch->count; i++)
		if (strcmp(watch->files[i].name, name) == 0)
			return;
	if (watch->count == FILES || strlen(name) >= NAME_SIZE)
		return;
	strcpy(watch->files[watch->count].name, name);
	watch->files[watch->count].print = print_of(name);
	watch->files[watch->count].filled = watch->files[watch->count].print.size > 0;
	watch->count++;
	watch_name(watch, name);
}

void tf_watch_add(struct tf_watch *watch, const char *names, size_t size)
{
	for (size_t at = 0; at < size && names[at] != '\0';) {
		size_t length = strnlen(names + at, size - at);

		if (length == size - at)
			return;
		add(watch, names + at);
		at += length + 1;
	}
}

int tf_watch_changed(struct tf_watch *watch, int *lost)
{
	char happened[4096];
	int changed = 0;

	*lost = 0;

	while (read(watch->fd, happened, sizeof(happened)) > 0)
		;
	for (size_t i = 0; i < watch->count; i++) {
		struct print now = print_of(watch->files[i].name);

		changed |= !same(&now, &watch->files[i].print);
		watch->files[i].print = now;
		watch->files[i].filled |= now.size > 0;
		/* Another folder may have its name by now. */
		*lost |= watch_name(watch, watch->files[i].name) < 0;
	}
	return changed;
}

static int is_script(const char *name)
{
	size_t length = strlen(name);

	return length > 4 && strcmp(name + length - 4, ".lua") == 0;
}

const char *tf_watch_unfinished(const struct tf_watch *watch, const char *script)
{
	for (size_t i = 0; i < watch->count; i++) {
		const char *name = watch->files[i].name;
		struct print now = print_of(name);
		int first = strcmp(name, script) == 0;

		if (watch->files[i].filled && now.size == 0 && (first || (is_script(name) && now.inode != 0)))
			return name;
	}
	return NULL;
}
