/* cost PROGRAM ARGUMENT...: runs the program and prints what it and the children that it waited for took: microseconds in user
 * mode and in the kernel, and the most memory that one of them had resident, in KiB; on standard error, in a line of its own.
 * Static and small, for what wait4(2) tells is at least what the caller of vfork(2) has. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    struct rusage usage;
    int status;
    if (count < 2)
        return 64;
    pid_t child = vfork();
    if (child == 0) {
        execvp(arguments[1], arguments + 1);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        return 1;
    fprintf(stderr, "\ncost %lld %lld %ld\n", usage.ru_utime.tv_sec * 1000000LL + usage.ru_utime.tv_usec,
            usage.ru_stime.tv_sec * 1000000LL + usage.ru_stime.tv_usec, usage.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
