/* The smallest program: it ends at once, with success. Nothing of it is measured but its start. */
void _start(void)
{
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(60L), "D"(0L)); /* exit */
#elif defined(__aarch64__)
    register long number __asm__("x8") = 93, status __asm__("x0") = 0; /* exit */
    __asm__ volatile("svc 0" : : "r"(number), "r"(status));
#else
#error "no exit(2) written for this architecture"
#endif
    __builtin_unreachable();
}
