/*
 * The system calls that a run needs, as a filter of the kernel's; all others fail with EPERM. What the kernel takes for
 * an int is compared as one: it does not look at the upper half of the register. A pointer has two halves.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "privileges_linux.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__i386__)
#define ARCHITECTURE AUDIT_ARCH_I386
#elif defined(__arm__)
#define ARCHITECTURE AUDIT_ARCH_ARM
#endif

#ifndef ARCHITECTURE
int tf_seccomp_only(int timed)
{
	(void)timed;
	return -ENOSYS;
}
#else

/* With any arguments. Processors differ in which of them there are. */
static const long allowed[] = {
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_close, SYS_lseek,
	SYS_fstat, SYS_statx, SYS_readlinkat, SYS_faccessat, SYS_getcwd, SYS_dup, SYS_dup3,
	SYS_ftruncate, SYS_fsync, SYS_fdatasync, SYS_pipe2, SYS_eventfd2, SYS_getdents64,
	SYS_mmap, SYS_mprotect, SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_mincore,
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_restart_syscall,
	SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_ppoll, SYS_pselect6,
	SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime,
	SYS_recvfrom, SYS_recvmsg, SYS_getsockname, SYS_getsockopt,
	SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday,
	SYS_futex, SYS_sched_yield, SYS_sched_getaffinity, SYS_set_robust_list, SYS_set_tid_address,
	SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getrandom,
	SYS_getrusage, SYS_times, SYS_uname, SYS_sysinfo, SYS_exit, SYS_exit_group,
#ifdef SYS_newfstatat
	SYS_newfstatat,
#endif
#ifdef SYS_open
	SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_dup2, SYS_pipe, SYS_poll, SYS_epoll_wait, SYS_select,
#endif
#ifdef SYS_time
	SYS_time,
#endif
#ifdef SYS_rseq
	SYS_rseq,
#endif
#ifdef SYS_membarrier
	SYS_membarrier,
#endif
#ifdef SYS_fstat64
	SYS_fstat64, SYS_stat64, SYS_lstat64, SYS_mmap2, SYS__llseek, SYS_fstatat64,
#endif
#ifdef SYS_clock_gettime64
	SYS_clock_gettime64, SYS_clock_nanosleep_time64, SYS_futex_time64, SYS_ppoll_time64,
	SYS_timerfd_settime64,
#endif
};

/* Not those that type into a terminal, make devices, or have signals sent (FIOASYNC, FIOSETOWN). */
static const unsigned int ioctls[] = {FIONBIO, FIOCLEX, FIONREAD, TUNGETIFF, 0x5401 /* TCGETS */, 0x5413 /* TIOCGWINSZ */};

/* Not those that name who gets a signal, and which: F_SETOWN asks nobody's leave that F_SETSIG's is sent by. */
static const unsigned int controls[] = {F_GETFD, F_SETFD, F_GETFL, F_DUPFD, F_DUPFD_CLOEXEC};

/* As threads' libraries ask for them: no process, no namespace. */
#define THREAD                                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | \
	 CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_DETACHED)

/* The kernel's bit in O_TMPFILE. */
#define UNNAMED (O_TMPFILE & ~O_DIRECTORY)

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
enum { SIZE = 512 };

/* One is written after the other; `call` and `end` enclose what is asked of one system call. */
struct filter {
	struct sock_filter code[SIZE];
	unsigned short n, from; /* from: the comparison that leads into the block */
};

static void add(struct filter *filter, unsigned short code, unsigned int k, unsigned char yes, unsigned char no)
{
	filter->code[filter->n++] = (struct sock_filter){code, yes, no, k};
}

static void answer(struct filter *filter, unsigned int what)
{
	add(filter, BPF_RET | BPF_K, what, 0, 0);
}

static void refuse(struct filter *filter, unsigned int error)
{
	answer(filter, SECCOMP_RET_ERRNO | error);
}

static void allow(struct filter *filter)
{
	answer(filter, SECCOMP_RET_ALLOW);
}

static void call(struct filter *filter, long number)
{
	filter->from = filter->n;
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)number, 0, 0);
}

/* What has not been allowed in the block is refused; behind it the call's number is loaded as before it. */
static void end(struct filter *filter)
{
	refuse(filter, EPERM);
	filter->code[filter->from].jf = (unsigned char)(filter->n - filter->from - 1);
}

static void load(struct filter *filter, size_t offset)
{
	add(filter, BPF_LD | BPF_W | BPF_ABS, (unsigned int)offset, 0, 0);
}

/* An argument that is an int. */
static void load_int(struct filter *filter, int i)
{
	int big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

	load(filter, offsetof(struct seccomp_data, args) + (size_t)i * 8 + (big ? 4 : 0));
}

static void allow_if(struct filter *filter, unsigned int value)
{
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
	allow(filter);
}

static void allow_without(struct filter *filter, unsigned int bits)
{
	add(filter, BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0);
	allow(filter);
}

static void refuse_without(struct filter *filter, unsigned int bits)
{
	add(filter, BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0);
	refuse(filter, EPERM);
}

static void refuse_unless(struct filter *filter, unsigned int value)
{
	add(filter, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
	refuse(filter, EPERM);
}

static void refuse_unless_null(struct filter *filter, int i)
{
	for (size_t half = 0; half < 8; half += 4) {
		load(filter, offsetof(struct seccomp_data, args) + (size_t)i * 8 + half);
		refuse_unless(filter, 0);
	}
}

/* A file to read, or one that is there to write: none is made, or cut. */
static void add_open(struct filter *filter, long number, int flags)
{
	call(filter, number);
	load_int(filter, flags);
	allow_without(filter, O_CREAT | O_TRUNC | O_ASYNC | UNNAMED);
	end(filter);
}

static void add_fcntl(struct filter *filter, long number)
{
	call(filter, number);
	load_int(filter, 1);
	for (size_t i = 0; i < LENGTH(controls); i++)
		allow_if(filter, controls[i]);
	refuse_unless(filter, F_SETFL);
	load_int(filter, 2);
	allow_without(filter, O_ASYNC);
	end(filter);
}

static void add_threads(struct filter *filter)
{
#ifdef SYS_clone3 /* what it is asked for cannot be seen; without it libraries call clone */
	call(filter, SYS_clone3);
	refuse(filter, ENOSYS);
	end(filter);
#endif
	call(filter, SYS_clone);
	load_int(filter, 0);
	refuse_without(filter, CLONE_THREAD);
	allow_without(filter, ~(unsigned int)THREAD);
	end(filter);
}

static void add_signals(struct filter *filter)
{
	/* To ourselves, as abort() sends. */
	call(filter, SYS_tgkill);
	load_int(filter, 0);
	allow_if(filter, (unsigned int)getpid());
	end(filter);
}

/* All that is allowed with some arguments only. */
static void add_blocks(struct filter *filter, int timed)
{
	add_open(filter, SYS_openat, 2);
#ifdef SYS_open
	add_open(filter, SYS_open, 1);
#endif
	add_fcntl(filter, SYS_fcntl);
#ifdef SYS_fcntl64
	add_fcntl(filter, SYS_fcntl64);
#endif
	add_threads(filter);
	add_signals(filter);
	if (timed) {
		call(filter, SYS_setitimer);
		allow(filter);
		end(filter);
	}
	/* To whom a socket is connected, and no other. */
	call(filter, SYS_sendto);
	refuse_unless_null(filter, 4);
	allow(filter);
	end(filter);
	/* A thread's name. */
	call(filter, SYS_prctl);
	load_int(filter, 0);
	allow_if(filter, PR_SET_NAME);
	end(filter);
#ifdef SYS_prlimit64 /* our own limits, to read */
	call(filter, SYS_prlimit64);
	load_int(filter, 0);
	refuse_unless(filter, 0);
	refuse_unless_null(filter, 2);
	allow(filter);
	end(filter);
#endif
	call(filter, SYS_ioctl);
	load_int(filter, 1);
	for (size_t i = 0; i < LENGTH(ioctls); i++)
		allow_if(filter, ioctls[i]);
	end(filter);
}

int tf_seccomp_only(int timed)
{
	struct filter filter = {.n = 0};
	struct sock_fprog program = {.filter = filter.code};

	load(&filter, offsetof(struct seccomp_data, arch));
	refuse_unless(&filter, ARCHITECTURE);
	load(&filter, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < LENGTH(allowed); i++) /* x32's numbers have a bit more, and are none of these */
		allow_if(&filter, (unsigned int)allowed[i]);
	add_blocks(&filter, timed);
	refuse(&filter, EPERM);
	program.len = filter.n;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
#endif
