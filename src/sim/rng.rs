//! A seeded generator, so that a simulated day repeats exactly.

/// SplitMix64 (Steele, Lea, Flood 2014): tiny, fast and good enough for everything but secrets.
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// A generator whose whole sequence follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for a named part of a run, independent of the order in which the parts are started.
    #[must_use]
    pub fn named(seed: u64, name: &str) -> Self {
        Self(seed ^ fingerprint(name.as_bytes()))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 where `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.bits() % limit }
    }

    /// True in `percent` of 100 calls.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`; `None` only where there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(items.len() as u64)).unwrap_or(0);
        items.get(index)
    }

    /// `length` lower-case hexadecimal digits.
    pub fn hex(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            text.push_str(&format!("{:016x}", self.bits()));
        }
        text.truncate(length);
        text
    }

    /// A UUID of version 4 (RFC 9562 section 5.4), as editors put into `X-Request-Id`.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.bits(), self.bits());
        let high = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
        let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        uuid::Uuid::from_u64_pair(high, low).to_string()
    }
}

/// FNV-1a: the same number for the same bytes in every run and on every machine.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_sequence_again() {
        let (mut one, mut two) = (Seeded::new(7), Seeded::new(7));
        assert_eq!((one.uuid(), one.hex(40), one.below(100)), (two.uuid(), two.hex(40), two.below(100)));
        assert_ne!(Seeded::new(7).bits(), Seeded::new(8).bits());
        assert_ne!(Seeded::named(7, "ada").bits(), Seeded::named(7, "bob").bits());
    }

    #[test]
    fn uuids_are_of_version_4() {
        let uuid = uuid::Uuid::parse_str(&Seeded::new(3).uuid()).unwrap();
        assert_eq!(uuid.get_version_num(), 4);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn chances_are_met_roughly() {
        let mut rng = Seeded::new(1);
        let hits = (0..10_000).filter(|_| rng.chance(30)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert!(rng.pick::<u8>(&[]).is_none());
    }
}
