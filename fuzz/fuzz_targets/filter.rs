//! Fuzzes `backshift_fuzz_targets::filter`, where the promises stand.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| backshift_fuzz_targets::filter(bytes));
