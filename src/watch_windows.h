/*
 * A handle that the loop waits for: what poll is elsewhere. Windows' own thread pool waits and
 * wakes the loop, so a handle that is an auto-reset event or timer calls once each time it is set.
 */
#ifndef TF_WATCH_WINDOWS_H
#define TF_WATCH_WINDOWS_H

#include <uv.h>

struct tf_watch {
	uv_async_t async;
	HANDLE wait;
	void (*cb)(void *arg);
	void (*closed)(void *arg);
	void *arg;
	int open; /* 1 from start to stop, 2 until closed was called */
};

/* cb is called on the loop's thread, once or more for all the times that the handle was set. 0 or a
 * code. */
int tf_watch_start(struct tf_watch *watch, uv_loop_t *loop, HANDLE handle, void (*cb)(void *arg),
		   void *arg);

/* Has cb called in the loop's next turn, as if the handle were set. */
void tf_watch_again(struct tf_watch *watch);

/*
 * After it nobody waits for the handle, which may be closed, and cb is not called; closed is, in
 * the loop's next turn, when the watch's memory may go. Nothing happens if it was not started, or
 * twice.
 */
void tf_watch_stop(struct tf_watch *watch, void (*closed)(void *arg));

#endif
