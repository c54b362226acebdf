#include "service_windows.h"

#include "error.h"
#include "interrupt_windows.h"

#define END_MS 10000 /* what the service manager is told that an end may take */

/* The service manager's functions have no argument of ours. */
static struct {
	int (*run)(int argc, char **argv);
	int argc;
	char **argv;
	int status;
	SERVICE_STATUS_HANDLE handle;
} service;

static void tell(DWORD state)
{
	SERVICE_STATUS status = {.dwServiceType = SERVICE_WIN32_OWN_PROCESS,
				 .dwCurrentState = state};

	if (state == SERVICE_RUNNING)
		status.dwControlsAccepted = SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN;
	else if (state == SERVICE_STOP_PENDING)
		status.dwWaitHint = END_MS;
	if (state == SERVICE_STOPPED && service.status != TF_EXIT_OK) {
		status.dwWin32ExitCode = ERROR_SERVICE_SPECIFIC_ERROR;
		status.dwServiceSpecificExitCode = (DWORD)service.status;
	}
	SetServiceStatus(service.handle, &status);
}

static DWORD WINAPI on_control(DWORD control, DWORD event, void *data, void *context)
{
	(void)event;
	(void)data;
	(void)context;
	switch (control) {
	case SERVICE_CONTROL_STOP:
	case SERVICE_CONTROL_SHUTDOWN:
		tell(SERVICE_STOP_PENDING);
		tf_interrupt_now();
		return NO_ERROR;
	case SERVICE_CONTROL_INTERROGATE:
		return NO_ERROR;
	default:
		return ERROR_CALL_NOT_IMPLEMENTED;
	}
}

static void WINAPI service_main(DWORD argc, WCHAR **argv)
{
	(void)argc;
	(void)argv; /* those of `sc start`; ours are the command line's */
	service.handle = RegisterServiceCtrlHandlerExW(L"", on_control, NULL);
	if (service.handle == NULL)
		return;
	tell(SERVICE_RUNNING);
	service.status = service.run(service.argc, service.argv);
	tell(SERVICE_STOPPED);
}

int tf_service_run(int (*run)(int argc, char **argv), int argc, char **argv, int *status)
{
	WCHAR no_name[] = L"";
	const SERVICE_TABLE_ENTRYW table[] = {{no_name, service_main}, {NULL, NULL}};
	DWORD type = GetFileType(GetStdHandle(STD_ERROR_HANDLE));

	if (GetConsoleWindow() != NULL ||
	    type != FILE_TYPE_UNKNOWN) /* a person's, or a program's */
		return 0;
	service.run = run;
	service.argc = argc;
	service.argv = argv;
	if (!StartServiceCtrlDispatcherW(table)) /* no service: nobody has started it as one */
		return 0;
	*status = service.status;
	return 1;
}
