//! A layer → a directory.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corten::fuzzing::image::layer(bytes));
