/* Reading pcap and pcapng: any file is read up to its damage. Input: the file. */
#include <sys/mman.h>
#include <unistd.h>

#include "capture_read.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct tf_capture_reader *reader = NULL;
	struct tf_capture_record record;
	const struct tf_capture_interface *interfaces;
	struct tf_capture_format format;
	struct tf_error error = {0};
	uint64_t at = 0, whole = 0, last = 0;
	uint32_t sum = 0;
	char path[64];
	int file = memfd_create("capture", MFD_CLOEXEC), code;

	if (file < 0 || write(file, bytes, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	code = tf_capture_open(&reader, path, &error);
	fuzz_check(code == 0 || *error.text, "an error has its sentence");
	for (int i = 0; code == 0 && i < 100000; i++) {
		code = tf_capture_next(reader, &record, &error);
		if (code <= 0)
			break;
		code = 0;
		for (uint32_t k = 0; k < record.len; k++) /* every byte of it is there */
			sum += record.bytes[k];
		fuzz_check(record.stamp >= 0, "no time before the epoch");
		fuzz_check(record.offset >= last, "records come in order");
		fuzz_check(record.interface < tf_capture_interfaces(reader, &interfaces),
			   "a known interface");
		last = record.offset;
	}
	fuzz_check(code >= 0 || *error.text, "an error has its sentence");
	if (reader) {
		tf_capture_format(reader, &format);
		tf_capture_progress(reader, &at, &whole);
		fuzz_check(at <= size, "no more was read than there is");
	}
	if (sum == 1) /* nothing of it is left out */
		putchar(0);
	tf_capture_close(reader);
	close(file);
	return 0;
}
