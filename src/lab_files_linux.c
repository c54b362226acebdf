/* The files that the hosts of a lab see in place of the machine's own, and a /proc that fits. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "host_linux.h"
#include "lab_linux.h"
#include "log.h"

/* The hosts' names before what the machine's own file has. */
static void write_hosts(FILE *out, FILE *old, const struct tf_options *options)
{
	char text[INET6_ADDRSTRLEN];
	int c;

	for (int side = TF_LEFT; side <= TF_RIGHT; side++) {
		const struct tf_device_spec *spec = &options->device[side];

		for (uint32_t i = 0; i < spec->address_count; i++)
			fprintf(out, "%s\t%s\n", tf_address_text(&spec->addresses[i], text),
				tf_host_names[side]);
	}
	while (old && (c = getc(old)) != EOF)
		putc(c, out);
}

/*
 * A name server outside can't be reached, and asking for one through the filter would be noise on
 * the link and seconds of waiting; this address answers "nobody here" at once.
 */
static void write_resolver(FILE *out, FILE *old, const struct tf_options *options)
{
	(void)old;
	(void)options;
	fputs("# A lab has no name server; to ask one of its own: dig @right NAME\n"
	      "nameserver 127.0.0.1\n",
	      out);
}

/* The hosts file first: services of the machine (systemd-resolved) know no lab. */
static void write_switch(FILE *out, FILE *old, const struct tf_options *options)
{
	char line[1024];

	(void)options;
	while (old && fgets(line, sizeof(line), old))
		if (strncmp(line, "hosts:", 6))
			fputs(line, out);
	fputs("\nhosts: files dns\n", out);
}

/*
 * IPv4 first, as most rules for a first try are about it: `ping right` under a rule for "icmp".
 * Where the file is not there, programs take IPv6 unless told otherwise.
 */
static void write_preference(FILE *out, FILE *old, const struct tf_options *options)
{
	(void)old;
	(void)options;
	fputs("precedence ::ffff:0:0/96 100\n", out);
}

/* The first must be there; the others may be absent. */
static const struct {
	const char *path, *ours;
	void (*write)(FILE *out, FILE *old, const struct tf_options *options);
} files[] = {
	{"/etc/hosts", "/proc/hosts", write_hosts},
	{"/etc/resolv.conf", "/proc/resolv.conf", write_resolver},
	{"/etc/nsswitch.conf", "/proc/nsswitch.conf", write_switch},
	{"/etc/gai.conf", "/proc/gai.conf", write_preference},
};

static int cover(size_t i, const struct tf_options *options)
{
	FILE *old = fopen(files[i].path, "re"), *out = fopen(files[i].ours, "wxe");
	int failed;

	if (!out) {
		failed = errno;
		goto done;
	}
	files[i].write(out, old, options);
	fchmod(fileno(out), 0644);
	failed = fclose(out) < 0 ? errno : 0;
	if (!failed && mount(files[i].ours, files[i].path, NULL, MS_BIND, NULL) < 0)
		failed = errno;
done:
	if (old)
		fclose(old);
	return failed == ENOENT && i > 0 ? 0 : failed;
}

void tf_lab_files(const struct tf_options *options)
{
	static const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	int failed;

	/* What the machine unmounts goes here too; nothing that we mount goes there. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		goto fail;
	/* The files lie on a file system without a name: it stood on /proc for the moment. */
	if (mount("tunfilter-lab", "/proc", "tmpfs", flags, "mode=0755,size=4m") < 0)
		goto fail;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		failed = cover(i, options);
		if (failed)
			tf_log(TF_LOG_WARNING, "the lab's own %s: %s%s", files[i].path,
			       strerror(failed),
			       i == 0 ? "; the names left and right will not resolve" : "");
	}
	umount2("/proc", MNT_DETACH);
	/* Where that is refused (many containers), the old one shows all processes: good enough. */
	mount("proc", "/proc", "proc", flags, NULL);
	return;
fail:
	tf_log(TF_LOG_WARNING, "may not mount (%s): the names left and right will not resolve",
	       strerror(errno));
}
