/* Capture filter expressions (pcap-filter(7)), compiled once by libpcap. */
#ifndef TF_EXPRESSION_H
#define TF_EXPRESSION_H

#include "error.h"
#include "packet.h"

struct tf_expression;

/*
 * Compiles an expression of at most 2,048 bytes for packets of a link type; an empty one selects
 * everything. libpcap looks names of hosts up, which may take as long as that takes. 0, UV_ENOMEM,
 * or TF_ESCRIPT with a text of three lines: the reason, the expression (the part of it that
 * matters), and a mark under the place where it breaks; under all of it where no place is to blame.
 */
int tf_expression_compile(struct tf_expression **out, const char *text, uint8_t link,
			  struct tf_error *error);

/*
 * The same for packets of captures, which have link types of their own (tf_packet.linktype): it is
 * compiled for each of them when its first packet comes. An expression that means something for
 * Ethernet is taken, and selects no packet of a link type for which it means nothing.
 */
int tf_expression_compile_any(struct tf_expression **out, const char *text, uint8_t link,
			      struct tf_error *error);

/* NULL is fine. */
void tf_expression_free(struct tf_expression *expression);

/*
 * 1 if it selects the packet as it now is, else 0. A capture's packet is looked at with what stands
 * before its data, and with its length on the wire, as tcpdump does. Any bytes are safe. What it reads
 * of a packet that was cut from a large one is settled, and nothing else.
 */
int tf_expression_match(struct tf_expression *expression, struct tf_packet *packet);

/* Which variant of expressions is for a packet: the number that tf_expression_program takes. */
uint16_t tf_expression_linktype(const struct tf_packet *packet);

/*
 * The program for packets of that link type, or NULL: it selects none of them. It is the
 * expression's.
 */
struct bpf_program;
const struct bpf_program *tf_expression_program(struct tf_expression *expression, uint16_t linktype);

#endif
