//! A counter with a label whose values are not known beforehand, and are therefore limited in number and shape.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::usage::OTHERS;

/// Values of the label; the ones after that count as [`OTHERS`].
const MOST: usize = 64;

/// Counts by a word. Cheap enough where what is counted is rare.
#[derive(Debug, Clone)]
pub struct Bounded {
    label: &'static str,
    known: Arc<Mutex<HashSet<String>>>,
    family: Family<Vec<(&'static str, String)>, Counter>,
}

impl Bounded {
    pub(super) fn register(registry: &mut Registry, name: &str, help: &str, label: &'static str) -> Self {
        let bounded = Self { label, known: Arc::default(), family: Family::default() };
        registry.register(name, help, bounded.family.clone());
        bounded
    }

    /// Counts one; true where the word is new.
    pub fn inc(&self, word: &str) -> bool {
        let (word, is_new) = self.admitted(word);
        self.family.get_or_create(&vec![(self.label, word)]).inc();
        is_new
    }

    fn admitted(&self, word: &str) -> (String, bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(word) {
            return (word.to_owned(), false);
        }
        if known.len() >= MOST {
            return (OTHERS.to_owned(), false);
        }
        known.insert(word.to_owned());
        (word.to_owned(), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_words_come_the_series_are_few() {
        let mut registry = Registry::default();
        let bounded = Bounded::register(&mut registry, "things", "Things", "word");
        assert!(bounded.inc("first"));
        assert!(!bounded.inc("first"));
        for number in 0..1000 {
            bounded.inc(&number.to_string());
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("things_total")).count(), MOST + 1);
        assert!(text.contains("things_total{word=\"first\"} 2"), "{text}");
        assert!(text.contains(&format!("things_total{{word=\"others\"}} {}", 1001 - MOST)), "{text}");
    }
}
