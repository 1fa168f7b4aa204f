//! `logs/unrecognised/`: one sample of each place in Copilot's traffic that is not as this version knows it, so that an
//! admin can send it in. A sample is a shape: it holds no prompt, answer, code, name or token.

use std::collections::HashSet;
use std::sync::Arc;

use super::files::{FileError, RecordFiles};
use crate::copilot::unrecognised::Unrecognised;
use crate::metrics::Metrics;

/// Samples kept. There are not as many places; the limit is for what nobody thought of.
const MOST: usize = 100;

/// Counts what was not recognised and keeps the first sample of each place.
#[derive(Debug)]
pub(super) struct Samples {
    files: RecordFiles,
    metrics: Arc<Metrics>,
    known: HashSet<String>,
    /// Places met in the batch under way, which may be done again.
    met: Vec<String>,
}

impl Samples {
    pub(super) fn new(files: RecordFiles, metrics: Arc<Metrics>) -> Self {
        Self { files, metrics, known: HashSet::new(), met: Vec::new() }
    }

    /// A batch begins, perhaps once more.
    pub(super) fn begin(&mut self) {
        self.met.clear();
    }

    /// The batch is done: what was met in it counts.
    pub(super) fn count(&mut self) {
        for place in self.met.drain(..) {
            self.metrics.unrecognised.inc(&place);
        }
    }

    /// Writes those that are the first of their place.
    pub(super) fn keep(&mut self, found: &[Unrecognised]) -> Result<(), FileError> {
        for Unrecognised { place, sample } in found {
            self.met.push(place.clone());
            if self.known.len() < MOST && !self.known.contains(place) {
                self.files.write_sample(place, sample)?;
                self.known.insert(place.clone());
            }
        }
        Ok(())
    }
}
