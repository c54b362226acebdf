#include "wintun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../link_windows.h"
#include "../log.h"
#include "../system_windows.h"

#define KIND	    L"tunfilter" /* what Windows shows as the kind of tunnel */
#define NAMES	    16		 /* tunfilter0 to tunfilter15, where none was asked for */
#define PACKET_MEAN 2048	 /* bytes of a ring that a packet of the queue takes */

/* One of a name always: Windows keeps what it knows of a network by it. */
static GUID id_of(const char *name)
{
	uint64_t hash[2] = {0xcbf29ce484222325, 0x84222325cbf29ce4}; /* FNV-1a, twice */
	GUID id;

	for (; *name; name++)
		for (int i = 0; i < 2; i++)
			hash[i] = (hash[i] ^ (uint8_t)*name) * (0x100000001b3 + 2 * (uint64_t)i);
	memcpy(&id, hash, sizeof(id));
	id.Data3 =
		(unsigned short)((id.Data3 & 0x0fff) | 0x8000); /* version and variant: our own */
	id.Data4[0] = (unsigned char)((id.Data4[0] & 0x3f) | 0x80);
	return id;
}

static uint32_t ring_size(const struct tf_device_spec *spec)
{
	uint64_t wanted = (uint64_t)(spec->queue ? spec->queue : TF_QUEUE_DEFAULT) * PACKET_MEAN;
	uint32_t size = TF_WINTUN_RING_MIN;

	while (size < wanted && size < TF_WINTUN_RING_MAX)
		size *= 2;
	return size;
}

static int explain_adapter(const char *name, DWORD code, struct tf_error *error)
{
	char reason[512];

	if (code == ERROR_ACCESS_DENIED || !tf_system_is_administrator())
		return tf_error_set(error, UV_EACCES,
				    "may not make the network adapter \"%s\": that takes a window "
				    "that was opened with \"Run as administrator\" (%s)",
				    name, tf_wintun_reason(code, reason));
	return tf_error_set(
		error, code ? uv_translate_sys_error((int)code) : UV_EIO,
		"can't make the network adapter \"%s\": %s. `tunfilter doctor` says what "
		"this machine lacks",
		name, tf_wintun_reason(code, reason));
}

/* Opens the adapter of this name, or makes it. With only_new: TF_EBUSY if there is one. */
static int open_adapter(struct tf_wintun *wintun, const char *name, int only_new,
			struct tf_error *error)
{
	WCHAR wide[TF_NAME_SIZE];
	GUID id = id_of(name);
	DWORD code;

	if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, wide, TF_NAME_SIZE) == 0)
		return tf_error_set(error, TF_EOPTION, "\"%s\" is no text in UTF-8", name);
	wintun->adapter = tf_wintun_ask(wintun->library, wide);
	if (wintun->adapter != NULL && only_new) {
		wintun->library->CloseAdapter(wintun->adapter);
		wintun->adapter = NULL;
		return tf_error_set(error, TF_EBUSY, "\"%s\" is there already", name);
	}
	if (wintun->adapter == NULL) {
		tf_wintun_reason_clear(); /* it complains that there is none */
		SetLastError(0);
		wintun->adapter = wintun->library->CreateAdapter(wide, KIND, &id);
		code = GetLastError();
		if (wintun->adapter == NULL)
			return explain_adapter(name, code, error);
	}
	snprintf(wintun->device.name, sizeof(wintun->device.name), "%s", name);
	return 0;
}

static int open_first_free(struct tf_wintun *wintun, struct tf_error *error)
{
	char name[TF_NAME_SIZE];
	int code = 0;

	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "tunfilter%d", i);
		code = open_adapter(wintun, name, 1, error);
		if (code != TF_EBUSY)
			return code;
	}
	return tf_error_set(error, TF_EEXHAUSTED,
			    "no free tun device is left: tunfilter0 to tunfilter%d are there, the "
			    "last: %s",
			    NAMES - 1, error ? error->text : "");
}

static int start_session(struct tf_wintun *wintun, const struct tf_device_spec *spec,
			 struct tf_error *error)
{
	uint32_t size = ring_size(spec);
	char reason[512];
	DWORD code;

	SetLastError(0);
	tf_wintun_reason_clear();
	wintun->session = wintun->library->StartSession(wintun->adapter, size);
	code = GetLastError();
	if (wintun->session != NULL)
		return 0;
	if (code == ERROR_ALREADY_INITIALIZED || code == ERROR_BUSY ||
	    code == ERROR_SHARING_VIOLATION)
		return tf_error_set(error, TF_EBUSY,
				    "another program holds \"%s\": end it, or choose another name",
				    wintun->device.name);
	return tf_error_set(error, code ? uv_translate_sys_error((int)code) : UV_EIO,
			    "can't begin with \"%s\" (rings of %u KiB): %s", wintun->device.name,
			    size / 1024, tf_wintun_reason(code, reason));
}

/* What can't be set for want of a function is said, and left to the person. */
static int tolerate(int code, const struct tf_wintun *wintun, const char *what,
		    struct tf_error *error)
{
	if (code != UV_ENOSYS)
		return code;
	tf_log(TF_LOG_WARNING, "device %s: %s is not set: %s; `netsh interface` may do it",
	       wintun->device.name, what, error->text);
	return 0;
}

static int configure(struct tf_wintun *wintun, const struct tf_device_spec *spec,
		     struct tf_error *error)
{
	struct tf_error unheard;
	int code = 0;

	if (spec->mtu != 0)
		code = tolerate(tf_interface_set_mtu(wintun->luid, spec->mtu, error), wintun,
				"the MTU", error);
	for (uint32_t i = 0; code == 0 && i < spec->address_count; i++)
		code = tolerate(tf_interface_add_address(wintun->luid, &spec->addresses[i], error),
				wintun, "an address", error);
	if (code < 0)
		return code;
	if (tf_interface_mtu(wintun->luid, &wintun->device.mtu, &unheard) < 0)
		wintun->device.mtu = spec->mtu ? spec->mtu : TF_WINTUN_PACKET_MAX;
	if (tf_interface_dropped(wintun->luid, &wintun->dropped_before) < 0)
		wintun->dropped_before = 0;
	return 0;
}

/* In reverse order of opening; each is only there if what is before it is. */
void tf_wintun_free(struct tf_wintun *wintun)
{
	if (wintun->session)
		wintun->library->EndSession(wintun->session);
	if (wintun->adapter)
		wintun->library->CloseAdapter(wintun->adapter);
	if (wintun->library)
		tf_wintun_library_close(wintun->library);
	free(wintun);
}

int tf_wintun_open(struct tf_device **out, const struct tf_device_spec *spec,
		   struct tf_error *error)
{
	struct tf_wintun *wintun;
	struct tf_error own;
	char version[16];
	int code;

	if (error == NULL)
		error = &own;
	if (*spec->netns || spec->netns_fd >= 0)
		return tf_error_set(error, TF_EOPTION,
				    "\"netns=%s\": there are no network namespaces on Windows",
				    spec->netns);
	wintun = calloc(1, sizeof(*wintun));
	if (!wintun)
		return tf_error_set(error, UV_ENOMEM, "out of memory");
	wintun->device.ops = &tf_device_wintun;
	wintun->device.link = TF_LINK_IP;
	code = tf_wintun_library_open(&wintun->library, error);
	if (code == 0 && *spec->name)
		code = open_adapter(wintun, spec->name, 0, error);
	else if (code == 0)
		code = open_first_free(wintun, error);
	if (code == 0)
		code = start_session(wintun, spec, error);
	if (code == 0) {
		wintun->library->GetAdapterLUID(wintun->adapter, &wintun->luid);
		code = configure(wintun, spec, error);
	}
	if (code < 0) {
		tf_wintun_free(wintun);
		return code;
	}
	if (wintun->library->users == 1 && *tf_wintun_version(wintun->library, version))
		tf_log(TF_LOG_INFO, "wintun %s, %s", version, wintun->library->path);
	*out = &wintun->device;
	return 0;
}
