/*
 * What a packet is: the descriptor that C fills and Lua reads.
 *
 * The part between the two marks is also given to LuaJIT's ffi.cdef, so it holds plain
 * declarations only: no preprocessor, no bit fields (TF_EXPORT is taken out on the way). Other
 * headers mark such parts the same way. Scripts never get hold of these structs;
 * they hold a packet's number, and the library looks the descriptor up (lua/tunfilter/packet.lua).
 */
#ifndef TF_PACKET_H
#define TF_PACKET_H

#include <stdint.h>

/* Functions that the Lua library calls by name through the FFI. */
#if defined(_WIN32)
#define TF_EXPORT __declspec(dllexport)
#else
#define TF_EXPORT __attribute__((visibility("default")))
#endif

/* cdef: begin */
enum {
	TF_HEADROOM = 64,      /* bytes that are free before every packet */
	TF_ALIGN = 16,         /* of every packet's first byte in a batch */
	TF_PACKET_MAX = 65600, /* no packet is longer: 65,535 and the largest link header */
	TF_IP_MAX = 65535      /* the longest IP datagram */
};

/* The two devices, as indices. */
enum { TF_LEFT = 0, TF_RIGHT = 1 };

/* What a device carries. OTHER: only in captures; such packets have no header that is known here. */
enum { TF_LINK_IP = 0, TF_LINK_ETHERNET = 1, TF_LINK_OTHER = 2 };

/* tf_packet.headers: the header is there, whole, and inside the packet. */
enum {
	TF_HAS_ETH = 1,
	TF_HAS_ARP = 2,
	TF_HAS_IP4 = 4,
	TF_HAS_IP6 = 8,
	TF_HAS_TCP = 16,
	TF_HAS_UDP = 32,
	TF_HAS_ICMP = 64,
	TF_HAS_ICMP6 = 128
};

/* tf_packet.fragment */
enum { TF_WHOLE = 0, TF_FRAGMENT_FIRST = 1, TF_FRAGMENT_LATER = 2 };

/* tf_packet.malformed: the first thing that was found wrong; tf_malformed_text() says it in words. */
enum {
	TF_WELL_FORMED = 0,
	TF_BAD_ETH_SHORT,     /* fewer bytes than an Ethernet header and its VLAN tags */
	TF_BAD_ARP_SHORT,     /* an ARP packet that is cut off */
	TF_BAD_ARP_KIND,      /* an ARP packet for other than Ethernet and IPv4 */
	TF_BAD_IP_VERSION,    /* neither 4 nor 6, or not what the Ethernet type said */
	TF_BAD_IP_SHORT,      /* the IP header is cut off */
	TF_BAD_IP_HEADER_LEN, /* IPv4 header length below 20, or past the packet's end */
	TF_BAD_IP_LEN,        /* total or payload length past the packet's end, or below the header */
	TF_BAD_IP6_EXTENSION, /* an extension header is cut off */
	TF_BAD_TCP_SHORT,     /* the TCP header is cut off */
	TF_BAD_TCP_OFFSET,    /* TCP data offset below 20 bytes, or past the packet's end */
	TF_BAD_UDP_SHORT,     /* the UDP header is cut off */
	TF_BAD_UDP_LEN,       /* UDP length below 8, or past the packet's end */
	TF_BAD_ICMP_SHORT,    /* the ICMP or ICMPv6 header (8 bytes) is cut off */
	TF_MALFORMED_COUNT
};

/* tf_packet.verdict; PENDING until the script has decided. */
enum {
	TF_VERDICT_PENDING = 0,
	TF_VERDICT_FORWARD = 1,
	TF_VERDICT_DROP = 2,
	TF_VERDICT_REPLY = 3,
	TF_VERDICT_HOLD = 4 /* forward it when the clock reaches due */
};

/* tf_packet.flags */
enum {
	TF_RAW = 1,   /* the script writes checksums and lengths itself */
	TF_EDITED = 2,	/* differs from what was read */
	TF_FAILED = 4,	/* a callback threw; the verdict is that of --on-error */
	TF_CUT = 8,	/* the bytes from payload on lie at tail still, not at data + payload */
	TF_PARTIAL = 16, /* nobody has computed the TCP or UDP checksum yet: its field means nothing */
	TF_VALID = 32,	/* the system vouches for the transport checksum, which is there */
	TF_CHANGED = 64, /* edited since choose.h looked at it */
	TF_MOVED = 128	/* its addresses, ports or what is between them may not be those that were read */
};

/*
 * A large packet as the kernel hands it over, from which wire packets were cut. It lives as long as
 * its batch's packets do. Its header is that of the packet as read, untouched.
 */
struct tf_large {
	uint8_t *data;		 /* its first byte; the system's own header for it may lie before */
	struct tf_packet *first; /* count descriptors of the batch, one after the other */
	uint32_t len;		 /* bytes at data */
	uint32_t count;		 /* wire packets that it was cut into here */
	uint32_t header;	 /* bytes before the payload: the same in each of them */
	uint32_t size;		 /* payload bytes of each but the last, which has as many at most */
	uint32_t whole;		 /* the count packets are all of it */
};

/* What editing functions answer; 0 is done. */
enum {
	TF_EDIT_ROOM = -1,     /* needs more room than the packet has: give it more, call again */
	TF_EDIT_TOO_LONG = -2, /* the IP datagram would be longer than 65,535 bytes */
	TF_EDIT_FRAGMENT = -3, /* a fragment keeps its length */
	TF_EDIT_RANGE = -4     /* outside the packet */
};

struct tf_packet {
	uint8_t *data;      /* its first byte; at least TF_HEADROOM bytes are free before it */
	int64_t stamp;      /* nanoseconds since the epoch, when it was read */
	double clock;       /* the same in seconds on the run's own clock, which only goes forward */
	double due;         /* seconds on the run's clock: when a held packet goes on */
	double number;      /* counts from 1 over a run; below 0 for a script's own copy */
	uint32_t len;       /* bytes at data, at most room */
	uint32_t room;      /* bytes from data on that belong to it */
	uint32_t network;   /* offset of the IP or ARP header; means nothing without its bit */
	uint32_t transport; /* offset of the TCP, UDP, ICMP or ICMPv6 header, or where one would be */
	uint32_t payload;   /* offset of what follows the last header known; at most end */
	uint32_t end;       /* offset behind the last byte that the lengths speak of; at most len */
	uint32_t callback;  /* which callback decided, counted from 1; 0 if none did */
	uint16_t headers;   /* TF_HAS_… */
	uint16_t vlan;      /* outermost VLAN id (0 to 4095) + 1; 0 without a tag */
	uint8_t proto;      /* upper layer's protocol number behind all IPv6 extension headers */
	uint8_t fragment;   /* TF_WHOLE, TF_FRAGMENT_… */
	uint8_t malformed;  /* TF_WELL_FORMED, TF_BAD_… */
	uint8_t link;       /* TF_LINK_… */
	uint8_t from;       /* side it was read from */
	uint8_t verdict;    /* TF_VERDICT_… */
	uint8_t flags;      /* TF_RAW, TF_EDITED, TF_FAILED, TF_CUT, TF_PARTIAL, TF_VALID, TF_CHANGED, TF_MOVED */
	uint8_t prefix;     /* a capture's bytes before data, in the headroom, that scripts do not see */
	uint16_t interface; /* a capture's interface that it was read from */
	uint16_t linktype;  /* 1 + the capture's LINKTYPE_… of it; 0 for what comes from no capture */
	uint32_t missing;   /* bytes behind len that it had on the wire and the capture left out */
	const uint8_t *tail;	/* while TF_CUT: where the bytes from payload on lie */
	struct tf_large *large; /* what it was cut from, or NULL */
};
/* cdef: end */

#endif
