//! `ctn`: images and layers. Arguments in, exit code out; the work is in the library.
fn main() {}
