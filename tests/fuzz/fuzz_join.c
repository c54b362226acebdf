/*
 * Packets that are joined and cut again are those that there were, each flow's in their order; what
 * says how a large packet is to be cut is true of it.
 * Input: link type, what may be joined; then flows, packets and damage, by list_fill.
 */
#include "fuzz.h"
#include "join_cut.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct list *list;
	static struct tf_join *join;
	struct bytes input = {bytes + 2, bytes + size};
	const char *wrong;
	uint32_t runs;

	if (!list) {
		list = list_create();
		if (tf_join_create(&join, TF_LINK_IP, 0) < 0)
			abort();
	}
	if (size < 2)
		return 0;
	join->link = bytes[0] & 1 ? TF_LINK_ETHERNET : TF_LINK_IP;
	join->kinds = bytes[1] & 15;
	list_fill(list, &input, join->link);
	wrong = join_and_cut(join, list, &runs);
	if (wrong)
		fprintf(stderr, "packet %u of %u: %s\n", list->seen_count, list->count, wrong);
	fuzz_check(!wrong, "joined and cut");
	return 0;
}
