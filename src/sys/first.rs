//! The first instructions of the program, before those of the C library.
//!
//! A command that enters a container is started twice, the second time from a file that can't be written
//! ([`crate::security::sealed_executable`]). All that the first start needs are three system calls; the C library's own
//! start and Rust's would cost more than they do, above all in a virtual machine, where each of the some thirty CPUID
//! instructions by which glibc learns what the processor can do is an exit to the hypervisor. So the linker is told to
//! enter here (`build.rs`), and what looks like such a command is started again at once.
//!
//! Nothing is decided here. A word that looks like a command and is none costs a start, and whatever goes wrong is left to
//! `sealed_executable`, which looks again with all that the language has, and knows how to say what is the matter.
//!
//! Until the C library has started, a static program is not relocated: no table of pointers, no thread-local variable,
//! and none of the functions that a compiler likes to put in place of a loop (memcmp, strlen). Hence the volatile reads.

use core::arch::{asm, naked_asm};
use core::mem::MaybeUninit;
use core::ptr::read_volatile;

const EXECUTABLE: &[u8; 15] = b"/proc/self/exe\0";

unsafe extern "C" {
    /// Where the C library starts, and with it everything else.
    fn _start();
}

/// Where the kernel, or the dynamic linker, enters: the stack begins with the number of arguments, and register rdx holds
/// what the C library is to call at its end (System V ABI for x86-64, §3.4.1).
///
/// # Safety
/// Is no function to call: it is jumped to, once, by whoever starts the program.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn corten_first() {
    naked_asm!(
        "push rdx",
        "lea rdi, [rsp + 8]",
        // Calls are made with the stack at a multiple of 16.
        "sub rsp, 8",
        "call {first}",
        "add rsp, 8",
        "pop rdx",
        "jmp {start}",
        first = sym first,
        start = sym _start,
    )
}

/// Starts the program again if its arguments look like a command that enters a container; returns if they don't, or if it
/// is not to be done like this.
///
/// # Safety
/// The stack is as the kernel lays it out: a number, the arguments and a null, the environment and a null, and pairs of
/// numbers of which the last has the type AT_NULL. It all stays as it is as long as the program runs.
unsafe extern "C" fn first(stack: *const usize) {
    let arguments: *const *const u8 = stack.wrapping_add(1).cast();
    // SAFETY: the kernel's layout.
    let environment = unsafe { behind(arguments) };
    // SAFETY: the kernel's layout.
    let auxiliary = unsafe { behind(environment) }.cast();
    // SAFETY: strings, and pairs up to one of AT_NULL.
    if unsafe { enters_a_container(arguments) } && !unsafe { is_second_start(auxiliary) } && !is_read_only() {
        start_again(arguments, environment);
    }
}

/// What is behind an array of strings.
///
/// # Safety
/// The array ends in a null pointer.
unsafe fn behind(array: *const *const u8) -> *const *const u8 {
    // SAFETY: the caller's word.
    array.wrapping_add(unsafe { strings(array) }.count() + 1)
}

/// The strings of an array that ends in a null pointer.
///
/// # Safety
/// It does.
unsafe fn strings(array: *const *const u8) -> impl Iterator<Item = *const u8> {
    // SAFETY: nothing behind the null pointer is asked for.
    (0..).map(move |number| unsafe { *array.wrapping_add(number) }).take_while(|string| !string.is_null())
}

/// # Safety
/// An array of C strings that ends in a null pointer.
unsafe fn enters_a_container(arguments: *const *const u8) -> bool {
    // SAFETY: the caller's word.
    let mut words = unsafe { strings(arguments) }.skip(1);
    // SAFETY: the caller's word.
    let is = |word, name| unsafe { begins_with(word, name) };
    words.any(|word| is(word, b"run\0") || is(word, b"create\0") || is(word, b"exec\0"))
}

/// As `sealed_executable` tells it: execveat(2) of a descriptor names the program by it in AT_EXECFN.
///
/// # Safety
/// Pairs up to one of the type AT_NULL; the value of AT_EXECFN is the address of a C string.
unsafe fn is_second_start(auxiliary: *const [usize; 2]) -> bool {
    // SAFETY: nothing behind AT_NULL is asked for.
    let mut values = (0..).map(|number| unsafe { *auxiliary.wrapping_add(number) });
    let found = values.find(|[kind, _]| [libc::AT_NULL as usize, libc::AT_EXECFN as usize].contains(kind));
    match found {
        // SAFETY: the caller's word.
        Some([kind, address]) if kind == libc::AT_EXECFN as usize => unsafe {
            begins_with(core::ptr::with_exposed_provenance(address), b"/dev/fd/")
        },
        _ => false,
    }
}

/// Whether the program is on a read-only mount, where one start will do.
fn is_read_only() -> bool {
    let mut status = MaybeUninit::<libc::statfs64>::uninit();
    let path = EXECUTABLE.as_ptr().expose_provenance();
    // SAFETY: a path, and room for the answer.
    if unsafe { call(libc::SYS_statfs, [path, status.as_mut_ptr().expose_provenance(), 0, 0, 0]) } != 0 {
        return false;
    }
    // SAFETY: the kernel filled it in.
    let status = unsafe { status.assume_init_ref() };
    status.f_flags & libc::ST_RDONLY.cast_signed() != 0
}

/// Whether a C string has these bytes at its beginning.
///
/// # Safety
/// It is one, and no byte but the last is 0.
unsafe fn begins_with(string: *const u8, bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(number, byte)| {
        // SAFETY: a reference.
        let byte = unsafe { read_volatile(byte) };
        // SAFETY: all before was equal to bytes that don't end a string, so it goes on.
        byte == unsafe { read_volatile(string.wrapping_add(number)) }
    })
}

/// `read_only_mount` of `sealed_executable`, and its execveat(2). Returns when one of the calls fails.
fn start_again(arguments: *const *const u8, environment: *const *const u8) {
    let path = EXECUTABLE.as_ptr().expose_provenance();
    let empty = path + EXECUTABLE.len() - 1;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let (attributes, size) = ((&raw const attributes).expose_provenance(), size_of::<libc::mount_attr>());
    let (arguments, environment) = (arguments.expose_provenance(), environment.expose_provenance());
    let clone = (libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC) as usize;
    let itself = libc::AT_EMPTY_PATH as usize;
    // SAFETY: a path.
    let file = unsafe { call(libc::SYS_open_tree, [libc::AT_FDCWD as usize, path, clone, 0, 0]) };
    let Ok(file) = usize::try_from(file) else { return };
    // SAFETY: a descriptor, an empty string, and a structure with its size.
    if unsafe { call(libc::SYS_mount_setattr, [file, empty, itself, attributes, size]) } == 0 {
        // SAFETY: a descriptor, an empty string, and two arrays of strings as the kernel gave them.
        unsafe { call(libc::SYS_execveat, [file, empty, arguments, environment, itself]) };
    }
    // SAFETY: the descriptor of above, which nobody else has.
    unsafe { call(libc::SYS_close, [file, 0, 0, 0, 0]) };
}

/// A system call without the C library (syscall(2)): what it returns, or the negative number of its error.
///
/// # Safety
/// The arguments are what this call wants.
unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> isize {
    let result;
    // SAFETY: the kernel's calling convention for x86-64; that the arguments are what the call wants is the caller's word.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
