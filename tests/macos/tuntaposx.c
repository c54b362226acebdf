/*
 * A stand-in for TunTapOSX on Linux: a folder with its nodes tun0 to tun15 and tap0 to tap15, which
 * behave as that driver's source says they do on a Mac, for a program that is then run.
 *
 *   tuntaposx [--nodes N] [--fail NODE=ERROR]… [NODE=NETNS]… FOLDER -- COMMAND…
 *
 * Mounts the nodes on FOLDER, for COMMAND alone to see, and becomes COMMAND, with TUNFILTER_DEVICES set
 * to FOLDER. --nodes: how many of each there are; --fail: opening this one answers EBUSY, EACCES, ENXIO
 * or EIO. NODE=NETNS: in which network namespace (a path) the node's interface is made; otherwise in
 * the one that COMMAND has. Status 77: this machine does not allow it, and why is on standard error.
 *
 * What is the same as there:
 * - Opening makes a network interface of the node's name, which is down; closing takes it away. Each
 *   read and write is one packet. A second open answers EBUSY.
 * - While the interface is down, reads and writes answer EIO. What was queued before stays queued.
 * - A read that is shorter than the packet loses the rest of it. A write that is longer than the MTU is
 *   cut, and says how much it took.
 * - Reads wait unless fcntl() said otherwise; O_NONBLOCK in open() does nothing.
 * - select() looks at the queue alone, and is not woken when the interface comes up. What comes when the
 *   queue is full is lost; it has 128 packets where that may be set.
 *
 * What is not: kqueue has no counterpart here, and poll() works. The interface is a TUN or TAP of Linux.
 */
#define FUSE_USE_VERSION 32
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UNITS = 16, NODES = 2 * UNITS, QUEUE = 128, LONGEST = 65600, NOT_ALLOWED = 77 };

struct node {
	char name[IFNAMSIZ];
	const char *netns; /* where its interface is made, NULL: where we are */
	int fail;	   /* errno that opening answers, or 0 */
	pthread_mutex_t lock;
	pthread_cond_t released;
	/* Under the lock: */
	int open;		     /* somebody has it open */
	int closing;		     /* a descriptor of it was closed; the last one's release follows */
	int open_flags;		     /* of open() */
	int fd;			     /* of the interface's queue, non-blocking */
	int control;		     /* a socket in the interface's namespace, for ioctls */
	struct fuse_pollhandle *ask; /* who waits in select(), or NULL */
};

static struct node nodes[NODES];
static int node_count = UNITS; /* of each family */
static int watch;	       /* epoll: the queues of those who wait in select() */
static int home;	       /* our own network namespace */

static _Noreturn void give_up(int status, const char *format, ...)
{
	va_list args;

	fputs("tuntaposx: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(status);
}

static struct node *find(const char *name)
{
	for (int i = 0; i < NODES; i++)
		if (!strcmp(nodes[i].name, name) && i % UNITS < node_count)
			return &nodes[i];
	return NULL;
}

static int is_tap(const struct node *node)
{
	return !strncmp(node->name, "tap", 3);
}

static struct ifreq request_of(const struct node *node)
{
	struct ifreq request = {0};

	memcpy(request.ifr_name, node->name, sizeof(request.ifr_name));
	return request;
}

/* 0, -EIO where the interface is down, or -ENXIO where it is no more. */
static int look(const struct node *node)
{
	struct ifreq request = request_of(node);

	if (ioctl(node->control, SIOCGIFFLAGS, &request) < 0)
		return -ENXIO;
	return request.ifr_flags & IFF_UP ? 0 : -EIO;
}

/* Makes the interface in the namespace where this thread is. */
static int make_here(struct node *node)
{
	struct ifreq request = request_of(node);

	node->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	node->control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	request.ifr_flags = (short)(IFF_NO_PI | (is_tap(node) ? IFF_TAP : IFF_TUN));
	if (node->fd < 0 || node->control < 0 || ioctl(node->fd, TUNSETIFF, &request) < 0)
		return -1;
	request = request_of(node);
	request.ifr_qlen = QUEUE;
	ioctl(node->control, SIOCSIFTXQLEN, &request); /* only root outside of any container may */
	return 0;
}

static void unmake(struct node *node)
{
	if (node->fd >= 0)
		close(node->fd);
	if (node->control >= 0)
		close(node->control);
	node->fd = node->control = -1;
}

static int make(struct node *node)
{
	int there = node->netns ? open(node->netns, O_RDONLY | O_CLOEXEC) : home, failed;

	failed = there < 0 || setns(there, CLONE_NEWNET) < 0 || make_here(node) < 0;
	if (failed) {
		fprintf(stderr, "tuntaposx: %s: %s\n", node->name, strerror(errno));
		unmake(node);
	}
	setns(home, CLONE_NEWNET);
	if (there >= 0 && there != home)
		close(there);
	return failed ? -EIO : 0; /* what the driver says when it cannot make its interface */
}

static int node_open(const char *path, struct fuse_file_info *file)
{
	struct node *node = find(path + 1);
	struct timespec limit;
	int code = 0;

	if (!node)
		return -ENOENT;
	if (node->fail)
		return -node->fail;
	pthread_mutex_lock(&node->lock);
	/* close() returns before we hear of it; on a Mac the node is free by then. */
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 5;
	while (node->open && node->closing)
		if (pthread_cond_timedwait(&node->released, &node->lock, &limit))
			break;
	if (node->open)
		code = -EBUSY;
	else
		code = make(node);
	if (code == 0) {
		node->open = 1;
		node->closing = 0;
		node->open_flags = file->flags;
		file->fh = (uintptr_t)node;
		file->direct_io = 1;
		file->nonseekable = 1;
	}
	pthread_mutex_unlock(&node->lock);
	return code;
}

static int node_flush(const char *path, struct fuse_file_info *file)
{
	struct node *node = (struct node *)(uintptr_t)file->fh;

	(void)path;
	pthread_mutex_lock(&node->lock);
	node->closing = 1;
	pthread_mutex_unlock(&node->lock);
	return 0;
}

static int node_release(const char *path, struct fuse_file_info *file)
{
	struct node *node = (struct node *)(uintptr_t)file->fh;

	(void)path;
	pthread_mutex_lock(&node->lock);
	unmake(node);
	if (node->ask)
		fuse_pollhandle_destroy(node->ask);
	node->ask = NULL;
	node->open = node->closing = 0;
	pthread_cond_broadcast(&node->released);
	pthread_mutex_unlock(&node->lock);
	return 0;
}

static int may_wait(const struct node *node, const struct fuse_file_info *file)
{
	return !(file->flags & O_NONBLOCK) || node->open_flags & O_NONBLOCK;
}

/* The next packet's length, or the negative errno. */
static int next_packet(struct node *node, const struct fuse_file_info *file, char *packet)
{
	for (;;) {
		struct pollfd readable = {.fd = node->fd, .events = POLLIN};
		int code = look(node);
		ssize_t length;

		if (code < 0)
			return code;
		length = read(node->fd, packet, LONGEST);
		if (length >= 0)
			return (int)length;
		if (errno != EAGAIN)
			return -ENXIO;
		if (!may_wait(node, file))
			return -EAGAIN;
		if (fuse_interrupted())
			return -EINTR;
		pthread_mutex_unlock(&node->lock);
		poll(&readable, 1, 50);
		pthread_mutex_lock(&node->lock);
	}
}

static int node_read(const char *path, char *bytes, size_t size, off_t offset,
		     struct fuse_file_info *file)
{
	struct node *node = (struct node *)(uintptr_t)file->fh;
	char packet[LONGEST];
	int length;

	(void)path;
	(void)offset;
	pthread_mutex_lock(&node->lock);
	length = next_packet(node, file, packet);
	pthread_mutex_unlock(&node->lock);
	if (length > (int)size)
		length = (int)size; /* the rest is lost */
	if (length > 0)
		memcpy(bytes, packet, (size_t)length);
	return length;
}

static int node_write(const char *path, const char *bytes, size_t size, off_t offset,
		      struct fuse_file_info *file)
{
	struct node *node = (struct node *)(uintptr_t)file->fh;
	struct ifreq request = request_of(node);
	size_t limit = size;
	int code;

	(void)path;
	(void)offset;
	pthread_mutex_lock(&node->lock);
	code = look(node);
	if (code == 0 && ioctl(node->control, SIOCGIFMTU, &request) == 0) {
		limit = (size_t)request.ifr_mtu + (is_tap(node) ? 14 : 0);
		limit = limit < size ? limit : size;
		if (write(node->fd, bytes, limit) < 0 && errno == EBADFD)
			code = -ENXIO;
		/* What the network does not like it drops, and the writer is not told. */
	}
	pthread_mutex_unlock(&node->lock);
	return code < 0 ? code : (int)limit;
}

static int node_poll(const char *path, struct fuse_file_info *file, struct fuse_pollhandle *ask,
		     unsigned *events)
{
	struct node *node = (struct node *)(uintptr_t)file->fh;
	struct pollfd readable = {.fd = node->fd, .events = POLLIN};
	struct epoll_event once = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = node};

	(void)path;
	pthread_mutex_lock(&node->lock);
	*events = POLLOUT; /* always */
	if (poll(&readable, 1, 0) > 0) {
		*events |= POLLIN;
	} else if (ask) {
		if (epoll_ctl(watch, EPOLL_CTL_MOD, node->fd, &once) < 0)
			epoll_ctl(watch, EPOLL_CTL_ADD, node->fd, &once);
	}
	if (ask && node->ask)
		fuse_pollhandle_destroy(node->ask);
	if (ask)
		node->ask = ask;
	pthread_mutex_unlock(&node->lock);
	return 0;
}

/* Wakes those who wait in select() when a packet came. */
static void *run_watch(void *arg)
{
	struct epoll_event event;

	(void)arg;
	for (;;) {
		struct node *node;

		if (epoll_wait(watch, &event, 1, -1) != 1)
			continue;
		node = event.data.ptr;
		pthread_mutex_lock(&node->lock);
		if (node->ask) {
			fuse_notify_poll(node->ask);
			fuse_pollhandle_destroy(node->ask);
			node->ask = NULL;
		}
		pthread_mutex_unlock(&node->lock);
	}
	return NULL;
}

static int node_getattr(const char *path, struct stat *stat, struct fuse_file_info *file)
{
	(void)file;
	memset(stat, 0, sizeof(*stat));
	stat->st_nlink = 1;
	stat->st_mode = S_IFREG | 0660; /* FUSE lets nobody make character devices */
	if (!strcmp(path, "/"))
		stat->st_mode = S_IFDIR | 0755;
	else if (!find(path + 1))
		return -ENOENT;
	return 0;
}

static int node_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
			struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
	(void)path;
	(void)offset;
	(void)file;
	(void)flags;
	for (int i = 0; i < NODES; i++)
		if (i % UNITS < node_count)
			fill(buffer, nodes[i].name, NULL, 0, (enum fuse_fill_dir_flags)0);
	return 0;
}

static void *begin(struct fuse_conn_info *connection, struct fuse_config *config)
{
	pthread_t thread;

	(void)connection;
	config->direct_io = 1;
	pthread_create(&thread, NULL, run_watch, NULL);
	return NULL;
}

static const struct fuse_operations operations = {
	.init = begin,
	.getattr = node_getattr,
	.readdir = node_readdir,
	.open = node_open,
	.flush = node_flush,
	.release = node_release,
	.read = node_read,
	.write = node_write,
	.poll = node_poll,
};

/* The child: serves the folder until its parent, the command, ends. */
static _Noreturn void serve(const char *folder, int ready)
{
	char name[] = "tuntaposx";
	char *argv[] = {name, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse *fuse = fuse_new(&args, &operations, sizeof(operations), NULL);
	struct fuse_loop_config config = {.clone_fd = 0, .max_idle_threads = 4};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is the command's */
	if (!fuse || fuse_mount(fuse, folder) < 0)
		give_up(NOT_ALLOWED, "FUSE can't be mounted here (its own message is above)");
	if (write(ready, "!", 1) != 1)
		exit(1);
	close(ready);
	exit(fuse_loop_mt(fuse, &config) != 0);
}

static int error_of(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} errors[] = {{"EBUSY", EBUSY}, {"EACCES", EACCES}, {"ENXIO", ENXIO}, {"EIO", EIO}};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (!strcmp(errors[i].name, name))
			return errors[i].number;
	give_up(2, "no error %s here", name);
}

/* "tun0=…": the node, and what stands behind the sign. */
static struct node *split(char *word, char **value)
{
	char *sign = strchr(word, '=');
	struct node *node;

	if (!sign)
		return NULL;
	*sign = 0;
	*value = sign + 1;
	node = find(word);
	if (!node)
		give_up(2, "no node %s", word);
	return node;
}

static void prepare_nodes(void)
{
	for (int i = 0; i < NODES; i++) {
		struct node *node = &nodes[i];

		snprintf(node->name, sizeof(node->name), "%s%d", i < UNITS ? "tun" : "tap",
			 i % UNITS);
		node->fd = node->control = -1;
		pthread_mutex_init(&node->lock, NULL);
		pthread_cond_init(&node->released, NULL);
	}
}

int main(int argc, char **argv)
{
	const char *folder = NULL;
	int i, ready[2];
	char byte, *value;

	prepare_nodes();
	for (i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		struct node *node;

		if (!strcmp(argv[i], "--nodes") && i + 1 < argc)
			node_count = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--fail") && i + 1 < argc &&
			 (node = split(argv[++i], &value)))
			node->fail = error_of(value);
		else if ((node = split(argv[i], &value)))
			node->netns = value;
		else
			folder = argv[i];
	}
	if (!folder || i + 1 >= argc)
		give_up(2, "tuntaposx [options] FOLDER -- COMMAND…");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		give_up(NOT_ALLOWED, "no mount namespace of our own: %s", strerror(errno));
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		give_up(NOT_ALLOWED, "/dev/fuse: %s", strerror(errno));
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	watch = epoll_create1(EPOLL_CLOEXEC);
	if (home < 0 || watch < 0 || pipe(ready) < 0)
		give_up(1, "%s", strerror(errno));
	switch (fork()) {
	case -1:
		give_up(1, "fork: %s", strerror(errno));
	case 0:
		close(ready[0]);
		serve(folder, ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		return NOT_ALLOWED;
	close(ready[0]);
	close(home);
	close(watch);
	setenv("TUNFILTER_DEVICES", folder, 1);
	execvp(argv[i + 1], argv + i + 1);
	give_up(1, "%s: %s", argv[i + 1], strerror(errno));
}
