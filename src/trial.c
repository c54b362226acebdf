#include "trial.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "packet.h"
#include "privileges.h"
#include "script.h"
#include "stage.h"
#include "system.h"

/* Upper layers' headers, and a few bytes behind them. */
#define PORTS 0x9c, 0x40, 0x00, 0x50
static const uint8_t syn[] = {PORTS, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4};
static const uint8_t data[] = {PORTS, 0, 0, 0, 2, 0, 0, 0, 9, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0,
			       'G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T', 'P', '/', '1', '.', '1', '\r', '\n', '\r', '\n'};
static const uint8_t udp[] = {PORTS, 0, 12, 0, 0, 't', 'e', 's', 't'};
static const uint8_t query[] = {0x9c, 0x40, 0, 53, 0, 25, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1};
static const uint8_t echo[] = {8, 0, 0, 0, 0, 1, 0, 1, 'p', 'i', 'n', 'g'};
static const uint8_t echo6[] = {128, 0, 0, 0, 0, 1, 0, 1, 'p', 'i', 'n', 'g'};

static const struct kind {
	const char *name;
	uint8_t version, proto;
	const uint8_t *upper;
	uint8_t size;
	uint16_t fragment; /* flags and offset of IPv4 */
	int rare;	   /* an error on it is as good as none: only to come back is asked of the script */
} kinds[] = {
	{"a TCP SYN", 4, 6, syn, sizeof(syn), 0, 0},
	{"a TCP packet with a payload", 4, 6, data, sizeof(data), 0x4000, 0},
	{"a UDP packet", 4, 17, udp, sizeof(udp), 0, 0},
	{"a DNS query", 4, 17, query, sizeof(query), 0, 0},
	{"a ping", 4, 1, echo, sizeof(echo), 0x4000, 0},
	{"a later fragment", 4, 17, data, sizeof(data), 0x0010, 1},
	{"an IPv4 packet of an unknown protocol", 4, 253, udp, sizeof(udp), 0, 1},
	{"a truncated TCP packet", 4, 6, syn, 8, 0, 1},
	{"a TCP packet over IPv6", 6, 6, data, sizeof(data), 0, 0},
	{"a UDP packet over IPv6", 6, 17, udp, sizeof(udp), 0, 0},
	{"a ping over IPv6", 6, 58, echo6, sizeof(echo6), 0, 0},
};

static void put16(uint8_t *bytes, size_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

/* The packet from a side, at bytes; its length. */
static uint32_t make(const struct kind *kind, int side, uint8_t link, uint8_t *bytes)
{
	uint8_t *ip = bytes;
	int six = kind->version == 6;

	if (link == TF_LINK_ETHERNET) {
		memcpy(bytes, side ? "\2\0\0\0\0\1\2\0\0\0\0\2" : "\2\0\0\0\0\2\2\0\0\0\0\1", 12);
		put16(bytes + 12, six ? 0x86dd : 0x0800);
		ip += 14;
	}
	if (six) {
		memcpy(ip, "\x60\0\0\0\0\0\0\x40\xfd\x77\0\0\0\0\0\0\0\0\0\0\0\0\0\1\xfd\x77\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 40);
		put16(ip + 4, kind->size);
		ip[6] = kind->proto;
		ip[23] = (uint8_t)(1 + side);
		ip[39] = (uint8_t)(2 - side);
	} else {
		memcpy(ip, "\x45\0\0\0\0\1\0\0\x40\0\0\0\x0a\x4d\0\1\x0a\x4d\0\2", 20);
		put16(ip + 2, 20u + kind->size);
		put16(ip + 6, kind->fragment);
		ip[9] = kind->proto;
		ip[15] = (uint8_t)(1 + side);
		ip[19] = (uint8_t)(2 - side);
	}
	ip += six ? 40 : 20;
	memcpy(ip, kind->upper, kind->size);
	return (uint32_t)(ip - bytes) + kind->size;
}

/* What went wrong since, if anything did. */
static int check(struct tf_stage *stage, const char *what, struct tf_error *error)
{
	uint32_t count;
	const struct tf_note *notes = tf_stage_notes(stage, &count);

	for (uint32_t i = 0; i < count; i++)
		if (notes[i].error)
			return tf_error_set(error, TF_ESCRIPT, "%s\n\ton a dry run with %s", notes[i].text, what);
	tf_stage_forget(stage);
	return 0;
}

static const uint8_t arp[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
			      2, 0, 0, 0, 0, 1, 10, 77, 0, 1, 0, 0, 0, 0, 0, 0, 10, 77, 0, 2};

int tf_trial(const struct tf_options *options, uint8_t link, struct tf_error *error)
{
	struct tf_options quiet = *options;
	struct tf_stage *stage = NULL;
	int null = open(tf_system_null, O_WRONLY), err;
	uint8_t bytes[256];

	if (null >= 0 && dup2(null, STDOUT_FILENO) >= 0)
		close(null);
	quiet.verbose = 0;
	err = tf_stage_create(&stage, &quiet, link, error);
	if (err == 0)
		err = check(stage, "no packet", error);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && err == 0; i++)
		for (int side = TF_LEFT; side <= TF_RIGHT && err == 0; side++) {
			tf_script_dry(kinds[i].name);
			tf_stage_inject(stage, side, bytes, make(&kinds[i], side, link, bytes));
			if (kinds[i].rare)
				tf_stage_forget(stage);
			else
				err = check(stage, kinds[i].name, error);
		}
	if (err == 0 && link == TF_LINK_ETHERNET) {
		tf_script_dry("an ARP packet");
		tf_stage_inject(stage, TF_LEFT, arp, sizeof(arp));
		err = check(stage, "an ARP packet", error);
	}
	tf_stage_destroy(stage);
	return err;
}

static int read_script(void *arg)
{
	struct tf_script *script = NULL;
	struct tf_error error = {0};
	int err = tf_script_create(&script, arg, &error);

	if (err < 0)
		tf_log(TF_LOG_ERROR, "%s", error.text);
	else
		tf_script_destroy(script);
	return err < 0 ? tf_error_exit(err) : TF_EXIT_OK;
}

int tf_trial_read(const struct tf_options *options)
{
	struct tf_options copy = *options;

	return tf_privileges_apart(options, read_script, &copy);
}
