//! Our own gauges of complete days: what GitHub's reports do not tell, for `/metrics/usage` and for backfilling.

use super::breakdown::{bounded, sums};
use super::exposition::{Labels, Sheet};
use crate::usage::github::Audience;
use crate::usage::{Counts, OrganizationDay};

/// Words of one kind that are told apart.
const WORDS: usize = 32;

/// The end of a gauge's name, what it is, and its value.
type Count = (&'static str, &'static str, fn(&Counts) -> u64);

/// What of a day is told by feature and model.
const COUNTS: [Count; 7] = [
    ("requests", "Calls of a model that count, of a UTC day", |counts| counts.requests),
    ("turns", "Completions and chat turns of a UTC day", |counts| counts.turns),
    ("interactions", "Prompts that people sent on a UTC day", |counts| counts.interactions),
    ("input_tokens", "Tokens of prompts of a UTC day, as far as told", |counts| counts.input_tokens),
    ("output_tokens", "Tokens of answers of a UTC day, as far as told", |counts| counts.output_tokens),
    ("cached_input_tokens", "Input tokens of a UTC day that came from a cache, as far as told", |counts| {
        counts.cached_tokens
    }),
    ("ai_credits", "AI credits of a UTC day, as far as told", |counts| counts.nano_aiu),
];

/// Everybody's day. What is 0 by feature and model is left out: it is unknown, or did not happen.
pub(super) fn organization(sheet: &mut Sheet, day: &OrganizationDay, audience: Audience) {
    for (name, help, users) in [
        ("daily_active_users", "Users active on a UTC day", audience.daily),
        ("weekly_active_users", "Users active in the 7 UTC days that end with it", audience.weekly),
        ("monthly_active_users", "Users active in the 28 UTC days that end with it", audience.monthly),
        ("daily_users_with_telemetry", "Users whose editors sent telemetry on a UTC day", day.users_with_telemetry),
    ] {
        sheet.set(&format!("copilens_{name}"), help, &Labels::default(), users as f64);
    }
    let cells = bounded(&day.cells, WORDS);
    for ((feature, model), sum) in sums(&cells, |cell| Some((&cell.feature, &cell.model))) {
        let labels = Labels::default().with("feature", feature).with("model", model);
        for (name, help, count) in COUNTS {
            let count = count(&sum);
            if count > 0 {
                let value = if name == "ai_credits" { count as f64 / 1e9 } else { count as f64 };
                sheet.set(&format!("copilens_daily_{name}"), help, &labels, value);
            }
        }
    }
}
