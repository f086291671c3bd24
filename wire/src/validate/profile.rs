use super::{Checked, check, limits, name, short, time, width};
use crate::{ProfileRecord, TimerValues};

pub(super) fn check_profile(profile: &ProfileRecord, at: &str) -> Checked {
    time(profile.start_us, || format!("{at}.start_us"))?;
    width(profile.width_us, || format!("{at}.width_us"))?;
    short(&profile.endpoint, limits::NAME_BYTES, || {
        format!("{at}.endpoint")
    })?;
    check(
        profile.builds.len() <= limits::BUILDS,
        || format!("{at}.builds"),
        "more than 16 of them",
    )?;
    for (index, build) in profile.builds.iter().enumerate() {
        name(build, || format!("{at}.builds[{index}]"))?;
    }
    let nodes = profile.parents.len();
    check(
        (1..=limits::PROFILE_NODES).contains(&nodes),
        || format!("{at}.parents"),
        "not between 1 and 20,000 nodes",
    )?;
    check(
        profile.functions.len() <= limits::PROFILE_NODES,
        || format!("{at}.functions"),
        "more than 20,000 of them",
    )?;
    for (index, function) in profile.functions.iter().enumerate() {
        let here = || format!("{at}.functions[{index}]");
        check(
            !function.name.is_empty(),
            || format!("{}.name", here()),
            "must not be empty",
        )?;
        short(&function.name, limits::TEXT_BYTES, || {
            format!("{}.name", here())
        })?;
        short(&function.file, limits::TEXT_BYTES, || {
            format!("{}.file", here())
        })?;
    }
    for (length, field) in [
        (profile.node_functions.len(), "node_functions"),
        (profile.calls.len(), "calls"),
    ] {
        check(
            length == nodes,
            || format!("{at}.{field}"),
            "not as long as parents",
        )?;
    }
    for (node, (parent, function)) in
        (0_usize..).zip(profile.parents.iter().zip(&profile.node_functions))
    {
        // The first node is the request itself.
        check(
            (*parent as usize) < node.max(1),
            || format!("{at}.parents[{node}]"),
            "not the place of a node before this one",
        )?;
        check(
            node == 0 || (*function as usize) < profile.functions.len(),
            || format!("{at}.node_functions[{node}]"),
            "not the place of a function",
        )?;
    }
    check(
        (1..=limits::TIMERS).contains(&profile.timers.len()),
        || format!("{at}.timers"),
        "not between 1 and 16 timers",
    )?;
    for (index, timer) in profile.timers.iter().enumerate() {
        check_timer(profile, index, timer, &format!("{at}.timers[{index}]"))?;
    }
    Ok(())
}

fn check_timer(profile: &ProfileRecord, index: usize, timer: &TimerValues, at: &str) -> Checked {
    name(&timer.name, || format!("{at}.name"))?;
    name(&timer.unit, || format!("{at}.unit"))?;
    check(
        profile.timers[..index]
            .iter()
            .all(|before| before.name != timer.name),
        || format!("{at}.name"),
        "there is another of that name",
    )?;
    check(
        timer.own.len() == profile.parents.len(),
        || format!("{at}.own"),
        "not as long as parents",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;

    fn good() -> ProfileRecord {
        ProfileRecord {
            start_us: 1_790_000_040_000_000,
            width_us: 60_000_000,
            endpoint: "/feed/{user}".into(),
            requests: 12,
            functions: vec![Function::named("feed"), Function::named("query")],
            parents: vec![0, 0, 1],
            node_functions: vec![0, 0, 1],
            calls: vec![12, 12, 40],
            timers: vec![TimerValues {
                name: "cpu".into(),
                unit: "ns".into(),
                own: vec![100, 2_000, -3],
                taken_off_milli: 0,
                left_milli: 0,
            }],
            ..ProfileRecord::default()
        }
    }

    #[test]
    fn a_tree_that_cannot_be_is_refused_by_its_field() {
        assert_eq!(check_profile(&good(), "p"), Ok(()));
        let refused = |spoil: fn(&mut ProfileRecord)| {
            let mut profile = good();
            spoil(&mut profile);
            check_profile(&profile, "p").expect_err("spoiled").field
        };
        assert_eq!(refused(|p| p.parents[2] = 2), "p.parents[2]");
        assert_eq!(refused(|p| p.parents[0] = 1), "p.parents[0]");
        assert_eq!(refused(|p| p.node_functions[1] = 2), "p.node_functions[1]");
        assert_eq!(refused(|p| p.calls.truncate(2)), "p.calls");
        assert_eq!(refused(|p| p.timers.clear()), "p.timers");
        assert_eq!(
            refused(|p| p.timers.push(p.timers[0].clone())),
            "p.timers[1].name"
        );
        assert_eq!(refused(|p| p.timers[0].own.push(1)), "p.timers[0].own");
        assert_eq!(refused(|p| p.parents.clear()), "p.parents");
        assert_eq!(
            refused(|p| p.functions[0].name.clear()),
            "p.functions[0].name"
        );
        assert_eq!(
            refused(|p| p.functions[1].file = "x".repeat(2_001)),
            "p.functions[1].file"
        );
        assert_eq!(refused(|p| p.start_us = 1), "p.start_us");
        assert_eq!(refused(|p| p.builds = vec!["a".into(); 17]), "p.builds");
        assert_eq!(
            refused(|p| p.builds = vec!["a".into(), String::new()]),
            "p.builds[1]"
        );
    }
}
