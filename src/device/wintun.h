/* Windows' virtual interface: IP packets through wintun.dll. wintun_open.c opens; wintun.c moves
 * packets. */
#ifndef TF_DEVICE_WINTUN_H
#define TF_DEVICE_WINTUN_H

#include "../device.h"
#include "../watch_windows.h"
#include "wintun_library.h"

extern const struct tf_device_ops tf_device_wintun;

struct tf_wintun {
	struct tf_device device;
	struct tf_wintun_library *library;
	struct tf_wintun_adapter *adapter;
	struct tf_wintun_session *session;
	uint64_t luid;		 /* of the interface */
	uint64_t dropped_before; /* the driver's count when we opened */
	uint64_t dropped;	 /* since then, as last read */
	uint8_t drained;	 /* the last read left no packet behind */
	uint8_t failure_logged;
	uint8_t freed;		  /* close was called before the watch had closed */
	struct tf_watch watch;	  /* for the session's event */
	tf_device_ready_cb ready; /* NULL once it was told that the device is gone */
	void *arg;
};

int tf_wintun_open(struct tf_device **out, const struct tf_device_spec *spec,
		   struct tf_error *error);
void tf_wintun_free(struct tf_wintun *wintun);

#endif
