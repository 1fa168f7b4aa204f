//! What becomes of a batch of spooled entries: what was told in passing goes to the store; each exchange is understood,
//! classed, written as a record file and counted.
//!
//! All of it can be done again with the same result: a batch that met a fault is, and so is one that a crash cut off.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::days::DayFiles;
use super::editors::Editors;
use super::fault::Fault;
use super::files::{FileError, RecordFiles};
use super::pending::{PATIENCE, Pending, Waiting};
use super::record::Record;
use super::samples::Samples;
use super::understanding::understand;
use crate::config::{Live, Loaded, Noise};
use crate::copilot::observation::{Fate, Notice, Observation, SuggestionReport};
use crate::copilot::vocabulary::{Class, Kind, Outcome};
use crate::copilot::{self, Facts, History, Reason, Understanding, Verdict};
use crate::exchange::{ExchangeId, Head};
use crate::metrics::{Gained, Metrics};
use crate::spool::{Entry, Spooled};
use crate::store::{Gain, Noticed, StoreError, UsageStore};
use crate::usage::{IdDigest, UsageEvent, id_digest};

/// Books exchanges and notices.
pub(super) struct Booking {
    store: Arc<dyn UsageStore>,
    files: RecordFiles,
    pending: Pending,
    editors: Editors,
    samples: Samples,
    pub(super) days: DayFiles,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
}

impl Booking {
    pub(super) fn new(store: Arc<dyn UsageStore>, files: RecordFiles, live: Arc<Live>, metrics: Arc<Metrics>) -> Self {
        Self {
            pending: Pending::new(files.clone()),
            editors: Editors::default(),
            samples: Samples::new(files.clone(), Arc::clone(&metrics)),
            days: DayFiles::new(Arc::clone(&store), files.clone()),
            store,
            files,
            live,
            metrics,
        }
    }

    /// Books a batch. Notices go first, so that exchanges of the same batch know whether they were shown.
    pub(super) fn book(&mut self, batch: &[Entry]) -> Result<(), Fault> {
        let loaded = self.live.current();
        self.samples.begin();
        self.take_notice(batch, &loaded)?;
        let mut past = Past::default();
        let mut events = Vec::with_capacity(batch.len());
        for entry in batch {
            let understanding = match &entry.spooled {
                Spooled::Told(_) => continue,
                Spooled::AsSent(exchange) => understand(exchange, loaded.settings.capture.decode_limit()),
                Spooled::Understood(understood) => understood.1.clone(),
            };
            events.push(self.record(entry.spooled.head(), understanding, &loaded, &mut past)?.event()?);
        }
        let inserted = self.store.insert(&events)?;
        self.count(&events, &inserted.new);
        self.days.add(&events, &inserted.new)?;
        self.days.look_again(inserted.rebooked)?;
        self.samples.count();
        events.iter().for_each(log);
        Ok(())
    }

    fn take_notice(&mut self, batch: &[Entry], loaded: &Loaded) -> Result<(), Fault> {
        let mut notices = Vec::new();
        for entry in batch {
            if let Spooled::Told(told) = &entry.spooled {
                let (head, told) = &**told;
                self.samples.keep(&told.unrecognised)?;
                let (id, user, at) = (head.id, head.user.clone(), head.timings.ended_at);
                notices.push(Noticed { id, user, at, notice: told.notice.clone() });
            }
        }
        if notices.is_empty() {
            return Ok(());
        }
        let taken = self.store.take_notice(&notices)?;
        self.count_gains(&taken.gains);
        self.days.look_again(taken.days)?;
        for noticed in &notices {
            shown(noticed).try_for_each(|id| self.show(&noticed.user, id_digest(id), noticed.at, loaded))?;
        }
        Ok(())
    }

    /// Takes in what the fleet's other proxies were told and have brought: completions that wait here and were shown, and the newest
    /// days.
    pub(super) fn follow_fleet(&mut self) -> Result<(), Fault> {
        let loaded = self.live.current();
        let waiting = self.pending.all().map_err(|error| FileError::write(&self.files.pending_dir(), error))?;
        if !waiting.is_empty() {
            for (user, request) in self.store.were_shown(&waiting)? {
                self.show(&user, request, Utc::now(), &loaded)?;
            }
        }
        Ok(self.days.look_at_fleet(Utc::now().date_naive())?)
    }

    /// A completion that waited was shown, as was told at `at`, so it is a turn.
    fn show(&mut self, user: &str, request: IdDigest, at: DateTime<Utc>, loaded: &Loaded) -> Result<(), Fault> {
        let Some(Waiting { client, mut record }) = self.pending.find(user, request)? else { return Ok(()) };
        if (at - record.ended_at()?).to_std().is_ok_and(|waited| waited > PATIENCE) {
            // The next sweep takes it.
            return Ok(());
        }
        (record.class, record.reason) = (Class::Turn, None);
        record.keep(loaded.content_of(user));
        match loaded.settings.capture.noise {
            // It is there already, as noise.
            Noise::Record => self.files.write_over(&record, client)?,
            Noise::Drop => self.files.write(&record, client)?,
        };
        let event = record.event()?;
        let changed = self.store.replace(std::slice::from_ref(&event))?;
        self.count(std::slice::from_ref(&event), &changed);
        self.days.add(std::slice::from_ref(&event), &changed)?;
        // A store made anew meanwhile had what was told of it on the day of the telemetry.
        self.days.look_again([event.day()])?;
        Ok(self.pending.remove(user, request)?)
    }

    fn record(
        &mut self,
        head: &Head,
        mut understanding: Understanding,
        loaded: &Loaded,
        past: &mut Past,
    ) -> Result<Record, Fault> {
        let capture = &loaded.settings.capture;
        // Exchanges may still wait in the spool from before the setting was changed.
        understanding.keep(loaded.content_of(&head.user));
        let facts = &mut understanding.facts;
        self.editors.complete(head, facts, &*self.store)?;
        self.samples.keep(&facts.unrecognised)?;
        let verdict = copilot::classify(facts, self.history(head, facts, past)?);
        past.add(head, facts, &verdict);
        let awaited = facts.request_id.clone().filter(|_| verdict.awaits_display && capture.telemetry);
        let record = Record::new(head, understanding, &verdict);
        if record.class != Class::Noise || capture.noise == Noise::Record {
            self.files.write(&record, head.client)?;
        }
        match awaited {
            None => Ok(record),
            Some(request_id) => {
                let waiting = Waiting { client: head.client, record };
                self.pending.keep(&request_id, &waiting)?;
                Ok(waiting.record)
            }
        }
    }

    /// What the class depends on besides the exchange itself.
    fn history(&self, head: &Head, facts: &Facts, past: &Past) -> Result<History, StoreError> {
        let (user, end) = (&head.user, (head.timings.ended_at, head.id));
        let mut history = History::default();
        if let Some(id) = &facts.request_id {
            history.repeat_of_success =
                before(&past.answered, user, id, end) || self.store.was_answered(user, id, end)?;
            let unseen = facts.speculative || facts.outcome != Outcome::Completed;
            history.shown = facts.kind == Kind::Completions && unseen && self.store.was_shown(user, id)?;
        }
        if let Some(id) = facts.interaction_id.as_deref().filter(|_| facts.kind == Kind::Chat) {
            history.same_turn = before(&past.turns, user, id, end) || self.store.had_turn(user, id, end)?;
        }
        Ok(history)
    }

    /// Those that were new: a batch is done again after a fault, and after a crash.
    fn count(&self, events: &[UsageEvent], new: &[bool]) {
        let user_limit = self.user_limit();
        for (event, _) in events.iter().zip(new).filter(|(_, new)| **new) {
            self.metrics.usage.count(event, user_limit);
            self.metrics.exchanges.inc((event.kind, event.class));
            let reason = Reason::ALL.into_iter().find(|reason| Some(reason.as_str()) == event.reason.as_deref());
            if let Some(reason) = reason.filter(|reason| reason.class() == Class::Noise) {
                self.metrics.noise.inc(reason);
            }
        }
    }

    fn count_gains(&self, gains: &[Gain]) {
        let user_limit = self.user_limit();
        for Gain { user, editor, language, model, more } in gains {
            let (editor, language, model) = (editor.as_deref(), language.as_deref(), model.as_deref());
            self.metrics.usage.gain(Gained { user, editor, language, model, more }, user_limit);
        }
    }

    fn user_limit(&self) -> Option<usize> {
        self.live.current().settings.metrics.labelled_users()
    }
}

/// The requests of which a notice tells that they were shown.
fn shown(noticed: &Noticed) -> impl Iterator<Item = &str> {
    let observations = match &noticed.notice {
        Notice::Telemetry(observations) => observations.as_slice(),
        Notice::CliTelemetry(_) | Notice::Account(_) => &[],
    };
    observations.iter().filter_map(|observation| match observation {
        Observation::Suggestion(SuggestionReport { fate: Fate::Shown | Fate::Accepted { .. }, request_id, .. }) => {
            request_id.as_deref()
        }
        _ => None,
    })
}

/// When an exchange ended; ties are broken by its id.
type End = (DateTime<Utc>, ExchangeId);

/// The first end of something by user and name.
type Firsts = HashMap<(String, String), End>;

/// Exchanges of this batch that the store has only afterwards.
#[derive(Default)]
struct Past {
    /// Requests that were answered with success, by `X-Request-Id`.
    answered: Firsts,
    /// Chat turns, by `X-Interaction-Id`.
    turns: Firsts,
}

impl Past {
    fn add(&mut self, head: &Head, facts: &Facts, verdict: &Verdict) {
        let end = (head.timings.ended_at, head.id);
        if let (Some(id), Some(200..=299)) = (&facts.request_id, head.status()) {
            note(&mut self.answered, &head.user, id, end);
        }
        if let Some(id) = &facts.interaction_id
            && (facts.kind, verdict.class) == (Kind::Chat, Class::Turn)
        {
            note(&mut self.turns, &head.user, id, end);
        }
    }
}

fn note(firsts: &mut Firsts, user: &str, name: &str, end: End) {
    let first = firsts.entry((user.to_owned(), name.to_owned())).or_insert(end);
    *first = end.min(*first);
}

fn before(firsts: &Firsts, user: &str, name: &str, end: End) -> bool {
    firsts.get(&(user.to_owned(), name.to_owned())).is_some_and(|first| *first < end)
}

/// One line an exchange.
fn log(event: &UsageEvent) {
    tracing::info!(
        id = %event.id,
        user = event.user,
        kind = event.kind.as_str(),
        class = event.class.as_str(),
        reason = event.reason,
        status = event.status,
        ms = event.duration_ms,
        bytes = event.request_bytes + event.response_bytes,
        "exchange"
    );
}

#[cfg(test)]
mod tests;
