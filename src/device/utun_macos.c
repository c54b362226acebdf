/* The socket: a "kernel control" named com.apple.net.utun_control. Constants of <net/if_utun.h> and
 * <sys/sys_domain.h>, which not every set of headers has, are written out. */
#include "utun.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/kern_control.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_NAME   "com.apple.net.utun_control" /* UTUN_CONTROL_NAME */
#define CONTROL_PROTO  2			    /* SYSPROTO_CONTROL */
#define CONTROL_FAMILY 2			    /* AF_SYS_CONTROL */
#define OPTION_NAME    2			    /* UTUN_OPT_IFNAME */

_Static_assert(sizeof(struct ctl_info) == 100, "as the kernel's struct ctl_info");
_Static_assert(sizeof(struct sockaddr_ctl) == 32, "as the kernel's struct sockaddr_ctl");

int tf_utun_connect(int unit, char name[TF_NAME_SIZE])
{
	struct sockaddr_ctl address = {.sc_len = sizeof(address), .sc_family = AF_SYSTEM};
	struct ctl_info info = {.ctl_name = CONTROL_NAME};
	socklen_t size = TF_NAME_SIZE;
	int fd = socket(PF_SYSTEM, SOCK_DGRAM, CONTROL_PROTO), code;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, CTLIOCGINFO, &info) < 0)
		goto fail;
	address.ss_sysaddr = CONTROL_FAMILY;
	address.sc_id = info.ctl_id;
	address.sc_unit = (uint32_t)(unit + 1); /* 0: any */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, CONTROL_PROTO, OPTION_NAME, name, &size) < 0)
		goto fail;
	return fd;

fail:
	code = -errno;
	close(fd);
	return code;
}
