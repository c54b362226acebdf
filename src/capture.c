#include "capture.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "capture_write.h"
#include "interrupt.h"
#include "log.h"
#include "segment.h"

#define BUFFER_SIZE (8u << 20)	/* bytes of records that may wait, in each of two buffers */
#define RECORD_REST 2048	/* bytes of a record and an interface, but the packet's, at most */
#define CHUNK	    (64u << 10) /* bytes that are written at once: as many as a pipe holds */
#define PATIENCE    1000000000	/* ns that a live run's end waits for a reader; a lab waits 2 s */
#define GLANCE	    100000000	/* ns between two looks whether the person has had enough */
#define INTERFACES  64

struct tf_kept {
	struct {
		size_t at; /* in bytes */
		uint32_t len;
	} *packets;
	uint32_t count; /* that there is room for */
	uint8_t *bytes;
	size_t used, size;
};

/* Records in a buffer. */
struct heap {
	uint8_t *bytes;
	size_t used;
	uint64_t count; /* packets in them */
};

struct tf_capture {
	const char *path;
	int wait;
	int file;
	uint64_t *whole; /* see the header; or NULL */
	int begun;	 /* there is a file, and a thread */
	uint16_t linktype;
	char names[2][sizeof(((struct tf_capture_interface *)0)->name)];
	struct tf_capture_writer *records; /* writes into waiting */
	struct {
		uint8_t side;
		uint16_t linktype;
	} interfaces[INTERFACES]; /* interface_count of them, as in the file */
	uint32_t interface_count;

	uv_thread_t thread;
	struct heap writing; /* the thread's: swapped with waiting when that is to be written */
	uv_mutex_t mutex;    /* over what follows */
	uv_cond_t changed;
	struct heap waiting;
	uint64_t lost; /* packets that are not in the file */
	int failed;    /* a libuv code: nothing more is written */
	int ending;    /* the thread ends when nothing waits */
	int ended;
	int abandoned; /* nobody waits for the thread any more */
};

/* Of so many bytes of a heap, those that are whole blocks; with *packets in them. */
static size_t whole_blocks(const struct heap *heap, size_t written, uint64_t *packets)
{
	size_t at = 0;

	*packets = 0;
	while (written - at >= 8) {
		uint32_t block[2]; /* type, size */

		memcpy(block, heap->bytes + at, sizeof(block));
		if (block[1] > written - at)
			break;
		*packets += block[0] == TF_CAPTURE_PACKET;
		at += block[1];
	}
	return at;
}

/* What did not fit is taken away again, up to the last packet that did. The packets of the heap that are in the file. */
static uint64_t cut_back(struct tf_capture *capture, const struct heap *heap, int64_t before)
{
	int64_t after = tf_capture_size(capture->file);
	uint64_t packets;
	size_t whole;

	if (before < 0 || after < before || (uint64_t)(after - before) > heap->used)
		return 0; /* nobody knows */
	whole = whole_blocks(heap, (size_t)(after - before), &packets);
	if (tf_capture_cut(capture->file, (size_t)(after - before) - whole) < 0)
		return packets;
	if (capture->whole != NULL)
		*capture->whole += whole;
	return packets;
}

/* Writes a heap in chunks; the caller holds the mutex, which is free meanwhile. */
static void write_heap(struct tf_capture *capture, const struct heap *heap)
{
	int64_t before = tf_capture_size(capture->file);
	int err = 0;

	uv_mutex_unlock(&capture->mutex);
	for (size_t at = 0; at < heap->used && err == 0; at += CHUNK)
		err = tf_capture_put(capture->file, heap->bytes + at,
				     heap->used - at < CHUNK ? heap->used - at : CHUNK);
	if (err < 0)
		tf_log(TF_LOG_ERROR, "--capture %s cannot be written: %s; nothing more goes to it",
		       capture->path, uv_strerror(err));
	uv_mutex_lock(&capture->mutex);
	if (err == 0 && capture->whole != NULL)
		*capture->whole += heap->used;
	if (err < 0) {
		capture->failed = err;
		capture->lost += heap->count - cut_back(capture, heap, before);
	}
}

/* The thread: takes what waits and writes it, until the end. */
static void write_all(void *arg)
{
	struct tf_capture *capture = arg;

	uv_mutex_lock(&capture->mutex);
	for (;;) {
		struct heap heap;

		while (capture->waiting.used == 0 && !capture->ending)
			uv_cond_wait(&capture->changed, &capture->mutex);
		if (capture->waiting.used == 0 || capture->failed < 0 || capture->abandoned)
			break;
		heap = capture->waiting;
		capture->waiting = capture->writing;
		capture->writing = heap;
		uv_cond_broadcast(&capture->changed);
		write_heap(capture, &heap);
		capture->writing.used = capture->writing.count = 0;
	}
	capture->ended = 1;
	uv_cond_broadcast(&capture->changed);
	uv_mutex_unlock(&capture->mutex);
}

/* Where records go: into what waits. The caller holds the mutex and has seen that there is room. */
static int append(void *arg, const void *bytes, size_t n)
{
	struct heap *waiting = &((struct tf_capture *)arg)->waiting;

	memcpy(waiting->bytes + waiting->used, bytes, n);
	waiting->used += n;
	return 0;
}

/* The number of the interface for a side's packets of this link type, added if it is new. */
static uint32_t interface_of(struct tf_capture *capture, int side, uint16_t linktype)
{
	struct tf_capture_interface interface = {.linktype = linktype};
	uint32_t i;

	for (i = 0; i < capture->interface_count; i++)
		if (capture->interfaces[i].side == side &&
		    capture->interfaces[i].linktype == linktype)
			return i;
	if (i == INTERFACES)
		return (uint32_t)side;
	memcpy(interface.name, capture->names[side], sizeof(interface.name));
	if (i > 0 && linktype == TF_CAPTURE_RAW)
		interface.linktype = TF_CAPTURE_RAW_AGAIN;
	tf_capture_add_interface(capture->records, &interface);
	capture->interfaces[i].side = (uint8_t)side;
	capture->interfaces[i].linktype = linktype;
	return capture->interface_count++;
}

static void free_all(struct tf_capture *capture)
{
	tf_capture_finish(capture->records);
	uv_cond_destroy(&capture->changed);
	uv_mutex_destroy(&capture->mutex);
	free(capture->waiting.bytes);
	free(capture->writing.bytes);
	free(capture);
}

int tf_capture_prepare(struct tf_capture **out, const char *path, const char *const names[2],
		      uint16_t linktype, int wait, struct tf_error *error)
{
	struct tf_capture *capture = calloc(1, sizeof(*capture));
	int err = UV_ENOMEM;

	if (capture == NULL)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	capture->path = path;
	capture->wait = wait;
	capture->linktype = linktype;
	for (int side = TF_LEFT; side <= TF_RIGHT; side++)
		snprintf(capture->names[side], sizeof(capture->names[side]), "%s%s%s",
			 side == TF_LEFT ? "left" : "right", names ? " " : "",
			 names ? names[side] : "");
	uv_mutex_init(&capture->mutex);
	uv_cond_init(&capture->changed);
	capture->waiting.bytes = malloc(BUFFER_SIZE);
	capture->writing.bytes = malloc(BUFFER_SIZE);
	if (capture->waiting.bytes == NULL || capture->writing.bytes == NULL)
		goto fail_memory;
	err = tf_capture_records(&capture->records, append, capture);
	if (err < 0)
		goto fail_memory;
	interface_of(capture, TF_LEFT, linktype);
	interface_of(capture, TF_RIGHT, linktype);
	*out = capture;
	return 0;

fail_memory:
	free_all(capture);
	return tf_error_set(error, err, "--capture %s cannot be written: %s", path,
			    uv_strerror(err));
}

int tf_capture_begin(struct tf_capture *capture, int file, uint64_t *whole, struct tf_error *error)
{
	int err = file;

	capture->file = file;
	capture->whole = whole;
	if (err >= 0)
		err = uv_thread_create(&capture->thread, write_all, capture);
	if (err < 0)
		return tf_error_set(error, err, "--capture %s cannot be written: %s", capture->path,
				    uv_strerror(err));
	capture->begun = 1;
	return 0;
}

static uint16_t linktype_of(const struct tf_capture *capture, const struct tf_packet *packet)
{
	switch (packet->link) {
	case TF_LINK_IP:
		return TF_CAPTURE_RAW;
	case TF_LINK_ETHERNET:
		return TF_CAPTURE_ETHERNET;
	default:
		return packet->linktype > 0 ? (uint16_t)(packet->linktype - 1) : capture->linktype;
	}
}

static void add(struct tf_capture *capture, const struct tf_packet *packet, const uint8_t *bytes,
		uint32_t len, int side, const struct tf_capture_note *note)
{
	struct tf_capture_record record = {.bytes = bytes,
					   .len = len,
					   .original = len + packet->missing,
					   .stamp = packet->stamp};

	uv_mutex_lock(&capture->mutex);
	while (capture->wait && capture->failed == 0 && !tf_interrupted() &&
	       capture->waiting.used + len + RECORD_REST > BUFFER_SIZE)
		uv_cond_timedwait(&capture->changed, &capture->mutex, GLANCE);
	if (capture->failed < 0 || capture->waiting.used + len + RECORD_REST > BUFFER_SIZE) {
		capture->lost++;
	} else {
		record.interface = interface_of(capture, side, linktype_of(capture, packet));
		tf_capture_add(capture->records, &record, note);
		capture->waiting.count++;
		uv_cond_signal(&capture->changed);
	}
	uv_mutex_unlock(&capture->mutex);
}

struct tf_kept *tf_kept_create(void)
{
	return calloc(1, sizeof(struct tf_kept));
}

void tf_kept_free(struct tf_kept *kept)
{
	if (kept == NULL)
		return;
	free(kept->packets);
	free(kept->bytes);
	free(kept);
}

void tf_capture_before(struct tf_kept *kept, uint32_t i, struct tf_packet *packet)
{
	tf_settle(packet);
	if (i == 0)
		kept->used = 0;
	if (i >= kept->count) {
		void *packets = realloc(kept->packets, (i + 64) * sizeof(*kept->packets));

		if (packets == NULL)
			return;
		kept->packets = packets;
		kept->count = i + 64;
	}
	kept->packets[i].len = 0;
	if (kept->used + packet->len > kept->size) {
		size_t size = 2 * kept->size + TF_PACKET_MAX;
		uint8_t *bytes = realloc(kept->bytes, size);

		if (bytes == NULL)
			return;
		kept->bytes = bytes;
		kept->size = size;
	}
	kept->packets[i].at = kept->used;
	kept->packets[i].len = packet->len;
	memcpy(kept->bytes + kept->used, packet->data, packet->len);
	kept->used += packet->len;
}

/* The verdict in words where epb_verdict has none for it, and the callback. */
static const char *comment_of(const struct tf_packet *packet, const char *callback, char *text,
			      size_t size)
{
	const char *word = packet->flags & TF_FAILED		? "error in "
			   : packet->verdict == TF_VERDICT_HOLD ? "held by "
								: "";

	if (word[0] == '\0')
		return callback;
	snprintf(text, size, "%s%s", word, callback);
	return text;
}

void tf_capture_after(struct tf_capture *capture, const struct tf_kept *kept, uint32_t i, struct tf_packet *packet,
		      const char *callback)
{
	static const uint8_t verdicts[] = {
		[TF_VERDICT_FORWARD] = TF_CAPTURE_XDP_PASS,
		[TF_VERDICT_DROP] = TF_CAPTURE_XDP_DROP,
		[TF_VERDICT_REPLY] = TF_CAPTURE_XDP_TX,
		[TF_VERDICT_HOLD] = TF_CAPTURE_XDP_PASS,
	};
	char text[600];
	struct tf_capture_note note = {TF_CAPTURE_INBOUND, verdicts[packet->verdict],
				       comment_of(packet, callback, text, sizeof(text))};

	if (i >= kept->count || kept->packets[i].len == 0)
		return;
	add(capture, packet, kept->bytes + kept->packets[i].at, kept->packets[i].len, packet->from,
	    &note);
	if (!(packet->flags & TF_EDITED))
		return;
	if (packet->verdict == TF_VERDICT_FORWARD)
		tf_capture_out(capture, packet, !packet->from);
	else if (packet->verdict == TF_VERDICT_REPLY)
		tf_capture_out(capture, packet, packet->from);
}

void tf_capture_out(struct tf_capture *capture, struct tf_packet *packet, int side)
{
	struct tf_capture_note note = {TF_CAPTURE_OUTBOUND, TF_CAPTURE_NO_VERDICT,
				       packet->number == 0		    ? "sent by the script"
				       : packet->verdict == TF_VERDICT_HOLD ? "held until now"
									    : "edited"};

	tf_settle(packet);
	add(capture, packet, packet->data, packet->len, side, &note);
}

int tf_capture_stop(struct tf_capture *capture)
{
	uint64_t start = uv_hrtime(), lost;
	int err;

	if (capture == NULL)
		return 0;
	if (!capture->begun) {
		free_all(capture);
		return 0;
	}
	uv_mutex_lock(&capture->mutex);
	capture->ending = 1;
	uv_cond_broadcast(&capture->changed);
	while (!capture->ended && uv_hrtime() - start < PATIENCE) {
		uv_cond_timedwait(&capture->changed, &capture->mutex, GLANCE);
		if (capture->wait && !tf_interrupted())
			start = uv_hrtime();
	}
	capture->abandoned = !capture->ended;
	lost = capture->lost;
	if (capture->abandoned || capture->failed < 0)
		lost += capture->waiting.count;
	if (capture->abandoned)
		lost += capture->writing.count;
	err = capture->failed;
	uv_mutex_unlock(&capture->mutex);
	if (capture->abandoned) {
		tf_log(TF_LOG_WARNING, "--capture %s: its reader does not read", capture->path);
	} else {
		uv_thread_join(&capture->thread);
		if (err == 0 && (err = tf_capture_file_close(capture->file)) < 0)
			tf_log(TF_LOG_ERROR, "--capture %s is not whole: %s", capture->path,
			       uv_strerror(err));
	}
	if (lost > 0)
		tf_log(TF_LOG_WARNING,
		       "--capture %s: %llu packets are not in it, since it could not be written%s",
		       capture->path, (unsigned long long)lost, err < 0 ? "" : " as fast");
	if (capture->abandoned)
		return UV_ETIMEDOUT; /* the thread has it */
	free_all(capture);
	return err;
}
