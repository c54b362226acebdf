#include "address.h"

#include <stdio.h>
#include <string.h>

#include "bytes.h"

uint32_t tf_ip6_text(const uint8_t *address, char text[TF_IP6_TEXT_MAX])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	int start = 8, longest = 1, n = 0; /* one group of zeros alone is not shortened */

	if (memcmp(address, mapped, sizeof(mapped)) == 0)
		return (uint32_t)snprintf(text, TF_IP6_TEXT_MAX, "::ffff:%u.%u.%u.%u", address[12],
					  address[13], address[14], address[15]);
	for (int i = 0, run = 0; i < 8; i++) {
		run = tf_get16(address + 2 * i) == 0 ? run + 1 : 0;
		if (run > longest) {
			longest = run;
			start = i + 1 - run;
		}
	}
	for (int i = 0; i < 8; i++) {
		if (i == start) {
			n += snprintf(text + n, (size_t)(TF_IP6_TEXT_MAX - n), "::");
			i += longest - 1;
			continue;
		}
		n += snprintf(text + n, (size_t)(TF_IP6_TEXT_MAX - n), "%s%x",
			      i > 0 && text[n - 1] != ':' ? ":" : "", tf_get16(address + 2 * i));
	}
	return (uint32_t)n;
}
