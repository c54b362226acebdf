#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <uv.h>

#include "log.h"

static int open_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int tf_netns_open(const char *word, char *where, size_t where_size, struct tf_error *error)
{
	char path[512];
	int fd, is_pid = word[0] && strspn(word, "0123456789") == strlen(word);

	if (strchr(word, '/')) {
		snprintf(path, sizeof(path), "%s", word);
		snprintf(where, where_size, "namespace %s", word);
	} else {
		snprintf(path, sizeof(path), TF_NETNS_NAMES "/%s", word);
		snprintf(where, where_size, "namespace %s", word);
	}
	fd = open_path(path);
	if (fd == UV_ENOENT && is_pid) { /* `ip netns` too takes a number for a name first */
		snprintf(path, sizeof(path), "/proc/%s/ns/net", word);
		snprintf(where, where_size, "pid %s's namespace", word);
		fd = open_path(path);
		if (fd == UV_ENOENT)
			return tf_error_set(error, fd,
					    "no network namespace \"%s\": no process has "
					    "this pid, and `ip netns` has no such name",
					    word);
	}
	if (fd == UV_ENOENT)
		return tf_error_set(error, fd,
				    "no network namespace \"%s\": `ip netns list` shows the "
				    "names; a pid or a path works too",
				    word);
	if (fd == UV_EACCES || fd == UV_EPERM)
		return tf_error_set(error, fd,
				    "may not use the network namespace \"%s\": %s; it is "
				    "another user's, so try with sudo",
				    word, uv_strerror(fd));
	if (fd < 0)
		return tf_error_set(error, fd, "can't open the network namespace \"%s\" (%s): %s",
				    word, path, uv_strerror(fd));
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		close(fd);
		return tf_error_set(error, UV_EINVAL, "%s is not a network namespace", path);
	}
	return fd;
}

int tf_netns_enter(int fd, int *back, struct tf_error *error)
{
	int code;

	*back = open_path("/proc/self/ns/net");
	if (*back < 0)
		return tf_error_set(error, *back,
				    "can't open this process's network namespace "
				    "(/proc/self/ns/net): %s",
				    uv_strerror(*back));
	/* The first is where we are: it shows whether there is a way back before we go. */
	if (setns(*back, CLONE_NEWNET) == 0 && setns(fd, CLONE_NEWNET) == 0)
		return 0;
	code = -errno;
	close(*back);
	*back = -1;
	return tf_error_set(error, code, "can't enter the network namespace: %s%s",
			    uv_strerror(code), code == UV_EPERM ? "; that takes root (sudo)" : "");
}

void tf_netns_return(int back)
{
	if (setns(back, CLONE_NEWNET) < 0)
		tf_log(TF_LOG_ERROR, "can't return to the program's network namespace: %s",
		       uv_strerror(-errno));
	close(back);
}
