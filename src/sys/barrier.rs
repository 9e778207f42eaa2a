//! membarrier(2).
#![allow(unsafe_code)]

/// MEMBARRIER_CMD_GLOBAL, linux/membarrier.h.
const GLOBAL: i32 = 1;

/// Waits until none of the kernel's readers (RCU) that there are now is there any more; what they kept was freed by then, or is about
/// to be. A kernel that can't say so (nohz_full) is not waited for.
pub fn wait_for_readers() {
    // SAFETY: numbers go in.
    let _ = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
}
