//! What became of suggestions, by day and user: sums that are kept in step with the facts they count; and which roll-ups a change
//! makes stale.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::Gain;
use super::fact::Fact;
use super::rollup::DayOf;
use crate::usage::Acceptance;

/// One user's day, where telemetry came on it or told of something that is booked on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Whether any editor's telemetry came on this day.
    pub(super) telemetry: bool,
    /// Facts that are booked here.
    pub(super) facts: u64,
    /// What they count.
    pub(super) counts: Acceptance,
}

impl Sums {
    /// The counts, and whether only the CLI told: of sessions, then, and of nothing else.
    pub(super) fn known(self) -> Acceptance {
        Acceptance { is_of_cli_alone: !self.telemetry && self.facts == self.counts.sessions.count, ..self.counts }
    }

    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a transaction does to the sums and to what follows from events and facts.
#[derive(Debug, Default)]
pub(super) struct Changes {
    sums: BTreeMap<DayOf, Change>,
    stale: BTreeSet<DayOf>,
    gains: Vec<Gain>,
}

#[derive(Debug, Default)]
struct Change {
    telemetry: bool,
    more: Sums,
    less: Sums,
}

/// The sums after a change.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Those that are other than before; empty ones are to be removed.
    pub(super) sums: BTreeMap<DayOf, Sums>,
    /// The days on which anybody sees a difference.
    pub(super) days: BTreeSet<NaiveDate>,
    /// Days of users whose roll-ups are to be made anew.
    pub(super) stale: BTreeSet<DayOf>,
}

impl Changes {
    /// Telemetry of this user came on this day.
    pub(super) fn telemetry_came(&mut self, user: &str, day: NaiveDate) {
        self.of(user, day).telemetry = true;
    }

    /// Events of this user and day are others than before.
    pub(super) fn events_changed(&mut self, user: &str, day: NaiveDate) {
        self.stale.insert((day, user.to_owned()));
    }

    /// What came to be known.
    pub(super) fn take_gains(&mut self) -> Vec<Gain> {
        std::mem::take(&mut self.gains)
    }

    /// A fact takes the place of what was known before.
    pub(super) fn replace<F: Fact>(&mut self, user: &str, before: Option<&F>, after: &F) {
        self.gains.extend(after.gain(before, user));
        self.stale.extend(before.into_iter().chain([after]).map(|fact| (fact.day(), user.to_owned())));
        if let Some(before) = before {
            let less = &mut self.of(user, before.day()).less;
            less.facts += 1;
            before.count_in(&mut less.counts);
        }
        let more = &mut self.of(user, after.day()).more;
        more.facts += 1;
        after.count_in(&mut more.counts);
    }

    /// The days and users whose sums it takes to apply the changes.
    pub(super) fn keys(&self) -> impl Iterator<Item = &DayOf> {
        self.sums.keys()
    }

    /// What becomes of the sums that are there `before`.
    pub(super) fn apply(self, before: &BTreeMap<DayOf, Sums>) -> Changed {
        let mut changed = Changed { stale: self.stale, ..Changed::default() };
        for (key, change) in self.sums {
            let before = before.get(&key).cloned().unwrap_or_default();
            let after = change.applied_to(before.clone());
            if after == before {
                continue;
            }
            if after.telemetry != before.telemetry {
                changed.stale.insert(key.clone());
            }
            if after.is_empty() || before.is_empty() || after.clone().known() != before.known() {
                changed.days.insert(key.0);
            }
            changed.sums.insert(key, after);
        }
        changed
    }

    fn of(&mut self, user: &str, day: NaiveDate) -> &mut Change {
        self.sums.entry((day, user.to_owned())).or_default()
    }
}

impl Change {
    fn applied_to(&self, mut sums: Sums) -> Sums {
        sums.telemetry |= self.telemetry;
        sums.facts = (sums.facts + self.more.facts).saturating_sub(self.less.facts);
        sums.counts.add(&self.more.counts);
        sums.counts.subtract(&self.less.counts);
        sums
    }
}
