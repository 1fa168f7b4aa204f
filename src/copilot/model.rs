//! Model names without the date of their release, so that one model is one row in every report.

/// Longest name, in bytes; no true one comes near. Each name is in every writing of its day's file.
pub(super) const LONGEST: usize = 100;

/// Splits the date off a model's name: `gpt-4o-2024-05-13` gives `gpt-4o` and `2024-05-13`; `-20240513` likewise.
#[must_use]
pub fn split_version(model: &str) -> (&str, Option<&str>) {
    [10, 8]
        .into_iter()
        .find_map(|length| split_date(model, length))
        .map_or((model, None), |(name, date)| (name, Some(date)))
}

fn split_date(model: &str, length: usize) -> Option<(&str, &str)> {
    let (name, date) = model.split_at_checked(model.len().checked_sub(length)?)?;
    let name = name.strip_suffix('-').filter(|name| !name.is_empty())?;
    is_date(date).then_some((name, date))
}

/// Whether `2024-05-13` or `20240513` names a day (of this millennium, which keeps build numbers out).
fn is_date(text: &str) -> bool {
    let format = if text.contains('-') { "%Y-%m-%d" } else { "%Y%m%d" };
    text.starts_with("20") && chrono::NaiveDate::parse_from_str(text, format).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_split_off() {
        assert_eq!(split_version("gpt-4o-2024-05-13"), ("gpt-4o", Some("2024-05-13")));
        assert_eq!(split_version("claude-sonnet-4-20250514"), ("claude-sonnet-4", Some("20250514")));
    }

    #[test]
    fn what_is_no_date_stays() {
        for model in [
            "gpt-41-copilot",
            "o1",
            "",
            "2024-05-13",
            "-2024-05-13",
            "m-2024-13-40",
            "m-12345678",
            "m2024-05-13",
            "é-2024-05-1",
        ] {
            assert_eq!(split_version(model), (model, None), "{model}");
        }
    }
}
