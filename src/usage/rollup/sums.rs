//! Sums of users' days.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Cell, Cells, Client, Counts, Engagement, OrganizationDay, OrganizationSums, Surface, Surfaces, Totals, UserDay,
};
use crate::copilot::Feature;

impl Cell {
    fn is_of(&self, feature: Feature) -> bool {
        self.feature == feature.as_str()
    }

    /// Whether acceptances, and the lines that they add, are known without telemetry: of file edits, tool calls tell all.
    #[must_use]
    pub fn tells_acceptance(&self) -> bool {
        [Feature::CopilotCli, Feature::CopilotApp, Feature::AgentEdit].into_iter().any(|feature| self.is_of(feature))
    }

    fn is_chat(&self) -> bool {
        self.feature.starts_with("chat_")
    }

    fn add_surfaces(&self, surfaces: &mut Surfaces) {
        let agents =
            [Feature::ChatPanelAgentMode, Feature::ChatPanelPlanMode, Feature::ChatPanelCustomMode, Feature::AgentEdit];
        let used = [
            (Surface::Completion, self.is_of(Feature::CodeCompletion)),
            (Surface::Chat, self.is_chat()),
            (Surface::Agent, agents.into_iter().any(|feature| self.is_of(feature))),
            (Surface::Cli, self.is_of(Feature::CopilotCli)),
            (Surface::App, self.is_of(Feature::CopilotApp)),
        ];
        used.into_iter().filter(|(_, is_used)| *is_used).for_each(|(surface, _)| surfaces.insert(surface));
    }

    /// The lines of the closed metrics endpoint that count a user with these counts.
    fn engagements(&self, counts: &Counts) -> Vec<Engagement> {
        let chat = match () {
            () if self.is_of(Feature::CodeCompletion) && counts.acceptances > 0 => false,
            () if self.is_chat() && counts.interactions > 0 => true,
            () => return Vec::new(),
        };
        let line = |editor: Option<&String>, model: Option<&String>, language: Option<&String>| Engagement {
            chat,
            editor: editor.cloned(),
            model: model.cloned(),
            language: language.cloned(),
        };
        let (editor, model, language) = (Some(&self.ide), Some(&self.model), Some(&self.language));
        let mut lines = vec![line(None, None, None), line(editor, None, None), line(editor, model, None)];
        if !chat {
            lines.extend([line(None, None, language), line(editor, model, language)]);
        }
        lines
    }
}

impl UserDay {
    /// Whether there is nothing to tell of the day, not even that telemetry came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.telemetry && self.cells.is_empty()
    }

    /// What was used.
    #[must_use]
    pub fn surfaces(&self) -> Surfaces {
        let mut surfaces = Surfaces::default();
        self.cells.keys().for_each(|cell| cell.add_surfaces(&mut surfaces));
        surfaces
    }

    /// The sum over all cells.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals { surfaces: self.surfaces(), telemetry: self.telemetry, ..Totals::default() };
        for (cell, counts) in &self.cells {
            totals.counts.add(counts);
            if cell.is_of(Feature::CodeCompletion) {
                totals.completions = totals.completions.saturating_add(counts.turns);
            }
        }
        totals
    }

    /// The client that was seen last.
    #[must_use]
    pub fn last_client(&self) -> Option<&Client> {
        self.clients.values().max_by_key(|client| client.seen_at)
    }

    fn engagements(&self) -> BTreeSet<Engagement> {
        self.cells.iter().flat_map(|(cell, counts)| cell.engagements(counts)).collect()
    }
}

impl Totals {
    /// Adds other days of the user.
    pub fn add(&mut self, more: &Self) {
        self.counts.add(&more.counts);
        self.completions = self.completions.saturating_add(more.completions);
        self.surfaces.0 |= more.surfaces.0;
        self.telemetry |= more.telemetry;
    }
}

impl OrganizationDay {
    /// Adds a user's day.
    pub fn add(&mut self, user: &UserDay) {
        for (cell, counts) in &user.cells {
            match self.cells.get_mut(cell) {
                Some(sum) => sum.add(counts),
                None => drop(self.cells.insert(cell.clone(), *counts)),
            }
        }
        for engagement in user.engagements() {
            *self.engaged.entry(engagement).or_default() += 1;
        }
        self.for_each_count(user, |sum, more| *sum = sum.saturating_add(more));
    }

    /// Takes a user's day out that was added.
    pub fn subtract(&mut self, user: &UserDay) {
        for (cell, counts) in &user.cells {
            take_out(&mut self.cells, cell, counts);
        }
        for engagement in user.engagements() {
            match self.engaged.get_mut(&engagement) {
                Some(users) if *users > 1 => *users -= 1,
                _ => drop(self.engaged.remove(&engagement)),
            }
        }
        self.for_each_count(user, |sum, less| *sum = sum.saturating_sub(less));
    }

    fn for_each_count(&mut self, user: &UserDay, change: impl Fn(&mut u64, u64)) {
        let surfaces = user.surfaces();
        change(&mut self.users, (!user.cells.is_empty()).into());
        change(&mut self.users_with_telemetry, user.telemetry.into());
        for (users, surface) in self.users_by_surface.iter_mut().zip(Surface::ALL) {
            change(users, surfaces.has(surface).into());
        }
        change(&mut self.engaged_users, (!user.engagements().is_empty()).into());
        change(&mut self.cli_sessions, user.cli_sessions);
        change(&mut self.app_sessions, user.app_sessions);
    }

    /// Of these users.
    pub fn of<'a>(users: impl IntoIterator<Item = &'a UserDay>) -> Self {
        let mut sum = Self::default();
        users.into_iter().for_each(|user| sum.add(user));
        sum
    }
}

impl OrganizationSums {
    /// Of this day.
    #[must_use]
    pub fn of(day: &OrganizationDay) -> Self {
        Self {
            users: day.users,
            users_with_telemetry: day.users_with_telemetry,
            by_ide: by(&day.cells, |cell| Some([&cell.ide, &cell.feature, "", ""])),
            by_language: by(&day.cells, |cell| Some(["", &cell.feature, &cell.language, ""])),
            by_model: by(&day.cells, |cell| Some(["", &cell.feature, "", &cell.model])),
            by_language_and_model: by(&day.cells, |cell| {
                let feature = if cell.tells_acceptance() { &*cell.feature } else { "" };
                (!cell.is_of(Feature::CodeCompletion)).then_some(["", feature, &cell.language, &cell.model])
            }),
            cli_sessions: day.cli_sessions,
            app_sessions: day.app_sessions,
        }
    }
}

/// The sums of the cells by some of their words; those without are left out.
fn by(cells: &Cells, words: impl Fn(&Cell) -> Option<[&str; 4]>) -> Cells {
    let mut sums: BTreeMap<[&str; 4], Counts> = BTreeMap::new();
    for (cell, counts) in cells {
        if let Some(words) = words(cell) {
            sums.entry(words).or_default().add(counts);
        }
    }
    let cell = |words: [&str; 4]| {
        let [ide, feature, language, model] = words.map(str::to_owned);
        Cell { ide, feature, language, model }
    };
    sums.into_iter().map(|(words, counts)| (cell(words), counts)).collect()
}

fn take_out(cells: &mut Cells, cell: &Cell, counts: &Counts) {
    if let Some(sum) = cells.get_mut(cell) {
        sum.subtract(counts);
        if sum.is_none() {
            cells.remove(cell);
        }
    }
}
