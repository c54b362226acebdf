#include "wintun_library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "../log.h"
#include "../system_windows.h"

#define HOW                                                                                        \
	"the file is in bin\\amd64 of the zip that the site wintun.net has, and belongs beside "   \
	"tunfilter.exe"

/* The one that is open; the logger is told nothing of whom it is for, so neither is this. */
static struct tf_wintun_library *shared;
static char complaint[400];  /* the newest line of its own that is an error */
static volatile LONG asking; /* tf_wintun_ask */
static SRWLOCK complaint_lock = SRWLOCK_INIT;

/* In any thread. */
static void CALLBACK on_line(enum tf_wintun_level level, DWORD64 time, LPCWSTR line)
{
	static const enum tf_log_level levels[] = {
		[TF_WINTUN_INFO] = TF_LOG_INFO,
		[TF_WINTUN_WARNING] = TF_LOG_WARNING,
		[TF_WINTUN_ERROR] = TF_LOG_WARNING, /* whether it ends us is for us to say */
	};
	char text[sizeof(complaint)];

	(void)time;
	tf_system_utf8(text, sizeof(text), line);
	tf_log(asking ? TF_LOG_DEBUG : levels[level <= TF_WINTUN_ERROR ? level : TF_WINTUN_ERROR],
	       "wintun: %s", text);
	if (level < TF_WINTUN_ERROR)
		return;
	AcquireSRWLockExclusive(&complaint_lock);
	memcpy(complaint, text, sizeof(text));
	ReleaseSRWLockExclusive(&complaint_lock);
}

void tf_wintun_reason_clear(void)
{
	AcquireSRWLockExclusive(&complaint_lock);
	*complaint = 0;
	ReleaseSRWLockExclusive(&complaint_lock);
}

const char *tf_wintun_reason(DWORD code, char text[512])
{
	char system[200];

	AcquireSRWLockShared(&complaint_lock);
	if (code != 0)
		snprintf(text, 512, "%s%s%s", tf_system_error(code, system, sizeof(system)),
			 *complaint ? "; wintun says: " : "", complaint);
	else
		snprintf(text, 512, "%s%s",
			 *complaint ? "wintun says: " : "the library gives no reason", complaint);
	ReleaseSRWLockShared(&complaint_lock);
	return text;
}

/* Where the loader looks: the program's own folder, then System32. */
static int find_file(WCHAR path[MAX_PATH])
{
	DWORD length = GetModuleFileNameW(NULL, path, MAX_PATH);
	WCHAR *slash = length < MAX_PATH ? wcsrchr(path, L'\\') : NULL;

	if (slash && slash - path + 12 < MAX_PATH) {
		wcscpy(slash + 1, L"wintun.dll");
		if (GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES)
			return 1;
	}
	length = GetSystemDirectoryW(path, MAX_PATH);
	if (length == 0 || length + 12 >= MAX_PATH)
		return 0;
	wcscpy(path + length, L"\\wintun.dll");
	return GetFileAttributesW(path) != INVALID_FILE_ATTRIBUTES;
}

/* The processor that a library is for, by its header; "" if the file is no library at all. */
static const char *processor_of(const WCHAR *path)
{
	unsigned char head[64] = {0}, signature[6] = {0};
	FILE *file = _wfopen(path, L"rb");
	const char *name = "";

	if (file == NULL)
		return name;
	if (fread(head, 1, sizeof(head), file) == sizeof(head) && !memcmp(head, "MZ", 2) &&
	    fseek(file, (long)(head[60] | head[61] << 8 | head[62] << 16), SEEK_SET) == 0 &&
	    fread(signature, 1, sizeof(signature), file) == sizeof(signature) &&
	    !memcmp(signature, "PE\0\0", 4)) {
		switch (signature[4] | signature[5] << 8) {
		case IMAGE_FILE_MACHINE_AMD64:
			name = "x64 (amd64)";
			break;
		case IMAGE_FILE_MACHINE_I386:
			name = "x86";
			break;
		case IMAGE_FILE_MACHINE_ARMNT:
			name = "ARM";
			break;
		case IMAGE_FILE_MACHINE_ARM64:
			name = "ARM64";
			break;
		default:
			name = "another processor";
		}
	}
	fclose(file);
	return name;
}

static int explain_load(DWORD code, struct tf_error *error)
{
	WCHAR wide[MAX_PATH];
	char path[MAX_PATH * 3], reason[200];
	const char *processor;

	if (!find_file(wide))
		return tf_error_set(error, UV_ENOENT,
				    "wintun.dll is missing: it was looked for in the folder of "
				    "tunfilter.exe and in System32; " HOW);
	tf_system_utf8(path, sizeof(path), wide);
	processor = processor_of(wide);
	if (!*processor)
		return tf_error_set(error, UV_EINVAL, "%s is no library: " HOW, path);
	if (code == ERROR_BAD_EXE_FORMAT)
		return tf_error_set(error, UV_EINVAL,
				    "%s is for %s, and this tunfilter.exe for x64 (amd64): " HOW,
				    path, processor);
	return tf_error_set(error, uv_translate_sys_error((int)code), "%s can't be loaded: %s",
			    path, tf_system_error(code, reason, sizeof(reason)));
}

static int load(struct tf_wintun_library *library, struct tf_error *error)
{
	WCHAR path[MAX_PATH];
	const char *missing = NULL;

	library->module =
		LoadLibraryExW(L"wintun.dll", NULL,
			       LOAD_LIBRARY_SEARCH_APPLICATION_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
	if (library->module == NULL)
		return explain_load(GetLastError(), error);
	if (GetModuleFileNameW(library->module, path, MAX_PATH) > 0)
		tf_system_utf8(library->path, sizeof(library->path), path);
#define LOOK_UP(result, name, arguments)                                                           \
	library->name = (result(WINAPI *) arguments)(void *)GetProcAddress(library->module,        \
									   "Wintun" #name);        \
	if (library->name == NULL)                                                                 \
		missing = missing ? missing : "Wintun" #name;
	TF_WINTUN_EXPORTS(LOOK_UP)
#undef LOOK_UP
	if (missing == NULL)
		return 0;
	FreeLibrary(library->module);
	return tf_error_set(error, UV_EINVAL,
			    "%s has no %s: it is older than version 0.14, or another library; " HOW,
			    library->path, missing);
}

int tf_wintun_library_open(struct tf_wintun_library **out, struct tf_error *error)
{
	struct tf_wintun_library *library = shared;
	int code;

	if (library == NULL) {
		library = calloc(1, sizeof(*library));
		if (library == NULL)
			return tf_error_set(error, UV_ENOMEM, "out of memory");
		code = load(library, error);
		if (code < 0) {
			free(library);
			return code;
		}
		library->SetLogger(on_line);
		tf_log(TF_LOG_DEBUG, "%s, with all of its names", library->path);
		shared = library;
	}
	library->users++;
	*out = library;
	return 0;
}

void tf_wintun_library_close(struct tf_wintun_library *library)
{
	if (--library->users > 0)
		return;
	library->SetLogger(NULL);
	FreeLibrary(library->module);
	free(library);
	shared = NULL;
}

struct tf_wintun_adapter *tf_wintun_ask(struct tf_wintun_library *library, LPCWSTR name)
{
	struct tf_wintun_adapter *adapter;

	asking = 1;
	adapter = library->OpenAdapter(name);
	asking = 0;
	return adapter;
}

const char *tf_wintun_version(const struct tf_wintun_library *library, char text[16])
{
	DWORD version = library->GetRunningDriverVersion();

	*text = 0;
	if (version != 0)
		snprintf(text, 16, "%u.%u", (unsigned)(version >> 16),
			 (unsigned)(version & 0xffff));
	return text;
}
