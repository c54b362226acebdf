/*
 * libpcap's programs as graphs of tests.
 *
 * A program for BPF's machine becomes tests of values, each value being what a part of the packet
 * says (a field, a field masked, the packet's length). Programs that are added to one graph share
 * their values, so that whoever runs many of them can look at a value once for all (classify.h).
 */
#ifndef TF_PREDICATE_H
#define TF_PREDICATE_H

#include <pcap/pcap.h>
#include <stdint.h>

/* tf_value.form: the first three are what nearly all values are. */
enum {
	TF_VALUE_FIELD,	 /* the field at `at` */
	TF_VALUE_BEHIND, /* the field `at` bytes behind an IPv4 header whose first byte is at `base` */
	TF_VALUE_CONST,	 /* `at` itself */
	TF_VALUE_LENGTH, /* of the packet on the wire */
	TF_VALUE_INDEX,	 /* the field at `at` plus value a */
	TF_VALUE_ALU	 /* a OP b */
};

/* Beside BPF's own: a comparison as a number, 1 or 0. */
enum { TF_OP_GREATER = 0x100, TF_OP_GREATER_EQUAL = 0x200 };

struct tf_value {
	uint8_t form;
	uint8_t size;  /* of a field: 1, 2 or 4 bytes */
	uint16_t op;   /* ALU: BPF_ADD and the like, or TF_OP_… */
	uint32_t at;   /* bytes, or what the form says */
	uint32_t base; /* BEHIND: the header begins there */
	uint32_t mask; /* of a field: bits of it that count */
	uint32_t a, b; /* values, of lower numbers */
};

/* A test's number where there is none to come: the program has decided. */
enum { TF_TEST_REJECT = 0, TF_TEST_ACCEPT = 1, TF_TEST_FIRST = 2 };

/* A value that cannot be had (it is behind the packet's end) rejects the packet. */
struct tf_test {
	uint32_t value;
	uint32_t k;
	uint32_t yes, no; /* tests of lower numbers */
	uint32_t program; /* number of the program that it is of */
	uint8_t least;	  /* the test is: value >= k; else value == k */
};

struct tf_graph {
	struct tf_value *values;
	uint32_t value_count, value_room;
	struct tf_test *tests; /* from TF_TEST_FIRST on */
	uint32_t test_count, test_room;
};

/*
 * Adds a program, under this number: its first test (or TF_TEST_…) to *root. 0; -1 for a program
 * that is no such graph (it loops, or is far too long), or without memory: what was added of it
 * does no harm. All zero is an empty graph.
 */
int tf_graph_add(struct tf_graph *graph, const struct bpf_program *bpf, uint32_t program,
		 uint32_t *root);

void tf_graph_free(struct tf_graph *graph);

/* a OP b to *result; -1 where BPF would reject the packet (division by 0). */
int tf_value_compute(uint16_t op, uint32_t a, uint32_t b, uint32_t *result);

#endif
