//! Numbers that look random and are the same for the same seed, in every build and on every machine.

use std::time::Duration;

/// A stream of numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Seed(u64);

impl Seed {
    /// The stream of a number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// A stream of its own for the `index`-th thing that needs one.
    #[must_use]
    pub fn of(&self, index: u64) -> Self {
        let mut stream = Self(self.0 ^ index.wrapping_mul(0xd134_2543_de82_ef95));
        stream.number();
        stream
    }

    /// The stream of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.of(hash)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// True in `percent` of 100 cases.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time from `least` to `most`, to the millisecond.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let range = most.saturating_sub(least).as_millis() as u64;
        least + Duration::from_millis(self.below(range + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_stream_and_other_names_are_others() {
        let seed = Seed::new(7);
        let numbers = |mut stream: Seed| (0..20).map(|_| stream.number()).collect::<Vec<_>>();
        assert_eq!(numbers(seed.named("a")), numbers(Seed::new(7).named("a")));
        assert_ne!(numbers(seed.named("a")), numbers(seed.named("b")));
        assert_ne!(numbers(seed.of(1)), numbers(seed.of(2)));
    }
}
