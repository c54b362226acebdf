/* `tunfilter doctor` on macOS. */
#include "doctor.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "device/utun.h"
#include "doctor_parts.h"
#include "error.h"

/* Makes one and gives it back, which shows both that there are any and that we may. */
static int check_utun(void)
{
	char name[TF_NAME_SIZE];
	int fd = tf_utun_connect(-1, name);

	if (fd >= 0) {
		close(fd);
		tf_doctor_say(TF_DOCTOR_OK, "utun", "this user may make utun devices");
		return 1;
	}
	tf_doctor_say(TF_DOCTOR_MISSING, "utun", "%s", fd == -EPERM || fd == -EACCES
			      ? "making utun devices takes root: `sudo tunfilter …`"
			      : strerror(-fd));
	return 0;
}

static int check_nodes(void)
{
	if (access("/dev/tun0", F_OK) < 0) {
		tf_doctor_say(TF_DOCTOR_HINT, "tun, tap",
			      "TunTapOSX is not here, which Macs of today can't load: use utun; there "
			      "is no tap without it");
		return 0;
	}
	if (access("/dev/tun0", R_OK | W_OK) < 0) {
		tf_doctor_say(TF_DOCTOR_MISSING, "tun, tap",
			      "may not open /dev/tun0: `sudo tunfilter …`");
		return 0;
	}
	tf_doctor_say(TF_DOCTOR_OK, "tun, tap", "TunTapOSX's devices are here");
	return 1;
}

int tf_command_doctor(void)
{
	struct utsname system;
	int utun, nodes;

	if (uname(&system) == 0)
		tf_doctor_say(TF_DOCTOR_OK, "system", "%s %s, %s", system.sysname, system.release,
			      system.machine);
	utun = check_utun();
	nodes = check_nodes();
	tf_doctor_libraries();
	return utun || nodes ? 0 : TF_EXIT_SYSTEM;
}
