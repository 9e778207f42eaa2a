//! The command line, a word a line, read but not carried out.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| corten::fuzzing::command_line(bytes));
