//! A copy of a store that is in use is whole, and a collector goes on from it.

use appweight_tests::{Clients, Collector, expect_ledgers, run};

#[test]
fn a_copy_made_under_load_has_all_that_was_acknowledged_before_and_goes_on() {
    let collector = Collector::start();
    let clients = Clients::start(&collector.url, 4);
    clients.more(20);
    let before = clients.acknowledged();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("appweight.db");
    let (database, copy) = (
        collector.database().display().to_string(),
        copy.display().to_string(),
    );
    let words = ["collector", "backup", "--database", &database, &copy];
    let copied = run(&words);
    assert_eq!(copied.code, 0, "{}", copied.stderr);
    assert!(copied.stdout.contains(&copy), "{}", copied.stdout);
    let after = clients.acknowledged();
    clients.more(20);
    let again = run(&words);
    assert_eq!(again.code, 2, "nothing is written over");
    assert!(again.stderr.contains("there already"), "{}", again.stderr);
    let ledgers = clients.stop();
    expect_ledgers(&collector, &ledgers);

    let restored = Collector::start_in(folder.path());
    for ((ledger, before), after) in ledgers.iter().zip(before).zip(after) {
        let known = ledger.resend(&restored.url);
        let (before, after) = (before as usize, after as usize);
        assert!(
            known[..before].iter().all(|known| *known),
            "lost: {known:?}"
        );
        // One that was on its way when the copy was over may be in it, though not acknowledged yet.
        assert!(known[after + 1..].iter().all(|known| !known), "{known:?}");
        let in_copy = known.iter().filter(|known| **known).count();
        println!(
            "{in_copy} of {} batches are in the copy, {before} at least",
            known.len()
        );
    }
    expect_ledgers(&restored, &ledgers);
}

#[test]
fn what_is_no_store_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let refused = run(&[
        "collector",
        "backup",
        "--database",
        &at("no.db"),
        &at("copy.db"),
    ]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("no.db"), "{}", refused.stderr);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
