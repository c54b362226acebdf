/*
 * The program, but for where packets come from: what a device reads comes as part of large packets,
 * as far as that is possible (part.h).
 */
#include "device.h"
#include "device/pcap.h"
#include "part.h"

int __real_tf_device_open(struct tf_device **out, const struct tf_device_spec *spec,
			  struct tf_error *error);
int __real_tf_pcap_open(struct tf_device **out, const struct tf_pcap_config *config,
			struct tf_error *error);

/* The devices' own, by kind, and what they have got instead. */
static struct {
	const struct tf_device_ops *real;
	struct tf_device_ops ops;
} kinds[8];

static int read_parts(struct tf_device *device, struct tf_batch *batch)
{
	uint32_t i = 0;
	int count;

	while (device->ops != &kinds[i].ops)
		i++;
	parts_forget();
	count = kinds[i].real->read_batch(device, batch);
	for (i = 0; i < batch->count; i++)
		if (!batch->packets[i].flags)
			part_of_large(batch, &batch->packets[i]);
	return count;
}

static void replace(struct tf_device *device)
{
	uint32_t i = 0;

	while (kinds[i].real && kinds[i].real != device->ops)
		i++;
	kinds[i].real = device->ops;
	kinds[i].ops = *device->ops;
	kinds[i].ops.read_batch = read_parts;
	device->ops = &kinds[i].ops;
}

int __wrap_tf_device_open(struct tf_device **out, const struct tf_device_spec *spec,
			  struct tf_error *error);
int __wrap_tf_device_open(struct tf_device **out, const struct tf_device_spec *spec,
			  struct tf_error *error)
{
	int code = __real_tf_device_open(out, spec, error);

	if (code == 0)
		replace(*out);
	return code;
}

int __wrap_tf_pcap_open(struct tf_device **out, const struct tf_pcap_config *config,
			struct tf_error *error);
int __wrap_tf_pcap_open(struct tf_device **out, const struct tf_pcap_config *config,
			struct tf_error *error)
{
	int code = __real_tf_pcap_open(out, config, error);

	if (code == 0)
		replace(*out);
	return code;
}
