/* `tunfilter doctor` on Windows. */
#include "doctor.h"

#include <stdio.h>

#include "device/wintun_library.h"
#include "doctor_parts.h"
#include "system_windows.h"

/* GetVersion tells programs what they were made for; this tells what there is. */
static void check_system(void)
{
	LONG(WINAPI * get)
	(OSVERSIONINFOW * info) = (LONG(WINAPI *)(OSVERSIONINFOW *))(void *)GetProcAddress(
		GetModuleHandleW(L"ntdll.dll"), "RtlGetVersion");
	OSVERSIONINFOW info = {.dwOSVersionInfoSize = sizeof(info)};

	if (get != NULL && get(&info) == 0)
		tf_doctor_say(info.dwMajorVersion >= 10 ? TF_DOCTOR_OK : TF_DOCTOR_WARNING,
			      "system", "Windows %lu.%lu, build %lu%s", info.dwMajorVersion,
			      info.dwMinorVersion, info.dwBuildNumber,
			      info.dwMajorVersion >= 10 ? "" : ": Windows 10 or later is needed");
}

static int check_wintun(void)
{
	struct tf_wintun_library *library;
	struct tf_error error;
	char version[16];

	if (tf_wintun_library_open(&library, &error) < 0) {
		tf_doctor_say(TF_DOCTOR_MISSING, "wintun.dll", "%s", error.text);
		return 0;
	}
	if (*tf_wintun_version(library, version))
		tf_doctor_say(TF_DOCTOR_OK, "wintun.dll", "%s; its driver %s runs", library->path,
			      version);
	else
		tf_doctor_say(TF_DOCTOR_OK, "wintun.dll",
			      "%s; its driver begins with the first device", library->path);
	tf_wintun_library_close(library);
	return 1;
}

static int check_rights(void)
{
	if (tf_system_is_administrator()) {
		tf_doctor_say(TF_DOCTOR_OK, "run", "this window may make network adapters");
		return 1;
	}
	tf_doctor_say(TF_DOCTOR_MISSING, "run",
		      "making network adapters takes a window that was opened with \"Run as "
		      "administrator\"");
	return 0;
}

int tf_command_doctor(void)
{
	int wintun, rights;

	check_system();
	wintun = check_wintun();
	rights = check_rights();
	tf_doctor_libraries();
	return wintun && rights ? 0 : TF_EXIT_SYSTEM;
}
