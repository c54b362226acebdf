/*
 * Joining a list and cutting what came of it, by a cutter that is not the program's: what is said
 * of the result is true of it, and its packets are those of the list, in a right order.
 */
#ifndef TF_TEST_JOIN_CUT_H
#define TF_TEST_JOIN_CUT_H

#include "join_packets.h"
#include "segment.h"

/* Ends the function with what is wrong. */
#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return "not true: " #condition;                                            \
	} while (0)

/*
 * What the kernel does with a large packet: segments of so many bytes of payload. Before the cut,
 * what it is told about the checksum must be true.
 */
static inline const char *cut(struct list *list, uint8_t *large, uint32_t header, uint32_t len,
			      uint32_t size, uint8_t link)
{
	struct tf_packet packet = {.data = large, .len = len, .link = link};
	static uint8_t segment[TF_PACKET_MAX];
	uint32_t count = 0, pseudo, transport, network;
	uint8_t *ip = segment, *to = segment;
	const char *wrong = NULL;
	int v6, udp;

	tf_parse(&packet);
	EXPECT(!packet.malformed && packet.payload == header && packet.end == len && size > 0);
	network = packet.network;
	transport = packet.transport;
	v6 = !!(packet.headers & TF_HAS_IP6);
	udp = !!(packet.headers & TF_HAS_UDP);
	pseudo = sum16(large + network + (v6 ? 8 : 12), v6 ? 32 : 8,
		       len - transport + (udp ? 17 : 6));
	EXPECT(tf_get16(large + transport + (udp ? 6 : 16)) % 0xffff == pseudo % 0xffff);
	EXPECT(v6 || sum16(large + network, 20, 0) == 0xffff);
	EXPECT(!udp || len - header <= size * TF_JOIN_UDP_PACKETS);
	ip += network;
	to += transport;
	for (uint32_t at = header; at < len && !wrong; at += size, count++) {
		uint32_t n = len - at < size ? len - at : size;

		memcpy(segment, large, header);
		memcpy(segment + header, large + at, n);
		if (v6) {
			tf_put16(ip + 4, header - transport + n);
		} else {
			tf_put16(ip + 2, header - network + n);
			tf_put16(ip + 4, tf_get16(ip + 4) + count);
			tf_put16(ip + 10, 0);
			tf_put16(ip + 10, (uint16_t)~sum16(ip, 20, 0));
		}
		if (udp) {
			tf_put16(to + 4, 8 + n);
			tf_put16(to + 6, 0);
			tf_put16(to + 6, transport_sum(ip, to, 8 + n, 1));
		} else {
			put32(to + 4, get32(to + 4) + at - header);
			if (count)
				to[13] &= (uint8_t)~CWR;
			if (at + n < len)
				to[13] &= (uint8_t) ~(PSH | FIN);
			tf_put16(to + 16, 0);
			tf_put16(to + 16, transport_sum(ip, to, header - transport + n, 0));
		}
		wrong = list_came(list, segment, header + n, link);
	}
	return wrong;
}

static inline const char *cut_joined(const struct tf_join *join, const struct tf_run *run,
				     struct list *list)
{
	static uint8_t large[TF_PACKET_MAX];
	uint32_t len = run->first->payload, count = 0, bytes = 0;

	EXPECT(run->first->payload <= TF_JOIN_HEADER_MAX);
	tf_join_header(run, large);
	for (uint32_t i = run->head; i != TF_JOIN_END; i = join->members[i].next, count++) {
		const struct tf_packet *packet = join->members[i].packet;
		uint32_t n = packet->end - packet->payload;

		EXPECT(len + n <= sizeof(large));
		memcpy(large + len, tf_payload(packet), n);
		len += n;
		bytes += packet->len;
	}
	EXPECT(count == run->count && bytes == run->bytes);
	EXPECT(len == run->first->payload + run->payload);
	return cut(list, large, run->first->payload, len, run->size, run->first->link);
}

static inline const char *cut_run(const struct tf_join *join, const struct tf_run *run,
				  struct list *list)
{
	struct tf_packet *first = run->first;
	const struct tf_large *large = first->large;

	EXPECT(run->count > 0);
	if (run->whole) {
		EXPECT(run->bytes == run->payload + run->count * large->header);
		return cut(list, large->data, large->header, large->len, large->size, first->link);
	}
	if (run->count > 1)
		return cut_joined(join, run, list);
	tf_settle(first);
	EXPECT(run->bytes == first->len);
	return list_came(list, first->data, first->len, first->link);
}

/* NULL and the number of runs, or what is wrong. */
static inline const char *join_and_cut(struct tf_join *join, struct list *list, uint32_t *runs)
{
	uint32_t done = 0;

	for (*runs = 0; done < list->count; *runs += join->run_count) {
		uint32_t took = tf_join(join, list->pointers + done, list->count - done), count = 0;

		EXPECT(took > 0 && took <= list->count - done);
		for (uint32_t i = 0; i < join->run_count; i++) {
			const char *wrong = cut_run(join, &join->runs[i], list);

			if (wrong)
				return wrong;
			count += join->runs[i].count;
		}
		EXPECT(count == took);
		done += took;
	}
	EXPECT(list->seen_count == list->count);
	return NULL;
}

#endif
