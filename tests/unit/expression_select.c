/*
 * For each expression in a file, prints which packets of a capture it selects: a line of 0s and 1s,
 * or why it is refused, on one line. For expression_vectors.py, which compares that with tcpdump.
 */
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expression.h"
#include "parse.h"

enum { PACKETS_MAX = 4096 };

static struct tf_packet packets[PACKETS_MAX];
static int count;

static int read_packets(pcap_t *pcap, uint8_t link)
{
	struct pcap_pkthdr *header;
	const u_char *bytes;

	for (; pcap_next_ex(pcap, &header, &bytes) == 1; count++) {
		struct tf_packet *packet = &packets[count];

		if (count == PACKETS_MAX)
			return -1;
		packet->len = packet->room = header->caplen;
		packet->link = link;
		/* Of exact size, so that a sanitizer sees the first stray byte. */
		packet->data = malloc(packet->len);
		if (!packet->data)
			return -1;
		memcpy(packet->data, bytes, packet->len);
		tf_parse(packet);
	}
	return 0;
}

static void print_selection(const char *text, uint8_t link)
{
	struct tf_expression *expression;
	struct tf_error error;

	if (tf_expression_compile(&expression, text, link, &error)) {
		error.text[strcspn(error.text, "\n")] = 0;
		printf("%s\n", error.text);
		return;
	}
	for (int i = 0; i < count; i++)
		putchar('0' + tf_expression_match(expression, &packets[i]));
	putchar('\n');
	tf_expression_free(expression);
}

int main(int argc, char **argv)
{
	char text[PCAP_ERRBUF_SIZE], line[4096];
	int result = 1;
	uint8_t link;
	pcap_t *pcap;
	FILE *file;

	if (argc != 3)
		return 2;
	pcap = pcap_open_offline(argv[1], text);
	if (!pcap)
		goto fail_pcap;
	file = fopen(argv[2], "r");
	link = pcap_datalink(pcap) == DLT_EN10MB ? TF_LINK_ETHERNET : TF_LINK_IP;
	if (!file || read_packets(pcap, link))
		goto fail_file;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		if (*line && *line != '#')
			print_selection(line, link);
	}
	result = 0;
	while (count)
		free(packets[--count].data);
fail_file:
	if (file)
		fclose(file);
	pcap_close(pcap);
fail_pcap:
	if (result)
		fprintf(stderr, "%s: cannot read %s and %s\n", argv[0], argv[1], argv[2]);
	return result;
}
