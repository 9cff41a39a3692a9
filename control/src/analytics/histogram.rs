//! Latencies as counts in buckets: they can be added up over days and agents, and percentiles come out of them.
//!
//! A bucket is 50 ms wide up to 1.5 s, where an answer feels prompt or slow, and wider above. A percentile lies somewhere in its
//! bucket; it is taken as if the bucket's latencies were spread evenly.

/// Where one bucket ends and the next begins, in milliseconds. The database's function `latency_bounds` has the same.
pub(crate) const BOUNDS: [i32; 48] = [
    100, 150, 200, 250, 300, 350, 400, 450, 500, 550, 600, 650, 700, 750, 800, 850, 900, 950, 1000, 1050, 1100, 1150,
    1200, 1250, 1300, 1350, 1400, 1450, 1500, 1600, 1700, 1800, 1900, 2000, 2250, 2500, 2750, 3000, 3500, 4000, 4500,
    5000, 6000, 7000, 8000, 10_000, 15_000, 30_000,
];

/// How many buckets there are: one below the first bound, and one from each on.
const BUCKETS: usize = BOUNDS.len() + 1;

/// The last bucket has no end; its latencies are taken to be below this.
const LAST: i32 = 60_000;

/// Counts by bucket; trailing zeros are left out. As a change of counts it may hold negative numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Histogram(Vec<i64>);

impl Histogram {
    /// From the database's form. Buckets that are not known are ignored.
    pub(crate) fn new(mut counts: Vec<i64>) -> Self {
        counts.truncate(BUCKETS);
        Self(counts)
    }

    /// Counts a latency of so many milliseconds `n` times more.
    pub(super) fn add(&mut self, ms: i32, n: i64) {
        let bucket = BOUNDS.partition_point(|bound| *bound <= ms);
        if self.0.len() <= bucket {
            self.0.resize(bucket + 1, 0);
        }
        self.0[bucket] += n;
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// Adds another's counts.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (sum, n) in self.0.iter_mut().zip(&other.0) {
            *sum += n;
        }
    }

    /// How many latencies were counted.
    pub(super) fn count(&self) -> i64 {
        self.0.iter().sum()
    }

    /// The latency, in milliseconds, below which this share of them (0 to 1) is. `None` if there are none.
    pub(super) fn percentile(&self, share: f64) -> Option<i32> {
        let wanted = self.count() as f64 * share;
        let mut below = 0.0;
        for (bucket, &n) in self.0.iter().enumerate().filter(|(_, n)| **n > 0) {
            let n = n as f64;
            if below + n >= wanted {
                let from = if bucket == 0 { 0 } else { BOUNDS[bucket - 1] };
                let to = BOUNDS.get(bucket).copied().unwrap_or(LAST);
                return Some(from + (f64::from(to - from) * ((wanted - below) / n)).round() as i32);
            }
            below += n;
        }
        None
    }

    /// As Postgres reads an array.
    pub(super) fn to_sql(&self) -> String {
        let counts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        format!("{{{}}}", counts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(latencies: impl IntoIterator<Item = i32>) -> Histogram {
        let mut histogram = Histogram::default();
        latencies.into_iter().for_each(|ms| histogram.add(ms, 1));
        histogram
    }

    #[test]
    fn percentiles_are_within_a_bucket_of_the_truth() {
        let histogram = of((0..10_000).map(|n| 400 + n / 10));
        assert_eq!(histogram.count(), 10_000);
        for (share, truth) in [(0.5, 900), (0.9, 1300), (0.95, 1350), (0.99, 1390)] {
            let found = histogram.percentile(share).unwrap();
            assert!((found - truth).abs() <= 50, "{share}: {found}");
        }
        assert_eq!(Histogram::default().percentile(0.5), None);
        assert_eq!(of([99_999]).percentile(0.99).map(|ms| ms > 30_000), Some(true));
        assert_eq!(of([0]).percentile(0.5), Some(50));
    }

    #[test]
    fn what_is_taken_out_again_leaves_nothing() {
        let mut histogram = of([100, 30_000]);
        histogram.add(30_000, -1);
        assert_eq!(histogram, of([149]));
        assert_eq!(histogram.to_sql(), "{0,1}");
        histogram.add(100, -1);
        assert_eq!(histogram, Histogram::default());
        let mut sum = of([5]);
        sum.merge(&of([5, 700]));
        assert_eq!((sum.count(), sum.percentile(0.99).unwrap() > 700), (3, true));
    }
}
