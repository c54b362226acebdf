#include "system_windows.h"
#include "service_windows.h"
#include "system.h"

#include <fcntl.h>
#include <io.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

const char tf_system_null[] = "NUL";
const int tf_system_table_signal = 0;

static UINT code_page; /* of the console, before us */

static void restore(void)
{
	SetConsoleOutputCP(code_page);
}

/* Colours are escape sequences, which a console takes for text unless told otherwise. */
static void allow_colours(DWORD which)
{
	HANDLE console = GetStdHandle(which);
	DWORD mode;

	if (GetConsoleMode(console, &mode))
		SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

static void begin(void)
{
	code_page = GetConsoleOutputCP();
	if (code_page != 0 &&
	    SetConsoleOutputCP(CP_UTF8)) /* our messages, whatever the person's language */
		atexit(restore);
	allow_colours(STD_OUTPUT_HANDLE);
	allow_colours(STD_ERROR_HANDLE);
	for (int stream = 0; stream <= 2; stream++)
		_setmode(stream, _O_BINARY); /* captures pass here, and lines end as everywhere */
}

int tf_system_run(int (*run)(int argc, char **argv), int argc, char **argv)
{
	int status;

	begin();
	return tf_service_run(run, argc, argv, &status) ? status : run(argc, argv);
}

void tf_system_local_time(int64_t seconds, struct tm *tm)
{
	time_t time = (time_t)seconds;

	if (localtime_s(tm, &time) != 0)
		memset(tm, 0, sizeof(*tm));
}

/* This system has no file in memory. A pipe holds so few bytes without anybody who reads. */
struct pcap *tf_system_open_capture(const void *bytes, size_t size, char *reason)
{
	HANDLE out, in;
	pcap_t *pcap = NULL;
	DWORD written;

	if (!CreatePipe(&out, &in, NULL, 4096)) {
		snprintf(reason, PCAP_ERRBUF_SIZE, "no pipe: error %lu", GetLastError());
		return NULL;
	}
	if (WriteFile(in, bytes, (DWORD)size, &written, NULL)) {
		CloseHandle(in);
		pcap = pcap_hopen_offline((intptr_t)out, reason); /* owns it from now on */
	} else {
		snprintf(reason, PCAP_ERRBUF_SIZE, "error %lu of a pipe", GetLastError());
		CloseHandle(in);
		CloseHandle(out);
	}
	return pcap;
}

void tf_system_utf8(char *text, size_t size, const wchar_t *wide)
{
	int length = (int)wcslen(wide), used = 0;

	while (length > 0 && (wide[length - 1] == L'\n' || wide[length - 1] == L'\r'))
		length--;
	while (length > 0 && used == 0) { /* 0: it does not fit */
		used = WideCharToMultiByte(CP_UTF8, 0, wide, length, text, (int)size - 1, NULL,
					   NULL);
		length--;
	}
	text[used] = 0;
}

const char *tf_system_error(unsigned long code, char *text, size_t size)
{
	wchar_t wide[256] = L"";
	size_t used;

	FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, code,
		       MAKELANGID(LANG_ENGLISH, SUBLANG_ENGLISH_US), wide, 256, NULL);
	if (!*wide)
		FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
			       code, 0, wide, 256, NULL);
	tf_system_utf8(text, size, wide);
	used = strlen(text);
	if (used > 0 && text[used - 1] == '.')
		used--;
	snprintf(text + used, size - used, "%s(error %lu)", used ? " " : "", code);
	return text;
}

int tf_system_is_administrator(void)
{
	TOKEN_ELEVATION elevation = {0};
	HANDLE token;
	DWORD size;

	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
		return 0;
	if (!GetTokenInformation(token, TokenElevation, &elevation, sizeof(elevation), &size))
		elevation.TokenIsElevated = 0;
	CloseHandle(token);
	return elevation.TokenIsElevated != 0;
}

int tf_system_unblock(int fd)
{
	(void)fd;
	return 1;
}

int tf_system_takes(int fd, int ms)
{
	(void)fd;
	(void)ms;
	return 1;
}

int tf_system_link_folder(const char *path, char *folder, size_t size)
{
	(void)path;
	(void)folder;
	(void)size;
	return -1;
}
