//! Facts from telemetry as rows and back. Each is read, put together with what is told, and written if that changed it.

use chrono::NaiveDate;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::acceptance::Changes;
use super::row::Columns;
use crate::copilot::observation::{Observation, SuggestionReport};
use crate::store::fact::{Action, Booking, Fact, IdDigest, Session, Suggestion, id_digest};
use crate::usage::UsageEvent;

const SUGGESTION: &str = "
    SELECT request, is_booked, day, is_next_edit, shown, accepted, accepted_fully, rejected, lines_shown, lines_accepted,
           characters_shown, characters_accepted, kept_s, lost_s, language, model, editor
    FROM suggestion WHERE user = ?1 AND id = ?2";

const SUGGESTIONS_OF_REQUEST: &str = "SELECT id FROM suggestion WHERE user = ?1 AND request = ?2";

const DAY_OF_REQUEST: &str = "SELECT MIN(day) FROM usage_event WHERE user = ?1 AND request_id = ?2";

const ACTION: &str = "
    SELECT day, kind, lines, characters, language, model, interaction_id, request_id
    FROM chat_action WHERE user = ?1 AND id = ?2";

const SESSION: &str = "
    SELECT day, lines_added, lines_removed, files_modified, premium_requests, nano_aiu
    FROM cli_session WHERE user = ?1 AND id = ?2";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) const ALL: [&str; 5] = [SUGGESTION, SUGGESTIONS_OF_REQUEST, DAY_OF_REQUEST, ACTION, SESSION];

/// A fact as a row of its table, found by user and id.
trait Stored: Fact {
    const FIND: &'static str;

    fn read(row: &Row<'_>) -> rusqlite::Result<Self>;
    fn write(&self, connection: &Connection, user: &str, id: &IdDigest) -> rusqlite::Result<()>;
}

/// Takes in one observation of a request of `user` that ended on `day`.
pub(super) fn take(
    connection: &Connection,
    changes: &mut Changes,
    user: &str,
    day: NaiveDate,
    observation: &Observation,
) -> rusqlite::Result<()> {
    match observation {
        Observation::Suggestion(report) => {
            let told = Suggestion::of(report, booking(connection, user, day, report)?);
            put(connection, changes, user, &id_digest(&report.suggestion_id), told)
        }
        Observation::ChatAction(report) => {
            put(connection, changes, user, &id_digest(&report.key), Action::of(report, day))
        }
        Observation::Session(report) => {
            put(connection, changes, user, &id_digest(&report.session_id), Session::of(report, day))
        }
    }
}

/// Books suggestions that were reported before their exchange on its day.
pub(super) fn rebook(connection: &Connection, changes: &mut Changes, event: &UsageEvent) -> rusqlite::Result<()> {
    let Some(request_id) = &event.request_id else { return Ok(()) };
    let ids: Vec<IdDigest> = {
        let mut statement = connection.prepare_cached(SUGGESTIONS_OF_REQUEST)?;
        let ids = statement.query_map(params![event.user, id_digest(request_id)], |row| row.get(0))?;
        ids.collect::<rusqlite::Result<_>>()?
    };
    for id in ids {
        if let Some(before) = find::<Suggestion>(connection, &event.user, &id)? {
            let booking = before.booking.or(Booking { is_exchanges: true, day: event.day() });
            let after = Suggestion { booking, ..before.clone() };
            save(connection, changes, &event.user, &id, Some(&before), &after)?;
        }
    }
    Ok(())
}

fn booking(
    connection: &Connection,
    user: &str,
    told: NaiveDate,
    report: &SuggestionReport,
) -> rusqlite::Result<Booking> {
    let told = Booking { is_exchanges: false, day: told };
    let Some(request_id) = &report.request_id else { return Ok(told) };
    let day: Option<NaiveDate> = connection
        .prepare_cached(DAY_OF_REQUEST)?
        .query_row(params![user, request_id], |row| Columns::of(row).word_or_null())?;
    Ok(day.map_or(told, |day| Booking { is_exchanges: true, day }))
}

fn put<F: Stored>(
    connection: &Connection,
    changes: &mut Changes,
    user: &str,
    id: &IdDigest,
    told: F,
) -> rusqlite::Result<()> {
    let before: Option<F> = find(connection, user, id)?;
    let mut after = told;
    if let Some(before) = &before {
        after.merge(before);
    }
    save(connection, changes, user, id, before.as_ref(), &after)
}

fn find<F: Stored>(connection: &Connection, user: &str, id: &IdDigest) -> rusqlite::Result<Option<F>> {
    connection.prepare_cached(F::FIND)?.query_row(params![user, id], F::read).optional()
}

fn save<F: Stored>(
    connection: &Connection,
    changes: &mut Changes,
    user: &str,
    id: &IdDigest,
    before: Option<&F>,
    after: &F,
) -> rusqlite::Result<()> {
    if before == Some(after) {
        return Ok(());
    }
    after.write(connection, user, id)?;
    changes.replace(user, before, after);
    Ok(())
}

impl Stored for Suggestion {
    const FIND: &'static str = SUGGESTION;

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut columns = Columns::of(row);
        Ok(Self {
            request: columns.next()?,
            booking: Booking { is_exchanges: columns.next()?, day: columns.word()? },
            is_next_edit: columns.next()?,
            shown: columns.next()?,
            accepted: columns.next()?,
            accepted_fully: columns.next()?,
            rejected: columns.next()?,
            lines_shown: columns.next()?,
            lines_accepted: columns.next()?,
            characters_shown: columns.next()?,
            characters_accepted: columns.next()?,
            kept_s: columns.next()?,
            lost_s: columns.next()?,
            language: columns.next()?,
            model: columns.next()?,
            editor: columns.next()?,
        })
    }

    fn write(&self, connection: &Connection, user: &str, id: &IdDigest) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO suggestion (user, id, request, is_booked, day, is_next_edit, shown, accepted,
                 accepted_fully, rejected, lines_shown, lines_accepted, characters_shown, characters_accepted,
                 kept_s, lost_s, language, model, editor)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?;
        let written = statement.execute(params![
            user,
            id,
            self.request,
            self.booking.is_exchanges,
            self.booking.day.to_string(),
            self.is_next_edit,
            self.shown,
            self.accepted,
            self.accepted_fully,
            self.rejected,
            self.lines_shown,
            self.lines_accepted,
            self.characters_shown,
            self.characters_accepted,
            self.kept_s,
            self.lost_s,
            self.language,
            self.model,
            self.editor,
        ]);
        written.map(drop)
    }
}

impl Stored for Action {
    const FIND: &'static str = ACTION;

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut columns = Columns::of(row);
        Ok(Self {
            day: columns.word()?,
            kind: columns.word()?,
            lines: columns.next()?,
            characters: columns.next()?,
            language: columns.next()?,
            model: columns.next()?,
            interaction_id: columns.next()?,
            request_id: columns.next()?,
        })
    }

    fn write(&self, connection: &Connection, user: &str, id: &IdDigest) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO chat_action
                 (user, id, day, kind, lines, characters, language, model, interaction_id, request_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        let written = statement.execute(params![
            user,
            id,
            self.day.to_string(),
            self.kind.as_str(),
            self.lines,
            self.characters,
            self.language,
            self.model,
            self.interaction_id,
            self.request_id,
        ]);
        written.map(drop)
    }
}

impl Stored for Session {
    const FIND: &'static str = SESSION;

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut columns = Columns::of(row);
        Ok(Self {
            day: columns.word()?,
            lines_added: columns.next()?,
            lines_removed: columns.next()?,
            files_modified: columns.next()?,
            premium_requests: columns.next()?,
            nano_aiu: columns.next()?,
        })
    }

    fn write(&self, connection: &Connection, user: &str, id: &IdDigest) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO cli_session
                 (user, id, day, lines_added, lines_removed, files_modified, premium_requests, nano_aiu)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let written = statement.execute(params![
            user,
            id,
            self.day.to_string(),
            self.lines_added,
            self.lines_removed,
            self.files_modified,
            self.premium_requests,
            self.nano_aiu,
        ]);
        written.map(drop)
    }
}
