#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MESSAGE_SIZE 1024	/* the longest request that is made here */
#define ANSWER_SIZE  (32 << 10) /* the kernel sends no longer ones unless asked */

struct tf_links {
	struct mnl_socket *requests;
	struct mnl_socket *news; /* NULL before tf_links_watch */
	unsigned int sequence;	 /* of the last request */
};

int tf_links_open(struct tf_links **out, struct tf_error *error)
{
	struct tf_links *links = calloc(1, sizeof(*links));
	int code;

	if (!links)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	links->requests = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!links->requests || mnl_socket_bind(links->requests, 0, MNL_SOCKET_AUTOPID) < 0) {
		code = -errno;
		tf_links_close(links);
		return tf_error_set(error, code,
				    "can't ask the kernel about interfaces (netlink): %s",
				    uv_strerror(code));
	}
	*out = links;
	return 0;
}

void tf_links_close(struct tf_links *links)
{
	if (!links)
		return;
	if (links->news)
		mnl_socket_close(links->news);
	if (links->requests)
		mnl_socket_close(links->requests);
	free(links);
}

static struct nlmsghdr *request(void *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message;

	memset(buffer, 0, MESSAGE_SIZE);
	message = mnl_nlmsg_put_header(buffer);
	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	return message;
}

static struct nlmsghdr *link_request(void *buffer, uint16_t type, int index)
{
	struct nlmsghdr *message = request(buffer, type, NLM_F_ACK);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));

	info->ifi_family = AF_UNSPEC;
	info->ifi_index = index;
	return message;
}

/* Sends a request and gives every answer to take; 0 or a code. */
static int ask(struct tf_links *links, struct nlmsghdr *message, mnl_cb_t take, void *arg)
{
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
	ssize_t length;
	int more = 1;

	message->nlmsg_seq = ++links->sequence;
	/* To the kernel, which needs no address, and from a worker may have none. */
	if (send(mnl_socket_get_fd(links->requests), message, message->nlmsg_len, 0) < 0)
		return -errno;
	while (more > 0) {
		length = mnl_socket_recvfrom(links->requests, answer, sizeof(answer));
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -errno;
		if (((struct nlmsghdr *)answer)->nlmsg_seq != links->sequence)
			continue; /* the rest of an earlier question */
		more = mnl_cb_run(answer, (size_t)length, 0, 0, take, arg);
	}
	return more < 0 ? -errno : 0;
}

/* The sentence for a change that the kernel refused. */
static int refused(struct tf_links *links, int index, int code, struct tf_error *error,
		   const char *what)
{
	struct tf_link_state state;
	const char *help = "";

	if (code == UV_EPERM)
		help = "; that takes root (sudo) or CAP_NET_ADMIN in its namespace";
	if (tf_link_state(links, index, &state, NULL) < 0)
		return tf_error_set(error, code, "can't %s: %s%s", what, uv_strerror(code), help);
	return tf_error_set(error, code, "can't %s \"%s\": %s%s", what, state.name,
			    uv_strerror(code), help);
}

static int take_tun(const struct nlattr *attribute, void *arg)
{
	struct tf_link_state *state = arg;

	switch (mnl_attr_get_type(attribute)) {
	case IFLA_TUN_TYPE:
		state->tap = mnl_attr_get_u8(attribute) == 2; /* IFF_TAP */
		break;
	case IFLA_TUN_MULTI_QUEUE:
		state->multi_queue = mnl_attr_get_u8(attribute);
		break;
	case IFLA_TUN_NUM_QUEUES:
		state->queues = mnl_attr_get_u32(attribute);
		break;
	}
	return MNL_CB_OK;
}

static int take_kind(const struct nlattr *attribute, void *arg)
{
	struct tf_link_state *state = arg;

	/* The kernel puts the kind before its data. */
	if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
		strncpy(state->kind, mnl_attr_get_str(attribute), sizeof(state->kind) - 1);
	else if (mnl_attr_get_type(attribute) == IFLA_INFO_DATA && !strcmp(state->kind, "tun"))
		mnl_attr_parse_nested(attribute, take_tun, state);
	return MNL_CB_OK;
}

static int take_attribute(const struct nlattr *attribute, void *arg)
{
	struct tf_link_state *state = arg;
	struct rtnl_link_stats64 stats = {0};
	size_t length = mnl_attr_get_payload_len(attribute);

	switch (mnl_attr_get_type(attribute)) {
	case IFLA_IFNAME:
		strncpy(state->name, mnl_attr_get_str(attribute), sizeof(state->name) - 1);
		break;
	case IFLA_MTU:
		state->mtu = mnl_attr_get_u32(attribute);
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(attribute, take_kind, state);
		break;
	case IFLA_STATS64:
		memcpy(&stats, mnl_attr_get_payload(attribute),
		       length < sizeof(stats) ? length : sizeof(stats));
		state->tx_dropped = stats.tx_dropped;
		state->rx_dropped = stats.rx_dropped;
		break;
	}
	return MNL_CB_OK;
}

static int take_link(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct tf_link_state *state = arg;

	if (message->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	state->index = info->ifi_index;
	state->up = (info->ifi_flags & IFF_UP) != 0;
	mnl_attr_parse(message, sizeof(*info), take_attribute, state);
	return MNL_CB_OK;
}

int tf_link_index(struct tf_links *links, const char *name, int *index, struct tf_error *error)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message = link_request(buffer, RTM_GETLINK, 0);
	struct tf_link_state state = {0};
	int code;

	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	code = ask(links, message, take_link, &state);
	if (code < 0)
		return tf_error_set(error, code, "no interface \"%s\": %s", name,
				    uv_strerror(code));
	*index = state.index;
	return 0;
}

int tf_link_state(struct tf_links *links, int index, struct tf_link_state *state,
		  struct tf_error *error)
{
	char buffer[MESSAGE_SIZE];
	int code;

	memset(state, 0, sizeof(*state));
	code = ask(links, link_request(buffer, RTM_GETLINK, index), take_link, state);
	if (code < 0)
		return tf_error_set(error, code, "no interface with index %d: %s", index,
				    uv_strerror(code));
	return 0;
}

int tf_link_up(struct tf_links *links, int index, struct tf_error *error)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message = link_request(buffer, RTM_NEWLINK, index);
	struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	int code;

	info->ifi_flags = IFF_UP;
	info->ifi_change = IFF_UP;
	code = ask(links, message, NULL, NULL);
	return code < 0 ? refused(links, index, code, error, "bring up") : 0;
}

int tf_link_tune(struct tf_links *links, int index, uint32_t mtu, uint32_t queue,
		 struct tf_error *error)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message = link_request(buffer, RTM_NEWLINK, index);
	int code;

	if (mtu)
		mnl_attr_put_u32(message, IFLA_MTU, mtu);
	if (queue)
		mnl_attr_put_u32(message, IFLA_TXQLEN, queue);
	if (!mtu && !queue)
		return 0;
	code = ask(links, message, NULL, NULL);
	if (code < 0)
		return refused(links, index, code, error,
			       !mtu	? "set the queue length of"
			       : !queue ? "set the MTU of"
					: "set the MTU and queue length of");
	return 0;
}

int tf_link_quiet(struct tf_links *links, int index, struct tf_error *error)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message = link_request(buffer, RTM_NEWLINK, index);
	struct nlattr *families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
	struct nlattr *inet6 = mnl_attr_nest_start(message, AF_INET6);
	int code;

	mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(message, inet6);
	mnl_attr_nest_end(message, families);
	code = ask(links, message, NULL, NULL);
	/* A system without IPv6 is quiet already. */
	if (code < 0 && code != UV_EAFNOSUPPORT)
		return refused(links, index, code, error, "silence IPv6 on");
	return 0;
}

int tf_link_add_address(struct tf_links *links, int index, const struct tf_prefix *address,
			struct tf_error *error)
{
	int family = address->family == 6 ? AF_INET6 : AF_INET;
	size_t size = address->family == 6 ? 16 : 4;
	char buffer[MESSAGE_SIZE], text[INET6_ADDRSTRLEN], what[INET6_ADDRSTRLEN + 32];
	struct nlmsghdr *message =
		request(buffer, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
	int code;

	info->ifa_family = (uint8_t)family;
	info->ifa_prefixlen = address->length;
	info->ifa_index = (unsigned int)index;
	mnl_attr_put(message, IFA_LOCAL, size, address->bytes);
	mnl_attr_put(message, IFA_ADDRESS, size, address->bytes);
	mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NODAD);
	code = ask(links, message, NULL, NULL);
	if (code == 0 || code == UV_EEXIST)
		return 0;
	uv_inet_ntop(family, address->bytes, text, sizeof(text));
	if (family == AF_INET6 && code == UV_EACCES)
		return tf_error_set(error, code,
				    "can't set the address %s/%d: IPv6 is switched off in that "
				    "namespace (sysctl net.ipv6.conf.default.disable_ipv6)",
				    text, address->length);
	snprintf(what, sizeof(what), "set %s/%d as an address of", text, address->length);
	return refused(links, index, code, error, what);
}

int tf_link_add_default(struct tf_links *links, int index, int family, struct tf_error *error)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message =
		request(buffer, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
	int code;

	route->rtm_family = family == 6 ? AF_INET6 : AF_INET;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_BOOT;
	route->rtm_scope = family == 6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	route->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(message, RTA_OIF, (uint32_t)index);
	code = ask(links, message, NULL, NULL);
	return code < 0 ? refused(links, index, code, error, "set a default route out of") : 0;
}

struct address_search {
	int index;
	int found;
};

static int take_address(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
	struct address_search *search = arg;

	if (message->nlmsg_type == RTM_NEWADDR && (int)info->ifa_index == search->index &&
	    !(info->ifa_family == AF_INET6 && info->ifa_scope == RT_SCOPE_LINK))
		search->found = 1;
	return MNL_CB_OK;
}

int tf_link_has_address(struct tf_links *links, int index, int *has, struct tf_error *error)
{
	char buffer[MESSAGE_SIZE];
	struct address_search search = {.index = index};
	int code, tries = 0;

	do { /* EINTR: the list changed while it was read */
		struct nlmsghdr *message = request(buffer, RTM_GETADDR, NLM_F_DUMP);

		mnl_nlmsg_put_extra_header(message, sizeof(struct ifaddrmsg));
		code = ask(links, message, take_address, &search);
	} while (code == UV_EINTR && ++tries < 5);
	if (code < 0)
		return refused(links, index, code, error, "read the addresses of");
	*has = search.found;
	return 0;
}

int tf_links_watch(struct tf_links *links, int *fd, struct tf_error *error)
{
	int code;

	if (!links->news) {
		struct mnl_socket *news =
			mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (!news || mnl_socket_bind(news, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0) {
			code = -errno;
			if (news)
				mnl_socket_close(news);
			return tf_error_set(error, code, "can't watch interfaces (netlink): %s",
					    uv_strerror(code));
		}
		links->news = news;
	}
	*fd = mnl_socket_get_fd(links->news);
	return 0;
}

static int take_news(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct address_search *search = arg;

	if (info->ifi_index == search->index)
		search->found = 1;
	return MNL_CB_OK;
}

int tf_links_changed(struct tf_links *links, int index)
{
	struct address_search search = {.index = index};
	char news[ANSWER_SIZE];
	ssize_t length;

	for (;;) {
		length = mnl_socket_recvfrom(links->news, news, sizeof(news));
		if (length >= 0)
			mnl_cb_run(news, (size_t)length, 0, 0, take_news, &search);
		else if (errno == EAGAIN)
			return search.found;
		else if (errno == ENOBUFS || errno == ENOSPC)
			search.found = 1; /* news were lost */
		else if (errno != EINTR)
			return 1;
	}
}
