//! Chat answers at the pace of a model: whether events come as evenly as without a proxy, and how long the end is held.

use crate::figures::{Rounds, milliseconds, percentile};
use crate::load::{Answer, Shape};
use crate::process::{Kind, Origin, Target};

const SHAPE: Shape = Shape { pace: 5, tunnels: 20, requests: 20, ..Shape::CHAT };

/// What one round told of one target: milliseconds.
struct Figures {
    gap_50: f64,
    gap_99: f64,
    first_50: f64,
    first_99: f64,
    /// From the last event with content to the end, which upstream sends at once.
    end: f64,
}

pub async fn compare(origin: &Origin, rounds: usize) {
    println!(
        "\ngaps: {} tunnels, {} chat answers each, {} events {} ms apart; medians of {rounds} rounds, ms",
        SHAPE.tunnels, SHAPE.requests, SHAPE.events, SHAPE.pace
    );
    let rounds = Rounds::measure(rounds, origin, async |target| measure(target).await).await;
    for kind in Kind::ALL {
        println!(
            "  {:13} gap p50 {:.3} p99 {:.3}  first event p50 {:.3} p99 {:.3}  last event to end {:.3}",
            kind.name(),
            rounds.median(kind, |f| f.gap_50),
            rounds.median(kind, |f| f.gap_99),
            rounds.median(kind, |f| f.first_50),
            rounds.median(kind, |f| f.first_99),
            rounds.median(kind, |f| f.end),
        );
    }
    for kind in [Kind::Pass, Kind::Copilens] {
        println!(
            "  {:13} : direct  gap p50 {} p99 {}   - direct  first event p50 {}  end held {}",
            kind.name(),
            rounds.ratio(kind, Kind::Direct, |f| f.gap_50),
            rounds.ratio(kind, Kind::Direct, |f| f.gap_99),
            rounds.difference(kind, Kind::Direct, |f| f.first_50),
            rounds.difference(kind, Kind::Direct, |f| f.end),
        );
    }
}

async fn measure(target: &Target) -> Figures {
    target.load.burst(SHAPE, 1).await;
    target.settle().await;
    let answers = target.load.answers(SHAPE).await;
    let content = |answer: &Answer| answer.events[..SHAPE.events].to_vec();
    let gaps =
        sorted(answers.iter().flat_map(|answer| {
            content(answer).windows(2).map(|pair| milliseconds(pair[1] - pair[0])).collect::<Vec<_>>()
        }));
    let firsts = sorted(answers.iter().map(|answer| milliseconds(answer.first_event())));
    let ends = sorted(answers.iter().map(|answer| milliseconds(answer.ended - answer.events[SHAPE.events - 1])));
    Figures {
        gap_50: percentile(&gaps, 50),
        gap_99: percentile(&gaps, 99),
        first_50: percentile(&firsts, 50),
        first_99: percentile(&firsts, 99),
        end: percentile(&ends, 50),
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}
