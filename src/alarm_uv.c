/* libuv's timer, for systems without a finer one on a descriptor: it counts in milliseconds. */
#include "alarm.h"

#include <math.h>
#include <stdlib.h>

struct tf_alarm {
	uv_timer_t timer;
	tf_alarm_cb cb;
	void *arg;
};

int tf_alarm_create(struct tf_alarm **out, uv_loop_t *loop, tf_alarm_cb cb, void *arg)
{
	struct tf_alarm *alarm = calloc(1, sizeof(*alarm));

	if (alarm == NULL)
		return UV_ENOMEM;
	alarm->cb = cb;
	alarm->arg = arg;
	uv_timer_init(loop, &alarm->timer);
	alarm->timer.data = alarm;
	*out = alarm;
	return 0;
}

static void on_timer(uv_timer_t *timer)
{
	struct tf_alarm *alarm = timer->data;

	alarm->cb(alarm->arg);
}

void tf_alarm_set(struct tf_alarm *alarm, double due)
{
	uv_loop_t *loop = alarm->timer.loop;
	double ms;

	uv_timer_stop(&alarm->timer);
	if (due > 1e299)
		return;
	uv_update_time(loop);
	/* The loop's clock is uv_hrtime() in whole milliseconds, so this never rings early. */
	ms = ceil(due * 1000) - (double)uv_now(loop);
	ms = ms < 0 ? 0 : ms > 1e12 ? 1e12 : ms;
	uv_timer_start(&alarm->timer, on_timer, (uint64_t)ms, 0);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void tf_alarm_close(struct tf_alarm *alarm)
{
	if (alarm != NULL)
		uv_close((uv_handle_t *)&alarm->timer, on_closed);
}
