//! What a registry says.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corten::fuzzing::registry::answer(bytes));
