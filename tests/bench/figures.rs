//! What rounds of measurements come to.

use std::fmt;
use std::time::Duration;

use crate::process::{Kind, Origin, Target};

/// A median with the least and the greatest value.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self { median: percentile(&values, 50), least: values[0], greatest: values[values.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} [{:.2}-{:.2}]", self.median, self.least, self.greatest)
    }
}

/// The value at or below which so many in a hundred of the sorted values lie.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// What the same measurement told of each kind of target, round by round.
pub struct Rounds<F>(Vec<Vec<F>>);

impl<F> Rounds<F> {
    /// Measures new processes in each round; the order is turned round every other time.
    pub async fn measure(count: usize, origin: &Origin, one: impl AsyncFn(&Target) -> F) -> Self {
        let mut rounds = Vec::new();
        for number in 0..count {
            let mut kinds = Kind::ALL;
            if number % 2 == 1 {
                kinds.reverse();
            }
            let mut told = Vec::new();
            for kind in kinds {
                told.push(one(&Target::start(kind, origin)).await);
            }
            if number % 2 == 1 {
                told.reverse();
            }
            rounds.push(told);
        }
        Self(rounds)
    }

    pub fn median(&self, kind: Kind, value: impl Fn(&F) -> f64) -> f64 {
        self.compare(|told| value(&told[kind as usize])).median
    }

    /// Of `kind` to `base`, paired by round.
    pub fn ratio(&self, kind: Kind, base: Kind, value: impl Fn(&F) -> f64) -> Spread {
        self.compare(|told| value(&told[kind as usize]) / value(&told[base as usize]))
    }

    /// `kind` less `base`, paired by round.
    pub fn difference(&self, kind: Kind, base: Kind, value: impl Fn(&F) -> f64) -> Spread {
        self.compare(|told| value(&told[kind as usize]) - value(&told[base as usize]))
    }

    fn compare(&self, of_a_round: impl Fn(&[F]) -> f64) -> Spread {
        Spread::of(self.0.iter().map(|told| of_a_round(told)))
    }
}
