use std::collections::HashMap;

use appweight_wire::Deploy;

use super::{Rewritten, minute_of};

/// A service's roll-outs, each with a number. An id that was shipped again has several.
#[derive(Debug, Clone, Default)]
pub(super) struct RollOuts {
    all: Vec<RollOut>,
    by_id: HashMap<String, Vec<usize>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RollOut {
    id: String,
    started_us: u64,
    replaced: Option<String>,
    /// The roll-out that it replaced.
    pub(super) parent: Option<usize>,
}

impl RollOut {
    pub(super) fn minute(&self) -> i64 {
        minute_of(self.started_us)
    }

    fn is(&self, deploy: &Deploy) -> bool {
        self.id == deploy.id && self.started_us == deploy.started_us
    }
}

impl RollOuts {
    /// Takes those up that are new, of a list that holds all since `since_us` by rising start, and gives their
    /// numbers. All cells before `fed` were read already.
    pub(super) fn take_up(
        &mut self,
        deploys: &[Deploy],
        since_us: u64,
        fed: Option<i64>,
    ) -> Result<std::ops::Range<usize>, Rewritten> {
        let listed = |known: &RollOut| {
            let mut found = deploys.iter().filter(|deploy| known.is(deploy));
            found.any(|deploy| known.replaced == deploy.replaced)
        };
        let mut recent = self.all.iter().filter(|known| known.started_us >= since_us);
        if !recent.all(listed) {
            return Err(Rewritten);
        }
        let first = self.all.len();
        for deploy in deploys {
            if self.all.iter().any(|known| known.is(deploy)) {
                continue;
            }
            if fed.is_some_and(|fed| minute_of(deploy.started_us) < fed) {
                return Err(Rewritten);
            }
            self.add(deploy);
        }
        Ok(first..self.all.len())
    }

    fn add(&mut self, deploy: &Deploy) {
        let newest = |id: &String| self.by_id.get(id)?.last().copied();
        let parent = deploy.replaced.as_ref().and_then(newest);
        let number = self.all.len();
        self.by_id
            .entry(deploy.id.clone())
            .or_default()
            .push(number);
        self.all.push(RollOut {
            id: deploy.id.clone(),
            started_us: deploy.started_us,
            replaced: deploy.replaced.clone(),
            parent,
        });
    }

    pub(super) fn of(&self, number: usize) -> &RollOut {
        &self.all[number]
    }

    /// Which roll-out of that id served in a minute: the last one that had begun. A clock that is behind tells of requests from
    /// before the first one.
    pub(super) fn serving(&self, id: &str, minute: i64) -> Option<usize> {
        let numbers = self.by_id.get(id)?;
        let begun = |number: &&usize| self.all[**number].minute() <= minute;
        let last = numbers.iter().rev().find(begun);
        last.or(numbers.first()).copied()
    }

    pub(super) fn number(&self, deploy: &Deploy) -> Option<usize> {
        let numbers = self.by_id.get(&deploy.id)?;
        let mut numbers = numbers.iter().copied();
        numbers.find(|number| self.all[*number].is(deploy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::MINUTE_US;

    fn deploy(id: &str, minute: u64, replaced: Option<&str>) -> Deploy {
        Deploy {
            id: id.to_owned(),
            started_us: minute * MINUTE_US + 7,
            replaced: replaced.map(str::to_owned),
            ..Deploy::default()
        }
    }

    #[test]
    fn a_roll_back_is_a_roll_out_of_its_own() {
        let mut all = RollOuts::default();
        let deploys = [
            deploy("a", 10, None),
            deploy("b", 20, Some("a")),
            deploy("a", 30, Some("b")),
        ];
        assert_eq!(all.take_up(&deploys, 0, None).unwrap(), 0..3);
        let serving = [5, 10, 29, 30, 99].map(|minute| all.serving("a", minute));
        assert_eq!(serving, [Some(0), Some(0), Some(0), Some(2), Some(2)]);
        assert_eq!(all.serving("c", 9), None);
        assert_eq!(all.number(&deploys[2]), Some(2));
        assert_eq!((all.of(1).parent, all.of(2).parent), (Some(0), Some(1)));
    }

    #[test]
    fn what_was_told_otherwise_has_to_be_read_again() {
        let mut all = RollOuts::default();
        let mut deploys = vec![deploy("a", 10, None), deploy("b", 20, Some("a"))];
        all.take_up(&deploys, 0, None).unwrap();
        deploys.push(deploy("c", 30, Some("b")));
        assert_eq!(all.take_up(&deploys, 0, Some(30)).unwrap(), 2..3);
        assert!(
            all.take_up(&deploys[2..], deploys[2].started_us, Some(40))
                .is_ok()
        );
        assert!(
            all.take_up(&deploys[..2], 0, Some(40)).is_err(),
            "one is gone"
        );
        let mut late = deploys.clone();
        late.push(deploy("d", 39, Some("c")));
        assert!(all.take_up(&late, 0, Some(40)).is_err(), "it began before");
        deploys[2].replaced = Some("a".to_owned());
        assert!(
            all.take_up(&deploys, 0, Some(40)).is_err(),
            "another parent"
        );
    }
}
