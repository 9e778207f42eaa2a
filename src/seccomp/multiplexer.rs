//! Calls that i386 makes through another call: socketcall(2) and ipc(2).
//!
//! Until Linux 4.3 (sockets) and 5.1 (System V IPC) i386 had no numbers of their own for these, and the C libraries
//! still use the old way. A rule for `connect` therefore holds for `socketcall` with 3 as its first argument as well.
//! The real arguments lie in the process's memory, out of a filter's reach. Numbers: linux/net.h, linux/ipc.h.

use super::architecture::Architecture;
use super::condition::Condition;
use super::syscalls::SystemCall;

/// The number of the call that makes the named one, and the condition that says so.
pub(crate) fn of(call: SystemCall, architecture: Architecture) -> Option<(u32, Condition)> {
    if architecture != Architecture::X86 {
        return None;
    }
    let (number, which) = match (socketcall(call.name()), ipc(call.name())) {
        (Some(which), _) => (SOCKETCALL, which),
        (_, Some(which)) => (IPC, which),
        _ => return None,
    };
    Some((number, Condition::equal(0, which)))
}

/// Their numbers on i386.
const SOCKETCALL: u32 = 102;
const IPC: u32 = 117;

fn socketcall(name: &str) -> Option<u64> {
    Some(match name {
        "socket" => 1,
        "bind" => 2,
        "connect" => 3,
        "listen" => 4,
        "accept" => 5,
        "getsockname" => 6,
        "getpeername" => 7,
        "socketpair" => 8,
        "send" => 9,
        "recv" => 10,
        "sendto" => 11,
        "recvfrom" => 12,
        "shutdown" => 13,
        "setsockopt" => 14,
        "getsockopt" => 15,
        "sendmsg" => 16,
        "recvmsg" => 17,
        "accept4" => 18,
        "recvmmsg" => 19,
        "sendmmsg" => 20,
        _ => return None,
    })
}

fn ipc(name: &str) -> Option<u64> {
    Some(match name {
        "semop" => 1,
        "semget" => 2,
        "semctl" => 3,
        "semtimedop" => 4,
        "msgsnd" => 11,
        "msgrcv" => 12,
        "msgget" => 13,
        "msgctl" => 14,
        "shmat" => 21,
        "shmdt" => 22,
        "shmget" => 23,
        "shmctl" => 24,
        _ => return None,
    })
}
