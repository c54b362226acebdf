/* The system calls that a run needs, as a filter of the kernel's; all others fail with EPERM. */
#include <errno.h>
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
int tf_seccomp_only(void)
{
	return UV_ENOSYS;
}
#else

/* Processors differ in which of them there are. */
static const long allowed[] = {
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_close, SYS_lseek,
	SYS_fstat, SYS_statx, SYS_openat, SYS_readlinkat, SYS_faccessat, SYS_getcwd, SYS_fcntl, SYS_dup, SYS_dup3,
	SYS_ftruncate, SYS_fsync, SYS_fdatasync, SYS_pipe2, SYS_eventfd2, SYS_getdents64,
	SYS_mmap, SYS_mprotect, SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_mincore,
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_restart_syscall,
	SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_ppoll, SYS_pselect6,
	SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime, SYS_setitimer,
	SYS_inotify_init1, SYS_inotify_add_watch, SYS_inotify_rm_watch,
	SYS_sendto, SYS_sendmsg, SYS_recvfrom, SYS_recvmsg, SYS_getsockname, SYS_getsockopt, SYS_setsockopt,
	SYS_shutdown,
	SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday,
	SYS_futex, SYS_sched_yield, SYS_sched_getaffinity, SYS_set_robust_list, SYS_set_tid_address,
	SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getrandom,
	SYS_getrusage, SYS_times, SYS_uname, SYS_sysinfo, SYS_exit, SYS_exit_group,
#ifdef SYS_newfstatat
	SYS_newfstatat,
#endif
#ifdef SYS_open
	SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_dup2, SYS_pipe, SYS_poll, SYS_epoll_wait,
	SYS_select,
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
	SYS_fstat64, SYS_stat64, SYS_lstat64, SYS_fcntl64, SYS_mmap2, SYS__llseek, SYS_fstatat64,
#endif
#ifdef SYS_clock_gettime64
	SYS_clock_gettime64, SYS_clock_nanosleep_time64, SYS_futex_time64, SYS_ppoll_time64,
	SYS_timerfd_settime64,
#endif
};

/* ioctl: not those that type into a terminal, or make devices. */
static const unsigned int ioctls[] = {FIONBIO, FIOCLEX, FIONREAD, TUNGETIFF, 0x5401 /* TCGETS */, 0x5413 /* TIOCGWINSZ */};

enum { COUNT = sizeof(allowed) / sizeof(allowed[0]), IOCTLS = sizeof(ioctls) / sizeof(ioctls[0]) };

#define LOAD(field)	   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define UNLESS_BITS(value) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (value), 1, 0)
#define ANSWER(what)	   BPF_STMT(BPF_RET | BPF_K, (what))
#define ALLOW		   SECCOMP_RET_ALLOW
#define REFUSE(error)	   (SECCOMP_RET_ERRNO | (error))

int tf_seccomp_only(void)
{
	struct sock_filter code[2 * COUNT + 2 * IOCTLS + 48];
	struct sock_fprog program = {.filter = code};
	unsigned short n = 0;
	unsigned int self = (unsigned int)getpid();

#define ADD(statement) (code[n++] = (struct sock_filter)statement)
	ADD(LOAD(arch));
	ADD(IF(ARCHITECTURE, 1, 0));
	ADD(ANSWER(REFUSE(EPERM)));
	ADD(LOAD(nr));
	for (int i = 0; i < COUNT; i++) { /* x32's numbers have a bit more, and are none of these */
		ADD(IF((unsigned int)allowed[i], 0, 1));
		ADD(ANSWER(ALLOW));
	}
	/* Threads, no processes. What clone3 is asked for cannot be seen; without it clone is. */
#ifdef SYS_clone3
	ADD(IF(SYS_clone3, 0, 1));
	ADD(ANSWER(REFUSE(ENOSYS)));
#endif
	ADD(IF(SYS_clone, 0, 4));
	ADD(LOAD(args[0]));
	ADD(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1));
	ADD(ANSWER(ALLOW));
	ADD(ANSWER(REFUSE(EPERM)));
	/* Signals to ourselves, as abort() sends. */
	ADD(IF(SYS_tgkill, 0, 4));
	ADD(LOAD(args[0]));
	ADD(IF(self, 0, 1));
	ADD(ANSWER(ALLOW));
	ADD(ANSWER(REFUSE(EPERM)));
	/* A thread's name; limits to read. */
	ADD(IF(SYS_prctl, 0, 4));
	ADD(LOAD(args[0]));
	ADD(IF(PR_SET_NAME, 0, 1));
	ADD(ANSWER(ALLOW));
	ADD(ANSWER(REFUSE(EPERM)));
#ifdef SYS_prlimit64
	ADD(IF(SYS_prlimit64, 0, 4));
	ADD(LOAD(args[2]));
	ADD(IF(0, 0, 1));
	ADD(ANSWER(ALLOW));
	ADD(ANSWER(REFUSE(EPERM)));
#endif
	ADD(IF(SYS_ioctl, 1, 0));
	ADD(ANSWER(REFUSE(EPERM)));
	ADD(LOAD(args[1]));
	for (int i = 0; i < IOCTLS; i++) {
		ADD(IF(ioctls[i], 0, 1));
		ADD(ANSWER(ALLOW));
	}
	ADD(ANSWER(REFUSE(EPERM)));
#undef ADD
	program.len = n;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}
#endif
