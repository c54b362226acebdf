/*
 * Which of a script's callbacks a packet goes to next, for scripts that have many: all expressions
 * are looked at together (classify.h), so that Lua is entered only for those that select the packet.
 */
#ifndef TF_CHOOSE_H
#define TF_CHOOSE_H

#include "expression.h"

struct tf_choice;

/* NULL without memory. */
struct tf_choice *tf_choice_create(void);

/* NULL is fine. The expressions are not freed. */
void tf_choice_destroy(struct tf_choice *choice);

enum { TF_FROM_ANY = 2, TF_CHOICE_MAX = 1 << 19 };

/*
 * Adds the next callback; they are counted from 1. expression: NULL for every packet; from: TF_LEFT,
 * TF_RIGHT, or TF_FROM_ANY. Before the first tf_choice_next. 0, or -1 without memory or with
 * TF_CHOICE_MAX of them.
 */
int tf_choice_add(struct tf_choice *choice, struct tf_expression *expression, uint8_t from);

/* Callbacks come in blocks: 1 to 16, 17 to 32, and so on. */
enum { TF_CHOICE_BLOCK = 16 };

/*
 * The first callback behind number `after` that takes the packet as it now is; 0 if none does. *mask: those of its
 * block that do (bit 0 is the block's first), all of which may be called as long as TF_CHANGED is not set; it is cleared
 * here. A packet is begun with 0 for `after`.
 */
uint32_t tf_choice_next(struct tf_choice *choice, struct tf_packet *packet, uint32_t after, uint32_t *mask);

#endif
