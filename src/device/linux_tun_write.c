#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <unistd.h>

#include "../log.h"
#include "linux_tun.h"
#include "linux_vnet.h"

struct tf_tun_writer {
	struct tf_join *join;
	struct tf_vnet_write write;
};

static int writer_create(struct tf_tun *tun)
{
	struct tf_tun_writer *writer = calloc(1, sizeof(*writer));
	uint8_t kinds = 0;

	kinds |= tun->offload & TUN_F_TSO4 ? TF_JOIN_TCP4 : 0;
	kinds |= tun->offload & TUN_F_TSO6 ? TF_JOIN_TCP6 : 0;
	kinds |= tun->offload & TF_TUN_USO ? TF_JOIN_UDP4 | TF_JOIN_UDP6 : 0;
	if (!writer || tf_join_create(&writer->join, tun->device.link, kinds) < 0) {
		free(writer);
		return UV_ENOMEM;
	}
	tun->writer = writer;
	return 0;
}

void tf_tun_writer_free(struct tf_tun_writer *writer)
{
	if (!writer)
		return;
	tf_join_destroy(writer->join);
	free(writer);
}

static void log_failure(struct tf_tun *tun, const char *reason)
{
	if (tun->failure_logged)
		return;
	tun->failure_logged = 1;
	tf_log(TF_LOG_WARNING,
	       "device %s refused a packet: %s (said once; the statistics count them)",
	       tun->device.name, reason);
}

/* Counts what became of so many packets by what the system call answered. 0, or TF_EGONE. */
static int count(struct tf_tun *tun, ssize_t answer, size_t length, uint32_t packets,
		 uint32_t bytes, struct tf_written *written)
{
	if (answer == (ssize_t)length) {
		written->packets += packets;
		written->bytes += bytes;
		tf_tun_set_up(tun, 1);
	} else if (answer >= 0) {
		written->failed += packets;
		log_failure(tun, "it took a part only");
	} else if (tf_tun_is_gone(errno)) {
		return TF_EGONE;
	} else if (errno == EIO) {
		written->not_ready += packets;
		tf_tun_set_up(tun, 0);
	} else if (errno == EAGAIN || errno == ENOBUFS) {
		written->full += packets;
	} else if (errno == EINVAL) {
		written->invalid += packets;
	} else {
		written->failed += packets;
		log_failure(tun, uv_strerror(-errno));
	}
	return 0;
}

/* A packet to a device without virtio_net_hdr. 0, or TF_EGONE. */
static int write_plain(struct tf_tun *tun, struct tf_packet *packet, struct tf_written *written)
{
	ssize_t answer;

	tf_settle(packet);
	do
		answer = write(tun->fd, packet->data, packet->len);
	while (answer < 0 && errno == EINTR);
	return count(tun, answer, packet->len, 1, packet->len, written);
}

static ssize_t write_pieces(const struct tf_tun *tun, const struct tf_vnet_write *write_)
{
	ssize_t answer;

	do
		answer = write_->count == 1
				 ? write(tun->fd, write_->pieces->iov_base, write_->length)
				 : writev(tun->fd, write_->pieces, write_->count);
	while (answer < 0 && errno == EINTR);
	return answer;
}

static int write_single(struct tf_tun *tun, struct tf_packet *packet, struct tf_written *written)
{
	struct tf_vnet_write *write = &tun->writer->write;

	if (tf_device_refuses(tun->device.link, packet->data, packet->len)) {
		written->invalid++;
		return 0;
	}
	tf_vnet_single(write, packet);
	return count(tun, write_pieces(tun, write), write->length, 1, packet->len, written);
}

/* A kernel that refuses a joined packet gets it, and what comes, in single ones. */
static int write_apart(struct tf_tun *tun, const struct tf_run *run, struct tf_written *written)
{
	struct tf_join *join = tun->writer->join;
	uint32_t member = run->head;
	int err = 0;

	if (join->kinds & run->kind)
		tf_log(TF_LOG_WARNING,
		       "device %s: the kernel refuses large %s packets: from now on all are "
		       "written "
		       "one by one",
		       tun->device.name, run->kind & (TF_JOIN_TCP4 | TF_JOIN_TCP6) ? "TCP" : "UDP");
	join->kinds &= (uint8_t)~run->kind;
	for (uint32_t i = 0; err == 0 && i < run->count; i++) {
		if (run->whole) {
			err = write_single(tun, run->first + i, written);
		} else {
			err = write_single(tun, join->members[member].packet, written);
			member = join->members[member].next;
		}
	}
	return err;
}

static int write_run(struct tf_tun *tun, const struct tf_run *run, struct tf_written *written)
{
	struct tf_vnet_write *write = &tun->writer->write;
	ssize_t answer;

	if (run->count == 1 && !run->whole)
		return write_single(tun, run->first, written);
	tf_vnet_run(write, tun->writer->join, run);
	answer = write_pieces(tun, write);
	if (answer < 0 && errno == EINVAL)
		return write_apart(tun, run, written);
	return count(tun, answer, write->length, run->count, run->bytes, written);
}

static int write_runs(struct tf_tun *tun, struct tf_packet *const *packets, uint32_t count,
		      struct tf_written *written)
{
	struct tf_join *join = tun->writer->join;

	while (count > 0) {
		uint32_t took = tf_join(join, packets, count);

		for (uint32_t i = 0; i < join->run_count; i++)
			if (write_run(tun, &join->runs[i], written) < 0)
				return TF_EGONE;
		packets += took;
		count -= took;
	}
	return 0;
}

static int write_each(struct tf_tun *tun, struct tf_packet *const *packets, uint32_t count,
		      struct tf_written *written)
{
	for (uint32_t i = 0; i < count; i++) {
		if (tf_device_refuses(tun->device.link, packets[i]->data, packets[i]->len))
			written->invalid++;
		else if (write_plain(tun, packets[i], written) < 0)
			return TF_EGONE;
	}
	return 0;
}

int tf_tun_write_batch(struct tf_device *device, struct tf_packet *const *packets, uint32_t count,
		       struct tf_written *written)
{
	struct tf_tun *tun = (struct tf_tun *)device;
	const struct tf_written before = *written;
	int err;

	if (tun->vnet && !tun->writer && writer_create(tun) < 0) {
		written->failed += count;
		log_failure(tun, uv_strerror(UV_ENOMEM));
		return 0;
	}
	err = tun->vnet ? write_runs(tun, packets, count, written)
			: write_each(tun, packets, count, written);
	if (err < 0) /* the rest */
		written->failed += count - (uint32_t)(written->packets - before.packets) -
				   (uint32_t)(written->not_ready - before.not_ready) -
				   (uint32_t)(written->full - before.full) -
				   (uint32_t)(written->invalid - before.invalid) -
				   (uint32_t)(written->failed - before.failed);
	return err;
}
