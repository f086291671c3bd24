/// Numbers that differ from run to run. The seed is printed: `APPWEIGHT_TEST_SEED` draws the same ones again.
///
/// # Panics
/// If the variable holds no number.
#[must_use]
#[expect(
    clippy::print_stdout,
    reason = "whoever reads of a failure needs the seed"
)]
pub fn random(what: &str) -> fastrand::Rng {
    let seed = match std::env::var("APPWEIGHT_TEST_SEED") {
        Ok(seed) => seed.parse().expect("APPWEIGHT_TEST_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("{what}: APPWEIGHT_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
