#include "translate.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "packet.h"
#include "predicate.h"

/* Each way through the tests is machine code of its own, with all that comes behind it. */
enum { TESTS_MAX = 24 };

struct writer {
	const struct tf_graph *graph;
	char *text;
	size_t size, length; /* length: of all, also where it did not fit */
	uint32_t locals;     /* made so far: v1, v2, … */
	int failed;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *writer, const char *format, ...)
{
	size_t left = writer->length < writer->size ? writer->size - writer->length : 0;
	va_list args;

	va_start(args, format);
	writer->length += (size_t)vsnprintf(left ? writer->text + writer->length : NULL, left, format, args);
	va_end(args);
}

static uint32_t put_value(struct writer *writer, uint32_t number, int as_signed);

/*
 * The field at an offset that is written there, as a new local. Of four bytes it is signed, as bit's
 * functions have it, or from 0 to 2^32 - 1.
 */
static uint32_t put_load(struct writer *writer, const struct tf_value *value, const char *at, int as_signed)
{
	uint32_t local = ++writer->locals;
	const char *rest = as_signed ? "" : " % 4294967296";

	if (value->size == 1)
		put(writer, "local v%u = band(d[%s], %u) ", local, at, value->mask);
	else if (value->size == 2)
		put(writer, "local v%u = band(d[%s] * 256 + d[%s + 1], %u) ", local, at, at, value->mask);
	else
		put(writer,
		    "local v%u = band(bor(lshift(d[%s], 24), lshift(d[%s + 1], 16), lshift(d[%s + 2], 8), d[%s + 3]), "
		    "%d)%s ",
		    local, at, at, at, at, (int)value->mask, rest);
	return local;
}

static uint32_t put_field(struct writer *writer, const struct tf_value *value, int as_signed)
{
	uint32_t index, local;
	char at[16];

	if (value->form == TF_VALUE_FIELD) {
		put(writer, "if n < %u then goto slow end ", value->at + value->size);
		snprintf(at, sizeof(at), "%u", value->at);
		return put_load(writer, value, at, as_signed);
	}
	if (value->form == TF_VALUE_BEHIND) {
		put(writer, "if n <= %u then goto slow end ", value->base);
		local = ++writer->locals;
		put(writer, "local v%u = band(d[%u], 15) * 4 + %u ", local, value->base, value->at);
	} else {
		index = put_value(writer, value->a, 0);
		local = ++writer->locals;
		put(writer, "local v%u = v%u + %u ", local, index, value->at);
	}
	put(writer, "if n < v%u + %u then goto slow end ", local, value->size);
	snprintf(at, sizeof(at), "v%u", local);
	return put_load(writer, value, at, as_signed);
}

static uint32_t put_alu(struct writer *writer, const struct tf_value *value)
{
	uint32_t a = put_value(writer, value->a, 0), b = put_value(writer, value->b, 0), local = ++writer->locals;
	const struct tf_value *right = &writer->graph->values[value->b];
	const char *name = value->op == BPF_AND	  ? "band"
			   : value->op == BPF_OR  ? "bor"
			   : value->op == BPF_XOR ? "bxor"
			   : value->op == BPF_LSH ? "lshift"
						  : "rshift";

	switch (value->op) {
	case BPF_ADD:
	case BPF_SUB:
		put(writer, "local v%u = (v%u %c v%u) %% 4294967296 ", local, a, value->op == BPF_ADD ? '+' : '-', b);
		break;
	case BPF_LSH:
	case BPF_RSH:
		if (right->form != TF_VALUE_CONST || right->at > 31)
			writer->failed = 1;
		/* fall through */
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
		put(writer, "local v%u = %s(v%u, v%u) %% 4294967296 ", local, name, a, b);
		break;
	default:
		writer->failed = 1;
	}
	return local;
}

/* Statements that put a value into a new local; its number. */
static uint32_t put_value(struct writer *writer, uint32_t number, int as_signed)
{
	const struct tf_value *value = &writer->graph->values[number];

	switch (value->form) {
	case TF_VALUE_CONST:
		put(writer, "local v%u = %u ", ++writer->locals, value->at);
		return writer->locals;
	case TF_VALUE_LENGTH:
		put(writer, "local v%u = p.len + p.missing ", ++writer->locals);
		return writer->locals;
	case TF_VALUE_ALU:
		return put_alu(writer, value);
	}
	return put_field(writer, value, as_signed);
}

static int is_whole_field(const struct tf_value *value)
{
	return value->form != TF_VALUE_CONST && value->form != TF_VALUE_LENGTH && value->form != TF_VALUE_ALU &&
	       value->size == 4;
}

static void put_test(struct writer *writer, uint32_t number)
{
	const struct tf_test *test = &writer->graph->tests[number];
	int as_signed = !test->least && is_whole_field(&writer->graph->values[test->value]);
	uint32_t local;

	writer->locals = 0;
	put(writer, "::t%u:: do ", number);
	local = put_value(writer, test->value, as_signed);
	if (writer->locals > 100)
		writer->failed = 1;
	put(writer, "if v%u %s ", local, test->least ? ">=" : "==");
	if (as_signed)
		put(writer, "%d", (int)test->k);
	else
		put(writer, "%u", test->k);
	put(writer, " then goto t%u end goto t%u end\n", test->yes, test->no);
}

/* The tests from the root on, each behind those that lead to it. */
static void put_tests(struct writer *writer, uint32_t root)
{
	const struct tf_test *tests = writer->graph->tests;
	uint8_t *reached = calloc(writer->graph->test_count + 1, 1);
	uint32_t count = 0;

	if (!reached) {
		writer->failed = 1;
		return;
	}
	reached[root] = 1;
	for (uint32_t i = root; i >= TF_TEST_FIRST && !writer->failed; i--) {
		if (!reached[i])
			continue;
		if (++count > TESTS_MAX) {
			writer->failed = 1;
			break;
		}
		put_test(writer, i);
		reached[tests[i].yes] = reached[tests[i].no] = 1;
	}
	free(reached);
}

size_t tf_translate(const struct bpf_program *bpf, char *text, size_t size)
{
	struct tf_graph graph = {0};
	struct writer writer = {.graph = &graph, .text = text, .size = size};
	uint32_t root = 0;

	if (tf_graph_add(&graph, bpf, 0, &root)) {
		tf_graph_free(&graph);
		return 0;
	}
	/* Of a packet that was cut, what lies before its checksum can be read as it lies. */
	put(&writer,
	    "local d, n = p.data, p.len\n"
	    "if band(p.flags, %d) ~= 0 then n = p.transport + (band(p.headers, %d) ~= 0 and 16 or 6) end\n"
	    "do goto t%u end\n",
	    TF_CUT | TF_PARTIAL, TF_HAS_TCP, root);
	put_tests(&writer, root);
	put(&writer, "::slow:: do return (slow(p)) end\n::t%d:: do return true end\n::t%d:: do return false end\n",
	    TF_TEST_ACCEPT, TF_TEST_REJECT);
	tf_graph_free(&graph);
	return writer.failed || writer.length >= size ? 0 : writer.length;
}
