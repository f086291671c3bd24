use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

/// Draws the same cases again.
const SEED: &str = "APPWEIGHT_TEST_SEED";

/// As proptest does it, within one runtime: holds so many drawn values to something. A failure tells the least value that
/// fails, and the seed with which the one that failed is the first to be drawn.
pub(in crate::store) fn hold<T: std::fmt::Debug>(
    cases: u64,
    strategy: impl Strategy<Value = T>,
    holds: impl AsyncFn(T),
) {
    let first = match std::env::var(SEED) {
        Ok(seed) => seed.parse().expect("the seed is a number"),
        Err(_) => fastrand::u64(..),
    };
    hold_from(first, cases, strategy, holds);
}

fn hold_from<T: std::fmt::Debug>(
    first: u64,
    cases: u64,
    strategy: impl Strategy<Value = T>,
    holds: impl AsyncFn(T),
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for case in 0..cases {
        let seed = first.wrapping_add(case);
        let held = runner(seed).run(&strategy, |value| {
            runtime.block_on(holds(value));
            Ok(())
        });
        match held {
            Ok(()) => {}
            Err(TestError::Fail(reason, least)) => {
                panic!("{reason}\nof {least:#?}\n{SEED}={seed} draws it again, before others")
            }
            Err(TestError::Abort(reason)) => panic!("{reason}"),
        }
    }
}

fn runner(seed: u64) -> TestRunner {
    let one = Config {
        cases: 1,
        // Each opens stores of its own.
        max_shrink_iters: 100,
        failure_persistence: None,
        ..Config::default()
    };
    let seed = [seed.to_le_bytes(); 4].concat();
    TestRunner::new_with_rng(one, TestRng::from_seed(RngAlgorithm::ChaCha, &seed))
}

#[test]
fn a_failure_tells_the_seed_that_draws_it_again() {
    let fails = |first, cases| {
        let failed = std::panic::catch_unwind(|| {
            hold_from(first, cases, 0_u64..1_000, async |value| {
                assert!(value <= 700);
            });
        });
        let said = failed.expect_err("it fails");
        said.downcast_ref::<String>().expect("a text").clone()
    };
    let said = fails(1, 100);
    assert!(said.contains("\nof 701\n"), "the least: {said}");
    let (_, seed) = said.split_once(&format!("{SEED}=")).expect("a seed");
    let seed = seed.split(' ').next().unwrap().parse().unwrap();
    assert_ne!(seed, 1, "others came before");
    assert_eq!(fails(seed, 1), said);
}
