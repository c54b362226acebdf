#include "system.h"

#include <fcntl.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char tf_system_null[] = "/dev/null";
const int tf_system_table_signal = SIGUSR1;

int tf_system_run(int (*run)(int argc, char **argv), int argc, char **argv)
{
	/*
	 * The number of one that is closed would be a device's, for others to write to; libuv aborts over it. Standard
	 * output refuses what is written to it, as if it were closed.
	 */
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open(tf_system_null, fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) < 0)
			break;
	signal(SIGPIPE, SIG_IGN); /* a reader that goes is an error of the write */
	return run(argc, argv);
}

void tf_system_local_time(int64_t seconds, struct tm *tm)
{
	time_t time = (time_t)seconds;

	if (localtime_r(&time, tm) == NULL)
		memset(tm, 0, sizeof(*tm));
}

struct pcap *tf_system_open_capture(const void *bytes, size_t size, char *reason)
{
	FILE *file = fmemopen((void *)bytes, size, "rb");
	pcap_t *pcap;

	if (file == NULL) {
		snprintf(reason, PCAP_ERRBUF_SIZE, "out of memory");
		return NULL;
	}
	pcap = pcap_fopen_offline(file, reason);
	if (pcap == NULL)
		fclose(file);
	return pcap;
}

int tf_system_unblock(int fd)
{
	struct stat what;
	char path[32];
	int own;

	if (fstat(fd, &what) < 0 || S_ISREG(what.st_mode))
		return 1;
	/* O_NONBLOCK is what all have in common that were given this one: a shell, too. Opened anew it is ours alone. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own < 0)
		return 0;
	dup2(own, fd);
	close(own);
	return 1;
}

int tf_system_takes(int fd, int ms)
{
	struct pollfd out = {.fd = fd, .events = POLLOUT};

	return poll(&out, 1, ms) > 0;
}

int tf_system_link_folder(const char *path, char *folder, size_t size)
{
	char *real = realpath(path, NULL), *behind = real != NULL ? strrchr(real, '/') : NULL;
	const char *slash = strrchr(path, '/');
	struct stat here, there;
	int err = -1;

	snprintf(folder, size, "%.*s", slash != NULL ? (int)(slash - path) + 1 : 2, slash != NULL ? path : "./");
	if (behind != NULL && strlen(real) < size && stat(folder, &here) == 0) {
		behind[1] = '\0';
		if (stat(real, &there) == 0 && (here.st_ino != there.st_ino || here.st_dev != there.st_dev)) {
			strcpy(folder, real);
			err = 0;
		}
	}
	free(real);
	return err;
}
