/*
 * Small things that each system does in its own way: system_posix.c and system_windows.c. What has a
 * subject of its own has a header of its own: alarm.h, interrupt.h, doctor.h, lab.h, device/kinds.h.
 */
#ifndef TF_SYSTEM_H
#define TF_SYSTEM_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/*
 * Calls run, with the arguments and standard streams as they have to be, and returns what it does: all
 * of the program happens in it.
 */
int tf_system_run(int (*run)(int argc, char **argv), int argc, char **argv);

/* Seconds since the epoch as local time; all 0 for what the system can't tell. */
void tf_system_local_time(int64_t seconds, struct tm *tm);

/* The file that forgets what is written to it. */
extern const char tf_system_null[];

/* The signal that has a run print its table, or 0 where there is none to spare. */
extern const int tf_system_table_signal;

/*
 * libpcap's handle (pcap_close it) on these bytes, at most 4,096, as if they were a capture file; NULL
 * if it can't be, with why in reason (PCAP_ERRBUF_SIZE bytes).
 */
struct pcap *tf_system_open_capture(const void *bytes, size_t size, char *reason);

/*
 * The folder of the file that a link leads to, with the separator behind it. 0, or -1: path is no link to another folder.
 */
int tf_system_link_folder(const char *path, char *folder, size_t size);

/*
 * Has writes to standard error or output (fd) not wait for who reads them, in this process and those that it forks, and
 * in no other that has the same terminal or pipe. 1: none does; 0: tf_system_takes has to be asked before each.
 */
int tf_system_unblock(int fd);

/* Whether fd takes 4,096 bytes now, or within so many milliseconds. */
int tf_system_takes(int fd, int ms);

#endif
