//! Gauges as text that Prometheus reads, as part of a page or for backfilling. Both of its formats write gauges alike
//! (OpenMetrics 1.0, and the text format 0.0.4 but for the timestamps).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Labels as they are written, without braces.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labels(String);

impl Labels {
    /// These and one more; an empty value is as good as no label.
    #[must_use]
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut labels = self.clone();
        if value.is_empty() {
            return labels;
        }
        let comma = if labels.0.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(labels.0, "{comma}{name}=\"");
        for char in value.chars() {
            match char {
                '\\' => labels.0.push_str("\\\\"),
                '"' => labels.0.push_str("\\\""),
                // A reader may take them for the end of the line or of everything.
                char if char.is_control() => labels.0.push(' '),
                char => labels.0.push(char),
            }
        }
        labels.0.push('"');
        labels
    }
}

/// One value, with the second since 1970 that it is of; without in what is scraped.
type Point = (Option<i64>, f64);

/// The series of a family.
#[derive(Debug, Default)]
pub(super) struct Family {
    help: &'static str,
    series: BTreeMap<Labels, Vec<Point>>,
}

impl Family {
    fn head(&self, name: &str, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "# HELP {name} {}.\n# TYPE {name} gauge", self.help)
    }

    fn body(&self, name: &str, out: &mut dyn Write) -> io::Result<()> {
        for (Labels(labels), points) in &self.series {
            for (at, value) in points {
                match (labels.is_empty(), at) {
                    (true, None) => writeln!(out, "{name} {value}"),
                    (true, Some(at)) => writeln!(out, "{name} {value} {at}"),
                    (false, None) => writeln!(out, "{name}{{{labels}}} {value}"),
                    (false, Some(at)) => writeln!(out, "{name}{{{labels}}} {value} {at}"),
                }?;
            }
        }
        Ok(())
    }
}

/// Families by name, with all that was set in them.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    families: BTreeMap<String, Family>,
    /// The moment that values are of.
    at: Option<i64>,
}

impl Sheet {
    /// What is set from here on is of this second since 1970. Times must ascend.
    pub(super) fn at(&mut self, at: i64) {
        self.at = Some(at);
    }

    /// Sets a value. Of several of one series and moment the last one holds: people who share a login are one in some series,
    /// and readers refuse what is there twice.
    pub(super) fn set(&mut self, name: &str, help: &'static str, labels: &Labels, value: f64) {
        let point = (self.at, value);
        if !self.families.contains_key(name) {
            self.families.insert(name.to_owned(), Family { help, series: BTreeMap::new() });
        }
        let Some(family) = self.families.get_mut(name) else { return };
        let Some(points) = family.series.get_mut(labels) else {
            family.series.insert(labels.clone(), vec![point]);
            return;
        };
        match points.last_mut().filter(|last| last.0 == self.at) {
            Some(last) => *last = point,
            None => points.push(point),
        }
    }

    /// As [`Sheet::set`]; the unknown is left out.
    pub(super) fn set_known(&mut self, name: &str, help: &'static str, labels: &Labels, value: Option<u64>) {
        if let Some(value) = value {
            self.set(name, help, labels, value as f64);
        }
    }

    /// Whole families, one after the other, without the end mark of OpenMetrics.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.families.iter().try_for_each(|(name, family)| {
            family.head(name, out)?;
            family.body(name, out)
        })
    }

    /// Takes everything out, by name: the head, which is the same each time, and the samples.
    pub(super) fn take(&mut self) -> impl Iterator<Item = io::Result<(String, Vec<u8>, Vec<u8>)>> {
        std::mem::take(&mut self.families).into_iter().map(|(name, family)| {
            let (mut head, mut body) = (Vec::new(), Vec::new());
            family.head(&name, &mut head)?;
            family.body(&name, &mut body)?;
            Ok((name, head, body))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_whole_and_no_value_breaks_its_line() {
        let mut sheet = Sheet::default();
        let odd = Labels::default().with("user_login", "a\"b\\c\nd\0").with("user_id", "").with("model", "x");
        sheet.set("b", "Second", &Labels::default(), 1.5);
        sheet.set("a", "First", &odd, 3.0);
        sheet.set("b", "Second", &Labels::default().with("ide", "vscode"), 2.0);
        sheet.set_known("c", "Unknown", &odd, None);
        let mut text = Vec::new();
        sheet.write(&mut text).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r#"
        # HELP a First.
        # TYPE a gauge
        a{user_login="a\"b\\c d ",model="x"} 3
        # HELP b Second.
        # TYPE b gauge
        b 1.5
        b{ide="vscode"} 2
        "#);
    }

    #[test]
    fn a_series_has_one_value_at_a_time() {
        let mut sheet = Sheet::default();
        let of_team = Labels::default().with("user_login", "octo-cat").with("team_slug", "core");
        for value in [1.0, 2.0] {
            sheet.set("a", "A", &of_team, value);
        }
        let body = sheet.take().map(Result::unwrap).next().unwrap().2;
        assert_eq!(String::from_utf8(body).unwrap(), "a{user_login=\"octo-cat\",team_slug=\"core\"} 2\n");
    }

    #[test]
    fn points_of_a_series_stand_together() {
        let mut sheet = Sheet::default();
        let [ada, grace] = ["ada", "grace"].map(|user| Labels::default().with("user", user));
        for (at, value) in [(10, 1.0), (20, 2.0)] {
            sheet.at(at);
            sheet.set("a", "A", &grace, value);
            sheet.set("a", "A", &ada, value);
        }
        let all: Vec<_> = sheet.take().map(Result::unwrap).collect();
        assert_eq!(all.len(), 1);
        let body = String::from_utf8(all[0].2.clone()).unwrap();
        assert_eq!(
            body,
            "a{user=\"ada\"} 1 10\na{user=\"ada\"} 2 20\na{user=\"grace\"} 1 10\na{user=\"grace\"} 2 20\n"
        );
        assert_eq!(sheet.take().count(), 0);
    }
}
