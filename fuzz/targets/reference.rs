//! A name of an image.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corten::fuzzing::image::reference(bytes));
