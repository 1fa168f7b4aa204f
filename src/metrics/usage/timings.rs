//! Durations and token counts of calls, as OpenTelemetry's conventions for generative AI have them
//! (open-telemetry/semantic-conventions-genai, `gen_ai.client.*`), with names by OpenTelemetry's rules for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::copilot::vocabulary::Kind;
use crate::metrics::GEN_AI_SECONDS;
use crate::usage::UsageEvent;

/// `gen_ai.client.token.usage`.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Histograms by operation and model.
#[derive(Default)]
pub(super) struct Timings(BTreeMap<(&'static str, String), Calls>);

#[derive(Default)]
struct Calls {
    duration: Buckets,
    first_chunk: Buckets,
    input: Buckets,
    output: Buckets,
}

/// A histogram with as many bounds as both of the conventions' lists have.
#[derive(Default)]
struct Buckets {
    counts: [u64; TOKENS.len() + 1],
    sum: f64,
}

impl Buckets {
    fn observe(&mut self, value: f64, bounds: &[f64]) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.sum += value;
        }
    }

    fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Timings {
    /// Adds a turn or step; `model` is bounded.
    pub(super) fn add(&mut self, event: &UsageEvent, model: &str) {
        let operation = match event.kind {
            Kind::Completions => "text_completion",
            Kind::Chat => "chat",
        };
        let calls = self.0.entry((operation, model.to_owned())).or_default();
        calls.duration.observe(event.duration_ms / 1e3, &GEN_AI_SECONDS);
        if let Some(first_byte) = event.first_byte_ms.filter(|_| event.streamed) {
            calls.first_chunk.observe(first_byte / 1e3, &GEN_AI_SECONDS);
        }
        for (tokens, buckets) in [(event.tokens.input, &mut calls.input), (event.tokens.output, &mut calls.output)] {
            if let Some(tokens) = tokens {
                buckets.observe(tokens as f64, &TOKENS);
            }
        }
    }

    pub(super) fn encode(&self, to: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let name = "gen_ai_client_operation_duration";
        let help = "From request to end of the answer of calls that count, since the start of this process.";
        self.family(to, (name, help, Some(&Unit::Seconds)), &GEN_AI_SECONDS, |calls| vec![(None, &calls.duration)])?;
        let name = "gen_ai_client_operation_time_to_first_chunk";
        let help = "From request to first byte of streamed answers, since the start of this process.";
        self.family(to, (name, help, Some(&Unit::Seconds)), &GEN_AI_SECONDS, |calls| vec![(None, &calls.first_chunk)])?;
        let help = "Tokens of a call, where they are told, since the start of this process.";
        self.family(to, ("gen_ai_client_token_usage", help, None), &TOKENS, |calls| {
            vec![(Some("input"), &calls.input), (Some("output"), &calls.output)]
        })
    }

    fn family<'a>(
        &'a self,
        to: &mut DescriptorEncoder<'_>,
        (name, help, unit): (&str, &str, Option<&Unit>),
        bounds: &[f64],
        of: impl Fn(&'a Calls) -> Vec<(Option<&'static str>, &'a Buckets)>,
    ) -> Result<(), Error> {
        let mut encoder = to.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for ((operation, model), calls) in &self.0 {
            for (token_type, buckets) in of(calls).into_iter().filter(|(_, buckets)| buckets.count() > 0) {
                let mut labels = vec![
                    ("gen_ai_operation_name", *operation),
                    ("gen_ai_provider_name", "github"),
                    ("gen_ai_response_model", model),
                ];
                labels.extend(token_type.map(|token_type| ("gen_ai_token_type", token_type)));
                let bounds = bounds.iter().copied().chain([f64::INFINITY]);
                let told: Vec<_> = bounds.zip(buckets.counts).collect();
                let mut encoder = encoder.encode_family(&labels)?;
                encoder.encode_histogram::<NoLabelSet>(buckets.sum, buckets.count(), &told, None)?;
            }
        }
        Ok(())
    }
}
