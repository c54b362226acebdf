/*
 * `event NUMBER FILE COMMAND…`: starts a program, and when FILE is there gives it the console event
 * of this number as the system does: in a thread of the program's, at the routine that all
 * consoles' events come to. Its status is the program's. (2: the window is closed, 6: the machine
 * stops.)
 */
#include <windows.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	STARTUPINFOA start = {.cb = sizeof(start)};
	PROCESS_INFORMATION process;
	LPTHREAD_START_ROUTINE routine;
	char line[4096] = "";
	DWORD status = 1;
	size_t used = 0;

	for (int i = 3; i < argc; i++)
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s\"%s\"",
					 i > 3 ? " " : "", argv[i]);
	if (!CreateProcessA(NULL, line, NULL, NULL, TRUE, 0, NULL, NULL, &start, &process))
		return 1;
	while (GetFileAttributesA(argv[2]) == INVALID_FILE_ATTRIBUTES &&
	       WaitForSingleObject(process.hProcess, 20) == WAIT_TIMEOUT)
		continue;
	routine = (LPTHREAD_START_ROUTINE)(void *)GetProcAddress(GetModuleHandleA("kernelbase.dll"),
								 "CtrlRoutine");
	if (routine == NULL ||
	    CreateRemoteThread(process.hProcess, NULL, 0, routine, (void *)(uintptr_t)atoi(argv[1]),
			       0, NULL) == NULL)
		return 2;
	WaitForSingleObject(process.hProcess, INFINITE);
	GetExitCodeProcess(process.hProcess, &status);
	return (int)status;
}
