//! Roll-ups as bytes: a name once and numbers in as few bytes as they need, a third of what JSON takes. Whoever changes a format here
//! has a migration forget the roll-ups and mark all days stale.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{Dated, DayRange, MonthSum};
use crate::usage::{
    COUNTERS, Cell, Cells, Client, Counts, Engagement, OrganizationDay, OrganizationSums, Surfaces, Totals, UserDay,
};

/// Why bytes are no roll-up.
pub(in crate::store) type Error = postcard::Error;

/// Something that is kept as bytes.
pub(in crate::store) trait Packed: Sized {
    /// As bytes.
    fn pack(&self) -> Result<Vec<u8>, Error>;
    /// From bytes.
    fn unpack(bytes: &[u8]) -> Result<Self, Error>;
}

/// Names by their places in a list: 0 is none.
#[derive(Default)]
struct Names<'a> {
    list: Vec<&'a str>,
    places: HashMap<&'a str, u32>,
}

impl<'a> Names<'a> {
    fn place(&mut self, name: &'a str) -> u32 {
        *self.places.entry(name).or_insert_with(|| {
            self.list.push(name);
            u32::try_from(self.list.len()).unwrap_or(u32::MAX)
        })
    }

    fn place_or_none(&mut self, name: Option<&'a String>) -> u32 {
        name.map_or(0, |name| self.place(name))
    }

    fn cells(&mut self, cells: &'a Cells) -> Vec<PackedCell> {
        let packed = cells.iter().map(|(cell, counts)| {
            ([&cell.ide, &cell.feature, &cell.language, &cell.model].map(|name| self.place(name)), numbers(counts))
        });
        packed.collect()
    }
}

/// The places of its names, and its counts.
type PackedCell = ([u32; 4], [u64; COUNTERS]);

fn numbers(counts: &Counts) -> [u64; COUNTERS] {
    { *counts }.counters().map(|count| *count)
}

fn counts(numbers: [u64; COUNTERS]) -> Counts {
    let mut counts = Counts::default();
    counts.counters().into_iter().zip(numbers).for_each(|(count, number)| *count = number);
    counts
}

fn name_or_none(names: &[&str], place: u32) -> Result<Option<String>, Error> {
    let Some(index) = usize::try_from(place).ok().and_then(|place| place.checked_sub(1)) else { return Ok(None) };
    names.get(index).map(|name| Some((*name).to_owned())).ok_or(Error::DeserializeBadEncoding)
}

fn name(names: &[&str], place: u32) -> Result<String, Error> {
    name_or_none(names, place)?.ok_or(Error::DeserializeBadEncoding)
}

fn cells(names: &[&str], packed: Vec<PackedCell>) -> Result<Cells, Error> {
    let cells = packed.into_iter().map(|([ide, feature, language, model], numbers)| {
        let cell = Cell {
            ide: name(names, ide)?,
            feature: name(names, feature)?,
            language: name(names, language)?,
            model: name(names, model)?,
        };
        Ok((cell, counts(numbers)))
    });
    cells.collect()
}

#[derive(Serialize, Deserialize)]
struct PackedUserDay<'a> {
    telemetry: bool,
    cli_sessions: u64,
    app_sessions: u64,
    #[serde(borrow)]
    names: Vec<&'a str>,
    cells: Vec<PackedCell>,
    clients: Vec<(u32, PackedClient)>,
}

/// Version, plugin and editor, and microseconds since 1970.
type PackedClient = ([u32; 3], i64);

fn packed_client<'a>(names: &mut Names<'a>, client: &'a Client) -> PackedClient {
    let told = [&client.version, &client.plugin, &client.editor];
    (told.map(|name| names.place_or_none(name.as_ref())), client.seen_at.timestamp_micros())
}

fn client(names: &[&str], ([version, plugin, editor], micros): PackedClient) -> Result<Client, Error> {
    Ok(Client {
        version: name_or_none(names, version)?,
        plugin: name_or_none(names, plugin)?,
        editor: name_or_none(names, editor)?,
        seen_at: DateTime::<Utc>::from_timestamp_micros(micros).ok_or(Error::DeserializeBadEncoding)?,
    })
}

impl Packed for UserDay {
    fn pack(&self) -> Result<Vec<u8>, Error> {
        let mut names = Names::default();
        let cells = names.cells(&self.cells);
        let clients =
            self.clients.iter().map(|(ide, client)| (names.place(ide), packed_client(&mut names, client))).collect();
        let Self { telemetry, cli_sessions, app_sessions, .. } = *self;
        let packed = PackedUserDay { telemetry, cli_sessions, app_sessions, cells, clients, names: names.list };
        postcard::to_stdvec(&packed)
    }

    fn unpack(bytes: &[u8]) -> Result<Self, Error> {
        let packed: PackedUserDay<'_> = postcard::from_bytes(bytes)?;
        let names = &packed.names;
        let clients = packed.clients.into_iter().map(|(ide, last)| Ok((name(names, ide)?, client(names, last)?)));
        Ok(Self {
            telemetry: packed.telemetry,
            cells: cells(names, packed.cells)?,
            cli_sessions: packed.cli_sessions,
            app_sessions: packed.app_sessions,
            clients: clients.collect::<Result<_, Error>>()?,
        })
    }
}

impl Packed for Client {
    fn pack(&self) -> Result<Vec<u8>, Error> {
        let mut names = Names::default();
        let packed = packed_client(&mut names, self);
        postcard::to_stdvec(&(names.list, packed))
    }

    fn unpack(bytes: &[u8]) -> Result<Self, Error> {
        let (names, packed): (Vec<&str>, PackedClient) = postcard::from_bytes(bytes)?;
        client(&names, packed)
    }
}

#[derive(Serialize, Deserialize)]
struct PackedOrganizationSums<'a> {
    users: u64,
    users_with_telemetry: u64,
    cli_sessions: u64,
    app_sessions: u64,
    #[serde(borrow)]
    names: Vec<&'a str>,
    /// By editor, language, model, and language and model.
    by: [Vec<PackedCell>; 4],
}

impl Packed for OrganizationSums {
    fn pack(&self) -> Result<Vec<u8>, Error> {
        let mut names = Names::default();
        let by = [&self.by_ide, &self.by_language, &self.by_model, &self.by_language_and_model];
        let by = by.map(|cells| names.cells(cells));
        let Self { users, users_with_telemetry, cli_sessions, app_sessions, .. } = *self;
        let names = names.list;
        postcard::to_stdvec(&PackedOrganizationSums {
            users,
            users_with_telemetry,
            cli_sessions,
            app_sessions,
            names,
            by,
        })
    }

    fn unpack(bytes: &[u8]) -> Result<Self, Error> {
        let packed: PackedOrganizationSums<'_> = postcard::from_bytes(bytes)?;
        let (names, [by_ide, by_language, by_model, by_language_and_model]) = (&packed.names, packed.by);
        Ok(Self {
            users: packed.users,
            users_with_telemetry: packed.users_with_telemetry,
            cli_sessions: packed.cli_sessions,
            app_sessions: packed.app_sessions,
            by_ide: cells(names, by_ide)?,
            by_language: cells(names, by_language)?,
            by_model: cells(names, by_model)?,
            by_language_and_model: cells(names, by_language_and_model)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct PackedOrganizationDay<'a> {
    users: u64,
    users_with_telemetry: u64,
    users_by_surface: [u64; 5],
    engaged_users: u64,
    cli_sessions: u64,
    app_sessions: u64,
    #[serde(borrow)]
    names: Vec<&'a str>,
    cells: Vec<PackedCell>,
    /// Whether of chat; editor, model and language; users.
    engaged: Vec<(bool, [u32; 3], u64)>,
}

impl Packed for OrganizationDay {
    fn pack(&self) -> Result<Vec<u8>, Error> {
        let mut names = Names::default();
        let cells = names.cells(&self.cells);
        let engaged = self.engaged.iter().map(|(line, users)| {
            let told = [&line.editor, &line.model, &line.language];
            (line.chat, told.map(|name| names.place_or_none(name.as_ref())), *users)
        });
        let packed = PackedOrganizationDay {
            users: self.users,
            users_with_telemetry: self.users_with_telemetry,
            users_by_surface: self.users_by_surface,
            engaged_users: self.engaged_users,
            cli_sessions: self.cli_sessions,
            app_sessions: self.app_sessions,
            cells,
            engaged: engaged.collect(),
            names: names.list,
        };
        postcard::to_stdvec(&packed)
    }

    fn unpack(bytes: &[u8]) -> Result<Self, Error> {
        let packed: PackedOrganizationDay<'_> = postcard::from_bytes(bytes)?;
        let names = &packed.names;
        let engaged = packed.engaged.into_iter().map(|(chat, [editor, model, language], users)| {
            let line = Engagement {
                chat,
                editor: name_or_none(names, editor)?,
                model: name_or_none(names, model)?,
                language: name_or_none(names, language)?,
            };
            Ok((line, users))
        });
        let engaged = engaged.collect::<Result<BTreeMap<_, _>, Error>>()?;
        Ok(Self {
            users: packed.users,
            users_with_telemetry: packed.users_with_telemetry,
            users_by_surface: packed.users_by_surface,
            engaged_users: packed.engaged_users,
            cells: cells(names, packed.cells)?,
            cli_sessions: packed.cli_sessions,
            app_sessions: packed.app_sessions,
            engaged,
        })
    }
}

/// Counts, completions, surfaces and telemetry.
type PackedTotals = ([u64; COUNTERS], u64, u8, bool);

fn packed_totals(totals: &Totals) -> PackedTotals {
    (numbers(&totals.counts), totals.completions, totals.surfaces.0, totals.telemetry)
}

fn totals((numbers, completions, surfaces, telemetry): PackedTotals) -> Totals {
    Totals { counts: counts(numbers), completions, surfaces: Surfaces(surfaces), telemetry }
}

impl Packed for Totals {
    fn pack(&self) -> Result<Vec<u8>, Error> {
        postcard::to_stdvec(&packed_totals(self))
    }

    fn unpack(mut bytes: &[u8]) -> Result<Self, Error> {
        take_totals(&mut bytes)
    }
}

/// By hand, for a year of ten thousand users is half a million of them.
fn take_totals(bytes: &mut &[u8]) -> Result<Totals, Error> {
    let mut numbers = [0; COUNTERS];
    for number in &mut numbers {
        *number = varint(bytes)?;
    }
    let completions = varint(bytes)?;
    let [surfaces, telemetry, rest @ ..] = *bytes else { return Err(Error::DeserializeUnexpectedEnd) };
    *bytes = rest;
    match telemetry {
        0 | 1 => Ok(totals((numbers, completions, *surfaces, *telemetry == 1))),
        _ => Err(Error::DeserializeBadBool),
    }
}

/// A number as postcard has it: seven bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Result<u64, Error> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Error::DeserializeUnexpectedEnd)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Error::DeserializeBadVarint)
}

/// The sum, the days active, and those by surface.
type PackedMonthSum = (PackedTotals, u32, [u32; 5]);

impl Packed for MonthSum {
    fn pack(&self) -> Result<Vec<u8>, Error> {
        let packed: PackedMonthSum = (packed_totals(&self.totals), self.active, self.surfaces);
        postcard::to_stdvec(&packed)
    }

    fn unpack(bytes: &[u8]) -> Result<Self, Error> {
        let mut rest = bytes;
        let totals = take_totals(&mut rest)?;
        let (active, surfaces) = postcard::from_bytes(rest)?;
        Ok(Self { totals, active, surfaces })
    }
}

/// The number of the first day, then of each how many days after that it is, and what is packed of it: with its length before
/// it, so that what is not asked for need not be read.
impl<T: Packed> Packed for Dated<T> {
    fn pack(&self) -> Result<Vec<u8>, Error> {
        let number = |day: NaiveDate| day.num_days_from_ce();
        let first = self.each().next().map(|(day, _)| number(*day)).unwrap_or_default();
        let mut days = Vec::new();
        for (day, known) in self.each() {
            days.push((number(*day).abs_diff(first), known.pack()?));
        }
        postcard::to_stdvec(&(first, days))
    }

    fn unpack(bytes: &[u8]) -> Result<Self, Error> {
        let mut days = Vec::new();
        each_between(bytes, (NaiveDate::MIN, NaiveDate::MAX), &mut |day, known| days.push((day, known)))?;
        Ok(days.into_iter().collect())
    }
}

/// Hands over what a packed [`Dated`] has of the days of a range.
pub(in crate::store) fn each_between<T: Packed>(
    bytes: &[u8],
    (from, to): DayRange,
    each: &mut dyn FnMut(NaiveDate, T),
) -> Result<(), Error> {
    let asked = from.num_days_from_ce()..=to.num_days_from_ce();
    let ((first, count), mut rest): ((i32, usize), &[u8]) = postcard::take_from_bytes(bytes)?;
    for _ in 0..count {
        let ((after, known), others): ((u32, &[u8]), &[u8]) = postcard::take_from_bytes(rest)?;
        rest = others;
        let number = first.checked_add_unsigned(after).ok_or(Error::DeserializeBadEncoding)?;
        if asked.contains(&number) {
            let day = NaiveDate::from_num_days_from_ce_opt(number).ok_or(Error::DeserializeBadEncoding)?;
            each(day, T::unpack(known)?);
        }
    }
    Ok(())
}
