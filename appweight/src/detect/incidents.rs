use super::pair::ABOUT_THE_SAME;

/// Minutes after which a jump that did not come back is taken to have come to stay.
const OPEN_MINUTES: i64 = 120;

/// What is known of incidents: jumps of the level that no deploy explains.
#[derive(Debug, Clone, Default)]
pub(crate) struct Incidents {
    /// A jump that has not come back: its minute, and by how much, in logs.
    open: Option<(i64, f64)>,
    /// The last one that came back: in which minute, by how much, and when it had begun.
    closed: Option<(i64, f64, i64)>,
    /// The last minute with a jump.
    last_jump: Option<i64>,
    /// The last minute that had cells fit to be learned from.
    pub(crate) last_seen: Option<i64>,
}

/// Whether a jump takes another one back.
pub(crate) fn came_back(open: f64, jump: f64) -> bool {
    ABOUT_THE_SAME.contains(&(-jump / open))
}

impl Incidents {
    /// Notes a jump; if it ends an incident, it answers when that began.
    pub(crate) fn note(&mut self, minute: i64, jump: f64) -> Option<i64> {
        self.last_jump = Some(minute);
        // The clusters that show it a minute later belong to it.
        if let Some((at, by, began)) = self.closed
            && at + 1 == minute
            && by * jump > 0.0
        {
            return Some(began);
        }
        match self.open {
            Some((since, open)) if since + 1 == minute && open * jump > 0.0 => None,
            Some((since, open)) if came_back(open, jump) => {
                self.open = None;
                self.closed = Some((minute, jump, since));
                Some(since)
            }
            _ => {
                self.open = Some((minute, jump));
                None
            }
        }
    }

    /// Whether one began or ended in that minute or later.
    pub(crate) fn is_since(&self, minute: i64) -> bool {
        self.last_jump.is_some_and(|last| last >= minute)
    }

    pub(crate) fn open_at(&self, minute: i64) -> Option<f64> {
        let (since, jump) = self.open?;
        (minute - since <= OPEN_MINUTES).then_some(jump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_open_until_its_jump_comes_back() {
        let mut incidents = Incidents::default();
        assert_eq!(incidents.note(10, 0.1), None);
        assert_eq!(incidents.note(11, 0.12), None);
        assert_eq!(incidents.open_at(30), Some(0.1));
        assert_eq!(incidents.note(31, -0.08), Some(10));
        assert_eq!(incidents.note(32, -0.1), Some(10), "another cluster");
        assert_eq!(incidents.open_at(33), None);
        assert_eq!(incidents.note(40, 0.1), None);
        assert_eq!(incidents.open_at(40 + OPEN_MINUTES + 1), None);
    }
}
