/* peak PROGRAM ARGUMENT...: runs the program and prints the most memory that it, or a child it waited for, had resident,
 * in KiB. Static and small, for what wait4(2) tells is at least what the caller of vfork(2) has. */
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
        execv(arguments[1], arguments + 1);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        return 1;
    printf("%ld\n", usage.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
