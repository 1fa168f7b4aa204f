//! What is asked of roll-ups. Days that are stale are folded for the answer, so it is exact whatever is left to refresh.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use chrono::{Days, Months, NaiveDate};

use super::refresh::last_client;
use super::{FIRST_DAY, LAST_DAY, Month, MonthSum, Rows, month_of, year_of};
use crate::usage::{Activity, Client, OrganizationDay, OrganizationSums, Totals, UserDay};

/// Days that [`Activity`] tells of.
const ACTIVITY_DAYS: u64 = 64;

/// As many users are looked up one by one rather than among everybody.
const FEW_USERS: usize = 64;

/// See [`UsageStore::user_days`](crate::store::UsageStore::user_days).
pub(in crate::store) fn user_days<R: Rows>(
    rows: &mut R,
    from: NaiveDate,
    to: NaiveDate,
    users: Option<&BTreeSet<String>>,
    each: &mut dyn FnMut(NaiveDate, &str, UserDay) -> ControlFlow<()>,
) -> Result<(), R::Error> {
    let wanted = |user: &str| users.is_none_or(|users| users.contains(user));
    let mut stale = rows.stale(from, to)?;
    stale.retain(|(_, user)| wanted(user));
    let mut days: BTreeSet<NaiveDate> = rows.days(from, to)?.into_iter().collect();
    days.extend(stale.iter().map(|(day, _)| *day));
    for day in days {
        let later = day.succ_opt().map(|next| stale.split_off(&(next, String::new()))).unwrap_or_default();
        let folded = rows.folded(&stale)?.into_iter().map(|((_, user), day)| (user, day)).collect();
        stale = later;
        let mut each = |user: &str, known| each(day, user, known);
        let flow = match users.filter(|users| users.len() <= FEW_USERS) {
            Some(users) => few_of_day(rows, day, users, folded, &mut each)?,
            None => all_of_day(rows, day, &wanted, folded, &mut each)?,
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(())
}

/// The users of one day.
type Users = BTreeMap<String, UserDay>;

type Each<'a> = &'a mut dyn FnMut(&str, UserDay) -> ControlFlow<()>;

fn few_of_day<R: Rows>(
    rows: &mut R,
    day: NaiveDate,
    users: &BTreeSet<String>,
    folded: Users,
    each: Each<'_>,
) -> Result<ControlFlow<()>, R::Error> {
    let asked = users.iter().map(|user| (day, user.clone())).collect();
    let mut known: Users = rows.stored(&asked)?.into_iter().map(|((_, user), day)| (user, day)).collect();
    known.extend(folded);
    Ok(hand_out(known, each))
}

fn hand_out(users: Users, each: Each<'_>) -> ControlFlow<()> {
    users.into_iter().filter(|(_, day)| !day.is_empty()).try_for_each(|(user, day)| each(&user, day))
}

fn all_of_day<R: Rows>(
    rows: &mut R,
    day: NaiveDate,
    wanted: &dyn Fn(&str) -> bool,
    mut folded: Users,
    each: Each<'_>,
) -> Result<ControlFlow<()>, R::Error> {
    let stale: BTreeSet<String> = folded.keys().cloned().collect();
    let mut flow = ControlFlow::Continue(());
    rows.each_stored(day, &|user| wanted(user) && !stale.contains(user), &mut |user, known| {
        // Those that come before in the order of users.
        let mut before = std::mem::take(&mut folded);
        if !before.is_empty() {
            folded = before.split_off(user);
        }
        flow = hand_out(before, each);
        if flow.is_continue() {
            flow = each(user, known);
        }
        flow
    })?;
    Ok(if flow.is_continue() { hand_out(folded, each) } else { flow })
}

/// See [`UsageStore::organization_days`](crate::store::UsageStore::organization_days).
pub(in crate::store) fn organization_days<R: Rows>(
    rows: &mut R,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<BTreeMap<NaiveDate, OrganizationDay>, R::Error> {
    let stale = rows.stale(from, to)?;
    let mut days = rows.organization_days(from, to)?;
    for ((day, _), stored) in rows.stored(&stale)? {
        days.entry(day).or_default().subtract(&stored);
    }
    for ((day, _), folded) in rows.folded(&stale)? {
        days.entry(day).or_default().add(&folded);
    }
    days.retain(|_, day| day.users > 0);
    Ok(days)
}

/// See [`UsageStore::organization_sums`](crate::store::UsageStore::organization_sums).
pub(in crate::store) fn organization_sums<R: Rows>(
    rows: &mut R,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<BTreeMap<NaiveDate, OrganizationSums>, R::Error> {
    let stale: BTreeSet<NaiveDate> = rows.stale(from, to)?.into_iter().map(|(day, _)| day).collect();
    let mut sums = rows.organization_sums(from, to)?;
    for day in stale {
        sums.remove(&day);
        sums.extend(organization_days(rows, day, day)?.iter().map(|(day, known)| (*day, OrganizationSums::of(known))));
    }
    sums.retain(|_, day| day.users > 0);
    Ok(sums)
}

/// See [`UsageStore::totals`](crate::store::UsageStore::totals).
pub(in crate::store) fn totals<R: Rows>(
    rows: &mut R,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<BTreeMap<String, Totals>, R::Error> {
    let stale = StaleMonths::of(rows, from, to)?;
    let mut sums: HashMap<String, Totals> = HashMap::new();
    let mut add = |user: &str, totals: Totals| match sums.get_mut(user) {
        Some(sum) => sum.add(&totals),
        None if totals == Totals::default() => {}
        None => drop(sums.insert(user.to_owned(), totals)),
    };
    let is_whole = |month| from <= month && last_of_month(month) <= to;
    for year in rows.years(year_of(from), to)? {
        rows.each_of_year(year, (from, to), &mut |user, months| {
            let fresh = months.iter().filter(|(month, _)| is_whole(*month) && !stale.have(*month, user));
            add(user, sum(fresh.map(|(_, sum)| &sum.totals)));
        })?;
    }
    let edges = BTreeSet::from([from, to].map(month_of));
    for month in edges.into_iter().filter(|month| !is_whole(*month)) {
        rows.each_of_month(month, (from, to), &mut |user, days| {
            if !stale.have(month, user) {
                add(user, sum(days.iter().map(|(_, totals)| totals)));
            }
        })?;
    }
    stale.each(&mut |_, user, days| add(user, days.sum((from, to))));
    Ok(sums.into_iter().collect())
}

fn sum<'a>(all: impl Iterator<Item = &'a Totals>) -> Totals {
    all.fold(Totals::default(), |mut sum, totals| {
        sum.add(totals);
        sum
    })
}

fn last_of_month(month: NaiveDate) -> NaiveDate {
    month.checked_add_months(Months::new(1)).and_then(|next| next.pred_opt()).unwrap_or(NaiveDate::MAX)
}

/// The months of users that have stale days, as they are with these folded.
struct StaleMonths(BTreeMap<NaiveDate, BTreeMap<String, Month>>);

impl StaleMonths {
    fn of<R: Rows>(rows: &mut R, from: NaiveDate, to: NaiveDate) -> Result<Self, R::Error> {
        let stale = rows.stale(from, to)?;
        let mut months: BTreeMap<NaiveDate, BTreeMap<String, Month>> = BTreeMap::new();
        for ((day, user), folded) in rows.folded(&stale)? {
            let users = months.entry(month_of(day)).or_default();
            if !users.contains_key(&user) {
                let stored = rows.month(month_of(day), &user)?;
                users.insert(user.clone(), stored);
            }
            if let Some(month) = users.get_mut(&user) {
                month.put(day, &folded);
            }
        }
        Ok(Self(months))
    }

    fn have(&self, month: NaiveDate, user: &str) -> bool {
        self.0.get(&month).is_some_and(|users| users.contains_key(user))
    }

    fn each(&self, each: &mut dyn FnMut(NaiveDate, &str, &Month)) {
        for (month, users) in &self.0 {
            users.iter().for_each(|(user, days)| each(*month, user, days));
        }
    }
}

/// See [`UsageStore::activity`](crate::store::UsageStore::activity).
pub(in crate::store) fn activity<R: Rows>(rows: &mut R, to: NaiveDate) -> Result<Vec<Activity>, R::Error> {
    let from = to.checked_sub_days(Days::new(ACTIVITY_DAYS - 1)).unwrap_or(NaiveDate::MIN);
    let stale = StaleMonths::of(rows, from, to)?;
    let mut users: HashMap<String, Activity> = HashMap::new();
    for year in rows.years(year_of(from), to)? {
        rows.each_of_year(year, (month_of(from), to), &mut |user, months| {
            for known in months.iter().filter(|(month, _)| !stale.have(*month, user)) {
                mark(&mut users, user, known, to);
            }
        })?;
    }
    stale.each(&mut |month, user, days| mark(&mut users, user, &(month, MonthSum::of(days)), to));
    let mut users: Vec<Activity> = users.into_values().filter(|activity| activity.active != 0).collect();
    users.sort_unstable_by(|one, other| one.user.cmp(&other.user));
    Ok(users)
}

fn mark(users: &mut HashMap<String, Activity>, user: &str, (month, sum): &(NaiveDate, MonthSum), to: NaiveDate) {
    if !users.contains_key(user) {
        users.insert(user.to_owned(), Activity { user: user.to_owned(), active: 0, surfaces: [0; 5] });
    }
    let Some(activity) = users.get_mut(user) else { return };
    let age = (to - *month).num_days();
    activity.active |= by_age(sum.active, age);
    for (days, more) in activity.surfaces.iter_mut().zip(sum.surfaces) {
        *days |= by_age(more, age);
    }
}

/// Days of a month as bits by their age in days, where the first of the month has this age.
fn by_age(days: u32, age: i64) -> u64 {
    // The first of the month is bit 31 then, and so has the age 31.
    let days = u64::from(days.reverse_bits());
    let more = u32::try_from((age - 31).unsigned_abs()).unwrap_or(u32::MAX);
    if age < 31 { days.checked_shr(more) } else { days.checked_shl(more) }.unwrap_or_default()
}

/// See [`UsageStore::last_seen`](crate::store::UsageStore::last_seen).
pub(in crate::store) fn last_seen<R: Rows>(rows: &mut R) -> Result<BTreeMap<String, Client>, R::Error> {
    let mut clients = rows.clients()?;
    let stale = rows.stale(FIRST_DAY, LAST_DAY)?;
    let mut users: BTreeMap<String, BTreeMap<NaiveDate, UserDay>> = BTreeMap::new();
    for ((day, user), folded) in rows.folded(&stale)? {
        users.entry(user).or_default().insert(day, folded);
    }
    for (user, days) in users {
        let known = clients.remove(&user);
        let days = days.iter().map(|(day, folded)| (*day, folded)).collect();
        if let Some(client) = last_client(rows, &user, known.as_ref(), &days)? {
            clients.insert(user, client);
        }
    }
    Ok(clients)
}
