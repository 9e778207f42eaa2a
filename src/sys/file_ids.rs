//! setfsuid(2) and setfsgid(2): as whom a thread makes files.

/// As whom this thread makes files from now on; it was the two that are returned until now. The kernel ignores what may not be.
pub fn set(uid: u32, gid: u32) -> (u32, u32) {
    // SAFETY: a number goes in, and the old one comes out; of the calling thread nothing else changes but its capabilities.
    let uid = unsafe { libc::setfsuid(uid) };
    // SAFETY: as above.
    let gid = unsafe { libc::setfsgid(gid) };
    (uid.cast_unsigned(), gid.cast_unsigned())
}
