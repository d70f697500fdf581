#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    ripost_fuzz::manifest::parse(text);
});
