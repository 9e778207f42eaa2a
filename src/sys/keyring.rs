//! keyctl(2): the session keyring, so that no key of the caller's reaches the container.

use std::ffi::CStr;

use rustix::io::Result;

use super::check;

/// A key's or keyring's serial number.
#[derive(Debug, Clone, Copy)]
pub struct Serial(libc::c_long);

/// keyctl_join_session_keyring(3): a new session keyring of this name.
pub fn join_session(name: &CStr) -> Result<Serial> {
    // SAFETY: a C string goes in.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }).map(Serial)
}

/// keyctl_setperm(3).
pub fn set_permissions(keyring: Serial, mask: u32) -> Result<()> {
    // SAFETY: numbers go in.
    check(unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, keyring.0, mask) }).map(drop)
}

/// keyctl_describe(3)'s permission word, of `type;uid;gid;perm;description`.
pub fn permissions(keyring: Serial) -> Result<u32> {
    let mut text = [0u8; 512];
    // SAFETY: the buffer is as long as the call is told.
    let length =
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_DESCRIBE, keyring.0, text.as_mut_ptr(), text.len()) };
    let length = (check(length)? as usize).min(text.len());
    let word = String::from_utf8_lossy(&text[..length]).split(';').nth(3).map(str::to_owned).unwrap_or_default();
    u32::from_str_radix(&word, 16).map_err(|_| rustix::io::Errno::INVAL)
}
