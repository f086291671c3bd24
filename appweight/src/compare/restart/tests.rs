use super::*;

const ERROR: f64 = 0.013;

fn learned(log_ratios: &[f64]) -> Restart {
    let seen: Vec<Seen> = log_ratios
        .iter()
        .map(|log_ratio| Seen {
            log_ratio: *log_ratio,
            requests: ERROR.powi(2),
            scale: 1.0,
        })
        .collect();
    Restart::of(&seen, Restart::unseen(&Thresholds::default()))
}

#[test]
fn nothing_seen_is_what_is_believed() {
    let thresholds = Thresholds::default();
    assert_eq!(learned(&[]), Restart::unseen(&thresholds));
}

#[test]
fn what_all_roll_outs_do_is_what_a_restart_does() {
    let few = learned(&[-0.07]);
    let many = learned(&[-0.07; 12]);
    assert!(-0.04 < few.log_ratio && few.log_ratio <= 0.0, "{few:?}");
    assert!(
        -0.07 < many.log_ratio && many.log_ratio < -0.055,
        "{many:?}"
    );
    assert!(many.variance < few.variance);
    assert_eq!(many.roll_outs, 12);
}

#[test]
fn changed_code_says_nothing_of_restarts() {
    let quiet = [-0.02, -0.015, -0.025, -0.02, -0.018];
    let plain = learned(&quiet);
    let with_changes = learned(&[&quiet[..], &[0.27, -0.18]].concat());
    assert!((plain.log_ratio - with_changes.log_ratio).abs() < 0.002);
    assert!((plain.noise - with_changes.noise).abs() < 1e-5);
    assert_eq!(with_changes.roll_outs, 5);
}

#[test]
fn noisy_processes_are_known_after_some_roll_outs() {
    let quiet = learned(&[0.01, -0.01, 0.012, -0.008, 0.005, -0.011]);
    let noisy = learned(&[0.05, -0.05, 0.06, -0.04, 0.045, -0.055]);
    assert!(quiet.noise <= 0.01_f64.powi(2), "{quiet:?}");
    assert!(noisy.noise > 0.02_f64.powi(2), "{noisy:?}");
    assert!(
        quiet.noise >= 0.005_f64.powi(2),
        "never quieter than half of what is believed"
    );
}

#[test]
fn the_middle_of_two_is_the_one_nearer_to_nothing() {
    let seen = |log_ratio| Seen {
        log_ratio,
        requests: 1.0,
        scale: 1.0,
    };
    assert_eq!(middle(&[]), 0.0);
    assert_eq!(middle(&[seen(0.3)]), 0.0);
    assert_eq!(middle(&[seen(-0.3), seen(-0.2)]), -0.2);
    assert_eq!(middle(&[seen(-0.3), seen(-0.2), seen(-0.1)]), -0.1);
}
