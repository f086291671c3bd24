//! Wrong uses of `#[profiled]` are refused where they stand, in words that tell the right one. They are tried without
//! the agent, which would be built once more for it, a minute and more: what refuses them is the attribute itself.

#[test]
fn misuse_is_told_in_our_words() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}
