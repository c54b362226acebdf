/*
 * Ctrl-C and Ctrl-Break; and what ends the process when the handler returns, if not before: the
 * console was closed, the person logs off, the machine stops.
 */
#include "interrupt_windows.h"

#include "interrupt.h"

#include <stdlib.h>
#include <uv.h>

#include "error.h"
#include "log.h"

#define PATIENCE_MS 2000

/* The handler runs in a thread of its own, which the system makes for each event. */
static struct {
	void (*ask)(void *arg); /* NULL: a command without a loop */
	void *arg;
	HANDLE thread; /* that runs the command, for what it reads to be cancelled */
	volatile LONG asked, heard, ignore;
	SRWLOCK lock; /* ask is called under it, so that none is on its way after
			 tf_interrupt_ignore */
} watch = {.lock = SRWLOCK_INIT};

static void __attribute__((noreturn)) give_up(void)
{
	static const char text[] = "tunfilter: error: the script does not come back: ended without "
				   "waiting for it\n";

	tf_log_write(text, sizeof(text) - 1);
	TerminateProcess(GetCurrentProcess(), TF_EXIT_SCRIPT);
	for (;;)
		Sleep(INFINITE);
}

static BOOL WINAPI on_event(DWORD event)
{
	int is_end = event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT;

	if (!watch.ignore && InterlockedIncrement(&watch.asked) > 1 && !is_end) {
		if (watch.ask == NULL)
			return FALSE; /* the system's own way: it ends the process */
		give_up();
	}
	if (!watch.ignore && watch.ask != NULL && watch.asked == 1) {
		AcquireSRWLockExclusive(&watch.lock);
		if (!watch.ignore)
			watch.ask(watch.arg);
		ReleaseSRWLockExclusive(&watch.lock);
		Sleep(PATIENCE_MS);
		if (!watch.heard && !watch.ignore)
			give_up();
	} else if (!watch.ignore && watch.thread != NULL) {
		CancelSynchronousIo(watch.thread);
	}
	while (is_end) /* main's return ends us; the system does so after some seconds */
		Sleep(INFINITE);
	return TRUE;
}

static DWORD WINAPI press(void *arg)
{
	(void)arg;
	return (DWORD)on_event(CTRL_C_EVENT);
}

void tf_interrupt_now(void)
{
	HANDLE thread = CreateThread(NULL, 0, press, NULL, 0, NULL);

	if (thread != NULL)
		CloseHandle(thread);
}

void tf_interrupt_catch(void)
{
	DuplicateHandle(GetCurrentProcess(), GetCurrentThread(), GetCurrentProcess(), &watch.thread,
			0, FALSE, DUPLICATE_SAME_ACCESS);
	SetConsoleCtrlHandler(on_event, TRUE);
}

int tf_interrupted(void)
{
	return watch.asked != 0;
}

void tf_interrupt_watch(void (*ask)(void *arg), void *arg)
{
	watch.ask = ask;
	watch.arg = arg;
	SetConsoleCtrlHandler(on_event, TRUE);
}

int tf_interrupt_thread(uv_thread_t *thread, void (*run)(void *arg), void *arg)
{
	return uv_thread_create(thread, run, arg); /* console events have a thread of their own */
}

void tf_interrupt_heard(void)
{
	watch.heard = 1;
}

void tf_interrupt_ignore(void)
{
	AcquireSRWLockExclusive(&watch.lock);
	watch.ignore = 1;
	ReleaseSRWLockExclusive(&watch.lock);
}
