/* Releases that are signed and hostile: none of them gets a power that the customer did not accept, and what runs goes
 * on as it was. */
#include "tests/unit/updater/activate/hostile.h"

#define HEX0 "0000000000000000000000000000000000000000000000000000000000000000"
#define FILE_OF(path, mode, size)                                                                                      \
	"{\"path\":\"" path "\",\"type\":\"file\",\"mode\":\"" mode "\",\"owner\":\"root\",\"size\":" size ",\"sha256\":\"" HEX0 \
	"\"}"
#define FOLDER(path)	   "{\"path\":\"" path "\",\"type\":\"dir\",\"mode\":\"0755\",\"owner\":\"root\"}"
#define LINK(path, target) "{\"path\":\"" path "\",\"type\":\"link\",\"target\":\"" target "\"}"
#define TREE		   .why = REASON_UNSAFE_TREE

static unsigned refused; /* of all tables */

static void
refuse_all(struct bench *b, const struct hostile *rows, size_t n)
{
	hostile_begin(b);
	for (size_t i = 0; i < n; i++)
		hostile_refused(b, &rows[i], (unsigned)i + 1);
	refused += (unsigned)n;
}

/* --- trees ------------------------------------------------------------------------------------------------------ */
static const struct hostile trees[] = {
	{ "set-user-id", .entry = "[" FILE_OF("su", "4755", "1") "]", TREE, .text = "set-user-id" },
	{ "set-group-id", .entry = "[" FILE_OF("su", "2755", "1") "]", TREE, .text = "set-group-id" },
	{ "a sticky file that all may write", .entry = "[" FILE_OF("su", "1777", "1") "]", TREE, .text = "sticky" },
	{ "a program that all may write", .entry = "[" FILE_OF("su", "0777", "1") "]", TREE, .text = "mode 0777" },
	{ "a device", .entry = "[{\"path\":\"mem\",\"type\":\"char\",\"mode\":\"0644\",\"owner\":\"root\"}]", TREE,
		.text = "no file, dir or link" },
	{ "a pipe", .entry = "[{\"path\":\"p\",\"type\":\"fifo\",\"mode\":\"0644\",\"owner\":\"root\"}]", TREE,
		.text = "no file, dir or link" },
	{ "capabilities of a file",
		.entry = "[{\"path\":\"c\",\"type\":\"file\",\"mode\":\"0755\",\"owner\":\"root\",\"size\":1,\"caps\":\"cap_sys_admin+ep\","
			 "\"sha256\":\"" HEX0 "\"}]",
		.why = REASON_UNKNOWN_FIELD, .text = "" },
	{ "an owner of its choice",
		.entry = "[{\"path\":\"c\",\"type\":\"dir\",\"mode\":\"0755\",\"owner\":\"admin\"}]", TREE,
		.text = "all of a tree is root's" },
	{ "an absolute link", .entry = "[" LINK("etc", "/etc") "]", TREE, .text = "absolute" },
	{ "a link that leads out", .entry = "[" LINK("up", "../monitor/site.key") "]", TREE, .text = "out of the tree" },
	{ "a link that leads out behind a name", .entry = "[" LINK("up", "bin/../../x") "]", TREE, .text = "behind a name" },
	{ "a link to itself", .entry = "[" LINK("loop", "loop") "]", TREE, .text = "circle" },
	{ "two links to each other", .entry = "[" LINK("one", "two") "," LINK("two", "one") "]", TREE, .text = "circle" },
	{ "a link to what the service writes", .entry = "[" LINK("lib", "data/lib") "]", TREE, .text = "leads to nothing" },
	{ "a file through a link", .entry = "[" LINK("lib", "bin") "," FILE_OF("lib/x", "0644", "1") "]", TREE,
		.text = "parent is not listed" },
	{ "a path above", .entry = "[" FILE_OF("../../etc/x", "0644", "1") "]", TREE, .text = "\"..\"" },
	{ "an absolute path", .entry = "[" FILE_OF("/etc/x", "0644", "1") "]", TREE, .text = "absolute" },
	{ "an empty step", .entry = "[" FILE_OF("bin//x", "0644", "1") "]", TREE, .text = "empty" },
	{ "one name in two cases", .entry = "[" FOLDER("lib") "," FOLDER("libX") "," FOLDER("libx") "]", TREE, .text = "only in case" },
	{ "one name in two ways of Unicode", .entry = "[" FOLDER("caf\\u00e9") "," FOLDER("cafe\\u0301") "]", TREE,
		.text = "printable ASCII" },
	{ "a name that turns", .entry = "[" FILE_OF("\\u202etxt.sh", "0755", "1") "]", TREE, .text = "printable ASCII" },
	{ "a name that ends its line", .entry = "[" FILE_OF("a\\nb", "0644", "1") "]", .why = REASON_MALFORMED,
		.text = "unexpected newline" },
	{ "a name that ends in a blank", .entry = "[" FILE_OF("sh ", "0755", "1") "]", TREE, .text = "space" },
	{ "the service's data", .entry = "[" FOLDER("data") "]", TREE, .text = "not the release's to fill" },
	{ "the sandbox's secrets", .entry = "[" FOLDER("run") "," FOLDER("run/secrets") "]", TREE, .text = "not the release's to fill" },
	{ "one path twice", .entry = "[" FOLDER("lib") "," FOLDER("lib") "]", TREE, .text = "comes twice" },
	{ "a file of four gigabytes and one byte", .entry = "[" FILE_OF("big", "0644", "4294967297") "]", .why = REASON_TOO_LARGE,
		.text = "bytes" },
	{ "sixteen gigabytes in files that may be",
		.entry = "[" FILE_OF("c1", "0644", "4294967296") "," FILE_OF("c2", "0644", "4294967296") "," FILE_OF("c3", "0644",
				"4294967296") "," FILE_OF("c4", "0644", "4294967296") "]",
		.why = REASON_TOO_LARGE, .text = "more than 17179869184 bytes" },
	{ "another service's index", .index = "{\"service\":\"nginx\"}", .why = REASON_ALTERED, .text = "of service \"nginx\"" },
	{ "the core's index", .index = "{\"service\":\"mainstay\"}", .why = REASON_ALTERED, .text = "of service \"mainstay\"" },
	{ "a version that is not its path's", .index = "{\"version\":\"9\"}", .why = REASON_ALTERED,
		.text = "belongs at services/redis/9/" },
	{ "a version that is a path", .index = "{\"version\":\"../9\"}", .why = REASON_ALTERED, .text = "belongs at services/redis/../9/" },
	{ "a member that nobody knows", .index = "{\"units\":[]}", .why = REASON_UNKNOWN_FIELD, .text = "" },
	{ "another form of the index", .index = "{\"v\":2}", .why = REASON_MALFORMED, .text = "from 0 to 1" },
};

static void
no_tree_leads_out(void **state)
{
	refuse_all(*state, trees, ARRAY_LEN(trees));
}

/* More entries than there may be, in an index that is otherwise good. */
static void
no_tree_is_endless(void **state)
{
	struct bench *b = *state;
	SCOPED(buf_done) struct buf list = BUF_MAX(16 << 20);
	struct hostile h = { "65,537 entries", .why = REASON_MALFORMED, .text = "65537 entries, of at most 65536" };

	buf_puts(&list, "[");
	for (unsigned i = 0; i < TREE_ENTRIES_MAX - 1; i++)
		buf_printf(&list, "%s{\"mode\":\"0755\",\"owner\":\"root\",\"path\":\"d%05u\",\"type\":\"dir\"}", i ? "," : "", i);
	buf_puts(&list, "]");
	h.entry = buf_text(&list);
	refuse_all(b, &h, 1);
}

/* --- targets ------------------------------------------------------------------------------------------------------ */
static const struct hostile targets[] = {
	{ "the core by its class", .custom = "{\"class\":\"core\"}", .why = REASON_NOT_APPROVED, .text = "owners' signature" },
	{ "a class that is none", .custom = "{\"class\":\"root\"}", .why = REASON_MALFORMED, .text = "class or counter" },
	{ "another platform", .custom = "{\"platform\":\"vms-vax\"}", .why = REASON_WRONG_ADDRESSEE, .text = "vms-vax" },
	{ "an older counter", .custom = "{\"counter\":6}", .why = REASON_ROLLBACK, .text = "below 7, which runs" },
	{ "a counter below all", .custom = "{\"counter\":-1}", .why = REASON_MALFORMED, .text = "class or counter" },
	{ "a counter in words", .custom = "{\"counter\":\"9\"}", .why = REASON_MALFORMED, .text = "class or counter" },
};

static void
no_target_says_more_than_it_may(void **state)
{
	refuse_all(*state, targets, ARRAY_LEN(targets));
}

/* --- powers ------------------------------------------------------------------------------------------------------- */
#define POWER .why = REASON_NOT_APPROVED

static const struct hostile powers[] = {
	{ "the host's network", "{\"network\":\"host\"}", POWER, .text = "power network=host" },
	{ "loopback", "{\"network\":\"loopback\"}", POWER, .text = "power network=loopback" },
	{ "a hook before the change", "{\"hooks\":{\"snapshot\":{\"argv\":[\"/bin/run\"]}}}", POWER, .text = "power hook.snapshot=sha256:" },
	{ "a hook that checks", "{\"hooks\":{\"check\":{\"argv\":[\"/bin/run\"]}}}", POWER, .text = "power hook.check=sha256:" },
	{ "a hook that restores", "{\"hooks\":{\"restore\":{\"argv\":[\"/bin/run\"]}}}", POWER, .text = "power hook.restore=sha256:" },
	{ "a preparation", "{\"prepare\":{\"argv\":[\"/bin/run\"],\"creates\":\"db\"}}", POWER, .text = "power prepare=sha256:" },
	{ "a secret more", "{\"secrets\":{\"other\":{},\"word\":{}}}", POWER, .text = "power secret.other" },
	{ "memory", "{\"limits\":{\"memory\":1073741825}}", POWER, .text = "power limit.memory=1073741825" },
	{ "processes", "{\"limits\":{\"processes\":65536}}", POWER, .text = "power limit.processes=65536" },
	{ "files", "{\"limits\":{\"files\":1048576}}", POWER, .text = "power limit.files=1048576" },
	{ "memory of the machine", "{\"requires\":{\"memory\":1}}", POWER, .text = "power require.memory=1" },
	{ "all at once", "{\"network\":\"host\",\"hooks\":{\"check\":{\"argv\":[\"/bin/run\"]}}}", POWER,
		.text = "power hook.check=sha256:" },
};

static void
no_release_takes_a_power(void **state)
{
	refuse_all(*state, powers, ARRAY_LEN(powers));
}

/* --- definitions ---------------------------------------------------------------------------------------------------- */
#define NO	.why = REASON_MALFORMED
#define UNKNOWN .why = REASON_UNKNOWN_FIELD
#define KNOBS(dir)                                                                                                     \
	"{\"knobs\":{\"dir\":" dir ",\"size\":{\"default\":2,\"max\":9,\"min\":1,\"type\":\"int\"}}}"
#define CONFIG(line) "{\"config\":[{\"format\":\"conf\",\"lines\":[\"" line "\"],\"path\":\"redis.conf\"}]}"
#define PLUS64	"++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++"

static const struct hostile definitions[] = {
	/* what it is */
	{ "the core's class", "{\"class\":\"core\"}", .why = REASON_CONFLICT, .text = "one of the core" },
	{ "another service's name", "{\"name\":\"nginx\"}", .why = REASON_ALTERED, .text = "defines service \"nginx\"" },
	{ "another version", "{\"version\":\"1\"}", .why = REASON_ALTERED, .text = "defines version \"1\"" },
	{ "a name that is a path", "{\"name\":\"../monitor\"}", NO, .text = "small letters" },
	{ "root", "{\"user\":\"root\"}", NO, .text = "must be one of service" },
	{ "properties of a unit", "{\"unit\":{\"ExecStartPre\":\"+/bin/sh\"}}", UNKNOWN, .text = "" },
	{ "an environment", "{\"environment\":{\"LD_PRELOAD\":\"/data/x.so\"}}", UNKNOWN, .text = "" },
	{ "capabilities", "{\"capabilities\":[\"CAP_SYS_ADMIN\"]}", UNKNOWN, .text = "" },
	{ "a bind of the host", "{\"binds\":[\"/:/host\"]}", UNKNOWN, .text = "" },
	/* what it runs */
	{ "a program by a knob", "{\"exec\":[\"/{knob.dir}\"]}", NO, .text = "without {}" },
	{ "a program without a path", "{\"exec\":[\"sh\"]}", NO, .text = "absolute path" },
	{ "a preparation elsewhere", "{\"prepare\":{\"argv\":[\"/bin/run\"],\"creates\":\"../../nginx\"}}", NO, .text = "one name" },
	{ "another hook", "{\"hooks\":{\"boot\":{\"argv\":[\"/bin/run\"]}}}", UNKNOWN, .text = "" },
	{ "a stop that takes hours", "{\"stop\":{\"grace\":\"2h\"}}", NO, .text = "at most 3600 s" },
	{ "a stop by KILL", "{\"stop\":{\"signal\":\"KILL\"}}", NO, .text = "TERM, INT, QUIT" },
	{ "a reload by STOP", "{\"reload\":{\"signal\":\"STOP\"}}", NO, .text = "HUP" },
	{ "more than others' share", "{\"limits\":{\"nice\":-20}}", NO, .text = "from 0 to 19" },
	{ "no limit of memory", "{\"limits\":{\"memory\":9007199254740991}}", NO, .text = "at most" },
	/* what it asks for health and numbers */
	{ "a port that is another's", "{\"health\":{\"port\":\"22\",\"type\":\"tcp\"}}", NO, .text = "another's" },
	{ "a request to another's port", "{\"health\":{\"path\":\"/quit\",\"port\":\"9090\",\"type\":\"http\"}}", NO, .text = "another's" },
	{ "Mainstay's own socket", "{\"health\":{\"socket\":\"/run/mainstay/control.sock\",\"type\":\"unix\"}}", NO,
		.text = "its own sockets" },
	{ "another service's socket", "{\"health\":{\"socket\":\"{run}/../nginx/nginx.sock\",\"type\":\"resp\"}}", NO,
		.text = "its own sockets" },
	{ "two requests in one path", "{\"health\":{\"path\":\"/ HTTP/1.1 Host: a\",\"socket\":\"s\",\"type\":\"http\"}}", NO,
		.text = "a path like" },
	{ "a soak without end", "{\"health\":{\"soak\":\"999h\",\"socket\":\"s\",\"type\":\"resp\"}}", NO, .text = "at most 3600 s" },
	{ "a soak below nothing", "{\"health\":{\"soak\":\"-1s\",\"socket\":\"s\",\"type\":\"resp\"}}", NO, .text = "must be a time" },
	{ "no soak at all", "{\"health\":{\"soak\":\"0s\",\"socket\":\"s\",\"type\":\"resp\"}}", NO, .text = "must be a time" },
	{ "a probe with a secret it was not given", "{\"health\":{\"argv\":[\"/bin/run\",\"{secret.word}\"],\"type\":\"exec\"}}", NO,
		.text = "no secret that is given" },
	{ "numbers from a port that is another's", "{\"metrics\":[{\"path\":\"/latest/meta-data\",\"port\":\"80\",\"source\":\"prometheus\"}]}",
		NO, .text = "another's" },
	{ "numbers from an address", "{\"metrics\":[{\"host\":\"169.254.169.254\",\"socket\":\"s\",\"source\":\"prometheus\"}]}", UNKNOWN,
		.text = "" },
	{ "numbers from Mainstay", "{\"metrics\":[{\"socket\":\"{run}/../../control.sock\",\"source\":\"redis\"}]}", NO,
		.text = "its own sockets" },
	/* what it writes */
	{ "data above its folder", "{\"data\":{\"folders\":[\"../../../monitor\"],\"format\":\"one\"}}", NO, .text = "below the data folder" },
	{ "data anywhere", "{\"data\":{\"folders\":[\"/etc\"],\"format\":\"one\"}}", NO, .text = "below the data folder" },
	{ "data where snapshots are", "{\"data\":{\"folders\":[\".snapshot\"],\"format\":\"one\"}}", NO, .text = "below the data folder" },
	{ "data of another format", "{\"data\":{\"folders\":[\"db\"],\"format\":\"two\"}}", .why = REASON_CONFLICT, .text = "cannot go on with data" },
	{ "configuration elsewhere", "{\"config\":[{\"lines\":[\"x\"],\"path\":\"../../nginx/conf/nginx.conf\"}]}", NO, .text = "conf folder" },
	{ "one file over another", "{\"config\":[{\"lines\":[\"x\"],\"path\":\"a\"},{\"lines\":[\"y\"],\"path\":\"a\"}]}", NO,
		.text = "cannot be beside" },
	{ "a knob that names the setting", CONFIG("{{knob.dir}} yes"), NO, .text = "begins its line" },
	{ "a knob within quotes", CONFIG("dir \\\"{{knob.dir}}\\\""), NO, .text = "stands in quotes" },
	{ "a secret of another's in a file", CONFIG("pass {{secret.other}}"), NO, .text = "no knob, secret or folder" },
	{ "a file that cannot hold what the customer set",
		"{\"config\":[{\"format\":\"plain\",\"lines\":[\"dir {{knob.dir}}\"],\"path\":\"redis.conf\"}]}", NO, .text = "cannot hold \"x; y\"" },
	/* knobs */
	{ "a pattern beside its anchors", KNOBS("{\"default\":\"a\",\"pattern\":\"a)|(.*\",\"type\":\"text\"}"), NO, .text = "closes nothing" },
	{ "a pattern that anchors one half", KNOBS("{\"default\":\"a\",\"pattern\":\"^a|b$\",\"type\":\"text\"}"), NO, .text = "whole value" },
	{ "a pattern that counts", KNOBS("{\"default\":\"a\",\"pattern\":\"((a{99}){99}){99}\",\"type\":\"text\"}"), NO, .text = "counts" },
	{ "a pattern that refers back", KNOBS("{\"default\":\"aa\",\"pattern\":\"(a*)*\\\\1\",\"type\":\"text\"}"), NO, .text = "back references" },
	{ "a pattern that repeats and fits nothing", KNOBS("{\"default\":\"b\",\"pattern\":\"a" PLUS64 "\",\"type\":\"text\"}"), NO,
		.text = "does not match" },
	{ "a knob gone that the customer set", "{\"config\":[],\"knobs\":{\"dir\":{\"default\":\"a\",\"type\":\"text\"}}}", UNKNOWN,
		.text = "has no such knob" },
	{ "bounds that what the customer set is out of",
		"{\"knobs\":{\"dir\":{\"default\":\"a\",\"type\":\"text\"},\"size\":{\"default\":5,\"max\":9,\"min\":4,\"type\":\"int\"}}}", NO,
		.text = "3 is not from 4 to 9" },
	{ "a default out of its bounds",
		"{\"knobs\":{\"dir\":{\"default\":\"a\",\"type\":\"text\"},\"size\":{\"default\":99,\"max\":9,\"min\":1,\"type\":\"int\"}}}", NO,
		.text = "99 is not from 1 to 9" },
	{ "a default out of its values", KNOBS("{\"default\":\"b\",\"enum\":[\"a\"],\"type\":\"text\"}"), NO, .text = "none of the values" },
	/* operations */
	{ "an observation that stops", "{\"operations\":{\"look\":{\"risk\":\"observe\",\"verb\":\"stop\"}}}", NO, .text = "cannot be observe" },
	{ "a verb of its own", "{\"operations\":{\"look\":{\"risk\":\"change\",\"verb\":\"remove\"}}}", NO, .text = "must be one of start" },
	{ "an operation with a secret it was not given",
		"{\"operations\":{\"look\":{\"argv\":[\"/bin/run\",\"{secret.word}\"],\"risk\":\"observe\"}}}", NO, .text = "no secret that is given" },
	{ "a program by an argument", "{\"operations\":{\"look\":{\"argv\":[\"{key}\"],\"args\":{\"key\":{\"type\":\"text\"}},\"risk\":\"observe\"}}}",
		NO, .text = "without {}" },
	{ "an operation that runs for days", "{\"operations\":{\"look\":{\"argv\":[\"/bin/run\"],\"risk\":\"observe\",\"timeout\":\"48h\"}}}", NO,
		.text = "at most 3600 s" },
	/* what it requires */
	{ "itself first", "{\"requires\":{\"services\":[\"redis\"]}}", NO, .text = "requires itself" },
	{ "a service that is not there", "{\"requires\":{\"services\":[\"backdoor\"]}}", .why = REASON_CONFLICT, .text = "requires backdoor" },
	{ "a disk that nobody has", "{\"requires\":{\"disk\":1125899906842624}}", .why = REASON_NO_SPACE, .text = "1024 TiB of disk" },
	/* what people read */
	{ "notes that clear the screen", "{\"notes\":[\"\\u009b2J\"]}", NO, .text = "control character" },
	{ "notes without end",
		"{\"notes\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\",\"16\",\"17\",\"18\",\"19\","
		"\"20\",\"21\"]}",
		NO, .text = "at most 20" },
	{ "help that turns", "{\"operations\":{\"look\":{\"argv\":[\"/bin/run\"],\"help\":\"\\u202egnihton\",\"risk\":\"observe\"}}}", NO,
		.text = "turn" },
	{ "an alert that turns",
		"{\"alerts\":[{\"for\":\"1s\",\"metric\":\"m\",\"name\":\"a\",\"op\":\"above\",\"text\":\"\\u2066x\",\"value\":1}]}", NO,
		.text = "turn" },
	/* its form */
	{ "one member twice", .raw = "{\"name\":\"redis\",\"name\":\"redis\"}", NO, .text = "" },
	{ "no JSON", .raw = "\x7f"
			    "ELF",
		NO, .text = "" },
	{ "white space", .raw = "{\"exec\": [\"/bin/run\"],\"name\":\"redis\",\"version\":\"1\"}", NO, .text = "canonical" },
	{ "nothing", .raw = "{}", NO, .text = "is missing" },
};

static void
no_definition_means_more_than_it_may(void **state)
{
	refuse_all(*state, definitions, ARRAY_LEN(definitions));
}

/* Ten thousand lists in each other; a text of a megabyte. */
static void
no_definition_is_a_bomb(void **state)
{
	struct bench *b = *state;
	char *deep = malloc(20001), *big = malloc(1 << 20);
	struct hostile rows[] = {
		{ "lists in lists", .raw = deep, NO, .text = "" },
		{ "a definition of a megabyte", .raw = big, .why = REASON_TOO_LARGE, .text = "" },
	};

	assert_true(deep && big);
	memset(deep, '[', 10000);
	memset(deep + 10000, ']', 10000);
	deep[20000] = '\0';
	memset(big, ' ', (1 << 20) - 1);
	big[(1 << 20) - 1] = '\0';
	refuse_all(b, rows, ARRAY_LEN(rows));
	free(deep);
	free(big);
}

static int
tell(void **state)
{
	(void)state;
	print_message("%u hostile releases, each refused\n", refused);
	return 0;
}

int
main(void)
{
#define HOSTILE_TEST(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)
	static const struct CMUnitTest tests[] = {
		HOSTILE_TEST(no_tree_leads_out),
		HOSTILE_TEST(no_tree_is_endless),
		HOSTILE_TEST(no_target_says_more_than_it_may),
		HOSTILE_TEST(no_release_takes_a_power),
		HOSTILE_TEST(no_definition_means_more_than_it_may),
		HOSTILE_TEST(no_definition_is_a_bomb),
	};

	return cmocka_run_group_tests(tests, NULL, tell);
}
