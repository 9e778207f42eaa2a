//! A saved image → what is in it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corten::fuzzing::image::saved(bytes));
