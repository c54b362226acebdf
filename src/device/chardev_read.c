/*
 * TunTapOSX's nodes work with select() and with nothing finer: a thread waits in it, reads all that
 * is there, and wakes the loop. select() looks at the queue alone. It does not return when the
 * interface comes up, and it returns at once, over and over, while packets lie in the queue of an
 * interface that is down; so while that is so the thread asks by a clock.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#include "chardev.h"

#define ASK_AGAIN_US 100000 /* while the interface is down */
#define AT_ONCE	     64	    /* packets before the loop is woken */

struct tf_chardev_reader {
	int fd;
	int bell[2];	 /* a pipe: a byte gets the thread out of select() */
	uv_async_t news; /* gets the loop out of its sleep */
	uv_thread_t thread;
	struct tf_ring *ring;
	_Atomic int state;     /* as tf_chardev_reader_state tells */
	_Atomic int ending;    /* the thread shall end */
	_Atomic uint64_t lost; /* as tf_chardev_reader_lost tells */
	uint8_t *rest;	       /* TF_PACKET_MAX bytes for what the ring has no room for */
	void (*notice)(void *arg);
	void (*closed)(void *arg);
	void *arg;
};

/* The state that a read's errno means. */
static int state_of(int error_number)
{
	if (error_number == EIO)
		return TF_ENOTREADY;
	if (error_number == ENXIO || error_number == ENODEV || error_number == EBADF ||
	    error_number == ENOTCONN)
		return TF_EGONE;
	return -error_number;
}

/* Reads what is there, at most AT_ONCE packets: how many; *state is what the last read met. */
static int read_some(struct tf_chardev_reader *reader, int *state)
{
	int count = 0;

	*state = 0;
	while (count < AT_ONCE && !atomic_load(&reader->ending)) {
		uint8_t *room = tf_ring_room(reader->ring);
		ssize_t length = read(reader->fd, room ? room : reader->rest, TF_PACKET_MAX);

		if (length > 0) {
			if (room)
				tf_ring_put(reader->ring, (uint32_t)length);
			else
				atomic_fetch_add(&reader->lost, 1);
			count++;
			continue;
		}
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0 && errno != EAGAIN)
			*state = state_of(errno);
		break;
	}
	return count;
}

/* Until packets wait, the bell rings, or it is time to ask again. */
static void wait_for_news(struct tf_chardev_reader *reader, int down)
{
	struct timeval again = {.tv_usec = ASK_AGAIN_US};
	fd_set readable;
	char bytes[64];
	int top = reader->bell[0];

	FD_ZERO(&readable);
	FD_SET(reader->bell[0], &readable);
	if (!down) {
		FD_SET(reader->fd, &readable);
		top = reader->fd > top ? reader->fd : top;
	}
	if (select(top + 1, &readable, NULL, NULL, down ? &again : NULL) > 0 &&
	    FD_ISSET(reader->bell[0], &readable))
		while (read(reader->bell[0], bytes, sizeof(bytes)) == sizeof(bytes))
			;
}

static void run(void *arg)
{
	struct tf_chardev_reader *reader = arg;
	int state = 0;

	while (!atomic_load(&reader->ending) && (state == 0 || state == TF_ENOTREADY)) {
		int count = read_some(reader, &state);

		if (atomic_exchange(&reader->state, state) != state || count > 0)
			uv_async_send(&reader->news);
		if (count < AT_ONCE && (state == 0 || state == TF_ENOTREADY))
			wait_for_news(reader, state != 0);
	}
}

static void on_news(uv_async_t *news)
{
	struct tf_chardev_reader *reader = news->data;

	reader->notice(reader->arg);
	/* Again, for as long as packets wait, unless it was stopped meanwhile. */
	if (!uv_is_closing((uv_handle_t *)news) && tf_chardev_reader_waits(reader))
		uv_async_send(news);
}

/* Signals are the loop thread's. */
static int start_thread(struct tf_chardev_reader *reader)
{
	sigset_t all, before;
	int code;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	code = uv_thread_create(&reader->thread, run, reader);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return code;
}

static void free_reader(struct tf_chardev_reader *reader)
{
	tf_ring_destroy(reader->ring);
	free(reader->rest);
	for (int i = 0; i < 2; i++)
		if (reader->bell[i] >= 0)
			close(reader->bell[i]);
	free(reader);
}

static void on_closed(uv_handle_t *handle)
{
	struct tf_chardev_reader *reader = handle->data;

	if (reader->closed)
		reader->closed(reader->arg);
	free_reader(reader);
}

int tf_chardev_reader_start(struct tf_chardev_reader **out, uv_loop_t *loop, int fd, uint32_t queue,
			    uint32_t size, void (*notice)(void *arg), void *arg)
{
	struct tf_chardev_reader *reader = calloc(1, sizeof(*reader));
	int code;

	if (!reader)
		return UV_ENOMEM;
	reader->fd = fd;
	reader->notice = notice;
	reader->arg = arg;
	reader->bell[0] = reader->bell[1] = -1;
	reader->rest = malloc(TF_PACKET_MAX);
	code = reader->rest ? tf_ring_create(&reader->ring, queue, size) : UV_ENOMEM;
	if (code == 0)
		code = uv_pipe(reader->bell, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE);
	if (code == 0 && reader->bell[0] >= FD_SETSIZE)
		code = UV_EMFILE;
	if (code == 0)
		code = uv_async_init(loop, &reader->news, on_news);
	if (code < 0) {
		free_reader(reader);
		return code;
	}
	reader->news.data = reader;
	code = start_thread(reader);
	if (code < 0) {
		uv_close((uv_handle_t *)&reader->news, on_closed);
		return code;
	}
	*out = reader;
	return 0;
}

int tf_chardev_reader_state(const struct tf_chardev_reader *reader)
{
	return atomic_load(&reader->state);
}

int tf_chardev_reader_read(struct tf_chardev_reader *reader, struct tf_batch *batch)
{
	const uint8_t *first;
	uint8_t *room;
	uint32_t len;
	int count = 0;

	while ((room = tf_batch_room(batch)) && (first = tf_ring_first(reader->ring, &len))) {
		memcpy(room, first, len);
		tf_batch_commit(batch, len);
		tf_ring_take(reader->ring);
		count++;
	}
	return count;
}

int tf_chardev_reader_waits(const struct tf_chardev_reader *reader)
{
	uint32_t len;

	return tf_ring_first(reader->ring, &len) != NULL;
}

uint64_t tf_chardev_reader_lost(const struct tf_chardev_reader *reader)
{
	return atomic_load(&reader->lost);
}

void tf_chardev_reader_poke(struct tf_chardev_reader *reader)
{
	/* A pipe that is full has rung already. */
	if (write(reader->bell[1], "", 1) < 0)
		return;
}

void tf_chardev_reader_stop(struct tf_chardev_reader *reader, void (*closed)(void *arg))
{
	atomic_store(&reader->ending, 1);
	tf_chardev_reader_poke(reader);
	uv_thread_join(&reader->thread);
	reader->closed = closed;
	uv_close((uv_handle_t *)&reader->news, on_closed);
}
