/*
 * Any command line, device word, network or expression of the user's is taken or refused with a
 * sentence. Input: words, each ended by a 0; and the whole as text of lists of networks and names.
 */
#include "fuzz.h"
#include "names.h"
#include "nets.h"
#include "options.h"

enum { WORDS = 40 };

static void command_line(char *text, size_t size)
{
	struct tf_options options;
	struct tf_device_spec spec;
	struct tf_prefix prefix;
	struct tf_error error = {0};
	char *argv[WORDS + 2] = {(char *)"tunfilter"};
	int argc = 1, code;

	for (size_t at = 0; at < size && argc <= WORDS; at += strlen(text + at) + 1)
		argv[argc++] = text + at;
	code = tf_options_parse(&options, argc, argv, &error);
	fuzz_check(code == 0 || (code == TF_EOPTION && *error.text), "an error has its sentence");
	tf_options_free(&options);
	for (int i = 1; i < argc; i++) {
		memset(&error, 0, sizeof(error));
		code = tf_device_spec_parse(&spec, argv[i], &error);
		fuzz_check(code == 0 || *error.text, "an error has its sentence");
		if (code == 0)
			fuzz_check(spec.address_count <= TF_ADDRESSES_MAX, "bounds hold");
		tf_prefix_parse(&prefix, argv[i]);
	}
}

static void lists(const char *text, size_t size)
{
	struct tf_nets *nets = tf_nets_create();
	struct tf_names *names = tf_names_create();
	struct tf_net address = {.version = size % 2 ? 4 : 6}, match;

	memcpy(address.bytes, text, size < 16 ? size : 16);
	tf_nets_read(nets, text, size);
	if (tf_nets_match(nets, &address, &match)) {
		fuzz_check(match.version == address.version && match.length <= 128,
			   "a network of its kind");
		fuzz_check(tf_nets_remove(nets, &match) == 1, "what matches is there");
	}
	tf_names_read(names, text, size);
	fuzz_check(tf_names_match(names, text, size) <= size, "an entry is a part of the name");
	tf_names_add(names, text, size);
	tf_nets_destroy(nets);
	tf_names_destroy(names);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *text = malloc(size + 1);

	memcpy(text, bytes, size);
	text[size] = 0;
	command_line(text, size);
	free(text);
	lists((const char *)bytes, size);
	return 0;
}
