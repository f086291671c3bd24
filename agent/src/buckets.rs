use std::{iter, mem};

/// How often each bucket of a distribution was met: counted by one addition where the values of most
/// requests lie, in little room, since a thread may have a thousand cells.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    counts: Counts,
    /// How many values there were.
    n: u32,
    /// The bucket that the window begins with: here, where it takes no room.
    first: u16,
}

#[derive(Debug)]
enum Counts {
    /// The bucket of each value, as long as they are few: in no room of their own, however far they lie apart.
    List([u16; LISTED]),
    Window(Window),
}

impl Default for Counts {
    fn default() -> Self {
        Self::List([0; LISTED])
    }
}

#[derive(Debug, Default)]
struct Window {
    /// The count of the first bucket and of those after it. Small numbers: a dozen of them take the least that an
    /// allocator gives.
    near: Box<[u16]>,
    /// What lies too far from the window to widen it so much, and what was too much for it, rising.
    far: Option<Box<Far>>,
}

/// Behind a pointer of one word, since nearly no distribution has any.
#[derive(Debug, Default)]
struct Far(Vec<(u16, u32)>);

/// As many as fit into a window's room beside the pointer that tells the two apart.
const LISTED: usize = 8;
/// The window grows by half a power of two, of which each has 8 buckets: 8 bytes.
const STEP: u16 = 4;
/// It covers values that differ by a factor of 256 at most.
const WIDEST: u16 = 64;

impl Buckets {
    /// How many values were counted.
    #[inline]
    pub(crate) fn n(&self) -> u32 {
        self.n
    }

    #[inline]
    pub(crate) fn count(&mut self, bucket: u16) {
        let at = usize::from(bucket.wrapping_sub(self.first));
        if let Counts::Window(window) = &mut self.counts
            && let Some(count) = window.near.get_mut(at)
            && *count < u16::MAX
        {
            *count += 1;
        } else {
            self.count_outside(bucket);
        }
        self.n = self.n.saturating_add(1);
    }

    #[cold]
    fn count_outside(&mut self, bucket: u16) {
        match &mut self.counts {
            Counts::List(list) => match list.get_mut(self.n as usize) {
                Some(free) => *free = bucket,
                None => {
                    let mut list = *list;
                    list.sort_unstable();
                    // From the middle on, so that the window lies there and not around an outlier.
                    list.rotate_left(LISTED / 2);
                    let mut window = Window::default();
                    for bucket in list.into_iter().chain([bucket]) {
                        window.count(&mut self.first, bucket);
                    }
                    self.counts = Counts::Window(window);
                }
            },
            Counts::Window(window) => window.count(&mut self.first, bucket),
        }
    }

    /// Those that were met, rising.
    pub(crate) fn into_counts(self) -> Vec<(u16, u64)> {
        let mut counts: Vec<(u16, u64)> = match self.counts {
            Counts::List(list) => {
                let listed = list.into_iter().take(self.n as usize);
                listed.map(|bucket| (bucket, 1)).collect()
            }
            Counts::Window(Window { near, far }) => {
                let near = iter::zip(self.first.., near)
                    .filter(|&(_, count)| count > 0)
                    .map(|(bucket, count)| (bucket, u32::from(count)));
                let far = far.into_iter().flat_map(|far| far.0);
                near.chain(far)
                    .map(|(bucket, count)| (bucket, count.into()))
                    .collect()
            }
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

impl Window {
    fn count(&mut self, first: &mut u16, bucket: u16) {
        let at = usize::from(bucket.wrapping_sub(*first));
        if let Some(count) = self.near.get_mut(at) {
            if *count < u16::MAX {
                *count += 1;
            } else {
                let full = mem::replace(count, 1);
                self.count_far(first, bucket, full.into());
            }
        } else if self.widen(first, bucket) {
            self.near[usize::from(bucket - *first)] += 1;
        } else {
            self.count_far(first, bucket, 1);
        }
    }

    fn count_far(&mut self, first: &mut u16, bucket: u16, more: u32) {
        let count = self.add_far(bucket, more);
        if count.is_power_of_two() && self.lies_wrong(*first, bucket, count) {
            for (bucket, count) in iter::zip(*first.., mem::take(&mut self.near)) {
                if count > 0 {
                    self.add_far(bucket, count.into());
                }
            }
            self.widen(first, bucket);
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

    /// Whether more values lie in that bucket, far from the window, than in the window: what came first may have taken
    /// a thousand times as long as all others.
    fn lies_wrong(&self, first: u16, bucket: u16, count: u32) -> bool {
        let is_outside = usize::from(bucket.wrapping_sub(first)) >= self.near.len();
        is_outside && count > self.near.iter().map(|&count| u32::from(count)).sum()
    }

    /// Widens it so that the bucket lies in it, if it does not grow too wide.
    fn widen(&mut self, first: &mut u16, bucket: u16) -> bool {
        let step = bucket - bucket % STEP;
        let (mut start, mut end) = (step, step + STEP);
        // Its length is 64 at most.
        let width = self.near.len() as u16;
        if width > 0 {
            start = start.min(*first);
            end = end.max(*first + width);
        }
        if end - start > WIDEST {
            return false;
        }
        let mut near = vec![0; usize::from(end - start)].into_boxed_slice();
        if width > 0 {
            let before = usize::from(*first - start);
            near[before..before + self.near.len()].copy_from_slice(&self.near);
        }
        self.near = near;
        *first = start;
        true
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

    /// The window of buckets that are no list any more.
    fn window(buckets: &Buckets) -> &Window {
        match &buckets.counts {
            Counts::Window(window) => window,
            Counts::List(list) => panic!("{list:?}"),
        }
    }

    proptest! {
        #[test]
        fn every_bucket_is_counted_wherever_it_lies(
            met in proptest::collection::vec(0..Distribution::BUCKETS, 0..200),
            near in proptest::collection::vec(200_u16..280, 0..200),
        ) {
            for met in [&met, &near, &[met.clone(), near.clone()].concat()] {
                let (buckets, expected) = counted(met);
                if met.len() > LISTED {
                    prop_assert!(window(&buckets).near.len() <= usize::from(WIDEST));
                }
                prop_assert_eq!(buckets.into_counts(), expected);
            }
        }
    }

    #[test]
    fn what_was_far_when_it_was_met_is_added_to_what_came_after() {
        // 100 is far from 180 while the window begins there, and near to what comes down to it.
        let met = [vec![180; LISTED], vec![180, 100, 130, 120, 100]].concat();
        let (buckets, expected) = counted(&met);
        assert!(window(&buckets).far.is_some());
        assert_eq!(buckets.into_counts(), expected);
    }

    #[test]
    fn the_window_moves_to_where_the_values_are() {
        // The first ones are far from all that come after.
        let mut met = vec![300; LISTED + 1];
        met.extend([100, 101].repeat(50));
        let (buckets, expected) = counted(&met);
        assert!(window(&buckets).near.len() >= 2 && (98..=100).contains(&buckets.first));
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
        assert_eq!(buckets.first, 100);
        assert_eq!(window(&buckets).near.len(), usize::from(STEP));
        assert_eq!(buckets.into_counts(), expected);
    }

    #[test]
    fn few_values_take_no_room_of_their_own_however_far_they_lie_apart() {
        assert!(size_of::<Buckets>() <= 32, "{}", size_of::<Buckets>());
        let met: Vec<u16> = (0..LISTED as u16)
            .map(|at| at * 101 % Distribution::BUCKETS)
            .collect();
        for few in 1..=LISTED {
            let (buckets, expected) = counted(&met[..few]);
            assert!(matches!(buckets.counts, Counts::List(_)));
            assert_eq!(buckets.into_counts(), expected);
        }
    }
}
