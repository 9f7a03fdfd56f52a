//! The goals as a picture: one bar a figure that has a goal, as long as the figure is of its goal.

use std::fmt::Write as _;

use crate::bench::figure::{Figure, Goal};

/// Pixels.
const LABELS: f64 = 300.0;
const GOAL_AT: f64 = 280.0;
const ROW: f64 = 26.0;
const TOP: f64 = 58.0;
/// Longer bars end here.
const MOST: f64 = 1.6;
const WIDTH: f64 = LABELS + GOAL_AT * MOST + 150.0;

/// An SVG that needs nothing else, readable on light and dark ground.
#[must_use]
pub fn svg(figures: &[Figure]) -> String {
    let with_goals: Vec<&Figure> = figures.iter().filter(|figure| figure.goal.is_some()).collect();
    let height = TOP + ROW * with_goals.len() as f64 + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"16\" font-weight=\"600\" fill=\"#1c2733\">Figures against their goals</text>\n\
         <text x=\"16\" y=\"44\" fill=\"#5b6876\">A bar that reaches the line has met its goal. Thin lines: the lowest and the \
         highest round.</text>\n"
    );
    let (x, bottom) = (LABELS + GOAL_AT, height - 12.0);
    // writing into a text cannot fail
    let _ = writeln!(
        svg,
        "<line x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{bottom}\" stroke=\"#1c2733\" stroke-width=\"1.5\" \
         stroke-dasharray=\"5 4\"/>"
    );
    for (row, figure) in with_goals.iter().enumerate() {
        bar(&mut svg, figure, TOP + ROW * row as f64);
    }
    svg + "</svg>\n"
}

fn bar(svg: &mut String, figure: &Figure, y: f64) {
    let Some(goal) = figure.goal else { return };
    let length = |value: f64| {
        let share = match goal {
            Goal::AtLeast(goal) => value / goal,
            Goal::AtMost(goal) => goal / value.max(goal / MOST),
        };
        LABELS + GOAL_AT * share.clamp(0.0, MOST)
    };
    let (end, low, high) = (length(figure.value), length(figure.min), length(figure.max));
    let colour = if figure.met == Some(true) { "#2f7d5b" } else { "#c2572b" };
    let (middle, text, told) = (y + 9.0, y + 14.0, end.max(low).max(high) + 8.0);
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\" fill=\"#1c2733\">{}</text>\n\
         <rect x=\"{LABELS}\" y=\"{}\" width=\"{:.1}\" height=\"14\" rx=\"2\" fill=\"{colour}\"/>\n\
         <line x1=\"{low:.1}\" y1=\"{middle}\" x2=\"{high:.1}\" y2=\"{middle}\" stroke=\"#1c2733\"/>\n\
         <text x=\"{told:.1}\" y=\"{text}\" fill=\"#1c2733\" stroke=\"#ffffff\" stroke-width=\"4\" \
         paint-order=\"stroke\">{} {} (goal {goal})</text>",
        LABELS - 10.0,
        figure.name.replace('_', " "),
        y + 2.0,
        end - LABELS,
        figure.told(figure.value),
        figure.unit,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_end_at_the_line_where_the_goal_is_just_met_whichever_way_it_goes() {
        for goal in [Goal::AtLeast(4.0), Goal::AtMost(4.0)] {
            let svg = svg(&[Figure::of("a_figure", "ms", Some(goal), &[4.0])]);
            assert!(svg.contains(&format!("width=\"{GOAL_AT:.1}\"")), "{svg}");
            assert!(svg.contains(">a figure<") && svg.contains(">4.00 ms (goal"), "{svg}");
        }
        let none = Figure::of("another", "ms", None, &[4.0]);
        assert!(!svg(&[none]).contains("another"));
    }
}
