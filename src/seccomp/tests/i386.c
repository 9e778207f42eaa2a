/*
 * Makes system calls of i386 from a 64-bit process, under a filter: "CODE JT JF K" for each of its instructions on
 * stdin. Arguments: NUMBER FIRST for each call. Output: what each call returns, a line each.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int call(int number, int first)
{
	int answer;

	__asm__ volatile("int $0x80" : "=a"(answer) : "a"(number), "b"(first) : "memory", "r8", "r9", "r10", "r11");
	return answer;
}

int main(int count, char **arguments)
{
	static struct sock_filter instructions[4096];
	struct sock_fprog program = { 0, instructions };
	unsigned code, jt, jf, k;

	while (program.len < 4096 && scanf("%u %u %u %u", &code, &jt, &jf, &k) == 4)
		instructions[program.len++] = (struct sock_filter){ code, jt, jf, k };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) {
		perror("load the filter");
		return 1;
	}
	for (int i = 1; i + 1 < count; i += 2)
		printf("%d\n", call(atoi(arguments[i]), atoi(arguments[i + 1])));
	return 0;
}
