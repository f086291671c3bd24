use appweight::api::{DeploySummary, DeployVerdict, Finding};

use crate::culprit::Named;
use crate::plan::{Expected, PlannedDeploy};

/// How a deploy was judged, against what was planted in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Score {
    /// Found what was planted and nothing else.
    Right,
    /// What is wrong, in words.
    Wrong(String),
}

/// Sets one deploy's verdict beside its plant.
pub(crate) fn score(planned: &PlannedDeploy, found: Option<&DeploySummary>) -> Score {
    let Some(found) = found else {
        return Score::Wrong("was never judged".to_owned());
    };
    let expected = planned.expected();
    let named: Vec<(bool, Option<&str>)> = found
        .findings
        .iter()
        .map(|finding: &Finding| (finding.heavier, finding.endpoint.as_deref()))
        .collect();
    let wanted = expected.map(|expected| match expected {
        Expected::Heavier(endpoint) => (true, Some(endpoint)),
        Expected::Lighter(endpoint) => (false, Some(endpoint)),
        Expected::Leak => (true, None),
    });
    match (wanted, named.as_slice()) {
        (None, []) if found.verdict == DeployVerdict::NoChange => Score::Right,
        (None, []) => Score::Wrong(format!("clean, but called {:?}", found.verdict)),
        (None, _) => Score::Wrong("clean, but flagged".to_owned()),
        (Some(_), []) => Score::Wrong("missed".to_owned()),
        (Some(wanted), [only]) if *only == wanted => Score::Right,
        (Some(wanted), several) if several.contains(&wanted) => {
            Score::Wrong("found, but more was flagged".to_owned())
        }
        (Some(_), _) => Score::Wrong("another change was named".to_owned()),
    }
}

/// Sets the function that was named beside those that the plant's code touches; right where nobody is to blame.
pub(crate) fn score_function(planned: &PlannedDeploy, named: Result<&Named, &str>) -> Score {
    let guilty = planned.guilty();
    match named {
        _ if guilty.is_empty() => Score::Right,
        Ok(named) if guilty.iter().any(|end| named.function.ends_with(end)) => Score::Right,
        Ok(named) => Score::Wrong(format!("blamed {}", named.function)),
        Err(why) => Score::Wrong(format!("no function was named: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use appweight::api::DeployStatus;
    use appweight_wire::{Deploy, Kind};
    use photo_backend::{Variant, Variants};

    use super::*;
    use crate::plan::Change;

    fn planned(change: Change) -> PlannedDeploy {
        PlannedDeploy {
            id: "a".into(),
            title: "",
            change,
            variants: Variants::default(),
        }
    }

    fn found(findings: &[(bool, Option<&str>)]) -> DeploySummary {
        DeploySummary {
            deploy: Deploy::default(),
            status: DeployStatus::Judged,
            verdict: match findings.first() {
                None => DeployVerdict::NoChange,
                Some((true, _)) => DeployVerdict::Regressed,
                Some((false, _)) => DeployVerdict::Improved,
            },
            headline: String::new(),
            findings: findings
                .iter()
                .map(|(heavier, endpoint)| Finding {
                    kind: endpoint.map(|_| Kind::Request),
                    endpoint: endpoint.map(str::to_owned),
                    heavier: *heavier,
                    change: None,
                    cost: None,
                    text: String::new(),
                })
                .collect(),
            judged_us: Some(1),
        }
    }

    #[test]
    fn a_function_of_the_plant_must_be_named_and_only_of_a_regression() {
        let slow = planned(Change::Plant(Variant::FeedEachAuthor));
        let named = |function: &str| Named::of(function);
        for right in [
            "photo_backend::endpoints::feed::authors",
            "photo_backend::store::Store::user",
        ] {
            assert_eq!(score_function(&slow, Ok(&named(right))), Score::Right);
        }
        let other = named("photo_backend::endpoints::feed::best");
        assert_ne!(score_function(&slow, Ok(&other)), Score::Right);
        assert_ne!(score_function(&slow, Err("none")), Score::Right);
        for change in [
            Change::Nothing,
            Change::RollBack(Variant::FeedEachAuthor),
            Change::Plant(Variant::InboxBatched),
        ] {
            assert_eq!(score_function(&planned(change), Err("none")), Score::Right);
        }
        for variant in Variant::ALL {
            let deploy = planned(Change::Plant(variant));
            let regresses = matches!(
                deploy.expected(),
                Some(Expected::Heavier(_) | Expected::Leak)
            );
            assert_eq!(!deploy.guilty().is_empty(), regresses, "{variant}");
        }
    }

    #[test]
    fn only_the_plant_and_nothing_else_is_right() {
        let slow = planned(Change::Plant(Variant::FeedEachAuthor));
        let clean = planned(Change::Nothing);
        let leak = planned(Change::Plant(Variant::InboxLeak));
        let back = planned(Change::RollBack(Variant::FeedEachAuthor));
        let mix = planned(Change::Plant(Variant::StoriesPrefetch));
        assert_eq!(
            score(&slow, Some(&found(&[(true, Some("/feed"))]))),
            Score::Right
        );
        assert_eq!(
            score(&back, Some(&found(&[(false, Some("/feed"))]))),
            Score::Right
        );
        assert_eq!(score(&leak, Some(&found(&[(true, None)]))), Score::Right);
        assert_eq!(score(&clean, Some(&found(&[]))), Score::Right);
        assert_eq!(score(&mix, Some(&found(&[]))), Score::Right);
        for (planned, found) in [
            (&slow, found(&[])),
            (&slow, found(&[(true, Some("/inbox"))])),
            (&slow, found(&[(false, Some("/feed"))])),
            (
                &slow,
                found(&[(true, Some("/feed")), (true, Some("/inbox"))]),
            ),
            (&clean, found(&[(true, Some("/feed"))])),
            (&mix, found(&[(true, Some("/stories"))])),
            (&leak, found(&[(true, Some("/inbox"))])),
        ] {
            assert_ne!(score(planned, Some(&found)), Score::Right);
        }
        assert_ne!(score(&clean, None), Score::Right);
        let mut unsure = found(&[]);
        unsure.verdict = DeployVerdict::NotEnoughData;
        assert_ne!(
            score(&clean, Some(&unsure)),
            Score::Right,
            "not enough data is no pass"
        );
    }
}
