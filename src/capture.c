#include "capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "capture_write.h"

#define BUFFER_SIZE (8u << 20) /* bytes of records that may wait for the file, in each of two buffers */
#define RECORD_REST 1024       /* bytes of a record besides the packet's, at most */

/* A packet of the batch as it came in: len bytes at kept_bytes + at. */
struct kept {
	size_t at;
	uint32_t len;
};

struct tf_capture {
	const char *path;
	int wait;
	FILE *file;
	struct tf_capture_writer *records; /* writes into waiting */
	struct kept *kept;
	uint32_t kept_count; /* that there is room for */
	uint8_t *kept_bytes;
	size_t kept_used, kept_size;

	uv_thread_t thread;
	uint8_t *writing; /* the thread's: swapped with waiting when that is to be written */
	uv_mutex_t mutex; /* over what follows */
	uv_cond_t changed;
	uint8_t *waiting;
	size_t used;   /* bytes of it */
	uint64_t lost;
	int failed;    /* a libuv code: nothing more is written */
	int ending;
};

/* The thread: takes what waits and writes it, until the end. */
static void write_all(void *arg)
{
	struct tf_capture *capture = arg;

	uv_mutex_lock(&capture->mutex);
	for (;;) {
		size_t used;
		uint8_t *bytes;
		int err = 0;

		while (capture->used == 0 && !capture->ending)
			uv_cond_wait(&capture->changed, &capture->mutex);
		if (capture->used == 0)
			break;
		used = capture->used;
		bytes = capture->waiting;
		capture->waiting = capture->writing;
		capture->writing = bytes;
		capture->used = 0;
		uv_cond_broadcast(&capture->changed);
		if (capture->failed == 0) {
			uv_mutex_unlock(&capture->mutex);
			errno = EIO;
			if (fwrite(bytes, 1, used, capture->file) != used || fflush(capture->file) != 0)
				err = uv_translate_sys_error(errno);
			uv_mutex_lock(&capture->mutex);
		}
		if (err < 0)
			capture->failed = err;
	}
	uv_mutex_unlock(&capture->mutex);
}

/* Where records go: into what waits. The caller holds the mutex and has seen that there is room. */
static int append(void *arg, const void *bytes, size_t n)
{
	struct tf_capture *capture = arg;

	memcpy(capture->waiting + capture->used, bytes, n);
	capture->used += n;
	return 0;
}

int tf_capture_start(struct tf_capture **out, const char *path, const char *const names[2], uint16_t linktype,
		     int wait, struct tf_error *error)
{
	struct tf_capture *capture = calloc(1, sizeof(*capture));
	int err = UV_ENOMEM;

	if (capture == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	capture->path = path;
	capture->wait = wait;
	uv_mutex_init(&capture->mutex);
	uv_cond_init(&capture->changed);
	capture->waiting = malloc(BUFFER_SIZE);
	capture->writing = malloc(BUFFER_SIZE);
	if (capture->waiting == NULL || capture->writing == NULL)
		goto fail_open;
	capture->file = strcmp(path, "-") == 0 ? stdout : fopen(path, "wb");
	if (capture->file == NULL) {
		err = uv_translate_sys_error(errno);
		goto fail_open;
	}
	err = tf_capture_records(&capture->records, append, capture);
	if (err < 0)
		goto fail_thread;
	tf_capture_add_interface(capture->records, linktype, names[0]);
	tf_capture_add_interface(capture->records, linktype, names[1]);
	err = uv_thread_create(&capture->thread, write_all, capture);
	if (err < 0)
		goto fail_thread;
	*out = capture;
	return 0;

fail_thread:
	tf_capture_finish(capture->records);
	if (capture->file != stdout)
		fclose(capture->file);
fail_open:
	uv_cond_destroy(&capture->changed);
	uv_mutex_destroy(&capture->mutex);
	free(capture->waiting);
	free(capture->writing);
	free(capture);
	return tf_error_set(error, err, "--capture %s cannot be written: %s", path, uv_strerror(err));
}

static void add(struct tf_capture *capture, const struct tf_packet *packet, const uint8_t *bytes, uint32_t len,
		int interface, const struct tf_capture_note *note)
{
	struct tf_capture_record record = { .bytes = bytes,
					    .len = len,
					    .original = len,
					    .stamp = packet->stamp,
					    .interface = (uint32_t) interface };

	if (!(packet->flags & TF_EDITED))
		record.original += packet->missing;
	uv_mutex_lock(&capture->mutex);
	while (capture->wait && capture->failed == 0 && capture->used + len + RECORD_REST > BUFFER_SIZE)
		uv_cond_wait(&capture->changed, &capture->mutex);
	if (capture->failed < 0 || capture->used + len + RECORD_REST > BUFFER_SIZE) {
		capture->lost++;
	} else {
		tf_capture_add(capture->records, &record, note);
		uv_cond_signal(&capture->changed);
	}
	uv_mutex_unlock(&capture->mutex);
}

void tf_capture_before(struct tf_capture *capture, uint32_t i, const struct tf_packet *packet)
{
	if (i == 0)
		capture->kept_used = 0;
	if (i >= capture->kept_count) {
		struct kept *kept = realloc(capture->kept, (i + 64) * sizeof(*kept));

		if (kept == NULL)
			return;
		capture->kept = kept;
		capture->kept_count = i + 64;
	}
	capture->kept[i].len = 0;
	if (capture->kept_used + packet->len > capture->kept_size) {
		size_t size = 2 * capture->kept_size + TF_PACKET_MAX;
		uint8_t *bytes = realloc(capture->kept_bytes, size);

		if (bytes == NULL)
			return;
		capture->kept_bytes = bytes;
		capture->kept_size = size;
	}
	capture->kept[i].at = capture->kept_used;
	capture->kept[i].len = packet->len;
	memcpy(capture->kept_bytes + capture->kept_used, packet->data, packet->len);
	capture->kept_used += packet->len;
}

void tf_capture_after(struct tf_capture *capture, uint32_t i, const struct tf_packet *packet,
		      const char *callback)
{
	static const uint8_t verdicts[] = {
		[TF_VERDICT_FORWARD] = TF_CAPTURE_XDP_PASS,
		[TF_VERDICT_DROP] = TF_CAPTURE_XDP_DROP,
		[TF_VERDICT_REPLY] = TF_CAPTURE_XDP_TX,
		[TF_VERDICT_HOLD] = TF_CAPTURE_XDP_PASS,
	};
	struct tf_capture_note note = { TF_CAPTURE_INBOUND, verdicts[packet->verdict], callback };
	struct tf_packet read = *packet;

	if (i >= capture->kept_count || capture->kept[i].len == 0)
		return;
	read.flags &= (uint8_t) ~TF_EDITED;
	add(capture, &read, capture->kept_bytes + capture->kept[i].at, capture->kept[i].len, packet->from, &note);
	if (!(packet->flags & TF_EDITED))
		return;
	if (packet->verdict == TF_VERDICT_FORWARD)
		tf_capture_out(capture, packet, !packet->from);
	else if (packet->verdict == TF_VERDICT_REPLY)
		tf_capture_out(capture, packet, packet->from);
}

void tf_capture_out(struct tf_capture *capture, const struct tf_packet *packet, int side)
{
	struct tf_capture_note note = { TF_CAPTURE_OUTBOUND, TF_CAPTURE_NO_VERDICT,
					packet->number == 0		      ? "sent by the script"
					: packet->verdict == TF_VERDICT_HOLD ? "held until now"
									      : "edited" };

	add(capture, packet, packet->data, packet->len, side, &note);
}

uint64_t tf_capture_lost(struct tf_capture *capture)
{
	uint64_t lost;

	uv_mutex_lock(&capture->mutex);
	lost = capture->lost;
	uv_mutex_unlock(&capture->mutex);
	return lost;
}

int tf_capture_stop(struct tf_capture *capture, struct tf_error *error)
{
	int err;

	if (capture == NULL)
		return 0;
	uv_mutex_lock(&capture->mutex);
	capture->ending = 1;
	uv_cond_broadcast(&capture->changed);
	uv_mutex_unlock(&capture->mutex);
	uv_thread_join(&capture->thread);
	err = capture->failed;
	if (capture->file != stdout && fclose(capture->file) != 0 && err == 0)
		err = uv_translate_sys_error(errno);
	if (err < 0)
		tf_error_set(error, err, "--capture %s is not whole: %s", capture->path, uv_strerror(err));
	tf_capture_finish(capture->records);
	uv_cond_destroy(&capture->changed);
	uv_mutex_destroy(&capture->mutex);
	free(capture->waiting);
	free(capture->writing);
	free(capture->kept);
	free(capture->kept_bytes);
	free(capture);
	return err;
}
