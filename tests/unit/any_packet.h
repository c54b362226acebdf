/* Packets of any kind for tests: many that expressions are about, whole, cut off, or of any bytes. */
#ifndef TF_TEST_ANY_PACKET_H
#define TF_TEST_ANY_PACKET_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "packet.h"

static uint64_t seed = 1;

static uint32_t chance(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((seed >> 33) * below >> 31);
}

static uint32_t one_of(const uint32_t *values, size_t count)
{
	return values[chance((uint32_t)count)];
}

#define ONE_OF(...)                                                                                \
	one_of((const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / 4)

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t port(void)
{
	return ONE_OF(53, 80, 123, 443, 1000, 1999, 2000, 2001, 8080, 8443, 0, 65535);
}

static void make_upper(uint8_t *p, uint32_t proto)
{
	put16(p, port());
	put16(p + 2, port());
	if (proto == 6) {
		p[12] = (uint8_t)ONE_OF(0x50, 0x60, 0xf0, 0);
		p[13] = (uint8_t)ONE_OF(2, 0x12, 0x10, 0x18, 0x11, 4, 0x14, 0);
	} else if (proto == 1 || proto == 58) {
		p[0] = (uint8_t)ONE_OF(0, 3, 8, 11, 128, 129, 135);
	} else if (chance(2)) {
		put16(p + 8, 0x0102);
		put16(p + 10, 0x0304);
	}
}

static uint32_t make_ip(uint8_t *p)
{
	uint32_t proto = ONE_OF(6, 6, 6, 17, 17, 1, 58, 2, 132, 47, 51, 44), header = 40;

	if (chance(3) == 0) {
		p[0] = 0x60;
		p[6] = (uint8_t)proto;
		p[7] = (uint8_t)ONE_OF(1, 64);
		put16(p + 8, ONE_OF(0xfd00, 0xfe80, 0xff02));
		memset(p + 10, 0, 30);
		p[23] = (uint8_t)(1 + chance(3));
		put16(p + 24, ONE_OF(0xfd00, 0xfe80, 0xff02));
		p[39] = (uint8_t)(1 + chance(3));
		if (proto == 44 || proto == 51) {
			p[40] = (uint8_t)ONE_OF(6, 17, 58);
			p[41] = 0;
			header += 8;
		}
	} else {
		header = 4 * ONE_OF(5, 5, 5, 6, 15, 4, 0);
		p[0] = (uint8_t)(0x40 + header / 4);
		p[1] = (uint8_t)ONE_OF(0, 0x10, 0xb8, 46);
		put16(p + 6, ONE_OF(0, 0, 0, 0x4000, 0x2000, 0x1fff, 0x0001));
		p[8] = (uint8_t)ONE_OF(1, 63, 64, 255);
		p[9] = (uint8_t)proto;
		put16(p + 12, ONE_OF(0x0a00, 0x0a00, 0x0ac8, 0xc0a8));
		put16(p + 14, 1 + chance(4));
		put16(p + 16, ONE_OF(0x0a00, 0x0a00, 0xc0a8, 0xe000, 0xffff));
		put16(p + 18, ONE_OF(1, 2, 3, 0xffff));
	}
	make_upper(p + header, proto);
	return header + ONE_OF(0, 1, 2, 3, 4, 8, 13, 14, 20, 60, 400, 1100);
}

/* A packet of exact size, whole, cut off, or of any bytes. */
static struct tf_packet make_packet(uint8_t link)
{
	struct tf_packet packet = {.from = TF_LEFT};
	uint8_t bytes[2048], *at = bytes;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)chance(256);
	if (link == TF_LINK_ETHERNET) {
		static const uint8_t macs[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};

		memcpy(at, chance(5) ? macs[chance(2)] : (const uint8_t *)"\xff\xff\xff\xff\xff\xff", 6);
		memcpy(at + 6, macs[chance(2)], 6);
		for (at += 12; chance(3) == 0; at += 4) {
			put16(at, ONE_OF(0x8100, 0x88a8));
			put16(at + 2, ONE_OF(1, 5, 9, 0x2005));
		}
		at += 2;
	}
	packet.len = (uint32_t)(at - bytes) + make_ip(at);
	if (link == TF_LINK_ETHERNET)
		put16(at - 2, chance(8) == 0  ? ONE_OF(0x806, 0x88cc, 0x8847, 0x8863, 100)
			      : at[0] >> 4 == 6 ? 0x86dd
						: 0x800);
	if (chance(4) == 0)
		packet.len = chance(packet.len + 1);
	else if (chance(20) == 0)
		memset(bytes, (int)chance(256), sizeof(bytes));
	if (chance(10) == 0)
		packet.missing = chance(1000);
	packet.data = malloc(packet.len + !packet.len);
	memcpy(packet.data, bytes, packet.len);
	return packet;
}

#endif
