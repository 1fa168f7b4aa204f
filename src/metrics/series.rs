//! Metrics with labels, of which all series are made at the start.

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Values of one or several labels together.
pub trait Series: Copy + PartialEq + 'static {
    /// All there can be.
    fn all() -> Vec<Self>;
    /// The labels' names and values.
    fn labels(self) -> Vec<(&'static str, &'static str)>;
}

/// One metric for each series.
#[derive(Debug)]
pub struct Labelled<S, M>(Vec<(S, M)>);

impl<S, M> Labelled<S, M>
where
    S: Series,
    M: EncodeMetric + TypedMetric + Clone + Default + Send + Sync + std::fmt::Debug + 'static,
{
    pub(super) fn register(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = Family::<Vec<(&'static str, &'static str)>, M>::default();
        let made = S::all().into_iter().map(|series| (series, family.get_or_create_owned(&series.labels())));
        let labelled = Self(made.collect());
        registry.register(name, help, family);
        labelled
    }

    /// The metric of a series; there is one for each of [`Series::all`].
    pub(super) fn get(&self, series: S) -> Option<&M> {
        self.0.iter().find(|(known, _)| *known == series).map(|(_, metric)| metric)
    }
}

impl<S: Series> Labelled<S, Counter> {
    /// Counts one.
    pub fn inc(&self, series: S) {
        if let Some(counter) = self.get(series) {
            counter.inc();
        }
    }
}
