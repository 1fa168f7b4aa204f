//! The legacy add-on's password derivation, bit for bit: `random.seed(n)`, `prefix = random.randint(10000, 99999)`, and
//! the first ten hexadecimal digits of `sha256("name:prefix")`.
//!
//! Python seeds its Mersenne Twister with the absolute value of the integer as little-endian 32-bit words
//! (`random_seed` in CPython's `Modules/_randommodule.c`, `init_by_array`), and draws below `n` by rejecting draws of
//! `n.bit_length()` bits (`_randbelow_with_getrandbits` in `Lib/random.py`).

use data_encoding::HEXLOWER;
use rand_mt::Mt;
use sha2::{Digest, Sha256};

/// As many digits as Python itself reads from a text (`sys.get_int_max_str_digits`).
const MAX_DIGITS: usize = 4300;

/// The number that the add-on puts behind every name: all that its passwords depend on beside the names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix(u32);

impl Prefix {
    /// The prefix that Python draws after `random.seed(n)`; `None` where `text` is no integer.
    pub(super) fn from_integer(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let is_number = !digits.is_empty() && digits.len() <= MAX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| Self(randint_10000_99999(&mut Mt::new_with_key(words(digits)))))
    }

    /// The password of a user. Generation 1 is the add-on's; later ones, which it does not know, hash
    /// `name:prefix:generation`.
    pub(super) fn password(self, name: &str, generation: u32) -> String {
        let text = match generation {
            0 | 1 => format!("{name}:{}", self.0),
            later => format!("{name}:{}:{later}", self.0),
        };
        let mut hex = HEXLOWER.encode(&Sha256::digest(text));
        hex.truncate(10);
        hex
    }
}

/// Decimal digits as little-endian 32-bit words; zero is one word, as in CPython.
fn words(digits: &str) -> Vec<u32> {
    let mut words = vec![0_u32];
    for digit in digits.bytes() {
        let mut carry = u64::from(digit - b'0');
        for word in &mut words {
            let value = u64::from(*word) * 10 + carry;
            *word = (value & u64::from(u32::MAX)) as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    words
}

fn randint_10000_99999(twister: &mut Mt) -> u32 {
    const WIDTH: u32 = 99_999 - 10_000 + 1;
    let bits = u32::BITS - WIDTH.leading_zeros();
    loop {
        let draw = twister.next_u32() >> (u32::BITS - bits);
        if draw < WIDTH {
            return 10_000 + draw;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn vectors_of_the_add_on() {
        let prefix = Prefix::from_integer("123456").unwrap();
        assert_eq!(prefix.0, 47_967);
        assert_eq!(prefix.password("satomic", 1), "961aa8753b");
        assert_eq!(prefix.password("xuefeng", 1), "1b3ecfa5aa");
    }

    #[test]
    fn a_later_generation_changes_the_password() {
        let prefix = Prefix::from_integer("123456").unwrap();
        assert_ne!(prefix.password("satomic", 2), prefix.password("satomic", 1));
        assert_ne!(prefix.password("satomic", 3), prefix.password("satomic", 2));
    }

    #[test]
    fn vectors_of_python_3_11() {
        let vectors = [
            ("0", 60_494),
            ("+1", 27_611),
            ("-1", 27_611),
            ("007", 52_445),
            ("4294967295", 93_277),
            ("4294967296", 24_810),
            ("18446744073709551621", 76_922),
            ("-1180591620717411303424", 40_512),
            ("10000000000000000000000000000000000000000", 55_552),
        ];
        for (seed, prefix) in vectors {
            assert_eq!(Prefix::from_integer(seed).unwrap().0, prefix, "{seed}");
        }
    }

    #[test]
    fn not_integers() {
        for text in ["", "-", "+-1", "1.5", "0x10", "1 2", "1e9", "٣", &"1".repeat(MAX_DIGITS + 1)] {
            assert!(Prefix::from_integer(text).is_none(), "{text:?}");
        }
    }

    /// Against the real thing, on machines that have it.
    #[test]
    fn agrees_with_the_python_of_this_machine() {
        let seeds: Vec<String> =
            (0..300_i128).map(|i| (i.pow(15) * if i % 2 == 0 { 1 } else { -1 }).to_string()).collect();
        let script =
            "import random,sys\nfor n in sys.argv[1:]:\n  random.seed(int(n)); print(random.randint(10000, 99999))";
        let Ok(output) = Command::new("python3").args(["-c", script]).args(&seeds).output() else { return };
        if !output.status.success() {
            return;
        }
        let theirs: Vec<u32> = String::from_utf8(output.stdout).unwrap().lines().map(|l| l.parse().unwrap()).collect();
        let ours: Vec<u32> = seeds.iter().map(|seed| Prefix::from_integer(seed).unwrap().0).collect();
        assert_eq!(ours, theirs);
    }
}
