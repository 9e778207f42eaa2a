/*
 * An agent that answers for the system calls of containers: agent SOCKET CONNECTIONS ANSWER
 *
 * Takes that many connections, and prints of each the message, in a line of its own, with the number of descriptors that
 * came with it. ANSWER is what every call gets: an errno, 0 for a success without the call being made, "continue" for the
 * call itself, "silence" for nothing at all, or "close" for an agent that wants none of it; "continue-N" is N times for the
 * call itself and then silence. Ends with the last filter.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 16, LIMIT = 30000 };

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof(address)) || listen(server, MOST))
		die(path);
	return server;
}

/* Reads one message to its end; the descriptor that came with it, of which there must be one. */
static int take(int connection)
{
	char text[1 << 16], control[CMSG_SPACE(sizeof(int) * MOST)];
	size_t length = 0;
	int descriptor = -1, descriptors = 0;
	for (;;) {
		struct iovec part = { .iov_base = text + length, .iov_len = sizeof(text) - 1 - length };
		struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
		ssize_t received = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
		if (received < 0)
			die("recvmsg");
		for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
			memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
			descriptors += (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		}
		length += (size_t)received;
		if (!received)
			break;
	}
	text[length] = 0;
	printf("%d %s\n", descriptors, text);
	fflush(stdout);
	return descriptor;
}

static void answer(int listener, const char *with)
{
	struct seccomp_notif call = { 0 };
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
		return;
	struct seccomp_notif_resp response = { .id = call.id };
	static int answered;
	if (!strcmp(with, "silence") || (!strncmp(with, "continue-", 9) && answered++ >= atoi(with + 9)))
		return;
	if (!strncmp(with, "continue", 8))
		response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else
		response.error = -atoi(with);
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

int main(int count, char **arguments)
{
	if (count != 4)
		return 2;
	int connections = atoi(arguments[2]), server = listen_at(arguments[1]), open_ = 1;
	struct pollfd all[1 + MOST] = { { .fd = server, .events = POLLIN } };
	nfds_t used = 1;
	fputs("listening\n", stderr);
	while (open_ > 0) {
		if (poll(all, used, LIMIT) <= 0)
			return fputs("nothing happens\n", stderr), 3;
		for (nfds_t i = used; i-- > 1;) {
			if (all[i].revents & POLLIN)
				answer(all[i].fd, arguments[3]);
			else if (all[i].revents & POLLHUP)
				close(all[i].fd), all[i].fd = -1, open_--;
		}
		if (!(all[0].revents & POLLIN))
			continue;
		int connection = accept4(server, NULL, NULL, SOCK_CLOEXEC);
		if (!strcmp(arguments[3], "close"))
			close(connection);
		else
			all[used++] = (struct pollfd){ .fd = take(connection), .events = POLLIN }, open_++, close(connection);
		if (!--connections)
			close(server), all[0].fd = -1, open_--;
	}
	return 0;
}
