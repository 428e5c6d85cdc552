//! Fuzzes `backshift_fuzz_targets::envelope`, where the promises stand.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backshift_fuzz_targets::envelope(bytes));
