/* Prints, from inside a container, what busybox can't show: one fact a line. Static, so that it runs in any root. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

/* Each open descriptor and where it leads. */
static int descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	if (!directory)
		return fail("/proc/self/fd");
	struct dirent *entry;
	while ((entry = readdir(directory))) {
		char target[4096];
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
		if (length < 0 || atoi(entry->d_name) == dirfd(directory))
			continue;
		target[length] = 0;
		printf("%s %s\n", entry->d_name, target);
	}
	return 0;
}

/* struct sched_attr of <linux/sched/types.h>, which does not go together with <sched.h>. */
struct scheduling {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static int scheduler(void)
{
	struct scheduling attributes = { .size = sizeof(attributes) };
	if (syscall(SYS_sched_getattr, 0, &attributes, sizeof(attributes), 0))
		return fail("sched_getattr");
	printf("policy %" PRIu32 "\nflags %" PRIu64 "\nnice %" PRId32 "\npriority %" PRIu32 "\n", attributes.policy,
	       attributes.flags, attributes.nice, attributes.priority);
	printf("runtime %" PRIu64 "\ndeadline %" PRIu64 "\nperiod %" PRIu64 "\n", attributes.runtime,
	       attributes.deadline, attributes.period);
	return 0;
}

static int io_priority(void)
{
	long priority = syscall(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, 0);
	if (priority < 0)
		return fail("ioprio_get");
	printf("class %ld\nlevel %ld\n", priority >> 13, priority & 0x1fff);
	return 0;
}

static int memory_policy(void)
{
	int mode = -1;
	unsigned long nodes[16] = { 0 };
	if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof(nodes) * 8, NULL, 0))
		return fail("get_mempolicy");
	printf("mode %d\nflags %d\nnodes %lx\n", mode & 0xff, mode & ~0xff, nodes[0]);
	return 0;
}

/* The name of the session keyring. */
static int keyring(void)
{
	char description[4096];
	if (syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, description, sizeof(description)) < 0)
		return fail("keyctl");
	printf("%s\n", strrchr(description, ';') + 1);
	return 0;
}

static int process(void)
{
	int parent_death_signal = -1, subreaper = -1;
	prctl(PR_GET_PDEATHSIG, &parent_death_signal);
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	printf("dumpable %d\nparent_death_signal %d\nsubreaper %d\n", prctl(PR_GET_DUMPABLE), parent_death_signal,
	       subreaper);
	printf("keep_capabilities %d\nsecurebits %d\n", prctl(PR_GET_KEEPCAPS), prctl(PR_GET_SECUREBITS));
	printf("session %d\ngroup %d\n", getsid(0), getpgrp());
	printf("effective_user %d\n", geteuid());
	return 0;
}

/* The label of the session keyring (keyctl_get_security(3)). */
static int keyring_label(void)
{
	char label[4096];
	long length = syscall(SYS_keyctl, KEYCTL_GET_SECURITY, KEY_SPEC_SESSION_KEYRING, label, sizeof(label));
	if (length < 0)
		return fail("keyctl");
	printf("%s\n", label);
	return 0;
}

/* The label of a file. */
static int file_label(const char *path)
{
	char label[4096];
	ssize_t length = getxattr(path, "security.selinux", label, sizeof(label) - 1);
	if (length < 0)
		return fail(path);
	label[length] = 0;
	printf("%s\n", label);
	return 0;
}

static int clocks(void)
{
	struct timespec monotonic, boottime;
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	clock_gettime(CLOCK_BOOTTIME, &boottime);
	printf("monotonic %lld\nboottime %lld\n", (long long)monotonic.tv_sec, (long long)boottime.tv_sec);
	return 0;
}

/* What the kernel, not the C library, calls the working directory. */
static int working_directory(void)
{
	char path[4096];
	if (syscall(SYS_getcwd, path, sizeof(path)) < 0)
		return fail("getcwd");
	printf("%s\n", path);
	return 0;
}

/* The controlling terminal. */
static int terminal(void)
{
	int tty = open("/dev/tty", O_RDWR);
	if (tty < 0)
		return fail("/dev/tty");
	printf("stdin %d\nstdout %d\nstderr %d\n", isatty(0), isatty(1), isatty(2));
	printf("name %s\nforeground %d\n", ttyname(0) ? ttyname(0) : "none", tcgetpgrp(tty) == getpgrp());
	return 0;
}

/* Sends a line to the service manager: sd_notify(3). */
static int notify(const char *text)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path || strlen(path) >= sizeof(address.sun_path)) {
		fprintf(stderr, "no usable NOTIFY_SOCKET\n");
		return 1;
	}
	strcpy(address.sun_path, path);
	int socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_ < 0 || connect(socket_, (struct sockaddr *)&address, sizeof(address)))
		return fail(path);
	if (send(socket_, text, strlen(text), 0) < 0)
		return fail("send");
	return 0;
}

/* Opens a file for writing and says what the kernel said. */
static int write_to(const char *path)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	printf("%s\n", file < 0 ? strerrorname_np(errno) : "opened");
	return 0;
}

/* Makes a system call by its number, with one argument, and says what came of it. */
static int call(const char *number, const char *argument)
{
	long answer = syscall(atol(number), atol(argument));
	printf("%s\n", answer < 0 ? strerrorname_np(errno) : "made");
	return 0;
}

#ifdef __x86_64__
/* As a program of i386 makes it (syscall(2), int 0x80). */
static int call_of_i386(const char *number, const char *argument)
{
	long answer = atol(number);
	__asm__ volatile("int $0x80" : "+a"(answer) : "b"(atol(argument)) : "memory", "r8", "r9", "r10", "r11");
	/* 32 bits come back. */
	printf("%s\n", (int)answer < 0 ? strerrorname_np(-(int)answer) : "made");
	return 0;
}
#endif

/* Makes a directory, and says what became of that. */
static int make_directory(void)
{
	long made = syscall(SYS_mkdirat, AT_FDCWD, "/made", 0755);
	printf("%s\n", made ? strerrorname_np(errno) : "made");
	return fflush(stdout);
}

/* The same, by a child that is traced: what the tracer is told of calls that a filter hands to it (seccomp(2)). */
static int traced(void)
{
	pid_t child = fork();
	if (!child) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(fail("traceme"));
		raise(SIGSTOP);
		_exit(make_directory());
	}
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		return fail("fork");
	if (ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL))
		return fail("set options");
	while (!ptrace(PTRACE_CONT, child, 0, 0) && waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		if (status >> 8 != (SIGTRAP | PTRACE_EVENT_SECCOMP << 8))
			continue;
		unsigned long data;
		struct __ptrace_syscall_info call;
		if (ptrace(PTRACE_GETEVENTMSG, child, 0, &data) || ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(call), &call) < 0)
			return fail("ask for the event");
		printf("%s, data %lu\n", call.seccomp.nr == SYS_mkdirat ? "mkdirat" : "another call", data);
		fflush(stdout);
	}
	return !WIFEXITED(status) || WEXITSTATUS(status);
}

int main(int count, char **arguments)
{
	const char *what = count > 1 ? arguments[1] : "";
	if (!strcmp(what, "descriptors"))
		return descriptors();
	if (!strcmp(what, "scheduler"))
		return scheduler();
	if (!strcmp(what, "io-priority"))
		return io_priority();
	if (!strcmp(what, "memory-policy"))
		return memory_policy();
	if (!strcmp(what, "personality"))
		return printf("%x\n", personality(0xffffffff)) < 0;
	if (!strcmp(what, "keyring"))
		return keyring();
	if (!strcmp(what, "keyring-label"))
		return keyring_label();
	if (!strcmp(what, "file-label") && count > 2)
		return file_label(arguments[2]);
	if (!strcmp(what, "process"))
		return process();
	if (!strcmp(what, "clocks"))
		return clocks();
	if (!strcmp(what, "working-directory"))
		return working_directory();
	if (!strcmp(what, "terminal"))
		return terminal();
	if (!strcmp(what, "notify") && count > 2)
		return notify(arguments[2]);
	if (!strcmp(what, "write-to") && count > 2)
		return write_to(arguments[2]);
	if (!strcmp(what, "call") && count > 3)
		return call(arguments[2], arguments[3]);
#ifdef __x86_64__
	if (!strcmp(what, "call-of-i386") && count > 3)
		return call_of_i386(arguments[2], arguments[3]);
#endif
	if (!strcmp(what, "make-directory"))
		return make_directory();
	if (!strcmp(what, "traced"))
		return traced();
	fprintf(stderr, "probe: no such question: %s\n", what);
	return 2;
}
