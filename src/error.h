/* Errors: a negative code for the program, and a sentence for the person. */
#ifndef TF_ERROR_H
#define TF_ERROR_H

/*
 * Codes are libuv's negative ones (uv.h), and these of our own, which lie outside its range. The
 * first three are the device contract's named errors, the same on every system.
 */
enum {
	TF_EBUSY = -20001,	/* another program holds the device */
	TF_ENOTREADY = -20002,	/* the interface is down: keep it open, go on when it is up */
	TF_EEXHAUSTED = -20003, /* no free device is left; the message has the last real reason */
	TF_EGONE = -20004,	/* the device was deleted under us */
	TF_EOPTION = -20005,	/* what the person wrote on the command line */
	TF_ESCRIPT = -20006	/* the user's script is at fault */
};

/* The program's exit statuses. */
enum { TF_EXIT_OK = 0, TF_EXIT_SCRIPT = 1, TF_EXIT_USAGE = 2, TF_EXIT_SYSTEM = 3 };

struct tf_error {
	int code;	 /* 0, or a negative code */
	char text[2048]; /* what failed, on what, what to do; lines without a final newline */
};

/*
 * Formats the sentence into error (NULL is fine) and returns code. The arguments may be error->text
 * itself, so that a caller can put words before it; what is too long is cut.
 */
int tf_error_set(struct tf_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * "device busy" and the like for ours, uv_strerror's text for the rest. Valid until the thread's
 * next call.
 */
const char *tf_error_name(int code);

/* TF_EXIT_… that fits the code. */
int tf_error_exit(int code);

/* For "did you mean …?": the nearest in a NULL-terminated list, or NULL if none is near. */
const char *tf_error_nearest(const char *word, const char *const *words);

#endif
