/*
 * A user's script: a Lua state with the library, the script loaded in it, and the ways into it.
 * Only script.c and binding.c touch the state; every way in is a protected call.
 *
 * create → load → start → (run | tick)* → stop → destroy, all on the loop thread.
 */
#ifndef TF_SCRIPT_H
#define TF_SCRIPT_H

#include "batch.h"
#include "device.h"
#include "error.h"
#include "options.h"
#include "outbox.h"

struct tf_script;

/*
 * Makes the state and compiles the file, running none of it. 0, TF_ESCRIPT with the message of
 * the compiler (file and line) or why the file cannot be read, or UV_ENOMEM.
 */
int tf_script_create(struct tf_script **out, const struct tf_options *options,
		     struct tf_error *error);

/*
 * One that has no script: it gives every packet --on-error's verdict, as if a callback had failed, and
 * all else comes to nothing. 0 or UV_ENOMEM.
 */
int tf_script_plain(struct tf_script **out, const struct tf_options *options, struct tf_error *error);

/* What a script can know of a device. */
struct tf_side {
	const char *name;
	const char *kind;
	uint32_t mtu; /* bytes */
};

/*
 * Runs the script's top level for devices of a link type (TF_LINK_…). 0, or TF_ESCRIPT with
 * message and traceback.
 */
int tf_script_load(struct tf_script *script, const struct tf_side sides[2], uint8_t link,
		   struct tf_error *error);

/* Before load: a side's MTU is what stands at now (uint32_t, bytes) whenever the script asks, as long as it lives. */
int tf_script_follow_mtu(struct tf_script *script, int side, const void *now, struct tf_error *error);

/* The calling thread runs the script from now on, and no other. */
void tf_script_here(struct tf_script *script);

/* One line a registered callback, by tf_log at level INFO or to a stream of the caller's. */
void tf_script_list(struct tf_script *script, void (*line)(void *arg, const char *text), void *arg);

/* The script's counters (tf.counter), in the order in which they were made; names fit for a terminal. */
void tf_script_counters(struct tf_script *script, void (*counter)(void *arg, const char *name, double value),
			void *arg);

/*
 * What passes on to a script that takes this one's place (tf.keep, counters, flows), as text: for put. Says
 * aloud what cannot. 0, or TF_ESCRIPT: it takes longer than packets may wait, or more memory than there is, and the text is empty.
 */
int tf_script_save(struct tf_script *script, void (*put)(void *arg, const void *bytes, size_t n), void *arg);

/* Before load: what its predecessor had in tf.keep at that time. After it has ended: what it had then. */
void tf_script_begin(struct tf_script *script, const char *text, size_t n);
void tf_script_take(struct tf_script *script, const char *text, size_t n);

/* Calls on_start's functions and closes registration. 0, or TF_ESCRIPT as above. */
int tf_script_start(struct tf_script *script, struct tf_error *error);

/*
 * Before load: the clock starts at 0 and is the packets' own, as tf_context.offline says. captures: packets
 * come from captures, whose link types may differ from load's and from each other.
 */
void tf_script_offline(struct tf_script *script, int captures);

/* Of captures: when the clock was 0, in ns since the epoch, for what the script logs. At any time. */
void tf_script_epoch(struct tf_script *script, int64_t epoch);

/* Who hears what a script says, instead of a person at standard error. */
struct tf_listener {
	void (*log)(void *arg, const char *line, size_t length); /* of tf.log, without time and newline */
	void (*error)(void *arg, const char *text); /* every callback or timer that threw: message, traceback */
	void *arg;
};

/* Before load. The listener is copied. */
void tf_script_listen(struct tf_script *script, const struct tf_listener *listener);

/*
 * Shows the packets of the batch from its cursor on, numbered, timed and parsed, to the callbacks, and
 * leaves verdict, callback and flags in the descriptors. A callback that throws is reported and its
 * packet gets --on-error's verdict and TF_FAILED. What the script sent meanwhile is in the outbox.
 * Offline it stops before a packet that does not come before the next timer: the cursor is there.
 */
void tf_script_run(struct tf_script *script, struct tf_batch *batch);

/* Runs the timers that are due at this time (seconds, the run's clock); what they sent is in the outbox. */
void tf_script_tick(struct tf_script *script, double now);

/* When the next timer is due, in seconds on the same clock; above 1e299 if there is none. */
double tf_script_due(const struct tf_script *script);

/* Timers of tf.after that have not run yet. */
uint32_t tf_script_once(const struct tf_script *script);

/* Calls on_stop's functions, for so many time limits in all; an error in one is reported and the next is called. */
void tf_script_stop(struct tf_script *script, uint32_t limits);

/* After start: warns of a script that registers no callback. */
void tf_script_warn(const struct tf_script *script);

/* Times that a callback or timer threw. */
uint64_t tf_script_errors(const struct tf_script *script);

/* Packets of the script's own, since the last tf_outbox_clear. */
struct tf_outbox *tf_script_outbox(struct tf_script *script);

/*
 * For a signal's handler, in a process that is about to end, on the thread that runs the script or while that
 * is stopped: which callback or other function runs, in words, and behind it on a line of its own the packet that it
 * was shown. last_place: "rules.lua:14", where it is as far as Lua has noted, or ""; it may crash.
 */
void tf_script_last_words(struct tf_script *script, char *text, size_t size);
void tf_script_last_place(struct tf_script *script, char *text, size_t size);

/* In this process packets are a dry run's, and this is the one at hand: what last_words calls it. */
void tf_script_dry(const char *packet);

/* "'name' (rules.lua:12)" or "rules.lua:12" for a packet's callback number; "" for 0. */
const char *tf_script_callback(const struct tf_script *script, uint32_t callback);

/*
 * A step of jit_report.lua, with what it is told: its strings to take. After start. 0, or TF_ESCRIPT with
 * the message.
 */
int tf_script_jit(struct tf_script *script, const char *step, uint32_t passes, uint32_t packets,
		  void (*take)(void *arg, const char *text, size_t length), void *arg, struct tf_error *error);

/* Frees all; NULL is fine. */
void tf_script_destroy(struct tf_script *script);

#endif
