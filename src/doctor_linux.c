/* `tunfilter doctor` on Linux, and the sentences for what a machine forbids. */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "device/linux_tun.h"
#include "doctor_parts.h"
#include "host_linux.h"
#include "privileges_linux.h"

#define NODE "/dev/net/tun"

/* The number in a file of /proc, or -1 where there is no such file. */
static long setting(const char *path)
{
	long value = -1;
	FILE *file = fopen(path, "re");

	if (file && fscanf(file, "%ld", &value) != 1)
		value = -1;
	if (file)
		fclose(file);
	return value;
}

/* 0 none, 1 strict, 2 a filter, as containers have. */
static int seccomp_mode(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];
	int mode = 0;

	while (status && fgets(line, sizeof(line), status))
		sscanf(line, "Seccomp: %d", &mode);
	if (status)
		fclose(status);
	return mode;
}

void tf_doctor_namespaces(int error_number, char *text, size_t size)
{
	static const char *const otherwise = "; or as root: `sudo tunfilter lab …`";
	static const struct {
		const char *path, *name;
		long forbids;
		const char *mend;
	} settings[] = {
		{"/proc/sys/user/max_user_namespaces", "user.max_user_namespaces", 0, "10000"},
		{"/proc/sys/user/max_net_namespaces", "user.max_net_namespaces", 0, "10000"},
		{"/proc/sys/user/max_pid_namespaces", "user.max_pid_namespaces", 0, "10000"},
		{"/proc/sys/user/max_mnt_namespaces", "user.max_mnt_namespaces", 0, "10000"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "kernel.unprivileged_userns_clone",
		 0, "1"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
		 "kernel.apparmor_restrict_unprivileged_userns", 1, "0"},
	};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		if (setting(settings[i].path) != settings[i].forbids)
			continue;
		snprintf(text, size,
			 "%s: the setting %s is %ld, so that plain users may not make namespaces: "
			 "`sudo sysctl -w %s=%s` allows it%s",
			 strerror(error_number), settings[i].name, settings[i].forbids,
			 settings[i].name, settings[i].mend, otherwise);
		return;
	}
	if (error_number == ENOSPC || error_number == EUSERS)
		snprintf(text, size,
			 "%s: a limit is reached: user.max_user_namespaces, "
			 "user.max_net_namespaces, user.max_pid_namespaces or "
			 "user.max_mnt_namespaces (`sysctl user` shows them)%s",
			 strerror(error_number), otherwise);
	else if (error_number == EINVAL || error_number == ENOSYS)
		snprintf(text, size,
			 "%s: this kernel is built without user namespaces (CONFIG_USER_NS)%s",
			 strerror(error_number), otherwise);
	else if (seccomp_mode() == 2)
		snprintf(text, size,
			 "%s: a seccomp filter forbids namespaces, as containers' do: start the "
			 "container with --privileged, or with --security-opt seccomp=unconfined "
			 "--cap-add SYS_ADMIN --cap-add NET_ADMIN --device " NODE,
			 strerror(error_number));
	else
		snprintf(text, size,
			 "%s: a security module (SELinux, AppArmor) or a chroot forbids "
			 "namespaces%s",
			 strerror(error_number), otherwise);
}

void tf_doctor_tun(int error_number, char *text, size_t size)
{
	struct stat st;

	if (error_number == ENOENT || error_number == ENOTDIR) {
		snprintf(text, size,
			 NODE
			 " is missing: `sudo modprobe tun`, or where that makes none: `sudo mkdir "
			 "-p /dev/net && sudo mknod -m 0666 " NODE " c 10 200`");
	} else if (error_number == ENODEV || error_number == ENXIO) {
		snprintf(text, size, NODE " has no driver behind it: `sudo modprobe tun` loads it");
	} else if (error_number == EACCES && stat(NODE, &st) == 0) {
		snprintf(text, size,
			 "may not open " NODE " (mode %04o): start the program with sudo; or `sudo chmod 0666 " NODE
			 "` allows it to all users, so that a lab needs no root, which is harmless: each still needs "
			 "the rights to make a device",
			 st.st_mode & 07777);
	} else if (error_number == EPERM) {
		snprintf(text, size,
			 NODE " may not be opened in this container: start it with --device " NODE);
	} else {
		snprintf(text, size, "can't open " NODE ": %s", strerror(error_number));
	}
}

#define OFFLOAD 200 /* no errno is so large */

/* Does in a child what lab does; 0, or the errno. *offload: what a device has there, or NULL. */
static int try_namespaces(const char **offload)
{
	int status, flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS;
	int mapped = !tf_host_has_rights();
	uid_t uid = geteuid();
	gid_t gid = getegid();
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		int err;

		if (unshare(flags | (mapped ? CLONE_NEWUSER : 0)) < 0)
			_exit(errno);
		err = mapped ? -tf_host_map_user(uid, gid) : 0;
		if (err == 0 && (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
				 unshare(CLONE_NEWNET) < 0 || sethostname("left", 4) < 0))
			err = errno;
		if (err == 0) /* OFFLOAD - 1: no device */
			err = OFFLOAD + tf_tun_try_offload();
		_exit(err);
	}
	*offload = NULL;
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return errno;
	if (!WIFEXITED(status))
		return EPERM;
	status = WEXITSTATUS(status);
	if (status < OFFLOAD - 1)
		return status;
	*offload = tf_tun_offload_text(status - OFFLOAD);
	return 0;
}

static int check_tun(void)
{
	int fd = open(NODE, O_RDWR | O_CLOEXEC);
	char text[1024];

	if (fd < 0) {
		tf_doctor_tun(errno, text, sizeof(text));
		tf_doctor_say(TF_DOCTOR_MISSING, "TUN", "%s", text);
		return 0;
	}
	close(fd);
	tf_doctor_say(TF_DOCTOR_OK, "TUN", NODE " can be opened");
	return 1;
}

static int check_lab(void)
{
	const char *offload;
	int err = try_namespaces(&offload);
	char text[1024];

	if (err == 0) {
		tf_doctor_say(TF_DOCTOR_OK, "lab", "this user may make namespaces");
		if (offload)
			tf_doctor_say(strstr(offload, "TSO") ? TF_DOCTOR_OK : TF_DOCTOR_WARNING,
				      "offload", "a TUN device of this kernel has: %s", offload);
		return 1;
	}
	tf_doctor_namespaces(err, text, sizeof(text));
	tf_doctor_say(TF_DOCTOR_MISSING, "lab", "%s", text);
	return 0;
}

static int check_run(void)
{
	if (tf_host_may_configure()) {
		tf_doctor_say(TF_DOCTOR_OK, "run",
			      "this user may make network devices (CAP_NET_ADMIN)");
		return 1;
	}
	tf_doctor_say(TF_DOCTOR_HINT, "run",
		      "joining devices of this machine needs CAP_NET_ADMIN: `sudo tunfilter …`; "
		      "lab does not");
	return 0;
}

static int have_tool(const char *name)
{
	static const char *const folders[] = {"/usr/bin", "/bin", "/usr/sbin", "/sbin",
					      "/usr/local/bin"};
	char path[64];

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folders[i], name);
		if (access(path, X_OK) == 0)
			return 1;
	}
	return 0;
}

static void check_confinement(void)
{
	int files, calls;

	tf_privileges_try(&files, &calls);
	tf_doctor_say(files == 0 && calls == 0 ? TF_DOCTOR_OK : TF_DOCTOR_WARNING, "scripts", "%s; %s",
		      files == 0		    ? "they can read files of their folder only (Landlock)"
		      : tf_landlock_version() == 0 ? "this kernel has no Landlock: they are kept from files by Lua alone"
						    : "Landlock is not in force: they are kept from files by Lua alone",
		      calls == 0 ? "system calls are filtered (seccomp)"
				 : "system calls are not filtered: they are kept from them by Lua alone");
}

static void check_tools(void)
{
	static const char *const tools[] = {"ping", "tcpdump", "iperf3"};

	for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++)
		if (!have_tool(tools[i]))
			tf_doctor_say(TF_DOCTOR_HINT, "tools",
				      "%s is handy in a lab, and not installed", tools[i]);
}

int tf_command_doctor(void)
{
	struct utsname system;
	int tun, lab, run;

	if (uname(&system) == 0)
		tf_doctor_say(TF_DOCTOR_OK, "system", "%s %s, %s", system.sysname, system.release,
			      system.machine);
	tun = check_tun();
	lab = check_lab();
	run = check_run();
	tf_doctor_libraries();
	if (access("/proc/net/if_inet6", F_OK) == 0)
		tf_doctor_say(TF_DOCTOR_OK, "IPv6", "the kernel has it");
	else
		tf_doctor_say(TF_DOCTOR_WARNING, "IPv6",
			      "switched off in this kernel (ipv6.disable=1): labs have IPv4 only");
	check_confinement();
	check_tools();
	return tun && (lab || run) ? 0 : TF_EXIT_SYSTEM;
}
