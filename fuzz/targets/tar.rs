//! A tar archive → its entries.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corten::fuzzing::image::tar(bytes));
