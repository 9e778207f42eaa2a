//! Inputs that stay JSON, mostly: what is behind the parser is what is to be tried.

use libfuzzer_sys::fuzzer_mutate;

/// libFuzzer's custom mutator: changes the `size` bytes at the start of `data`, which holds `most`, and says how many there
/// are then.
pub fn mutate(data: &mut [u8], size: usize, most: usize, seed: u32) -> usize {
    let mut state = seed | 1;
    let mut choose = |below: usize| {
        // xorshift32.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    let document = serde_json::from_slice(&data[..size]).ok().filter(|_| choose(8) > 0);
    if let Some(mut document) = document {
        for _ in 0..=choose(3) {
            corten::fuzzing::mutate(&mut document, &mut choose);
        }
        if let Ok(text) = serde_json::to_vec(&document)
            && text.len() <= most
        {
            data[..text.len()].copy_from_slice(&text);
            return text.len();
        }
    }
    fuzzer_mutate(data, size, most)
}
