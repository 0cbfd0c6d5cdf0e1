/* A service's data: its folders, the format of what is in them, and where that leads. */
#include "appliance/base/json.h"
#include "appliance/base/refuse.h"
#include "appliance/base/scope.h"
#include "appliance/service/definition_read.h"

enum { ACCEPTS_MAX = 32, FOLDER_MAX = 255 };

static bool
is_folder(const char *text)
{
	return definition_is_below(text);
}

static void
read_folders(const struct definition_at *list, struct definition *d)
{
	size_t n = definition_list(list, DEFINITION_LIST_MAX);

	d->data_folders = list->v;
	for (size_t i = 0; i < n; i++) {
		struct definition_at one = definition_item(list, i);
		const char *path = definition_text_here(&one, FOLDER_MAX);

		if (path && !is_folder(path))
			DEFINITION_BAD(&one, "must be a folder below the data folder");
	}
}

void
definition_read_data(const struct definition_at *a, struct definition *d)
{
	static const char *const known[] = { "folders", "format", "accepts" };
	struct definition_at data = definition_member(a, "data"), folders, accepts, format;

	if (!data.v || json_is_array(data.v)) {
		read_folders(&data, d);
		return;
	}
	if (!definition_known(&data, known, ARRAY_LEN(known)))
		return;
	folders = definition_member(&data, "folders");
	read_folders(&folders, d);
	format = definition_member(&data, "format");
	d->data_format = definition_text(&data, "format", false, DEFINITION_NAME_MAX);
	if (d->data_format && !definition_is_word(d->data_format))
		DEFINITION_BAD(&format, "must have small letters, digits and .+~- alone, and begin with a letter or digit");
	d->data_accepts = definition_texts(
		&data, "accepts", ACCEPTS_MAX, DEFINITION_NAME_MAX, definition_is_word, "format's name");
	accepts = definition_member(&data, "accepts");
	if (d->data_accepts && !format.v)
		DEFINITION_BAD(&accepts, "needs a format beside it");
}

static bool
accepts(const struct definition *d, const char *format)
{
	const json_t *one;
	size_t i;

	if (!strcmp(d->data_format ?: "", format))
		return true;
	json_array_foreach(d->data_accepts, i, one) {
		if (!strcmp(json_string_value(one), format))
			return true;
	}
	return false;
}

int
definition_data_step(
	const struct definition *from, const struct definition *to, bool *ret_one_way)
{
	const char *was = from->data_format ?: "", *is = to->data_format ?: "";

	if (!accepts(to, was))
		return REFUSE(REASON_CONFLICT, to->name,
			"release %s cannot go on with data of format \"%s\", it writes \"%s\"",
			to->version, was, is);
	*ret_one_way = !accepts(from, is);
	return 0;
}
