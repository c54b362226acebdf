/* Programs of libpcap that loop, run for a bounded time. */
#ifndef TF_BOUNDED_H
#define TF_BOUNDED_H

#include <pcap/pcap.h>

#define TF_BOUNDED_STEPS 65536 /* some 0.1 ms; a chain of headers is walked in 20 steps a header */

/*
 * What bpf_filter() would say of a packet of wire_len bytes, of which len are there; 0 also where
 * it would not come to an end within TF_BOUNDED_STEPS. "protochain" makes programs that loop, and
 * there are packets for which bpf_filter() runs for ever: libpcap's program takes the length of an
 * Authentication Header for where the next header stands.
 */
u_int tf_bounded_filter(const struct bpf_program *program, const u_char *bytes, u_int wire_len,
			u_int len);

#endif
