//! The README shows the example as it is compiled here.

#[test]
fn the_readme_shows_the_example_that_compiles() {
    let readme = include_str!("../../README.md");
    let example = include_str!("../examples/embed.rs");
    assert!(
        readme.contains(&format!("```rust\n{example}```")),
        "copy agent/examples/embed.rs into README.md"
    );
}
