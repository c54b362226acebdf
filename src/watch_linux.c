#include "watch_linux.h"

#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES	    256
#define NAME_SIZE   1024
#define HAPPENINGS  (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_ONLYDIR)

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

static void watch_folder(struct tf_watch *watch, const char *name)
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
	inotify_add_watch(watch->fd, folder, HAPPENINGS);
}

static void add(struct tf_watch *watch, const char *name)
{
	char real[4096];

	for (size_t i = 0; i < watch->count; i++)
		if (strcmp(watch->files[i].name, name) == 0)
			return;
	if (watch->count == FILES || strlen(name) >= NAME_SIZE)
		return;
	strcpy(watch->files[watch->count].name, name);
	watch->files[watch->count++].print = print_of(name);
	watch_folder(watch, name);
	/* What a link leads to is written where it lies. */
	if (realpath(name, real) != NULL && strlen(real) < NAME_SIZE)
		watch_folder(watch, real);
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

int tf_watch_changed(struct tf_watch *watch)
{
	char happened[4096];
	int changed = 0;

	while (read(watch->fd, happened, sizeof(happened)) > 0)
		;
	for (size_t i = 0; i < watch->count; i++) {
		struct print now = print_of(watch->files[i].name);

		changed |= !same(&now, &watch->files[i].print);
		watch->files[i].print = now;
	}
	return changed;
}
