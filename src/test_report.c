#include "test_report.h"

#include <string.h>

void tf_tap_plan(FILE *out, uint32_t count)
{
	fprintf(out, "TAP version 13\n1..%u\n", count);
	fflush(out);
}

/* A byte of a line: control characters would end it or move the cursor. */
static void put_plain(FILE *out, char c)
{
	putc(((unsigned char)c < ' ' && c != '\t') || c == 0x7f ? '?' : c, out);
}

void tf_tap_result(FILE *out, uint32_t i, const struct tf_result *result)
{
	fprintf(out, "%s %u - ", result->passed ? "ok" : "not ok", i);
	for (const char *c = result->title; *c; c++) {
		if (*c == '#' || *c == '\\') /* "# SKIP" in a title is no directive */
			putc('\\', out);
		put_plain(out, *c);
	}
	putc('\n', out);
	if (result->failure != NULL) {
		fputs("# ", out);
		for (const char *c = result->failure; *c; c++) {
			if (*c == '\n')
				fputs("\n# ", out);
			else
				put_plain(out, *c);
		}
		putc('\n', out);
	}
	fflush(out);
}

/* Bytes of the UTF-8 character at text that XML allows, or 0. */
static size_t xml_character(const unsigned char *text)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = text[0] < 0x80	 ? 1
			: text[0] < 0xc0 ? 0
			: text[0] < 0xe0 ? 2
			: text[0] < 0xf0 ? 3
			: text[0] < 0xf8 ? 4
					 : 0;
	uint32_t code = length > 1 ? text[0] & (0x7fu >> length) : text[0];

	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80) /* the final 0 as well */
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	if (length == 0 || code < least[length] || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000) || code == 0xfffe || code == 0xffff ||
	    (code < ' ' && code != '\n' && code != '\t'))
		return 0;
	return length;
}

/* Text for an element or an attribute: what XML does not allow becomes U+FFFD. */
static void put_xml(FILE *out, const char *text, size_t size)
{
	for (size_t i = 0; i < size;) {
		size_t length = xml_character((const unsigned char *)text + i);
		char c = text[i];

		if (length == 0)
			fputs("\xef\xbf\xbd", out);
		else if (strchr("&<>\"'\n\t", c))
			fprintf(out, "&#%d;", c);
		else
			fwrite(text + i, 1, length, out);
		i += length ? length : 1;
	}
}

static void put_attribute(FILE *out, const char *name, const char *text, size_t size)
{
	fprintf(out, " %s=\"", name);
	put_xml(out, text, size);
	putc('"', out);
}

static void put_case(FILE *out, const struct tf_result *result)
{
	fputs("    <testcase", out);
	put_attribute(out, "name", result->title, strlen(result->title));
	put_attribute(out, "classname", result->file, strlen(result->file));
	put_attribute(out, "file", result->file, strlen(result->file));
	if (result->line > 0)
		fprintf(out, " line=\"%d\"", result->line);
	if (result->seconds > 0)
		fprintf(out, " time=\"%.6f\"", result->seconds);
	if (result->passed) {
		fputs("/>\n", out);
		return;
	}
	fputs("><failure", out);
	if (result->failure == NULL) {
		fputs(" message=\"failed\"/></testcase>\n", out);
		return;
	}
	put_attribute(out, "message", result->failure, strcspn(result->failure, "\n"));
	putc('>', out);
	put_xml(out, result->failure, strlen(result->failure));
	fputs("</failure></testcase>\n", out);
}

static uint32_t failures(const struct tf_result *results, uint32_t count)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += !results[i].passed;
	return sum;
}

int tf_junit_write(FILE *out, const struct tf_result *results, uint32_t count)
{
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"%u\" "
		"failures=\"%u\">\n",
		count, failures(results, count));
	for (uint32_t first = 0, end; first < count; first = end) {
		for (end = first;
		     end < count && strcmp(results[end].file, results[first].file) == 0; end++)
			;
		fputs("  <testsuite", out);
		put_attribute(out, "name", results[first].file, strlen(results[first].file));
		fprintf(out, " tests=\"%u\" failures=\"%u\" errors=\"0\" skipped=\"0\">\n",
			end - first, failures(results + first, end - first));
		for (uint32_t i = first; i < end; i++)
			put_case(out, &results[i]);
		fputs("  </testsuite>\n", out);
	}
	fputs("</testsuites>\n", out);
	return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}
