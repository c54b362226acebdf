/* What `tunfilter doctor` of every system says, and says it with. For doctor*.c only. */
#ifndef TF_DOCTOR_PARTS_H
#define TF_DOCTOR_PARTS_H

enum tf_doctor_mark { TF_DOCTOR_OK, TF_DOCTOR_HINT, TF_DOCTOR_WARNING, TF_DOCTOR_MISSING };

/* One line on standard output: the mark, what was looked at, and a sentence. */
void tf_doctor_say(enum tf_doctor_mark mark, const char *what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The lines of the libraries: LuaJIT and whether it compiles, libuv, libpcap. */
void tf_doctor_libraries(void);

#endif
