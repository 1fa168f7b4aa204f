//! Facts from telemetry as rows and back. Each is read, put together with what is told, and written if that changed it.

use chrono::NaiveDate;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::acceptance;
use super::row::Columns;
use crate::copilot::observation::Observation;
use crate::copilot::vocabulary::{Class, Kind};
use crate::store::fact::{Action, Booked, Booking, Fact, Session, Suggestion};
use crate::store::sums::Changes;
use crate::usage::{IdDigest, Told, UsageEvent, id_digest};

const SUGGESTION: &str = "
    SELECT request, is_booked, day, is_next_edit, shown, accepted, accepted_fully, rejected, lines_shown, lines_accepted,
           characters_shown, characters_accepted, kept_s, lost_s, language, model, editor
    FROM suggestion";

const SUGGESTIONS_OF_REQUEST: &str = "SELECT id FROM suggestion WHERE user = ?1 AND request = ?2";

const DAY_OF_REQUEST: &str = "SELECT MIN(day) FROM usage_event WHERE user = ?1 AND request_id = ?2";

const DAY_OF_INTERACTION: &str = "
    SELECT MIN(day) FROM usage_event
    WHERE user = ?1 AND interaction_id = ?2 AND class = 'turn' AND kind = 'chat'";

const ACTION: &str = "
    SELECT exchange, is_booked, day, kind, lines, characters, language, model
    FROM chat_action";

const ACTIONS_OF_EXCHANGE: &str = "SELECT id FROM chat_action WHERE user = ?1 AND exchange = ?2";

const SESSION: &str = "
    SELECT day, lines_added, lines_removed, files_modified, premium_requests, nano_aiu
    FROM cli_session";

const BY_ID: &str = "WHERE user = ?1 AND id = ?2";

/// The order is that of the index.
const OF_DAY: &str = "WHERE day = ?1 AND user = ?2 ORDER BY id";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) fn all() -> Vec<String> {
    let facts = [SUGGESTION, ACTION, SESSION].map(|fact| format!("{fact} {BY_ID}"));
    let of_day = [SUGGESTION, ACTION].map(|fact| format!("{fact} {OF_DAY}"));
    let ids = [SUGGESTIONS_OF_REQUEST, ACTIONS_OF_EXCHANGE, DAY_OF_REQUEST, DAY_OF_INTERACTION].map(str::to_owned);
    [facts.as_slice(), &of_day, &ids].concat()
}

/// A fact as a row of its table, found by user and id.
trait Stored: Fact {
    const SELECT: &'static str;

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
            let booking = booking(connection, user, day, report.request_id.as_deref(), None)?;
            put(connection, changes, user, &id_digest(&report.suggestion_id), Suggestion::of(report, booking))
        }
        Observation::ChatAction(report) => {
            let (request_id, interaction_id) = (report.request_id.as_deref(), report.interaction_id.as_deref());
            let booking = booking(connection, user, day, request_id, interaction_id)?;
            put(connection, changes, user, &id_digest(&report.key), Action::of(report, booking))
        }
        Observation::Session(report) => {
            put(connection, changes, user, &id_digest(&report.session_id), Session::of(report, day))
        }
    }
}

/// Books suggestions and actions that were reported before their exchange on its day.
pub(super) fn rebook(connection: &Connection, changes: &mut Changes, event: &UsageEvent) -> rusqlite::Result<()> {
    let is_turn = (event.kind, event.class) == (Kind::Chat, Class::Turn);
    if let Some(request_id) = &event.request_id {
        rebook_all::<Suggestion>(connection, changes, event, SUGGESTIONS_OF_REQUEST, request_id)?;
        rebook_all::<Action>(connection, changes, event, ACTIONS_OF_EXCHANGE, request_id)?;
    }
    if let Some(interaction_id) = event.interaction_id.as_ref().filter(|_| is_turn) {
        rebook_all::<Action>(connection, changes, event, ACTIONS_OF_EXCHANGE, interaction_id)?;
    }
    Ok(())
}

fn rebook_all<F: Stored + Booked>(
    connection: &Connection,
    changes: &mut Changes,
    event: &UsageEvent,
    ids_of: &str,
    id: &str,
) -> rusqlite::Result<()> {
    let ids: Vec<IdDigest> = {
        let mut statement = connection.prepare_cached(ids_of)?;
        let ids = statement.query_map(params![event.user, id_digest(id)], |row| row.get(0))?;
        ids.collect::<rusqlite::Result<_>>()?
    };
    for id in ids {
        if let Some(before) = find::<F>(connection, &event.user, &id)? {
            let mut after = before.clone();
            after.book(Booking { is_exchanges: true, day: event.day() });
            save(connection, changes, &event.user, &id, Some(&before), &after)?;
        }
    }
    Ok(())
}

/// Where something is booked that a client tells of an exchange: by its request id, or by its interaction where that alone is
/// told.
fn booking(
    connection: &Connection,
    user: &str,
    told: NaiveDate,
    request_id: Option<&str>,
    interaction_id: Option<&str>,
) -> rusqlite::Result<Booking> {
    let told = Booking { is_exchanges: false, day: told };
    let of_request = request_id.map(|id| (DAY_OF_REQUEST, id));
    let Some((sql, id)) = of_request.or(interaction_id.map(|id| (DAY_OF_INTERACTION, id))) else { return Ok(told) };
    let day: Option<NaiveDate> =
        connection.prepare_cached(sql)?.query_row(params![user, id], |row| Columns::of(row).word_or_null())?;
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
    let sql = format!("{} {BY_ID}", F::SELECT);
    connection.prepare_cached(&sql)?.query_row(params![user, id], F::read).optional()
}

/// What telemetry told that is booked on a user's day.
pub(super) fn told(connection: &Connection, user: &str, day: NaiveDate) -> rusqlite::Result<Told> {
    Ok(Told {
        telemetry: acceptance::telemetry_came(connection, day, user)?,
        suggestions: of_day(connection, user, day)?.into_iter().map(Suggestion::told).collect(),
        actions: of_day(connection, user, day)?.into_iter().map(Action::told).collect(),
    })
}

fn of_day<F: Stored>(connection: &Connection, user: &str, day: NaiveDate) -> rusqlite::Result<Vec<F>> {
    let mut statement = connection.prepare_cached(&format!("{} {OF_DAY}", F::SELECT))?;
    let facts = statement.query_map(params![day.to_string(), user], F::read)?;
    facts.collect()
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
    const SELECT: &'static str = SUGGESTION;

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
    const SELECT: &'static str = ACTION;

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut columns = Columns::of(row);
        Ok(Self {
            exchange: columns.next()?,
            booking: Booking { is_exchanges: columns.next()?, day: columns.word()? },
            kind: columns.word()?,
            lines: columns.next()?,
            characters: columns.next()?,
            language: columns.next()?,
            model: columns.next()?,
        })
    }

    fn write(&self, connection: &Connection, user: &str, id: &IdDigest) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT OR REPLACE INTO chat_action
                 (user, id, exchange, is_booked, day, kind, lines, characters, language, model)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        let written = statement.execute(params![
            user,
            id,
            self.exchange,
            self.booking.is_exchanges,
            self.booking.day.to_string(),
            self.kind.as_str(),
            self.lines,
            self.characters,
            self.language,
            self.model,
        ]);
        written.map(drop)
    }
}

impl Stored for Session {
    const SELECT: &'static str = SESSION;

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
