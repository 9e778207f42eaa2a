//! bpf(2): loading a device program and attaching it to a group.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};

/// One instruction of an eBPF program (Documentation/bpf/standardization/instruction-set.rst), as the kernel reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What to do: class, operation and kind of the source.
    pub code: u8,
    /// The destination register in the low half, the source register in the high half (both of our architectures are
    /// little-endian, where the kernel's bit fields lie so).
    pub registers: u8,
    /// How many instructions to jump over, or the offset of a load.
    pub offset: i16,
    /// The operand.
    pub immediate: i32,
}

const _: () = assert!(size_of::<Instruction>() == 8 && cfg!(target_endian = "little"));

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
/// Of a program whose loading signals interrupt again and again.
const LOAD_ATTEMPTS: u32 = 100;

/// The head of `union bpf_attr` as BPF_PROG_LOAD reads it; the kernel takes what is left out as zero.
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The head of `union bpf_attr` as BPF_PROG_ATTACH reads it.
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads a program of type BPF_PROG_TYPE_CGROUP_DEVICE; the descriptor is close-on-exec. The verifier's words are written
/// to `log` if it is not empty, ending in a zero byte.
///
/// Nothing is to be done about RLIMIT_MEMLOCK: since Linux 5.11 a program is counted in the caller's memory cgroup.
pub fn load_device_program(instructions: &[Instruction], log: &mut [u8]) -> Result<OwnedFd> {
    let mut name = [0; 16];
    name[..14].copy_from_slice(b"corten_devices");
    let attributes = LoadAttributes {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(instructions.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: instructions.as_ptr() as u64,
        // No helper function is called, so the kernel asks for no particular licence.
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: u32::try_from(log.len()).map_err(|_| Errno::TOOBIG)?,
        log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        kernel_version: 0,
        flags: 0,
        name,
    };
    let mut attempts = 0;
    loop {
        attempts += 1;
        // SAFETY: the attributes and what they point to (instructions, licence, log) live and lie still until the call is
        // over, their lengths are those given, and only the log, which is borrowed mutably, is written to.
        let descriptor = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_PROG_LOAD,
                &raw const attributes,
                size_of::<LoadAttributes>() as libc::c_ulong,
            )
        };
        if let Ok(descriptor @ 0..) = i32::try_from(descriptor) {
            // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
            return Ok(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
        // The verifier gives up when a signal comes, which is dealt with by now (do_check() in kernel/bpf/verifier.c).
        match last_error() {
            Errno::AGAIN if attempts < LOAD_ATTEMPTS => {}
            error => return Err(error),
        }
    }
}

/// Attaches a device program to a group, beside those that others have attached: access needs the consent of all of
/// them, and of those of the groups above. It stays until the group is removed.
pub fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    let attributes = AttachAttributes {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the attributes live until the call is over and are only read; both descriptors are borrowed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_ATTACH,
            &raw const attributes,
            size_of::<AttachAttributes>() as libc::c_ulong,
        )
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    static HANDLED: AtomicU32 = AtomicU32::new(0);

    extern "C" fn count(_: libc::c_int) {
        HANDLED.fetch_add(1, Ordering::SeqCst);
    }

    #[test]
    fn signals_delay_a_load_and_do_not_end_it() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED, only root loads device programs");
            return;
        }
        const MOVE: Instruction = Instruction { code: 0xb7, registers: 0, offset: 0, immediate: 1 };
        const EXIT: Instruction = Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 };
        let mut program = vec![MOVE; 50_000];
        program.push(EXIT);
        // SAFETY: the handler does nothing but an atomic addition; nobody else here wants this signal, whose default is nothing.
        unsafe { libc::signal(libc::SIGURG, count as *const () as libc::sighandler_t) };
        let (process, loading) = (rustix::process::getpid(), rustix::thread::gettid());
        let signals = LOAD_ATTEMPTS / 2;
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || {
                for sent in 1..=signals {
                    let (process, thread) = (process.as_raw_nonzero().get(), loading.as_raw_nonzero().get());
                    // SAFETY: sends a signal, which touches no memory of this process.
                    assert_eq!(unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGURG) }, 0);
                    while HANDLED.load(Ordering::SeqCst) < sent {
                        std::thread::yield_now();
                    }
                }
            });
            while !sender.is_finished() {
                load_device_program(&program, &mut []).unwrap();
            }
        });
    }
}
