#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expression.h"

/* Expressions that are refused; { and } stand around what should be marked. */
struct broken {
	const char *text;
	const char *words; /* that the reason has */
};

static const struct broken broken_ip[] = {
	{"tcp {prot} 80", "did you mean 'proto'?"},
	{"{icpm}", "did you mean 'icmp'?"},
	{"tcp port 80 {adn} udp", "did you mean 'and'?"},
	{"ip and {por} 80", "did you mean 'port'?"},
	{"{foo}", "syntax error at 'foo'"},
	{"80{}", "ends too early"},
	{"tcp {80}", "'80'"},
	{"tcp {)}", "')'"},
	{"(tcp port 80){)}", "')'"},
	{"tcp and{}", "ends too early"},
	{"(tcp port 80{}", "ends too early"},
	{"not{}", "ends too early"},
	{"port{}", "ends too early"},
	{"tcp port 80 and host{}", "ends too early"},
	{"tcp[13{}", "ends too early"},
	{"len >{}", "ends too early"},
	{"tcp or {or} udp", "'or'"},
	{"tcp && {&&} udp", "'&&'"},
	{"port {tcp} and udp", "'tcp'"},
	{"ip[0] & 0xf != 5 {tcp}", "'tcp'"},
	{"tcp[{tcpfoo}] = 1", "'tcpfoo'"},
	{"tcp[tcpflags] & {tcp-sym} != 0", "'tcp-sym'"},
	{"udp and {@} and tcp", "'@'"},
	{"greater {x} or tcp", "'x'"},
	{"len = 100 and udp {x}", "'x'"},
	{"less 10 {more} 20", "'more'"},
	{"host {::1::2} and tcp", "'::1::2'"},
	{"port {99999}", "99999"},
	{"tcp and port {99999} and ip", "99999"},
	{"port {nosuchport}", "nosuchport"},
	{"tcp and (udp or port {nosuchport})", "nosuchport"},
	{"port http and (port 53 or port {nosuchport})", "nosuchport"},
	{"proto {nosuch}", "nosuch"},
	{"net {10.0.0.1/8}", "non-network bits"},
	{"tcp and net 10.0.0.0/{40} and ip", "32"},
	{"host {1.2.3.400} or icmp", "1.2.3.400"},
	{"port 80 and {tcp} host 1.2.3.4 and udp", "'tcp' modifier"},
	{"{ip} host ::1", "'ip' modifier"},
	{"udp or tcp[{0:3}] = 1 and tcp", "1, 2, or 4"},
	{"tcp or ip[0] = 1/{0} and udp", "division by zero"},
	{"tcp and {gateway} foo", "gateway"},
	{"icmp or {vlan} 5", "VLAN"},
	{"icmp or ether host {1:2:3:4:5:6} or ip", "ethernet"},
	{"{tcp and udp}", "IP packets"},
	{"{arp}", "IP packets"},
	{"{inbound or tcp}", "from = tf.left"},
};

static const struct broken broken_ethernet[] = {
	{"tcp {prot} 80", "did you mean 'proto'?"}, {"ip or vlan {5000} or arp", "4095"},
	{"ip or ether host {zz} and arp", "zz"},    {"arp and ether proto {nosuch}", "nosuch"},
	{"{arp and tcp}", "Ethernet frames"},	    {"{ifindex 3}", "from = tf.left"},
};

/* The lines of a message: reason, expression, mark. */
static void split(char *text, char *lines[3])
{
	for (int i = 0; i < 3; i++) {
		lines[i] = text;
		text = strchr(text, '\n');
		if (i < 2) {
			assert_non_null(text);
			*text++ = 0;
		} else {
			assert_null(text);
		}
	}
}

static void check_mark(const struct broken *broken, uint8_t link)
{
	struct tf_expression *expression = NULL;
	struct tf_error error;
	char text[256] = "", *lines[3];
	const char *open = strchr(broken->text, '{'), *close = strchr(broken->text, '}');
	size_t first = (size_t)(open - broken->text), width = (size_t)(close - open) - 1;

	snprintf(text, sizeof(text), "%.*s%.*s%s", (int)first, broken->text, (int)width, open + 1,
		 close + 1);
	assert_int_equal(tf_expression_compile(&expression, text, link, &error), TF_ESCRIPT);
	assert_null(expression);
	assert_int_equal(error.code, TF_ESCRIPT);
	split(error.text, lines);
	if (strncmp(lines[0], "bad expression: ", 16) ||
	    (broken->words && !strstr(lines[0], broken->words)))
		fail_msg("%s: the reason is \"%s\"", broken->text, lines[0]);
	assert_string_equal(lines[1] + 3, text);
	if (strspn(lines[2], " ") != 3 + first ||
	    strlen(lines[2]) != 3 + first + (width ? width : 1))
		fail_msg("%s: marked as\n%s\n%s", broken->text, lines[1], lines[2]);
	assert_int_equal(strchr(lines[2], '^') - lines[2], 3 + first);
}

static void marks_the_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(broken_ip) / sizeof(*broken_ip); i++)
		check_mark(&broken_ip[i], TF_LINK_IP);
	for (size_t i = 0; i < sizeof(broken_ethernet) / sizeof(*broken_ethernet); i++)
		check_mark(&broken_ethernet[i], TF_LINK_ETHERNET);
}

/* What is long is cut around the place, and the mark is still under it. */
static void marks_in_long_ones(void **state)
{
	struct tf_expression *expression;
	struct tf_error error;
	char text[2049] = "", *lines[3];

	(void)state;
	for (int i = 0; i < 100; i++)
		sprintf(strchr(text, 0), "%s10.0.0.%d", i ? " or " : "host ", i);
	memcpy(strstr(text, "10.0.0.60"), "or       ", 9);
	assert_int_equal(tf_expression_compile(&expression, text, TF_LINK_IP, &error), TF_ESCRIPT);
	split(error.text, lines);
	assert_non_null(strstr(lines[0], "'or'"));
	assert_true(strlen(lines[1]) <= 80);
	assert_int_equal(strncmp(lines[1] + strspn(lines[2], " "), "or ", 3), 0);
	assert_int_equal(strncmp(lines[1] + strspn(lines[2], " ") - 13, "10.0.0.59 or ", 13), 0);
}

static void shows_no_control_bytes(void **state)
{
	struct tf_expression *expression;
	struct tf_error error;
	char *lines[3];

	(void)state;
	assert_int_equal(tf_expression_compile(&expression, "tcp\n\tand \033[31m \xc3\xa4 )",
					       TF_LINK_IP, &error),
			 TF_ESCRIPT);
	assert_null(strchr(error.text, '\033'));
	split(error.text, lines);
	assert_string_equal(lines[1], "   tcp  and  [31m \xc3\xa4 )");
	/* Two bytes, one column. */
	assert_int_equal(tf_expression_compile(&expression, "port \xc3\xa4 )", TF_LINK_IP, &error),
			 TF_ESCRIPT);
	split(error.text, lines);
	assert_string_equal(lines[2], "        ^");
}

/* Neither time, nor stack, nor memory is a script's to take. */
static void bears_any_length(void **state)
{
	enum { SIZE = 100000 };
	static const struct {
		const char *repeat;
		const char *rest;
	} shapes[] = {{"(", "tcp"},
		      {")", ""},
		      {"not ", "tcp"},
		      {"ip[", "0"},
		      {"tcp or ", "tcp"},
		      {"x", ""},
		      {"- ", "1"},
		      {"1+", "1=1"},
		      {"vlan and ", "ip"},
		      {"\xff", ""},
		      {"port 1 or ", "port 2"},
		      {"ip6 protochain 1 or ", "ip"},
		      {"@ ", ""}};
	static const size_t lengths[] = {1, 10, 100, 1000, 2000, 2048, 2049, 5000, SIZE};
	char *text = malloc(SIZE + 100);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		for (size_t j = 0; j < sizeof(lengths) / sizeof(*lengths); j++) {
			struct tf_expression *expression;
			struct tf_error error;
			size_t len = 0;
			int status;

			while (len + strlen(shapes[i].repeat) + strlen(shapes[i].rest) <=
			       lengths[j]) {
				strcpy(text + len, shapes[i].repeat);
				len += strlen(shapes[i].repeat);
			}
			strcpy(text + len, shapes[i].rest);
			len += strlen(shapes[i].rest);
			status = tf_expression_compile(&expression, text, (uint8_t)(j % 2), &error);
			if (len > 2048)
				assert_non_null(strstr(error.text, "2048 are allowed"));
			if (status)
				assert_int_equal(status, TF_ESCRIPT);
			else
				tf_expression_free(expression);
		}
	}
	free(text);
}

/* Any bytes as expression: a refusal or an expression, and a message of three lines. */
static void bears_any_words(void **state)
{
	static const char *const words[] = {
		"tcp",	"and",	   "or",	   "not",  "(",	    ")",
		"[",	"]",	   "80",	   "port", "host",  "net",
		"/",	"1.2.3.4", "::1",	   ":",	   "=",	    "&",
		"0x1f", "\\tcp",   "len",	   "<",	   "-",	    "vlan",
		"\x01", "\xc3",	   "\xa4",	   "\n",   "ether", "src",
		"\\",	"'",	   "9999999999999"};
	uint32_t seed = 7;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct tf_expression *expression;
		struct tf_error error;
		char text[256] = "", *lines[3];

		for (int n = i % 12; n >= 0; n--) {
			seed = seed * 1664525 + 1013904223;
			strcat(text, words[(seed >> 16) % (sizeof(words) / sizeof(*words))]);
			if (seed >> 30)
				strcat(text, " ");
		}
		if (tf_expression_compile(&expression, text, (uint8_t)(i % 2), &error))
			split(error.text, lines);
		else
			tf_expression_free(expression);
	}
}

static void selects(void **state)
{
	static const uint8_t ip[] = {0x45, 0, 0,  40, 0,    1, 0,    0,	   64, 6,  0, 0, 10, 0,
				     0,	   1, 10, 0,  0,    2, 0x30, 0x39, 0,  80, 0, 0, 0,  0,
				     0,	   0, 0,  0,  0x50, 2, 0,    0,	   0,  0,  0, 0};
	struct tf_expression *port, *all;
	struct tf_error error;

	(void)state;
	assert_int_equal(tf_expression_compile(&port, "tcp dst port 80", TF_LINK_IP, &error), 0);
	assert_int_equal(tf_expression_compile(&all, "", TF_LINK_IP, NULL), 0);
	for (uint32_t len = 0; len <= sizeof(ip); len++) {
		uint8_t *bytes = malloc(len + !len); /* of exact size, for valgrind */
		struct tf_packet packet = {.data = bytes, .len = len};

		memcpy(bytes, ip, len);
		assert_int_equal(tf_expression_match(all, &packet), 1);
		assert_int_equal(tf_expression_match(port, &packet), len >= 24);
		if (len >= 24)
			bytes[23] = 81;
		assert_int_equal(tf_expression_match(port, &packet), 0);
		free(bytes);
	}
	tf_expression_free(port);
	tf_expression_free(all);
	tf_expression_free(NULL);
	assert_int_equal(tf_expression_compile(&all, "tcp tcp", TF_LINK_IP, NULL), TF_ESCRIPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_the_place),	  cmocka_unit_test(marks_in_long_ones),
		cmocka_unit_test(shows_no_control_bytes), cmocka_unit_test(bears_any_length),
		cmocka_unit_test(bears_any_words),	  cmocka_unit_test(selects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
