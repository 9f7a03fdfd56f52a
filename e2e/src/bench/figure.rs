//! Figures: what was measured in each round, and whether the goal was reached.

use std::fmt;

use serde::Serialize;

/// One figure of all rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Its name.
    pub name: String,
    /// The median over the rounds.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What was to be reached, if anything was.
    pub goal: Option<Goal>,
    /// Whether it was; absent without a goal.
    pub met: Option<bool>,
    /// The lowest round.
    pub min: f64,
    /// The highest round.
    pub max: f64,
}

/// What a figure is to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::AtMost(goal) => value <= goal,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(goal) => write!(f, "≥ {}", rounded(*goal)),
            Self::AtMost(goal) => write!(f, "≤ {}", rounded(*goal)),
        }
    }
}

/// A third is 0.33.
fn rounded(goal: f64) -> f64 {
    (goal * 100.0).round() / 100.0
}

impl Figure {
    /// One of its values in as many digits as say something.
    #[must_use]
    pub fn told(&self, value: f64) -> String {
        let digits = if value.abs() < 10.0 {
            2
        } else {
            usize::from(value.abs() < 100.0)
        };
        format!("{value:.digits$}")
    }

    /// The figure of these rounds.
    ///
    /// # Panics
    /// There was no round.
    #[must_use]
    pub fn of(name: &str, unit: &'static str, goal: Option<Goal>, rounds: &[f64]) -> Self {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let value = sorted[sorted.len() / 2];
        Self {
            name: name.to_owned(),
            value,
            unit,
            goal,
            met: goal.map(|goal| goal.is_met(value)),
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_held_against_the_goal() {
        let figure = |goal| Figure::of("x", "ms", goal, &[3.0, 1.0, 2.0, 9.0, 2.5]);
        let of = figure(Some(Goal::AtMost(2.5)));
        assert_eq!((of.value, of.min, of.max, of.met), (2.5, 1.0, 9.0, Some(true)));
        assert_eq!(figure(Some(Goal::AtLeast(2.6))).met, Some(false));
        assert_eq!(figure(None).met, None);
    }
}
