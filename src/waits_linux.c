#include "waits_linux.h"

#include "options.h"

#define LOOKS 5 /* in the time that they may wait */

unsigned tf_waits_add(const struct tf_waits *waits, struct pollfd *fds)
{
	for (unsigned i = 0; i < waits->count; i++)
		fds[i] = (struct pollfd){.fd = waits->fds[i], .events = POLLIN};
	return waits->count;
}

/* Of all workers: packets of one may be another's to take. */
static double taken_by(const struct tf_stats *stats, unsigned workers)
{
	double taken = 0;

	for (unsigned i = 0; i < workers; i++)
		taken += *(const volatile double *)&stats[i].number;
	return taken;
}

int tf_waits_look(struct tf_waits *waits, const struct tf_stats *stats, unsigned workers, uint64_t now, uint64_t grace,
		  uint64_t most)
{
	struct pollfd fds[2 * TF_WORKERS_MAX];
	double taken = taken_by(stats, workers);
	unsigned count = tf_waits_add(waits, fds);
	int happened = 0, wait;

	if (poll(fds, count, 0) > 0)
		for (unsigned i = 0; i < count; i++)
			happened |= fds[i].revents;
	wait = happened & POLLIN;
	waits->look = happened ? now + most / LOOKS : 0; /* a device that is no more says so all the time */
	if (!wait || taken < waits->taken || taken > waits->taken)
		waits->since = wait ? now : 0;
	else if (waits->since == 0)
		waits->since = now;
	waits->taken = taken;
	return wait && waits->since != 0 && now - (waits->since > grace ? waits->since : grace) >= most;
}
