/* A script on a stage, fed by the fuzzer's bytes. */
#ifndef TF_FUZZ_STAGE_H
#define TF_FUZZ_STAGE_H

#include "error.h"
#include "fuzz.h"
#include "log.h"
#include "options.h"
#include "stage.h"

/*
 * Packets arrive, time passes, packets come out: each begins with a byte that says which side, how
 * long since the last one, then a length of two bytes. At most 64 of them.
 */
static inline void fuzz_packets(struct tf_stage *stage, struct fuzz *fuzz)
{
	static uint8_t out[TF_PACKET_MAX];
	double time;

	for (int i = 0; i < 64 && fuzz_left(fuzz) > 0; i++) {
		uint32_t how = fuzz_take(fuzz, 1), len = fuzz_take(fuzz, 2);
		uint8_t *block = fuzz_block(fuzz, &len);

		if (how & 2)
			tf_stage_advance(stage, (how >> 2) / 8.0);
		if (len > 0)
			tf_stage_inject(stage, how & 1, block, len);
		free(block);
		for (int side = TF_LEFT; side <= TF_RIGHT; side++)
			while (tf_stage_take(stage, side, out, &time) > 0)
				;
	}
}

#endif
