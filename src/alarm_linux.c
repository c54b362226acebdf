/* timerfd: libuv's own timers count in milliseconds. */
#include "alarm.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct tf_alarm {
	uv_poll_t poll;
	int fd;
	tf_alarm_cb cb;
	void *arg;
};

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct tf_alarm *alarm = poll->data;
	uint64_t rings;

	(void) status;
	(void) events;
	if (read(alarm->fd, &rings, sizeof(rings)) == sizeof(rings))
		alarm->cb(alarm->arg);
}

int tf_alarm_create(struct tf_alarm **out, uv_loop_t *loop, tf_alarm_cb cb, void *arg)
{
	struct tf_alarm *alarm = calloc(1, sizeof(*alarm));
	int err;

	if (alarm == NULL)
		return UV_ENOMEM;
	alarm->cb = cb;
	alarm->arg = arg;
	/* uv_hrtime() reads CLOCK_MONOTONIC. */
	alarm->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (alarm->fd < 0) {
		err = UV_EMFILE;
		goto fail_create;
	}
	err = uv_poll_init(loop, &alarm->poll, alarm->fd);
	if (err < 0)
		goto fail_poll;
	alarm->poll.data = alarm;
	uv_poll_start(&alarm->poll, UV_READABLE, on_readable);
	*out = alarm;
	return 0;

fail_poll:
	close(alarm->fd);
fail_create:
	free(alarm);
	return err;
}

void tf_alarm_set(struct tf_alarm *alarm, double due)
{
	struct itimerspec when = { 0 };

	if (due < 1e9) {
		due = due > 1e-9 ? due : 1e-9; /* a time of 0 would disarm it */
		when.it_value.tv_sec = (time_t) due;
		when.it_value.tv_nsec = (long) ((due - (double) when.it_value.tv_sec) * 1e9);
	}
	timerfd_settime(alarm->fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void on_closed(uv_handle_t *handle)
{
	struct tf_alarm *alarm = handle->data;

	close(alarm->fd);
	free(alarm);
}

void tf_alarm_close(struct tf_alarm *alarm)
{
	if (alarm != NULL)
		uv_close((uv_handle_t *) &alarm->poll, on_closed);
}
