use std::{iter, mem};

/// How often each bucket of a distribution was met: counted by one addition where the values of most
/// requests lie, in little room, since a thread may have a thousand cells.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// The count of bucket `first` and of those after it. Before that many values were met, each value's bucket:
    /// a dozen small numbers take the least that an allocator gives, however far the values lie apart.
    window: Box<[u16]>,
    /// What lies too far from the window to widen it so much, and what was too much for it, rising.
    far: Option<Box<Far>>,
    /// How many values there were: here, where it takes no room.
    n: u32,
    first: u16,
}

impl Default for Buckets {
    fn default() -> Self {
        Self {
            window: Box::default(),
            far: None,
            n: 0,
            first: LIST,
        }
    }
}

/// Behind a pointer of one word, since nearly no distribution has any.
#[derive(Debug, Default)]
struct Far(Vec<(u16, u32)>);

/// The window grows by half a power of two, of which each has 8 buckets: 8 bytes.
const STEP: u16 = 4;
/// It covers values that differ by a factor of 256 at most.
const WIDEST: u16 = 64;
/// So many values are a list.
const LISTED: usize = 12;
/// What `first` is while they are a list: no bucket lies in a window from there.
const LIST: u16 = 1 << 15;

impl Buckets {
    /// How many values were counted.
    #[inline]
    pub(crate) fn n(&self) -> u32 {
        self.n
    }

    #[inline]
    pub(crate) fn count(&mut self, bucket: u16) {
        self.n = self.n.saturating_add(1);
        let at = usize::from(bucket.wrapping_sub(self.first));
        match self.window.get_mut(at) {
            Some(count) if *count < u16::MAX => *count += 1,
            _ => self.count_outside(bucket),
        }
    }

    #[cold]
    fn count_outside(&mut self, bucket: u16) {
        if self.first == LIST {
            self.list(bucket);
        } else {
            self.place(bucket);
        }
    }

    fn list(&mut self, bucket: u16) {
        if self.window.is_empty() {
            self.window = Box::new([0; LISTED]);
        }
        // It is counted already.
        let at = self.n.wrapping_sub(1) as usize;
        if let Some(free) = self.window.get_mut(at) {
            *free = bucket;
            return;
        }
        let mut list = mem::take(&mut self.window);
        list.sort_unstable();
        self.first = 0;
        // From the middle on, so that the window lies there and not around an outlier.
        list.rotate_left(LISTED / 2);
        for listed in list {
            self.place(listed);
        }
        self.place(bucket);
    }

    fn place(&mut self, bucket: u16) {
        let at = usize::from(bucket.wrapping_sub(self.first));
        if let Some(count) = self.window.get_mut(at) {
            if *count < u16::MAX {
                *count += 1;
            } else {
                *count = 1;
                self.count_far(bucket, u16::MAX.into());
            }
        } else if self.widen(bucket) {
            self.window[usize::from(bucket - self.first)] += 1;
        } else {
            self.count_far(bucket, 1);
        }
    }

    fn count_far(&mut self, bucket: u16, more: u32) {
        let count = self.add_far(bucket, more);
        if count.is_power_of_two() && self.lies_wrong(bucket, count) {
            for (bucket, count) in iter::zip(self.first.., mem::take(&mut self.window)) {
                if count > 0 {
                    self.add_far(bucket, count.into());
                }
            }
            self.widen(bucket);
        }
    }

    /// How many there are then in that bucket.
    fn add_far(&mut self, bucket: u16, more: u32) -> u32 {
        let far = &mut self.far.get_or_insert_default().0;
        match far.binary_search_by_key(&bucket, |&(known, _)| known) {
            Ok(at) => {
                far[at].1 = far[at].1.saturating_add(more);
                far[at].1
            }
            Err(at) => {
                far.insert(at, (bucket, more));
                more
            }
        }
    }

    /// Whether more values lie in that bucket, far from the window, than in the window: the first request of an endpoint
    /// may have taken a thousand times as long as the others.
    fn lies_wrong(&self, bucket: u16, count: u32) -> bool {
        let is_outside = usize::from(bucket.wrapping_sub(self.first)) >= self.window.len();
        is_outside && count > self.window.iter().map(|&count| u32::from(count)).sum()
    }

    /// Widens the window so that the bucket lies in it, if it does not grow too wide.
    fn widen(&mut self, bucket: u16) -> bool {
        let step = bucket - bucket % STEP;
        let (mut first, mut end) = (step, step + STEP);
        // Its length is 64 at most.
        let width = self.window.len() as u16;
        if width > 0 {
            first = first.min(self.first);
            end = end.max(self.first + width);
        }
        if end - first > WIDEST {
            return false;
        }
        let before = usize::from(self.first - first.min(self.first));
        let mut window = vec![0; usize::from(end - first)].into_boxed_slice();
        if width > 0 {
            window[before..before + self.window.len()].copy_from_slice(&self.window);
        }
        self.window = window;
        self.first = first;
        true
    }

    /// Those that were met, rising.
    pub(crate) fn into_counts(self) -> Vec<(u16, u64)> {
        let mut counts: Vec<(u16, u64)> = if self.first == LIST {
            let listed = self.window.into_iter().take(self.n as usize);
            listed.map(|bucket| (bucket, 1)).collect()
        } else {
            let near = iter::zip(self.first.., self.window)
                .filter(|&(_, count)| count > 0)
                .map(|(bucket, count)| (bucket, u32::from(count)));
            let far = self.far.into_iter().flat_map(|far| far.0);
            near.chain(far)
                .map(|(bucket, count)| (bucket, count.into()))
                .collect()
        };
        counts.sort_unstable();
        // A list has them one by one, and the window may have grown over what had been far from it.
        counts.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 += later.1;
            }
            same
        });
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use appweight_wire::Distribution;
    use proptest::prelude::*;

    use super::*;

    fn counted(met: &[u16]) -> (Buckets, Vec<(u16, u64)>) {
        let mut buckets = Buckets::default();
        let mut expected = BTreeMap::new();
        for &bucket in met {
            buckets.count(bucket);
            *expected.entry(bucket).or_default() += 1;
        }
        (buckets, expected.into_iter().collect())
    }

    proptest! {
        #[test]
        fn every_bucket_is_counted_wherever_it_lies(
            met in proptest::collection::vec(0..Distribution::BUCKETS, 0..200),
            near in proptest::collection::vec(200_u16..280, 0..200),
        ) {
            for met in [&met, &near, &[met.clone(), near.clone()].concat()] {
                let (buckets, expected) = counted(met);
                prop_assert!(buckets.window.len() <= usize::from(WIDEST));
                prop_assert_eq!(buckets.into_counts(), expected);
            }
        }
    }

    #[test]
    fn what_was_far_when_it_was_met_is_added_to_what_came_after() {
        // 100 is far from 180 while the window begins there, and near to what comes down to it.
        let met = [vec![180; LISTED], vec![180, 100, 130, 120, 100]].concat();
        let (buckets, expected) = counted(&met);
        assert!(buckets.far.is_some());
        assert_eq!(buckets.into_counts(), expected);
    }

    #[test]
    fn the_window_moves_to_where_the_values_are() {
        // The first ones are far from all that come after.
        let mut met = vec![300; LISTED + 1];
        met.extend([100, 101].repeat(50));
        let (buckets, expected) = counted(&met);
        assert!(buckets.window.len() >= 2 && (98..=100).contains(&buckets.first));
        assert_eq!(buckets.into_counts(), expected);
    }

    #[test]
    fn more_than_the_window_holds_is_counted_beside_it() {
        let mut met = vec![100; 3 * usize::from(u16::MAX) + 2];
        met.push(101);
        let (buckets, expected) = counted(&met);
        assert_eq!(buckets.n() as usize, met.len());
        assert_eq!(buckets.into_counts(), expected);
    }

    #[test]
    fn an_outlier_at_first_is_not_where_the_window_lies() {
        let met = [vec![300], vec![100; LISTED]].concat();
        let (buckets, expected) = counted(&met);
        assert_eq!(
            (buckets.first, buckets.window.len()),
            (100, usize::from(STEP))
        );
        assert_eq!(buckets.into_counts(), expected);
    }

    #[test]
    fn few_values_take_little_room_however_far_they_lie_apart() {
        assert!(size_of::<Buckets>() <= 32);
        assert!(size_of::<[u16; LISTED]>() <= 24);
        let met: Vec<u16> = (0..LISTED as u16)
            .map(|at| at * 101 % Distribution::BUCKETS)
            .collect();
        for few in 1..=LISTED {
            let (buckets, expected) = counted(&met[..few]);
            assert_eq!(
                (buckets.window.len(), buckets.far.is_none()),
                (LISTED, true)
            );
            assert_eq!(buckets.into_counts(), expected);
        }
    }
}
