#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ripost_fuzz::admission::admit(data);
});
