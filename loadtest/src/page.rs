//! The report as one page that needs nothing else: styles, the plotting library and the figures are in it.
//!
//! uPlot 1.6.32 (MIT, no dependencies, 51 KB, kept up since 2019) draws: smaller and quicker than anything of its kind, and a
//! plot can be zoomed, which pictures made here could not.

use serde::Serialize;

use crate::{baseline::Comparison, report::Report};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const PLOT: &str = include_str!("page/uplot.js");
const PLOT_STYLE: &str = include_str!("page/uplot.css");

#[derive(Serialize)]
struct Figures<'a> {
    report: &'a Report,
    compared: Option<&'a Comparison>,
}

/// The page of a report.
pub(crate) fn of(report: &Report, compared: Option<&Comparison>) -> String {
    let figures = serde_json::to_string(&Figures { report, compared }).expect("figures have text keys");
    // what a server said stands in it: no such text may end the script or begin a tag
    let figures = figures.replace('<', "\\u003c");
    let parts = [
        ("{{style}}", STYLE),
        ("{{plot_style}}", PLOT_STYLE),
        ("{{plot}}", PLOT),
        ("{{script}}", SCRIPT),
        ("{{figures}}", &figures),
    ];
    // each part once, the figures last: nothing in them is taken for a place
    parts
        .iter()
        .fold(PAGE.to_owned(), |page, (place, part)| page.replacen(place, part, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::Counts, report::tests::load};

    #[test]
    fn page_holds_every_part_and_no_text_of_a_server_can_leave_its_place() {
        let mut load = load(Counts::default());
        load.troubles = vec!["</script><script>alert(1)</script> {{plot}}".to_owned()];
        let report = Report {
            run: "0000".to_owned(),
            description: String::new(),
            passed: true,
            complaints: Vec::new(),
            slo: String::new(),
            elapsed_s: 1.0,
            interrupted: false,
            cpu_us_per_job: 0.0,
            highest_rate_per_s: None,
            probes: Vec::new(),
            loads: vec![load],
        };
        let page = of(&report, None);
        assert!(!page.contains("<script>alert") && page.contains("uPlot"));
        for place in ["{{style}}", "{{plot_style}}", "{{script}}", "{{figures}}"] {
            assert!(!page.contains(place), "{place}");
        }
        assert_eq!(page.matches("</script>").count(), 3);
        assert!(
            !page.contains("http://") && !page.contains("src="),
            "nothing is loaded from elsewhere"
        );
    }
}
