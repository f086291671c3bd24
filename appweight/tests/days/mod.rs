//! Simulated days, judged.

use appweight::detect::{Detector, VerdictLine};
use appweight::simulate::{Shape, Simulation};

/// What is told of a day without a change, after `happens` had its way with it.
pub(crate) fn told(
    shape: &Shape,
    seed: u64,
    happens: impl FnOnce(&mut Simulation),
) -> Vec<VerdictLine> {
    let mut simulation = Simulation::new(&shape.clone().unchanged(), seed, 1);
    happens(&mut simulation);
    let mut detector = Detector::new();
    for deploy in simulation.deploy_lines() {
        detector.add_deploy(deploy);
    }
    let mut told = Vec::new();
    while simulation.next_minute(&mut |cell| {
        told.extend(detector.add_cell(cell).expect("a simulated cell is sound"));
    }) {}
    told.extend(detector.finish());
    told
}
