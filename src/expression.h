/* Capture filter expressions (pcap-filter(7)), compiled once by libpcap. */
#ifndef TF_EXPRESSION_H
#define TF_EXPRESSION_H

#include "error.h"
#include "packet.h"

struct tf_expression;

/*
 * Compiles an expression for packets of a link type. 0, or TF_ESCRIPT with a text of several lines:
 * libpcap's reason, the expression, and a line with ^ under the place where it breaks.
 */
int tf_expression_compile(struct tf_expression **out, const char *text, uint8_t link,
			  struct tf_error *error);
void tf_expression_free(struct tf_expression *expression);

/* 1 if it selects the packet as it now is, else 0. Any bytes are safe. */
int tf_expression_match(const struct tf_expression *expression, const struct tf_packet *packet);

#endif
