#include "expression.h"

#include <ctype.h>
#include <pcap/pcap.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "bounded.h"
#include "classify.h"
#include "log.h"
#include "segment.h"
#include "system.h"

enum {
	LONGEST = 2048, /* bytes; libpcap's time grows with the cube: a second for 185 ports */
	WINDOW = 70,	/* columns of the expression that a message shows */
	LINKTYPE_NULL = 0,
	LINKTYPE_LOOP = 108,
	SLOW = 200 * 1000 * 1000 /* nanoseconds: names were looked up, so don't compile again */
};

/* The expression for packets of one link type. */
struct variant {
	uint16_t linktype;
	uint8_t valid;	 /* else it selects none */
	uint8_t matched; /* a packet was looked at, and there is a classifier if there can be one */
	struct bpf_program program;
	struct tf_classifier *classifier; /* the program's; NULL: it is run as it is */
};

struct tf_expression {
	struct variant device;	  /* for a device's packets */
	char *text;		  /* NULL: there are no packets of captures */
	struct variant *variants; /* variant_count of them, for captures' packets */
	size_t variant_count;
};

/* A part [first, first + len) of the expression. */
struct span {
	size_t first;
	size_t len;
};

static const char *const keywords[] = {
	"and",	 "arp",	 "broadcast", "dst",  "ether", "greater",   "host", "icmp", "icmp6",
	"ip",	 "ip6",	 "len",	      "less", "net",   "not",	    "or",   "port", "portrange",
	"proto", "rarp", "sctp",      "src",  "tcp",   "multicast", "udp",  "vlan", NULL};

/*
 * Whether it loads what only a packet of a live capture has beside its bytes (BPF's ancillary data,
 * at offsets below 0): such a filter would compile and select nothing.
 */
static int needs_capture(const struct bpf_program *program)
{
	for (u_int i = 0; i < program->bf_len; i++) {
		const struct bpf_insn *insn = &program->bf_insns[i];

		if (BPF_CLASS(insn->code) == BPF_LD && BPF_MODE(insn->code) == BPF_ABS &&
		    insn->k > INT32_MAX)
			return 1;
	}
	return 0;
}

/* 0 and *program is the caller's, or -1 with libpcap's reason. */
/* Its scanner calls exit where there is no memory. */
static _Thread_local int compiling;

static void end_compiling(void)
{
	if (!compiling)
		return;
	tf_log(TF_LOG_ERROR, "no memory for an expression");
	_Exit(TF_EXIT_SYSTEM);
}

/* Whether libpcap complains of that, and not of the expression. */
static int lacks_memory(const char *reason)
{
	return strcmp(reason, "not enough core") == 0 || strstr(reason, ": Cannot allocate memory") != NULL;
}

static int compile_for(pcap_t *pcap, struct bpf_program *program, const char *text,
		       char reason[PCAP_ERRBUF_SIZE])
{
	static atomic_flag watched = ATOMIC_FLAG_INIT;
	int err;

	if (!atomic_flag_test_and_set(&watched))
		atexit(end_compiling);
	compiling = 1;
	err = pcap_compile(pcap, program, text, 1, PCAP_NETMASK_UNKNOWN);
	compiling = 0;
	if (err) {
		snprintf(reason, PCAP_ERRBUF_SIZE, "%s", pcap_geterr(pcap));
		return -1;
	}
	if (!needs_capture(program))
		return 0;
	snprintf(reason, PCAP_ERRBUF_SIZE,
		 "inbound, outbound and ifindex are known to live captures only; "
		 "from = tf.left tells the sides apart");
	pcap_freecode(program);
	return -1;
}

static int compile(struct bpf_program *program, const char *text, uint8_t link,
		   char reason[PCAP_ERRBUF_SIZE])
{
	pcap_t *pcap =
		pcap_open_dead(link == TF_LINK_ETHERNET ? DLT_EN10MB : DLT_RAW, TF_PACKET_MAX);
	int status;

	if (!pcap) {
		snprintf(reason, PCAP_ERRBUF_SIZE, "out of memory");
		return -1;
	}
	status = compile_for(pcap, program, text, reason);
	pcap_close(pcap);
	return status;
}

/* libpcap's reason to refuse the first len bytes of text and then tail; "" if it takes them. */
static void refusal(const char *text, size_t len, const char *tail, uint8_t link,
		    char reason[PCAP_ERRBUF_SIZE])
{
	struct bpf_program program;
	size_t size = len + strlen(tail) + 1;
	char *copy = malloc(size);

	reason[0] = 0;
	if (!copy)
		return;
	snprintf(copy, size, "%.*s%s", (int)len, text, tail);
	if (!compile(&program, copy, link, reason))
		pcap_freecode(&program);
	free(copy);
}

/*
 * The next word or operator of text from position at on; its len is 0 at the end. Never cuts one of
 * libpcap's own tokens, so what lies before such a place means the same to libpcap as in the whole.
 */
static struct span next_token(const char *text, size_t at)
{
	static const char single[] = "()[]+*/%^";
	static const char operators[] = "!<>=&|";
	static const char spaces[] = " \t\r\n";
	struct span span;

	span.first = at + strspn(text + at, spaces);
	text += span.first;
	if (!*text)
		span.len = 0;
	else if (strchr(single, *text))
		span.len = 1;
	else if (strchr(operators, *text))
		span.len = strspn(text, operators);
	else
		span.len = strcspn(text, "()[]+*/%^!<>=&| \t\r\n");
	return span;
}

static int is_syntax_error(const char *reason)
{
	return strstr(reason, "syntax error") != NULL;
}

/*
 * Finds the token at which libpcap gives up. libpcap says why, but not where; and it reads from
 * left to right. So a word that its scanner refuses is put behind the first tokens: if libpcap
 * complains of that word, it took all before it. *span is empty, at the end, if it takes every
 * token.
 */
static int find_token(const char *text, uint8_t link, const char *reason, struct span *span)
{
	/* What the scanner has a reason of its own for depends on libpcap's version. */
	static const char *const poisons[] = {" 99999999999", " \001"};
	char poisoned[PCAP_ERRBUF_SIZE], got[PCAP_ERRBUF_SIZE];
	const char *poison = NULL;
	struct span *tokens;
	size_t count = 0, low = 0, high;
	int status = -1;

	for (size_t i = 0; !poison && i < sizeof(poisons) / sizeof(*poisons); i++) {
		refusal("", 0, poisons[i], link, poisoned);
		if (*poisoned && !is_syntax_error(poisoned) && strcmp(poisoned, reason))
			poison = poisons[i];
	}
	tokens = malloc((strlen(text) + 1) * sizeof(*tokens));
	if (!tokens || !poison)
		goto out;
	for (*span = next_token(text, 0); span->len;
	     *span = next_token(text, span->first + span->len))
		tokens[count++] = *span;
	tokens[count] = *span;

	/* The first `low` tokens are taken, the first `high` are not (or high is all and one). */
	for (high = count + 1; low + 1 < high;) {
		size_t middle = (low + high) / 2;
		const struct span *last = &tokens[middle - 1];

		refusal(text, last->first + last->len, poison, link, got);
		if (strcmp(got, poisoned))
			high = middle;
		else
			low = middle;
	}
	/* A meaning is judged when a phrase ends, at times after a look at the token behind it. */
	if (low && low < count && !is_syntax_error(reason)) {
		refusal(text, tokens[low - 1].first + tokens[low - 1].len, "", link, got);
		if (!strcmp(got, reason))
			low--;
		else if (low > 0 && strchr(")]", text[tokens[low].first]))
			low--;
	}
	*span = tokens[low];
	status = 0;
out:
	free(tokens);
	return status;
}

/* Finds the last word before text[end] that the reason quotes. */
static int find_quoted(const char *text, size_t end, const char *reason, struct span *span)
{
	const char *open = strpbrk(reason, "'\"");
	const char *close = open ? strchr(open + 1, *open) : NULL;
	int found = 0;

	if (!close || close == open + 1)
		return -1;
	span->len = (size_t)(close - open) - 1;
	for (size_t at = 0; at + span->len <= end; at++) {
		unsigned char before = at ? (unsigned char)text[at - 1] : ' ';
		unsigned char after = (unsigned char)text[at + span->len];

		if (strncmp(text + at, open + 1, span->len) || isalnum(before) || isalnum(after))
			continue;
		span->first = at;
		found = 1;
	}
	return found ? 0 : -1;
}

/*
 * Two lines: the expression, or as much of it as WINDOW bytes around the span show, and a mark
 * under the span. Control bytes show as spaces; a character of several bytes takes one column.
 */
static void draw(const char *text, struct span span, char *out, size_t size)
{
	size_t len = strlen(text), first = 0, end, column = 0;
	char line[WINDOW + 1], mark[WINDOW + 2];

	if (len > WINDOW && span.first > WINDOW / 2)
		first = span.first - WINDOW / 2;
	if (len > WINDOW && first + WINDOW > len)
		first = len - WINDOW;
	end = first + WINDOW < len ? first + WINDOW : len;
	snprintf(line, sizeof(line), "%.*s", (int)(end - first), text + first);
	for (char *c = line; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = ' ';
	for (size_t at = first; at <= end; at++) {
		if (at > span.first && (at >= span.first + span.len || at == end))
			break;
		if ((text[at] & 0xc0) != 0x80)
			mark[column++] = at < span.first ? ' ' : at == span.first ? '^' : '~';
	}
	mark[column] = 0;
	snprintf(out, size, "   %s%s%s\n   %s%s", first ? "..." : "", line, end < len ? "..." : "",
		 first ? "   " : "", mark);
}

static int explain(const char *text, uint8_t link, const char *reason, int slow,
		   struct tf_error *error)
{
	size_t len = strlen(text);
	struct span span = {len, 0}, quoted;
	char words[PCAP_ERRBUF_SIZE + 128], picture[1024];
	int syntax = is_syntax_error(reason);
	int found = !slow && !find_token(text, link, reason, &span);

	if (syntax && found && span.len) {
		char word[41];
		const char *guess;

		snprintf(word, sizeof(word), "%.*s", (int)span.len, text + span.first);
		guess = tf_error_nearest(word, keywords);
		if (guess && strcmp(guess, word))
			snprintf(words, sizeof(words), "syntax error at '%s' (did you mean '%s'?)",
				 word, guess);
		else
			snprintf(words, sizeof(words), "syntax error at '%s'", word);
	} else if (syntax && found) {
		snprintf(words, sizeof(words), "it ends too early");
	} else if (strstr(reason, "rejects all packets")) {
		snprintf(words, sizeof(words), "no packet on a device that carries %s can match it",
			 link == TF_LINK_ETHERNET ? "Ethernet frames" : "IP packets");
	} else {
		snprintf(words, sizeof(words), "%s%s", reason,
			 strncmp(reason, "unknown host", 12) == 0 ? " (of those in /etc/hosts, and of left and right in a lab; only "
								    "--unsafe asks name servers)"
								  : "");
		if (!find_quoted(text, span.first + span.len, reason, &quoted)) {
			span = quoted;
			found = 1;
		}
	}
	if (!found || (!syntax && !span.len))
		span = (struct span){0, len};
	for (char *c = words; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	draw(text, span, picture, sizeof(picture));
	return tf_error_set(error, TF_ESCRIPT, "bad expression: %s\n%s", words, picture);
}

static int create(struct tf_expression **out, const char *text, struct tf_error *error)
{
	*out = NULL;
	if (strlen(text) > LONGEST)
		return tf_error_set(error, TF_ESCRIPT,
				    "bad expression: it has %u bytes, and %d are allowed: "
				    "split it over several callbacks",
				    (unsigned int)strlen(text), LONGEST);
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : tf_error_set(error, UV_ENOMEM, "no memory for an expression");
}

int tf_expression_compile(struct tf_expression **out, const char *text, uint8_t link,
			  struct tf_error *error)
{
	char reason[PCAP_ERRBUF_SIZE];
	uint64_t start = uv_hrtime();
	int status = create(out, text, error);

	if (status)
		return status;
	if (compile(&(*out)->device.program, text, link, reason)) {
		tf_expression_free(*out);
		*out = NULL;
		if (lacks_memory(reason))
			return tf_error_set(error, UV_ENOMEM, "no memory for an expression");
		return explain(text, link, reason, uv_hrtime() - start > SLOW, error);
	}
	(*out)->device.valid = 1;
	return 0;
}

static void free_variant(struct variant *variant)
{
	tf_classifier_destroy(variant->classifier);
	if (variant->valid)
		pcap_freecode(&variant->program);
}

int tf_expression_compile_any(struct tf_expression **out, const char *text, uint8_t link,
			      struct tf_error *error)
{
	int status = tf_expression_compile(out, text, link, error);

	if (status == TF_ESCRIPT && link != TF_LINK_ETHERNET &&
	    !tf_expression_compile(out, text, TF_LINK_ETHERNET, NULL)) {
		free_variant(&(*out)->device);
		(*out)->device.valid = 0;
		status = 0;
	}
	if (status)
		return status;
	(*out)->text = strdup(text);
	if ((*out)->text)
		return 0;
	tf_expression_free(*out);
	*out = NULL;
	return tf_error_set(error, UV_ENOMEM, "no memory for an expression");
}

void tf_expression_free(struct tf_expression *expression)
{
	if (!expression)
		return;
	free_variant(&expression->device);
	for (size_t i = 0; i < expression->variant_count; i++)
		free_variant(&expression->variants[i]);
	free(expression->variants);
	free(expression->text);
	free(expression);
}

/* A capture without packets; libpcap takes more for one than for pcap_open_dead()'s. */
static pcap_t *open_capture(uint16_t linktype)
{
	uint32_t header[6] = {0xa1b2c3d4, 0, 0, 0, TF_PACKET_MAX, linktype};
	const uint16_t version[2] = {2, 4};
	char reason[PCAP_ERRBUF_SIZE];

	memcpy(&header[1], version, sizeof(version));
	return tf_system_open_capture(header, sizeof(header), reason);
}

/* The expression for a link type, compiled if it is new; NULL without memory. */
static struct variant *variant_for(struct tf_expression *expression, uint16_t linktype)
{
	pcap_t *pcap;
	char reason[PCAP_ERRBUF_SIZE];
	struct variant *variant;

	for (size_t i = 0; i < expression->variant_count; i++)
		if (expression->variants[i].linktype == linktype)
			return &expression->variants[i];
	variant = realloc(expression->variants, (expression->variant_count + 1) * sizeof(*variant));
	if (!variant)
		return NULL;
	expression->variants = variant;
	variant += expression->variant_count++;
	*variant = (struct variant){.linktype = linktype};
	pcap = open_capture(linktype);
	variant->valid = pcap && !compile_for(pcap, &variant->program, expression->text, reason);
	if (pcap)
		pcap_close(pcap);
	return variant;
}

uint16_t tf_expression_linktype(const struct tf_packet *packet)
{
	const uint8_t *bytes = packet->data - packet->prefix;

	if (packet->linktype == LINKTYPE_NULL + 1 && packet->len + packet->prefix > 1 &&
	    !bytes[0] && !bytes[1])
		return LINKTYPE_LOOP + 1; /* from a machine of the other byte order */
	return packet->linktype;
}

static struct variant *variant_of(struct tf_expression *expression, uint16_t linktype)
{
	struct variant *variant = &expression->device;

	if (linktype && expression->text)
		variant = variant_for(expression, (uint16_t)(linktype - 1));
	return variant && variant->valid ? variant : NULL;
}

const struct bpf_program *tf_expression_program(struct tf_expression *expression, uint16_t linktype)
{
	const struct variant *variant = variant_of(expression, linktype);

	return variant ? &variant->program : NULL;
}

static void make_classifier(struct variant *variant)
{
	variant->matched = 1;
	variant->classifier = tf_classifier_create();
	if (variant->classifier && tf_classifier_add(variant->classifier, &variant->program, 0)) {
		tf_classifier_destroy(variant->classifier);
		variant->classifier = NULL;
	}
}

int tf_expression_match(struct tf_expression *expression, struct tf_packet *packet)
{
	struct variant *variant = &expression->device;
	struct tf_selected selected;
	uint32_t prefix = 0, len;

	if (packet->linktype && expression->text) {
		variant = variant_of(expression, tf_expression_linktype(packet));
		prefix = packet->prefix;
	}
	if (!variant || !variant->valid)
		return 0;
	if (!variant->matched)
		make_classifier(variant);
	if (variant->classifier &&
	    !tf_classifier_find(variant->classifier, packet, prefix, &selected))
		return selected.count != 0;
	tf_settle(packet);
	len = packet->len + prefix;
	return tf_bounded_filter(&variant->program, packet->data - prefix, len + packet->missing,
				 len) != 0;
}
