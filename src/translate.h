/* libpcap's programs as Lua source, for the JIT to put into the loop over the packets. */
#ifndef TF_TRANSLATE_H
#define TF_TRANSLATE_H

#include <pcap/pcap.h>
#include <stddef.h>

/*
 * Writes the body of a Lua function of (p), a struct tf_packet *, that says what bpf_filter() would; it uses
 * band, bor, lshift, rshift of bit, and slow(p), which it asks where a load is behind the packet's end or
 * needs a packet that was cut to be settled. Its length; 0 for a program that is too large, or that has no
 * such translation, or where there is no memory.
 */
size_t tf_translate(const struct bpf_program *bpf, char *text, size_t size);

#endif
