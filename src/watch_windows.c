#include "watch_windows.h"

/* In a thread of the system's. */
static void CALLBACK on_handle(void *arg, BOOLEAN timed_out)
{
	struct tf_watch *watch = arg;

	(void)timed_out;
	uv_async_send(&watch->async);
}

static void on_async(uv_async_t *async)
{
	struct tf_watch *watch = async->data;

	if (watch->open == 1)
		watch->cb(watch->arg);
}

static void on_closed(uv_handle_t *handle)
{
	struct tf_watch *watch = handle->data;

	watch->open = 0;
	if (watch->closed)
		watch->closed(watch->arg);
}

int tf_watch_start(struct tf_watch *watch, uv_loop_t *loop, HANDLE handle, void (*cb)(void *arg),
		   void *arg)
{
	int code = uv_async_init(loop, &watch->async, on_async);

	if (code < 0)
		return code;
	watch->async.data = watch;
	watch->cb = cb;
	watch->arg = arg;
	watch->closed = NULL;
	watch->open = 1;
	/* In the thread that waits: on_handle is short, and another thread would cost a switch. */
	if (RegisterWaitForSingleObject(&watch->wait, handle, on_handle, watch, INFINITE,
					WT_EXECUTEINWAITTHREAD))
		return 0;
	code = uv_translate_sys_error((int)GetLastError());
	watch->wait = NULL;
	tf_watch_stop(watch, NULL);
	return code;
}

void tf_watch_again(struct tf_watch *watch)
{
	if (watch->open == 1)
		uv_async_send(&watch->async);
}

void tf_watch_stop(struct tf_watch *watch, void (*closed)(void *arg))
{
	if (watch->open == 0)
		return;
	watch->closed = closed;
	if (watch->open == 2)
		return;
	if (watch->wait) /* returns when on_handle runs no more */
		UnregisterWaitEx(watch->wait, INVALID_HANDLE_VALUE);
	watch->wait = NULL;
	watch->open = 2;
	uv_close((uv_handle_t *)&watch->async, on_closed);
}
