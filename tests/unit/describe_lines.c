/*
 * Prints what tf_packet_describe says of each packet in a capture, and with -x its hexdump too.
 * For describe_vectors.py, which compares it with tcpdump.
 */
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "describe.h"
#include "parse.h"

static int print_packet(const u_char *bytes, uint32_t len, uint8_t link, int hex)
{
	struct tf_packet packet = {.len = len, .room = len, .link = link};
	uint32_t size;
	char line[4096];
	char *dump;
	int result = -1;

	packet.data =
		malloc(len); /* of exact size, so that a sanitizer sees the first stray byte */
	if (!packet.data)
		return -1;
	memcpy(packet.data, bytes, len);
	tf_parse(&packet);
	tf_packet_describe(&packet, line, sizeof(line));
	printf("%s\n", line);
	if (hex) {
		size = tf_packet_hexdump(&packet, NULL, 0) + 1;
		dump = malloc(size);
		if (!dump)
			goto fail_dump;
		tf_packet_hexdump(&packet, dump, size);
		fputs(dump, stdout);
		free(dump);
	}
	result = 0;
fail_dump:
	free(packet.data);
	return result;
}

int main(int argc, char **argv)
{
	char text[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *header;
	const u_char *bytes;
	uint8_t link;
	pcap_t *pcap;
	int hex;

	if (argc < 2)
		return 2;
	hex = argc > 2 && strcmp(argv[2], "-x") == 0;
	pcap = pcap_open_offline(argv[1], text);
	if (!pcap) {
		fprintf(stderr, "%s\n", text);
		return 1;
	}
	link = pcap_datalink(pcap) == DLT_EN10MB ? TF_LINK_ETHERNET : TF_LINK_IP;
	while (pcap_next_ex(pcap, &header, &bytes) == 1)
		if (print_packet(bytes, header->caplen, link, hex))
			return 1;
	pcap_close(pcap);
	return 0;
}
