/* What the Lua library asks of C while a script runs. */
#include "context.h"

#include "script_state.h"
#include "translate.h"

int tf_context_send(struct tf_context *context, uint32_t side, const uint8_t *bytes, uint32_t len)
{
	struct tf_script *script = (struct tf_script *) context;

	if (side > TF_RIGHT || len > TF_PACKET_MAX || tf_device_refuses(script->link, bytes, len) != NULL)
		return TF_SEND_INVALID;
	return tf_outbox_add(script->outbox, (uint8_t) side, script->link,
			     context->batch ? context->batch->cursor : 0, context->now, bytes, len);
}

struct tf_packet *tf_context_copy(struct tf_context *context, struct tf_packet *packet)
{
	struct tf_script *script = (struct tf_script *) context;

	return tf_outbox_copy(script->outbox, packet, !packet->from,
			      context->batch ? context->batch->cursor : 0);
}

const char *tf_context_refuses(struct tf_context *context, uint32_t side, const uint8_t *bytes, uint32_t len)
{
	(void) side;
	return tf_device_refuses(((struct tf_script *) context)->link, bytes, len);
}

int tf_context_match(struct tf_context *context, uint32_t expression, struct tf_packet *packet)
{
	return tf_expression_match(((struct tf_script *) context)->expressions[expression], packet);
}

uint32_t tf_context_translate(struct tf_context *context, uint32_t expression, char *text, uint32_t size)
{
	struct tf_script *script = (struct tf_script *) context;

	/* Packets of captures have link types of their own. */
	if (script->captures)
		return 0;
	return (uint32_t) tf_translate(tf_expression_program(script->expressions[expression], 0), text, size);
}

int tf_context_choose(struct tf_context *context, int expression, uint32_t from)
{
	struct tf_script *script = (struct tf_script *) context;

	if (script->choice == NULL)
		script->choice = tf_choice_create();
	if (script->choice == NULL)
		return -1;
	return tf_choice_add(script->choice, expression < 0 ? NULL : script->expressions[expression],
			     (uint8_t) from);
}
