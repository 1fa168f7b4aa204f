//! What telemetry tells of one suggestion, chat action or session, put together from reports that come in any order and more
//! than once: every field takes the greater of two values, so that the result depends on what was told alone.

use std::cmp::Reverse;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Gain;
use crate::copilot::observation::{ChatAction, ChatActionKind, Fate, SessionTotals, SuggestionKind, SuggestionReport};
use crate::usage::{Acceptance, Fates, IdDigest, ToldAction, ToldSuggestion, id_digest};

/// Counts beyond this are kept as this: a client's lie must not overflow a day's sums.
pub(super) const LARGEST_COUNT: u64 = 1 << 32;

/// Bytes of a name that a client sent that are kept.
const LONGEST_NAME: usize = 64;

/// Digests as text: PostgreSQL's of bytes, `\x` and two hexadecimal digits a byte.
pub(super) mod digest {
    use data_encoding::HEXLOWER;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::IdDigest;

    pub(in crate::store) fn serialize<S: Serializer>(digest: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("\\x{}", HEXLOWER.encode_display(digest)))
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IdDigest, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = text.strip_prefix("\\x").and_then(|digits| HEXLOWER.decode(digits.as_bytes()).ok());
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| D::Error::custom("no digest of 16 bytes"))
    }
}

/// As [`digest`], where there may be none.
pub(super) mod digest_or_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{IdDigest, digest};

    #[derive(Serialize, Deserialize)]
    struct Text(#[serde(with = "digest")] IdDigest);

    pub(in crate::store) fn serialize<S: Serializer>(
        digest: &Option<IdDigest>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        digest.map(Text).serialize(serializer)
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<IdDigest>, D::Error> {
        Option::deserialize(deserializer).map(|text: Option<Text>| text.map(|Text(digest)| digest))
    }
}

/// Something that a client's telemetry tells of.
pub(super) trait Fact: Clone + PartialEq {
    /// Puts in what another report tells.
    fn merge(&mut self, other: &Self);
    /// The day that it is booked on.
    fn day(&self) -> NaiveDate;
    /// Adds it to its day's counts.
    fn count_in(&self, acceptance: &mut Acceptance);
    /// What it is counted by: editor, language and model, as far as told.
    fn names(&self) -> [Option<&String>; 3];

    /// What is known of it that was not before; `None` where there is nothing more to count.
    fn gain(&self, before: Option<&Self>, user: &str) -> Option<Gain> {
        let (mut more, mut less) = (Acceptance::default(), Acceptance::default());
        self.count_in(&mut more);
        if let Some(before) = before {
            before.count_in(&mut less);
        }
        more.subtract(&less);
        let [editor, language, model] = self.names().map(Option::<&String>::cloned);
        (more != Acceptance::default()).then(|| Gain { user: user.to_owned(), editor, language, model, more })
    }
}

/// Where a suggestion or an action is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Booking {
    /// Whether `day` is that of the exchange that it belongs to, rather than of its first telemetry.
    #[serde(rename = "is_booked")]
    pub(super) is_exchanges: bool,
    /// A UTC day.
    pub(super) day: NaiveDate,
}

impl Booking {
    /// The exchange's day goes before any other, the earlier one before the later.
    pub(super) fn or(self, other: Self) -> Self {
        let rank = |booking: &Self| (booking.is_exchanges, Reverse(booking.day));
        std::cmp::max_by_key(self, other, rank)
    }
}

/// A fact that belongs to an exchange, which may come later than what is told of it.
pub(super) trait Booked {
    /// The exchange is known.
    fn book(&mut self, booking: Booking);
}

impl Booked for Suggestion {
    fn book(&mut self, booking: Booking) {
        self.booking = self.booking.or(booking);
    }
}

impl Booked for Action {
    fn book(&mut self, booking: Booking) {
        self.booking = self.booking.or(booking);
    }
}

/// What is known of one suggestion. Written out, it has the names of the store's columns, as have the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Suggestion {
    #[serde(with = "digest_or_null")]
    pub(super) request: Option<IdDigest>,
    #[serde(flatten)]
    pub(super) booking: Booking,
    pub(super) is_next_edit: bool,
    pub(super) shown: bool,
    pub(super) accepted: bool,
    pub(super) accepted_fully: bool,
    pub(super) rejected: bool,
    pub(super) lines_shown: Option<u64>,
    pub(super) lines_accepted: Option<u64>,
    pub(super) characters_shown: Option<u64>,
    pub(super) characters_accepted: Option<u64>,
    /// Seconds after acceptance of the last look that found it in the code.
    pub(super) kept_s: Option<u64>,
    /// Seconds after acceptance of the last look that did not.
    pub(super) lost_s: Option<u64>,
    pub(super) language: Option<String>,
    pub(super) model: Option<String>,
    pub(super) editor: Option<String>,
}

impl Suggestion {
    /// What one report tells.
    pub(super) fn of(report: &SuggestionReport, booking: Booking) -> Self {
        let (lines, characters) = (report.lines.map(count), report.characters.map(count));
        let mut suggestion = Self {
            request: report.request_id.as_deref().map(id_digest),
            booking,
            is_next_edit: report.kind == SuggestionKind::NextEdit,
            shown: false,
            accepted: false,
            accepted_fully: false,
            rejected: false,
            lines_shown: None,
            lines_accepted: None,
            characters_shown: None,
            characters_accepted: None,
            kept_s: None,
            lost_s: None,
            language: name(report.language.as_deref()),
            model: name(report.model.as_deref()),
            editor: name(report.editor_version.as_deref()),
        };
        match report.fate {
            Fate::Shown => {
                suggestion.shown = true;
                (suggestion.lines_shown, suggestion.characters_shown) = (lines, characters);
            }
            Fate::Accepted { partially } => {
                (suggestion.accepted, suggestion.accepted_fully) = (true, !partially);
                (suggestion.lines_accepted, suggestion.characters_accepted) = (lines, characters);
            }
            Fate::Rejected => suggestion.rejected = true,
            Fate::StillInCode { after_s, kept: true } => suggestion.kept_s = Some(count(after_s)),
            Fate::StillInCode { after_s, kept: false } => suggestion.lost_s = Some(count(after_s)),
        }
        suggestion
    }

    /// For the roll-up of its day.
    pub(super) fn told(self) -> ToldSuggestion {
        ToldSuggestion {
            request: self.request,
            shown: self.shown,
            accepted: self.accepted,
            lines_shown: self.lines_shown.unwrap_or_default(),
            lines_accepted: self.lines_accepted.unwrap_or_default(),
            language: self.language,
            model: self.model,
            editor: self.editor,
        }
    }

    fn fates(&self) -> Fates {
        let if_accepted = |count: u64| if self.accepted { count } else { 0 };
        let is_kept = self.kept_s > self.lost_s;
        Fates {
            shown: self.shown.into(),
            accepted: self.accepted.into(),
            accepted_partially: if_accepted((!self.accepted_fully).into()),
            rejected: (self.rejected && !self.accepted).into(),
            lines_shown: self.lines_shown.unwrap_or_default(),
            lines_accepted: self.lines_accepted.unwrap_or_default(),
            characters_shown: self.characters_shown.unwrap_or_default(),
            characters_accepted: self.characters_accepted.unwrap_or_default(),
            kept: if_accepted(is_kept.into()),
            lost: if_accepted((!is_kept && self.lost_s.is_some()).into()),
        }
    }
}

impl Fact for Suggestion {
    fn merge(&mut self, other: &Self) {
        self.request = self.request.max(other.request);
        self.booking = self.booking.or(other.booking);
        self.is_next_edit |= other.is_next_edit;
        self.shown |= other.shown;
        self.accepted |= other.accepted;
        self.accepted_fully |= other.accepted_fully;
        self.rejected |= other.rejected;
        self.lines_shown = self.lines_shown.max(other.lines_shown);
        self.lines_accepted = self.lines_accepted.max(other.lines_accepted);
        self.characters_shown = self.characters_shown.max(other.characters_shown);
        self.characters_accepted = self.characters_accepted.max(other.characters_accepted);
        self.kept_s = self.kept_s.max(other.kept_s);
        self.lost_s = self.lost_s.max(other.lost_s);
        raise(&mut self.language, &other.language);
        raise(&mut self.model, &other.model);
        raise(&mut self.editor, &other.editor);
    }

    fn day(&self) -> NaiveDate {
        self.booking.day
    }

    fn count_in(&self, acceptance: &mut Acceptance) {
        let kind = if self.is_next_edit { SuggestionKind::NextEdit } else { SuggestionKind::Completion };
        acceptance.fates(kind).add(&self.fates());
    }

    fn names(&self) -> [Option<&String>; 3] {
        [self.editor.as_ref(), self.language.as_ref(), self.model.as_ref()]
    }
}

/// What is known of one chat action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Action {
    /// Of the exchange's request id, or of its interaction id where that alone is told.
    #[serde(with = "digest_or_null")]
    pub(super) exchange: Option<IdDigest>,
    #[serde(flatten)]
    pub(super) booking: Booking,
    pub(super) kind: ChatActionKind,
    pub(super) lines: Option<u64>,
    pub(super) characters: Option<u64>,
    pub(super) language: Option<String>,
    pub(super) model: Option<String>,
}

impl Action {
    /// What one report tells.
    pub(super) fn of(report: &ChatAction, booking: Booking) -> Self {
        Self {
            exchange: report.request_id.as_deref().or(report.interaction_id.as_deref()).map(id_digest),
            booking,
            kind: report.kind,
            lines: report.lines.map(count),
            characters: report.characters.map(count),
            language: name(report.language.as_deref()),
            model: name(report.model.as_deref()),
        }
    }

    /// For the roll-up of its day.
    pub(super) fn told(self) -> ToldAction {
        ToldAction {
            exchange: self.exchange,
            kind: self.kind,
            lines: self.lines.unwrap_or_default(),
            language: self.language,
            model: self.model,
        }
    }
}

impl Fact for Action {
    fn merge(&mut self, other: &Self) {
        self.exchange = self.exchange.max(other.exchange);
        self.booking = self.booking.or(other.booking);
        self.kind = std::cmp::max_by_key(self.kind, other.kind, |kind| kind.as_str());
        self.lines = self.lines.max(other.lines);
        self.characters = self.characters.max(other.characters);
        raise(&mut self.language, &other.language);
        raise(&mut self.model, &other.model);
    }

    fn day(&self) -> NaiveDate {
        self.booking.day
    }

    fn count_in(&self, acceptance: &mut Acceptance) {
        acceptance.chat.add(self.kind, 1);
        if let ChatActionKind::Copied | ChatActionKind::Inserted | ChatActionKind::Applied = self.kind {
            acceptance.chat.lines += self.lines.unwrap_or_default();
        }
    }

    fn names(&self) -> [Option<&String>; 3] {
        [None, self.language.as_ref(), self.model.as_ref()]
    }
}

/// What is known of one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) day: NaiveDate,
    pub(super) lines_added: Option<u64>,
    pub(super) lines_removed: Option<u64>,
    pub(super) files_modified: Option<u64>,
    pub(super) premium_requests: Option<f64>,
    pub(super) nano_aiu: Option<u64>,
}

impl Session {
    /// What one report, which came on `day`, tells.
    pub(super) fn of(report: &SessionTotals, day: NaiveDate) -> Self {
        Self {
            day,
            lines_added: report.lines_added.map(count),
            lines_removed: report.lines_removed.map(count),
            files_modified: report.files_modified.map(count),
            premium_requests: report.premium_requests.filter(|requests| requests.is_finite()),
            // Kept as told: it is in no sum.
            nano_aiu: report.nano_aiu.map(|nano_aiu| nano_aiu.min(1 << 62)),
        }
    }
}

impl Fact for Session {
    fn merge(&mut self, other: &Self) {
        self.day = self.day.min(other.day);
        self.lines_added = self.lines_added.max(other.lines_added);
        self.lines_removed = self.lines_removed.max(other.lines_removed);
        self.files_modified = self.files_modified.max(other.files_modified);
        self.premium_requests = match (self.premium_requests, other.premium_requests) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        self.nano_aiu = self.nano_aiu.max(other.nano_aiu);
    }

    fn day(&self) -> NaiveDate {
        self.day
    }

    fn count_in(&self, acceptance: &mut Acceptance) {
        let sessions = &mut acceptance.sessions;
        sessions.count += 1;
        sessions.lines_added += self.lines_added.unwrap_or_default();
        sessions.lines_removed += self.lines_removed.unwrap_or_default();
        sessions.files_modified += self.files_modified.unwrap_or_default();
    }

    fn names(&self) -> [Option<&String>; 3] {
        [None; 3]
    }
}

fn count(n: u64) -> u64 {
    n.min(LARGEST_COUNT)
}

fn name(name: Option<&str>) -> Option<String> {
    let name = name.filter(|name| !name.is_empty())?;
    name.get(..name.floor_char_boundary(LONGEST_NAME)).map(str::to_owned)
}

/// Takes the greater of two names.
fn raise(name: &mut Option<String>, other: &Option<String>) {
    if *name < *other {
        name.clone_from(other);
    }
}
