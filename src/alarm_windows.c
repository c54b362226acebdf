/* A waitable timer: libuv's own timers are as coarse as the system's clock tick, up to 16 ms. */
#include "alarm.h"

#include <stdlib.h>

#include "watch_windows.h"

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION /* Windows 10 of 2018 and later */
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 2
#endif

struct tf_alarm {
	struct tf_watch watch;
	HANDLE timer; /* auto-reset */
	double due;   /* seconds, what it was set to; above 1e299: it is not */
	tf_alarm_cb cb;
	void *arg;
};

/* A ring may have been on its way when the alarm was set anew. */
static void on_ring(void *arg)
{
	struct tf_alarm *alarm = arg;

	if ((double)uv_hrtime() / 1e9 >= alarm->due)
		alarm->cb(alarm->arg);
	else
		tf_alarm_set(alarm, alarm->due);
}

int tf_alarm_create(struct tf_alarm **out, uv_loop_t *loop, tf_alarm_cb cb, void *arg)
{
	struct tf_alarm *alarm = calloc(1, sizeof(*alarm));
	int code;

	if (alarm == NULL)
		return UV_ENOMEM;
	alarm->cb = cb;
	alarm->arg = arg;
	alarm->due = 1e300;
	alarm->timer = CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION,
					      TIMER_ALL_ACCESS);
	if (alarm->timer == NULL)
		alarm->timer = CreateWaitableTimerExW(NULL, NULL, 0, TIMER_ALL_ACCESS);
	if (alarm->timer == NULL) {
		code = uv_translate_sys_error((int)GetLastError());
		goto fail_timer;
	}
	code = tf_watch_start(&alarm->watch, loop, alarm->timer, on_ring, alarm);
	if (code < 0)
		goto fail_watch;
	*out = alarm;
	return 0;

fail_watch:
	tf_alarm_close(alarm);
	return code;
fail_timer:
	free(alarm);
	return code;
}

void tf_alarm_set(struct tf_alarm *alarm, double due)
{
	double wait = due - (double)uv_hrtime() / 1e9;
	LARGE_INTEGER when;

	alarm->due = due;
	if (due > 1e299) {
		CancelWaitableTimer(alarm->timer);
		return;
	}
	/* Negative: from now on, in 100 ns; a day at most, on_ring sets it again. */
	when.QuadPart = wait <= 0 ? -1 : wait > 86400 ? -864000000000 : -(LONGLONG)(wait * 1e7) - 1;
	SetWaitableTimer(alarm->timer, &when, 0, NULL, NULL, FALSE);
}

static void on_closed(void *arg)
{
	struct tf_alarm *alarm = arg;

	CloseHandle(alarm->timer);
	free(alarm);
}

void tf_alarm_close(struct tf_alarm *alarm)
{
	if (alarm == NULL)
		return;
	if (alarm->watch.open)
		tf_watch_stop(&alarm->watch, on_closed);
	else
		on_closed(alarm);
}
