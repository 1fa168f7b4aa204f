//! The parameters that GitHub's paths take, and the `Link` header over pages (REST API, "Using pagination in the REST API").

use std::fmt::Write as _;

use axum::http::HeaderValue;
use chrono::{DateTime, Days, NaiveDate};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::problem::Problem;

/// Most entries of a page, as at GitHub.
const LARGEST_PAGE: usize = 100;
/// How far the closed metrics endpoint looks back where it is not told: as far as GitHub's did at its end.
const DEFAULT_DAYS: u64 = 100;
/// The widest span of days that is answered at once.
const MOST_DAYS: i64 = 400;

/// The parameters of a request, in their order.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Of the part of a URL after `?`. Bytes that are no UTF-8 are replaced.
    pub(super) fn parse(text: &str) -> Self {
        let decoded = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let split = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        Self(pairs.map(split).collect())
    }

    /// A parameter's first value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Parameter `day`, which must be there and not be in the future.
    pub(super) fn day(&self, today: NaiveDate) -> Result<NaiveDate, Problem> {
        let text = self.get("day").ok_or(Problem::Invalid("\"day\" wasn't supplied.".into()))?;
        let day = date(text).ok_or(Problem::Invalid("\"day\" is no day: write it as YYYY-MM-DD.".into()))?;
        if day > today {
            return Err(Problem::Invalid("\"day\" is in the future.".into()));
        }
        Ok(day)
    }

    /// Parameters `since` and `until` of the closed metrics endpoint: by default the days up to yesterday, as GitHub's ended
    /// with the last whole day. Today is served as it stands where it is asked for.
    pub(super) fn span(&self, today: NaiveDate) -> Result<(NaiveDate, NaiveDate), Problem> {
        let no_time =
            |name| Problem::Invalid(format!("\"{name}\" is no time: write it as YYYY-MM-DDTHH:MM:SSZ.").into());
        let read = |name| self.get(name).map(|text| time(text).ok_or_else(|| no_time(name))).transpose();
        let before = |day: NaiveDate, days| day.checked_sub_days(Days::new(days)).unwrap_or(day);
        let until = read("until")?.map_or_else(|| before(today, 1), |until| until.min(today));
        let since = read("since")?.unwrap_or_else(|| before(until, DEFAULT_DAYS - 1));
        // Who asks from today on asks for nothing that is whole yet.
        if since > until && self.get("until").is_some() {
            return Err(Problem::Invalid("\"until\" is before \"since\".".into()));
        }
        if (until - since).num_days() >= MOST_DAYS {
            return Err(Problem::Invalid(
                format!("\"since\" and \"until\" are more than {MOST_DAYS} days apart.").into(),
            ));
        }
        Ok((since, until))
    }

    /// Parameters `page` and `per_page`. As at GitHub, what makes no sense counts as not sent.
    pub(super) fn page(&self, default_size: usize) -> Page {
        let number = |name| self.get(name).and_then(|text| text.parse::<usize>().ok()).filter(|number| *number > 0);
        Page { number: number("page").unwrap_or(1), size: number("per_page").unwrap_or(default_size).min(LARGEST_PAGE) }
    }
}

/// As `YYYY-MM-DD` alone: chrono reads more.
fn date(text: &str) -> Option<NaiveDate> {
    let day = text.parse::<NaiveDate>().ok()?;
    (day.to_string() == text).then_some(day)
}

/// The day of a time, or a day alone.
fn time(text: &str) -> Option<NaiveDate> {
    date(text).or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc().date_naive()))
}

/// One page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// From 1.
    pub(super) number: usize,
    /// Entries of a page.
    pub(super) size: usize,
}

impl Page {
    /// The entries of this page.
    pub(super) fn of<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip((self.number - 1).saturating_mul(self.size)).take(self.size).collect()
    }

    /// The `Link` header for a list of so many entries; `None` where it has one page.
    pub(super) fn links(self, total: usize, url: &str, query: &Query) -> Option<HeaderValue> {
        let last = total.div_ceil(self.size.max(1)).max(1);
        let mut targets = Vec::new();
        if self.number > 1 {
            targets.extend([("prev", (self.number - 1).min(last)), ("first", 1)]);
        }
        if self.number < last {
            targets.extend([("next", self.number + 1), ("last", last)]);
        }
        let mut header = String::new();
        for (relation, number) in targets {
            let separator = if header.is_empty() { "" } else { ", " };
            let _ = write!(header, "{separator}<{url}?{}>; rel=\"{relation}\"", self.query(number, query));
        }
        HeaderValue::from_str(&header).ok().filter(|header| !header.is_empty())
    }

    fn query(self, number: usize, query: &Query) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let kept = query.0.iter().filter(|(name, _)| !["page", "per_page"].contains(&&**name));
        let mut text: String = kept.map(|(name, value)| format!("{}={}&", encoded(name), encoded(value))).collect();
        let _ = write!(text, "per_page={}&page={number}", self.size);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn today() -> NaiveDate {
        day("2026-03-01")
    }

    fn asked(query: &str) -> Result<NaiveDate, String> {
        Query::parse(query).day(today()).map_err(|problem| problem.to_string())
    }

    fn span(query: &str) -> Result<(NaiveDate, NaiveDate), String> {
        Query::parse(query).span(today()).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_day_is_written_in_one_way_and_not_in_the_future() {
        assert_eq!(asked("day=2026-02-28"), Ok(day("2026-02-28")));
        assert_eq!(asked("x&day=2026%2D03%2D01&day=2020-01-01"), Ok(today()));
        assert!(asked("").unwrap_err().ends_with("\"day\" wasn't supplied."));
        assert!(asked("day=2026-03-02").unwrap_err().ends_with("in the future."));
        for wrong in ["", "today", "2026-02-30", "2026-2-1", "+2026-02-01", "20260201", "2026-02-01T00:00:00Z", "%ff"] {
            assert!(asked(&format!("day={wrong}")).unwrap_err().contains("YYYY-MM-DD"), "{wrong}");
        }
    }

    #[test]
    fn a_span_ends_with_the_last_whole_day_unless_it_is_told() {
        assert_eq!(span(""), Ok((day("2025-11-21"), day("2026-02-28"))));
        assert_eq!(span("since=2026-02-01T00:00:00Z"), Ok((day("2026-02-01"), day("2026-02-28"))));
        assert_eq!(
            span("since=2026-02-01&until=2026-02-03T23:00:00-02:00"),
            Ok((day("2026-02-01"), day("2026-02-04")))
        );
        assert_eq!(span("since=2026-03-01&until=2030-01-01"), Ok((today(), today())));
        assert_eq!(span("since=2026-03-01"), Ok((today(), day("2026-02-28"))));
        assert!(span("since=2026-02-02&until=2026-02-01").unwrap_err().contains("before"));
        assert!(span("since=2020-01-01").unwrap_err().contains("400 days"));
        assert!(span("until=soon").unwrap_err().contains("\"until\" is no time"));
    }

    #[test]
    fn pages_are_linked_as_at_github() {
        let links = |query: &str, total| {
            let query = Query::parse(query);
            let header = query.page(50).links(total, "http://h/seats", &query);
            header.map(|header| header.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        assert_eq!(links("", 50), "");
        insta::assert_snapshot!(links("", 120), @r#"<http://h/seats?per_page=50&page=2>; rel="next", <http://h/seats?per_page=50&page=3>; rel="last""#);
        insta::assert_snapshot!(links("page=2&per_page=1&since=a b", 3), @r#"<http://h/seats?since=a%20b&per_page=1&page=1>; rel="prev", <http://h/seats?since=a%20b&per_page=1&page=1>; rel="first", <http://h/seats?since=a%20b&per_page=1&page=3>; rel="next", <http://h/seats?since=a%20b&per_page=1&page=3>; rel="last""#);
        insta::assert_snapshot!(links("page=9", 51), @r#"<http://h/seats?per_page=50&page=2>; rel="prev", <http://h/seats?per_page=50&page=1>; rel="first""#);
    }

    #[test]
    fn a_page_that_makes_no_sense_is_the_default_one() {
        let page = |query: &str| Query::parse(query).page(50);
        for query in
            ["", "page=0&per_page=0", "page=-1&per_page=x", "page=1.5&per_page=", "page=99999999999999999999999"]
        {
            assert_eq!(page(query), Page { number: 1, size: 50 }, "{query}");
        }
        assert_eq!(page("per_page=1000"), Page { number: 1, size: 100 });
        assert_eq!(Page { number: 2, size: 2 }.of(vec![1, 2, 3]), [3]);
        assert_eq!(Page { number: usize::MAX, size: 100 }.of(vec![1]), [0; 0]);
    }

    proptest::proptest! {
        #[test]
        fn no_query_makes_reading_fail(text in ".*", total in proptest::num::usize::ANY) {
            let query = Query::parse(&text);
            let _ = (query.day(today()), query.span(today()));
            let _ = query.page(50).links(total, "http://h/", &query);
        }

        #[test]
        fn what_a_link_carries_over_is_read_again(name in "[^\\pC]{1,20}", value in "[^\\pC]{0,20}") {
            let query = Query(vec![(name.clone(), value.clone())]);
            let again = Query::parse(&Page { number: 1, size: 1 }.query(2, &query));
            let is_page = name == "page" || name == "per_page";
            proptest::prop_assert!(is_page || again.get(&name) == Some(value.as_str()));
        }
    }
}
