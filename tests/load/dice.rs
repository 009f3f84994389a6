//! Chance that can be had again: numbers that follow from a seed.
//!
//! The generator is `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).

/// Dice with a memory.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Begins with a seed; whoever is to have chance of their own names themselves.
    pub(crate) fn new(seed: u64, whose: u64) -> Self {
        let mut dice = Self(seed);
        let start = dice.roll() ^ whose.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(start)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        let span = u64::try_from(high - low).unwrap() + 1;
        low + usize::try_from(self.roll() % span).unwrap()
    }

    /// Returns a number from `low` to `high`, as likely in each power of two of it.
    pub(crate) fn scaled(&mut self, low: usize, high: usize) -> usize {
        let bits = self.between(
            usize::try_from(low.ilog2()).unwrap(),
            usize::try_from(high.ilog2()).unwrap(),
        );
        self.between(low.max(1 << bits), high.min((2 << bits) - 1))
    }

    /// Returns true once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.between(1, times) == 1
    }

    /// Picks one of several.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.between(0, from.len() - 1)]
    }

    /// Fills a buffer.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let roll = self.roll().to_le_bytes();
            part.copy_from_slice(&roll[..part.len()]);
        }
    }
}
