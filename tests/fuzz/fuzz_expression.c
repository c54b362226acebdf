/*
 * Any text is an expression or an error, and what is one selects what libpcap itself selects.
 * Input: link type, the text's length, the text, the packet.
 */
#include <pcap/pcap.h>
#include <sched.h>

#include "expression.h"
#include "fuzz.h"
#include "parse.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Names are not looked up anywhere: there is no network. Where that is forbidden they just take
 * longer. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		unshare(CLONE_NEWNET);
	return 0;
}

static int libpcap_selects(const char *text, int linktype, const uint8_t *bytes, uint32_t len)
{
	pcap_t *dead = pcap_open_dead(linktype, 262144);
	struct bpf_program program;
	struct pcap_pkthdr header = {.caplen = len, .len = len};
	int selects = -1;

	if (pcap_compile(dead, &program, text, 1, PCAP_NETMASK_UNKNOWN) == 0) {
		selects = pcap_offline_filter(&program, &header, bytes) != 0;
		pcap_freecode(&program);
	}
	pcap_close(dead);
	return selects;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz fuzz = {bytes, bytes + size};
	uint8_t link = (uint8_t)(fuzz_take(&fuzz, 1) % 2);
	uint32_t length = fuzz_take(&fuzz, 1), len = 0xffff;
	uint8_t *word = fuzz_block(&fuzz, &length);
	uint8_t *block = fuzz_block(&fuzz, &len);
	struct tf_expression *expression = NULL;
	struct tf_error error = {0};
	char text[256];
	int code;

	memcpy(text, word, length);
	text[length] = 0;
	free(word);
	code = tf_expression_compile(&expression, text, link, &error);
	fuzz_check(code == 0 || (code < 0 && *error.text), "an error has its sentence");
	if (code == 0 && len > 0) {
		struct tf_packet packet = {.data = block, .len = len, .room = len, .link = link};
		int dlt = link == TF_LINK_IP ? DLT_RAW : DLT_EN10MB, loops, expected;

		tf_parse(&packet);
		loops = !!strstr(text,
				 "protochain"); /* libpcap's interpreter may run for ever there */
		expected = loops ? tf_expression_match(expression, &packet)
				 : libpcap_selects(text, dlt, block, len);
		fuzz_check(expected >= 0, "libpcap compiles it, too");
		fuzz_check(tf_expression_match(expression, &packet) == expected,
			   "it selects what libpcap selects");
	}
	tf_expression_free(expression);
	free(block);
	return 0;
}
