//! Bringing roll-ups in step with the events that they follow from.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::{DayOf, FIRST_DAY, Month, Rows, WriteRows, Year, month_of, year_of};
use crate::usage::{Client, OrganizationDay, UserDay};

/// Makes up to `limit` stale days anew; true where more are left.
pub(in crate::store) fn refresh<W: WriteRows>(rows: &mut W, limit: usize) -> Result<bool, W::Error> {
    let (days, more) = rows.take_stale(limit)?;
    renew(rows, &days)?;
    Ok(more)
}

/// Makes these days anew, and all that is a sum of them.
pub(in crate::store) fn renew<W: WriteRows>(rows: &mut W, days: &BTreeSet<DayOf>) -> Result<(), W::Error> {
    let folded = rows.folded(days)?;
    put(rows, days, folded)
}

/// Stores these days as they are, and all that is a sum of them.
pub(in crate::store) fn put<W: WriteRows>(
    rows: &mut W,
    days: &BTreeSet<DayOf>,
    known: BTreeMap<DayOf, UserDay>,
) -> Result<(), W::Error> {
    let mut before = rows.stored(days)?;
    let mut changed = BTreeMap::new();
    for (of, after) in known {
        let before = before.remove(&of).unwrap_or_default();
        if before != after {
            rows.put_day(&of, &after)?;
            changed.insert(of, Change { before, after });
        }
    }
    renew_organization_days(rows, &changed)?;
    renew_months(rows, &changed)?;
    renew_clients(rows, &changed)
}

struct Change {
    before: UserDay,
    after: UserDay,
}

fn renew_organization_days<W: WriteRows>(rows: &mut W, changed: &BTreeMap<DayOf, Change>) -> Result<(), W::Error> {
    let mut days: BTreeMap<NaiveDate, OrganizationDay> = BTreeMap::new();
    for ((day, _), change) in changed {
        let sum = match days.entry(*day) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                unknown.insert(rows.organization_days(*day, *day)?.remove(day).unwrap_or_default())
            }
        };
        sum.subtract(&change.before);
        sum.add(&change.after);
    }
    days.iter().try_for_each(|(day, sum)| rows.put_organization_day(*day, sum))
}

fn renew_months<W: WriteRows>(rows: &mut W, changed: &BTreeMap<DayOf, Change>) -> Result<(), W::Error> {
    let mut months: BTreeMap<(NaiveDate, &str), Month> = BTreeMap::new();
    for ((day, user), change) in changed {
        let month = month_of(*day);
        let days = match months.entry((month, user)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(rows.month(month, user)?),
        };
        days.put(*day, &change.after);
    }
    months.iter().try_for_each(|((month, user), days)| rows.put_month(*month, user, days))?;
    renew_years(rows, &months)
}

fn renew_years<W: WriteRows>(rows: &mut W, changed: &BTreeMap<(NaiveDate, &str), Month>) -> Result<(), W::Error> {
    let mut years: BTreeMap<(NaiveDate, &str), Year> = BTreeMap::new();
    for ((month, user), days) in changed {
        let year = year_of(*month);
        let months = match years.entry((year, *user)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(rows.year(year, user)?),
        };
        months.put(*month, days);
    }
    years.iter().try_for_each(|((year, user), months)| rows.put_year(*year, user, months))
}

fn renew_clients<W: WriteRows>(rows: &mut W, changed: &BTreeMap<DayOf, Change>) -> Result<(), W::Error> {
    let mut users: BTreeMap<&str, BTreeMap<NaiveDate, &UserDay>> = BTreeMap::new();
    for ((day, user), change) in changed {
        users.entry(user).or_default().insert(*day, &change.after);
    }
    for (user, days) in users {
        let known = rows.client(user)?;
        let client = last_client(rows, user, known.as_ref(), &days)?;
        if client != known {
            rows.put_client(user, client.as_ref())?;
        }
    }
    Ok(())
}

/// A user's last client where `known` was it until these days became others.
pub(super) fn last_client<R: Rows>(
    rows: &mut R,
    user: &str,
    known: Option<&Client>,
    changed: &BTreeMap<NaiveDate, &UserDay>,
) -> Result<Option<Client>, R::Error> {
    let newest = changed.values().rev().find_map(|day| day.last_client());
    match (known, newest) {
        (Some(known), Some(newest)) if newest.seen_at >= known.seen_at => Ok(Some(newest.clone())),
        (None, newest) => Ok(newest.cloned()),
        (Some(known), _) if !changed.contains_key(&known.seen_at.date_naive()) => Ok(Some(known.clone())),
        (Some(known), _) => search_client(rows, user, known.seen_at.date_naive(), changed),
    }
}

/// Goes back day by day from the one on which the last client was seen, for it is no more.
fn search_client<R: Rows>(
    rows: &mut R,
    user: &str,
    last: NaiveDate,
    changed: &BTreeMap<NaiveDate, &UserDay>,
) -> Result<Option<Client>, R::Error> {
    let mut days: BTreeSet<NaiveDate> = changed.keys().copied().collect();
    for month in rows.months(FIRST_DAY, month_of(last))?.into_iter().rev() {
        days.extend(rows.month(month, user)?.each().map(|(day, _)| *day));
        // What is changed before the month waits for its own.
        for day in days.split_off(&month).into_iter().rev() {
            let found = match changed.get(&day) {
                Some(changed) => changed.last_client().cloned(),
                None => {
                    let of = (day, user.to_owned());
                    rows.stored(&BTreeSet::from([of.clone()]))?.remove(&of).and_then(|day| day.last_client().cloned())
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(days.into_iter().rev().find_map(|day| changed.get(&day)?.last_client().cloned()))
}
