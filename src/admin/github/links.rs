//! Links to reports that whoever has them may follow for an hour, without a token: GitHub's come from a storage service with
//! such links, and clients send it no token.
//!
//! A link names its file and its end, and is signed with the seed, so that every proxy of a fleet serves what any of them
//! gave out.

use std::io;

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::HEXLOWER;
use subtle::ConstantTimeEq as _;

use super::problem::Problem;
use super::query::Query;
use super::report::ReportFile;
use crate::config::Loaded;
use crate::identity::{Scheme, Seed};

/// Where files are.
pub(super) const FOLDER: &str = "/download/";
/// How long a link may be followed. GitHub does not tell of its own more than that their time is limited.
const LIFE: TimeDelta = TimeDelta::hours(1);
/// Keeps signatures apart from whatever else derives from the seed.
const PURPOSE: &str = "report-link";

/// Signs links and knows its own again.
pub(super) struct Links {
    /// In scheme `legacy` every user can find out the seed, so what it signs is worth nothing: links then hold at the proxy
    /// that gave them, until it ends.
    own: Seed,
}

impl Links {
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { own: Seed::generate()? })
    }

    /// Path and query of a link to a file.
    pub(super) fn sign(&self, loaded: &Loaded, file: ReportFile, now: DateTime<Utc>) -> String {
        let end = (now + LIFE).timestamp();
        let signature = HEXLOWER.encode(&self.signature(loaded, &file.to_string(), end));
        format!("{FOLDER}{file}?expires={end}&signature={signature}")
    }

    /// The file that a link leads to.
    ///
    /// # Errors
    /// [`Problem::Signature`] and [`Problem::Expired`].
    pub(super) fn follow(
        &self,
        loaded: &Loaded,
        (name, query): (&str, &Query),
        now: DateTime<Utc>,
    ) -> Result<ReportFile, Problem> {
        let end: i64 = query.get("expires").and_then(|end| end.parse().ok()).ok_or(Problem::Signature)?;
        let given = query.get("signature").and_then(|given| HEXLOWER.decode(given.as_bytes()).ok());
        let given = given.ok_or(Problem::Signature)?;
        if !bool::from(self.signature(loaded, name, end).ct_eq(&given)) {
            return Err(Problem::Signature);
        }
        if end < now.timestamp() {
            return Err(Problem::Expired);
        }
        ReportFile::parse(name).ok_or(Problem::NotFound)
    }

    fn signature(&self, loaded: &Loaded, name: &str, end: i64) -> [u8; 32] {
        let seed = if loaded.settings.auth.scheme == Scheme::Legacy { &self.own } else { &loaded.seed };
        // A number has no line break, so no two pairs share a message.
        seed.mac(PURPOSE, format!("{end}\n{name}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn file() -> ReportFile {
        ReportFile::parse("users-1-day_2026-02-28.ndjson").unwrap()
    }

    fn follow(links: &Links, loaded: &Loaded, link: &str, now: &str) -> Result<ReportFile, String> {
        let (path, query) = link.split_once('?').unwrap();
        let name = path.strip_prefix(FOLDER).unwrap();
        links.follow(loaded, (name, &Query::parse(query)), at(now)).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_link_leads_to_its_file_for_an_hour_at_every_proxy_with_the_seed() {
        let loaded = Loaded::default();
        let link = Links::new().unwrap().sign(&loaded, file(), at(NOW));
        assert!(link.starts_with("/download/users-1-day_2026-02-28.ndjson?expires=1772370000&signature="), "{link}");
        let elsewhere = Links::new().unwrap();
        assert_eq!(follow(&elsewhere, &loaded, &link, NOW), Ok(file()));
        assert_eq!(follow(&elsewhere, &loaded, &link, "2026-03-01T13:00:00Z"), Ok(file()));
        let late = follow(&elsewhere, &loaded, &link, "2026-03-01T13:00:01Z").unwrap_err();
        assert!(late.contains("expired"), "{late}");
    }

    #[test]
    fn nothing_of_a_link_can_be_changed() {
        let (loaded, links) = (Loaded::default(), Links::new().unwrap());
        let link = links.sign(&loaded, file(), at(NOW));
        let last = if link.ends_with('0') { '1' } else { '0' };
        for changed in [
            link.replace("users-1-day", "users-28-day"),
            link.replace("2026-02-28", "2026-02-27"),
            link.replace("=1772370000", "=1772370001"),
            link.replace("expires=1772370000&", ""),
            link.replace("signature=", "signature=00"),
            link.replace("signature=", "signatures="),
            format!("{}{last}", &link[..link.len() - 1]),
            link[..link.len() - 2].to_owned(),
        ] {
            assert!(follow(&links, &loaded, &changed, NOW).unwrap_err().contains("signature"), "{changed}");
        }
        for (at, old) in link.char_indices().skip(FOLDER.len()).filter(|(_, old)| *old != '?') {
            for new in "0f9A%&=+/- ".chars().filter(|new| *new != old) {
                let changed = format!("{}{new}{}", &link[..at], &link[at + 1..]);
                assert!(follow(&links, &loaded, &changed, NOW).is_err(), "{changed}");
            }
        }
        for end in [i64::MIN, -1, 0, i64::MAX] {
            let changed = link.replace("1772370000", &end.to_string());
            assert!(follow(&links, &loaded, &changed, NOW).unwrap_err().contains("signature"), "{changed}");
            let doubled = format!("{link}&expires={end}&signature=00");
            assert_eq!(follow(&links, &loaded, &doubled, NOW), Ok(file()), "the first one holds");
        }
        assert!(follow(&links, &Loaded::default(), &link, NOW).is_err(), "another seed");
    }

    #[test]
    fn who_knows_a_legacy_seed_cannot_sign() {
        let mut loaded = Loaded::default();
        loaded.settings.auth.scheme = Scheme::Legacy;
        loaded.seed = Seed::parse(Scheme::Legacy, "123456").unwrap();
        let (links, forger) = (Links::new().unwrap(), Links::new().unwrap());
        let link = links.sign(&loaded, file(), at(NOW));
        assert_eq!(follow(&links, &loaded, &link, NOW), Ok(file()));
        assert!(follow(&links, &loaded, &forger.sign(&loaded, file(), at(NOW)), NOW).is_err());
        loaded.settings.auth.scheme = Scheme::HmacSha256;
        let forged = forger.sign(&loaded, file(), at(NOW));
        loaded.settings.auth.scheme = Scheme::Legacy;
        assert!(follow(&links, &loaded, &forged, NOW).is_err());
    }

    #[test]
    fn no_text_is_followed() {
        let (loaded, links) = (Loaded::default(), Links::new().unwrap());
        proptest::proptest!(|(name in ".{0,60}", query in ".{0,60}")| {
            let asked = Query::parse(&format!("{query}&expires=99999999999"));
            assert!(links.follow(&loaded, (&name, &asked), at(NOW)).is_err());
        });
    }
}
