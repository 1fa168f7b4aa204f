//! The line that moves while the demo runs; where nobody watches, a line now and then.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::sim::ide::{Deed, Tally};

/// Between two looks at the clock on a terminal.
const TICK: Duration = Duration::from_millis(100);
/// Between two lines elsewhere.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What the developers have done so far, for whoever watches.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    length: Duration,
    /// `None` where standard error is no terminal, or where the log has it.
    bar: Option<ProgressBar>,
    news: Mutex<News>,
}

#[derive(Debug, Default)]
struct News {
    tallies: Vec<Tally>,
    last: String,
}

impl Progress {
    /// Begins now.
    pub(super) fn new(length: Duration) -> Self {
        let watched = io::stderr().is_terminal() && std::env::var_os("RUST_LOG").is_none();
        let bar = watched.then(|| new_bar(length));
        Self { begun: Instant::now(), length, bar, news: Mutex::default() }
    }

    /// The place of one more developer.
    pub(super) fn add_developer(&self) -> usize {
        let mut news = self.news();
        news.tallies.push(Tally::default());
        news.tallies.len() - 1
    }

    /// Takes in what the developer at `place` did just now, and all of that developer's work so far.
    pub(super) fn tell(&self, place: usize, name: &str, deed: &Deed, tally: Tally) {
        let mut news = self.news();
        if let Some(known) = news.tallies.get_mut(place) {
            *known = tally;
        }
        news.last = format!("{name} · {deed}");
        if let Some(bar) = &self.bar {
            bar.set_message(news.line());
        }
    }

    /// Shows the time pass, until it is over.
    pub(super) async fn show(&self) {
        let pause = if self.bar.is_some() { TICK } else { LINE_EVERY };
        while let Some(left) = self.length.checked_sub(self.begun.elapsed()) {
            tokio::time::sleep(pause.min(left + Duration::from_millis(1))).await;
            match &self.bar {
                Some(bar) => bar.set_position(self.begun.elapsed().min(self.length).as_millis() as u64),
                None => self.write_line(&self.news().line()),
            }
        }
    }

    /// The last line: all that was done.
    pub(super) fn finish(&self, sent: Tally) {
        let line = format!("{} all done", counted(&[sent]));
        match &self.bar {
            Some(bar) => {
                bar.abandon_with_message(line);
                let _ = writeln!(io::stderr());
            }
            None => self.write_line(&line),
        }
    }

    fn write_line(&self, line: &str) {
        let seconds = self.begun.elapsed().as_secs();
        // Nobody is there to be told that standard error is closed.
        let _ = writeln!(io::stderr(), "{:02}:{:02} {line}", seconds / 60, seconds % 60);
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    fn line(&self) -> String {
        format!("{} {}", counted(&self.tallies), self.last)
    }
}

fn counted(tallies: &[Tally]) -> String {
    let mut all = Tally::default();
    tallies.iter().for_each(|tally| all += *tally);
    format!("completions {:<4} chats {:<3} steps {:<3}", all.completions, all.chats, all.steps)
}

fn new_bar(length: Duration) -> ProgressBar {
    let bar = ProgressBar::new(length.as_millis() as u64);
    let style = ProgressStyle::with_template("{elapsed:>4} {bar:12.green} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ "));
    bar.enable_steady_tick(TICK);
    bar
}
