/*
 * Compiles one profile with libseccomp, as runc hands it over: reads it from stdin, writes the filter to stdout.
 *
 * Input, a line each:  default ACTION
 *                      arch NUMBER             SCMP_ARCH_*; the first one replaces this machine's own
 *                      rule ACTION NAME COUNT  and COUNT times: ARGUMENT OPERATOR A B
 * Output: "CODE JT JF K" for each instruction, or "error TEXT".
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what, int code)
{
	printf("error %s: %s\n", what, strerror(-code));
	exit(0);
}

static void add_rule(scmp_filter_ctx filter)
{
	char name[64];
	uint32_t action;
	unsigned count;
	struct scmp_arg_cmp conditions[6];
	int code;

	if (scanf("%" SCNu32 " %63s %u", &action, name, &count) != 3 || count > 6)
		exit(1);
	for (unsigned i = 0; i < count; i++) {
		unsigned operator;

		if (scanf("%u %u %" SCNu64 " %" SCNu64, &conditions[i].arg, &operator, &conditions[i].datum_a,
			  &conditions[i].datum_b) != 4)
			exit(1);
		conditions[i].op = operator;
	}
	int number = seccomp_syscall_resolve_name(name);
	if (number == __NR_SCMP_ERROR)
		return;
	code = seccomp_rule_add_array(filter, action, number, count, conditions);
	if (code)
		fail(name, code);
}

static void write_filter(scmp_filter_ctx filter)
{
	FILE *file = tmpfile();
	struct sock_filter instruction;
	int code;

	if (!file)
		exit(1);
	code = seccomp_export_bpf(filter, fileno(file));
	if (code)
		fail("export", code);
	lseek(fileno(file), 0, SEEK_SET);
	while (read(fileno(file), &instruction, sizeof instruction) == sizeof instruction)
		printf("%u %u %u %u\n", instruction.code, instruction.jt, instruction.jf, instruction.k);
}

int main(void)
{
	scmp_filter_ctx filter = NULL;
	char word[16];
	uint32_t value;
	int is_first = 1, code;

	while (scanf("%15s", word) == 1) {
		if (!strcmp(word, "rule")) {
			add_rule(filter);
			continue;
		}
		if (scanf("%" SCNu32, &value) != 1)
			return 1;
		if (!strcmp(word, "default")) {
			filter = seccomp_init(value);
			if (!filter)
				return 1;
			continue;
		}
		if (is_first && value != seccomp_arch_native()) {
			code = seccomp_arch_remove(filter, seccomp_arch_native());
			if (code)
				fail("arch_remove", code);
		}
		is_first = 0;
		code = seccomp_arch_add(filter, value);
		if (code && code != -EEXIST)
			fail("arch_add", code);
	}
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	write_filter(filter);
	return 0;
}
