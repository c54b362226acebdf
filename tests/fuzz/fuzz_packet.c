/*
 * Whatever the bytes: parsing, and everything in C that reads a packet, stays inside it.
 * Input: link type, time, the packet; several packets share a table of flows.
 */
#include "checksum.h"
#include "describe.h"
#include "flow.h"
#include "fuzz.h"
#include "parse.h"
#include "reject.h"
#include "tcp_options.h"
#include "vector.h"

static void answer(struct tf_packet *packet)
{
	uint8_t bytes[TF_REJECT_MAX];
	struct tf_packet reply;
	uint32_t len = tf_reject(packet, bytes);

	fuzz_check(len <= sizeof(bytes), "an answer fits");
	if (len == 0)
		return;
	vector_packet(&reply, packet->link, bytes, len, len);
	tf_parse(&reply);
	fuzz_check(reply.malformed == 0, "an answer is well-formed");
	fuzz_check(tf_reject(&reply, bytes) == 0, "an answer is not answered");
	free(reply.data);
}

static void read_all(struct tf_packet *packet, struct tf_flows *flows, double now)
{
	struct tf_tcp_options options;
	char line[160], dump[700];
	uint8_t fresh;
	uint32_t length = tf_packet_describe(packet, line, sizeof(line));

	fuzz_check(length < sizeof(line) && strlen(line) == length, "a line has its length");
	for (uint32_t i = 0; i < length; i++)
		fuzz_check(line[i] >= 0x20 && line[i] < 0x7f, "a line is printable");
	tf_packet_hexdump(packet, dump, sizeof(dump));
	tf_malformed_text(packet->malformed);
	tf_flow_find(flows, packet, NULL, now, 30, &fresh);
	if (packet->headers & TF_HAS_TCP)
		tf_tcp_options_read(packet, &options);
	if (!packet->malformed && packet->headers & TF_HAS_TCP && !packet->fragment)
		tf_checksum_tcp_right(packet);
	answer(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz fuzz = {bytes, bytes + size};
	struct tf_flows *flows = tf_flow_create(4);
	double now = 0;

	while (fuzz_left(&fuzz) > 0) {
		struct tf_packet packet;
		uint8_t link = (uint8_t)(fuzz_take(&fuzz, 1) % 3);
		uint32_t len;
		uint8_t *block;

		now += fuzz_take(&fuzz, 1);
		len = fuzz_take(&fuzz, 2);
		block = fuzz_block(&fuzz, &len);
		if (len > 0) {
			memset(&packet, 0, sizeof(packet));
			packet.data = block;
			packet.len = packet.room = len;
			packet.link = link;
			tf_parse(&packet);
			fuzz_check(!vector_broken(&packet), vector_broken(&packet));
			read_all(&packet, flows, now);
		}
		free(block);
	}
	fuzz_check(tf_flow_count(flows) <= 4, "the table is bounded");
	tf_flow_destroy(flows);
	return 0;
}
