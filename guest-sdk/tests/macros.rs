//! What the macros accept, and the words with which it refuses the rest. After a deliberate change of wording:
//! `TRYBUILD=overwrite cargo test --release -p ripost-sdk --test macros`, and read the difference.

#[test]
fn what_is_no_handler_and_no_transform_is_refused_with_an_error_that_says_why() {
    trybuild::TestCases::new().compile_fail("tests/ui/refused/*.rs");
}

#[test]
fn every_shape_in_the_manual_compiles() {
    trybuild::TestCases::new().pass("tests/ui/accepted/*.rs");
}
