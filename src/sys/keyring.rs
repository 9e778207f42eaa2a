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

/// Whose a key is, and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// As the caller's user namespace numbers users.
    pub owner: u32,
    /// As keyctl_setperm(3) takes it.
    pub permissions: u32,
}

/// keyctl_describe(3), of `type;uid;gid;perm;description`.
pub fn describe(keyring: Serial) -> Result<Description> {
    let mut text = [0u8; 512];
    // SAFETY: the buffer is as long as the call is told.
    let length =
        unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_DESCRIBE, keyring.0, text.as_mut_ptr(), text.len()) };
    let length = (check(length)? as usize).min(text.len());
    let text = String::from_utf8_lossy(&text[..length]);
    let words: Vec<&str> = text.split(';').collect();
    let owner = words.get(1).and_then(|word| word.parse().ok());
    let permissions = words.get(3).and_then(|word| u32::from_str_radix(word, 16).ok());
    match (owner, permissions) {
        (Some(owner), Some(permissions)) => Ok(Description { owner, permissions }),
        _ => Err(rustix::io::Errno::INVAL),
    }
}
