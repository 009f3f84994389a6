//! Dice whose throws can be had again: the seed is printed, and `EMAILPROXY_SEED` sets it.

/// Dice (xorshift64*; good enough to choose places to cut at).
pub(crate) struct Dice(u64);

impl Dice {
    /// Takes the seed of `EMAILPROXY_SEED` or throws one, and prints it: a test that fails shows it.
    pub(crate) fn thrown() -> Self {
        let given = std::env::var("EMAILPROXY_SEED").ok();
        let seed = given.map_or_else(
            || {
                let mut bytes = [0; 8];
                aws_lc_rs::rand::fill(&mut bytes).unwrap();
                u64::from_be_bytes(bytes)
            },
            |given| given.parse().expect("EMAILPROXY_SEED is no number"),
        );
        eprintln!("play this again with EMAILPROXY_SEED={seed}");
        Self(seed | 1)
    }

    /// Throws a number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let thrown = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(thrown).unwrap() % bound.max(1)
    }

    /// Chooses from the positions 0 to `last`: all of them where `EMAILPROXY_FAULTS=all`, else the ends and `some` others.
    pub(crate) fn positions(&mut self, last: usize, some: usize) -> Vec<usize> {
        if std::env::var_os("EMAILPROXY_FAULTS").is_some_and(|wish| wish == "all") {
            return (0..=last).collect();
        }
        let mut chosen = vec![0, last];
        chosen.extend((0..some).map(|_| self.below(last + 1)));
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }
}
