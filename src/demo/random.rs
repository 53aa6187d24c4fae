//! Numbers that look random and are the same on every machine.

/// SplitMix64 (Steele, Lea and Flood, 2014): one word of state, which is all that a demo's events need.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Any number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below the bound; 0 where the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number below the bound, the small ones far more often: half of them in the first eighth.
    pub fn skewed_below(&mut self, bound: u64) -> u64 {
        // The product of three even draws; integers only, as floats may differ between machines.
        let within = self.below(bound);
        let within = self.below(within + 1);
        self.below(within + 1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, times: u64) -> bool {
        self.below(100) < times
    }

    /// One of some things, of which there is at least one.
    pub fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len() as u64) as usize]
    }

    /// One of some things, the first far more often.
    pub fn pick_skewed<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.skewed_below(things.len() as u64) as usize]
    }

    /// A length in bytes as edits change it: mostly small, now and then huge.
    pub fn length(&mut self) -> i64 {
        let magnitude = self.below(15);
        (1 << magnitude) + self.below(1 << magnitude) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_the_published_ones_and_stay_in_bounds() {
        let mut random = Random::new(1_234_567);
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!([random.next(), random.next(), random.next()], published);
        assert_eq!(
            (random.below(0), random.skewed_below(0), random.skewed_below(1)),
            (0, 0, 0)
        );
        let draws: Vec<u64> = (0..10_000).map(|_| random.skewed_below(80)).collect();
        let low = draws.iter().filter(|draw| **draw < 10).count();
        assert!(
            draws.iter().all(|draw| *draw < 80) && (4_500..7_500).contains(&low),
            "{low}"
        );
        assert!((0..10_000).all(|_| (1..1 << 15).contains(&random.length())));
    }
}
