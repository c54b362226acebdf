/*
 * The inside of a script, for the files that are part of it: script.c, script_pass.c, context.c, report.c,
 * last_words.c and binding*.c.
 */
#ifndef TF_SCRIPT_STATE_H
#define TF_SCRIPT_STATE_H

#include <lua.h>

#include "allocator.h"
#include "choose.h"
#include "context.h"
#include "expression.h"
#include "guard.h"
#include "pace.h"
#include "script.h"

#define TF_REPORT_PLACES 64

/* Errors of callbacks and timers: the first at each place is shown, later ones are counted. */
struct tf_report {
	char places[TF_REPORT_PLACES][96]; /* "rules.lua:12", of the errors shown so far */
	uint32_t place_count;
	uint64_t total;	    /* errors */
	uint64_t unshown;   /* errors since the last line about them */
	double last;	    /* when that line was, seconds, monotonic */
	char latest[256];   /* first line of the newest message, where it was not shown */
	char traceback[4096]; /* of the newest error, if its place is new; else "" */
};

struct tf_script {
	struct tf_context context; /* first: the functions of context.h are given its address */
	lua_State *L;		   /* its stack holds the SLOT_… values, nothing else between calls */
	const void *stack;	   /* where C's stack was at the beginning */
	struct tf_allocator allocator; /* of L */
	struct tf_pace pace;
	struct tf_outbox *outbox;
	struct tf_expression **expressions; /* expression_count of them, by number */
	uint32_t expression_count;
	struct tf_choice *choice; /* NULL: the generated chain asks for expressions one by one */
	uint32_t step_count; /* functions that were made for what it chose */
	char **labels; /* label_count of them: the callbacks in words */
	uint32_t label_count;
	const struct tf_options *options;
	struct tf_guard *guard; /* entered while Lua runs */
	const char *doing;	/* what runs where no callback does: "a timer" */
	const char *scenario;	/* the title of the one that runs, or NULL */
	uint8_t link; /* TF_LINK_…, from load on */
	uint8_t captures; /* packets come from captures, whose link types may differ */
	int64_t epoch;	  /* of captures: when the clock was 0, ns since the epoch */
	struct tf_report report;
	struct tf_listener listener; /* all NULL: there is none */
};

/* The stack of L between calls. */
enum { SLOT_HANDLER = 1, SLOT_RUNTIME, SLOT_CHUNK, SLOT_RUN, SLOT_STEP, SLOT_TOP = SLOT_STEP };

/*
 * [-args, +results] Calls runtime[name] protected, for at most so many time limits. 0, or lua_pcall's status with the
 * message on top; script.c.
 */
int tf_script_call(struct tf_script *script, uint32_t limits, const char *name, int args, int results);

/* Opens the libraries and makes the module table that the library's core.lua gets; binding.c. */
int tf_binding_open(lua_State *L);

/* lua_pcall's handler: keeps the traceback of an error at a place that is new; report.c. */
int tf_report_handler(lua_State *L);

/*
 * Tells the person of the error whose message is msg; packet is the one it happened on or NULL.
 * now is in seconds, monotonic.
 */
void tf_report_error(struct tf_script *script, const char *msg, const struct tf_packet *packet,
		     double now);

/* A last line about errors that were counted and not shown. */
void tf_report_rest(struct tf_script *script);

/* What to do about a mistake that Lua has only a nil for: lines to follow the message, or "". */
const char *tf_report_hint(const struct tf_script *script, const char *msg);

#endif
